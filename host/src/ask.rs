//! Asks the broker, and waits past everything that is not its answer until the deadline.
//!
//! A rogue responder that says yes first can neither permit nor deny: what does not parse, verify or fit is counted and
//! ignored (T50). While nothing comes the same bytes are sent again: a question that was lost is asked, one that was
//! decided gets its one answer, and neither makes a second entry (T61). Which answer fits is left to `permit`; what a
//! host already knows, to `memory`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::SelectAll;
use policy::answer::StartAnswer;
use policy::artifact::Import;
use policy::digest::Digest;
use policy::envelope::{Document, Keyring, Unverified, Verified};
use policy::log::Place;
use policy::question::{Inventory, Offer, Runs, StartRequest, What};
use policy::reason::{Reason, Refusal};
use policy::warrant::{DecisionKeys, Warrant};
use policy::wire::{PERMIT_TTL_MS, Topic};
use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::error::Error;
use crate::identity::{HostKey, nonce};
use crate::journal::{self, Act};
use crate::memory::{Head, Memory, Piece, Shown, Sighting, Standing};
use crate::permit::{Asked, Decided, Permits, Told};
use crate::standby::{Answered, Content, Held, Standbys};
use crate::tally::{Line, Tally};
use crate::transport::{Replies, Transport, hint};

/// Who asks: one host, in one lattice, over one wire.
pub(crate) struct Asker {
    pub(crate) key: HostKey,
    pub(crate) memory: Arc<Memory>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) standbys: Standbys,
    pub(crate) timeout: Duration,
    // How many answers were not the broker's, over all questions.
    pub(crate) ignored: AtomicUsize,
    // Warrants that could not be remembered.
    pub(crate) unkept: Mutex<Tally>,
}

/// What would start.
pub(crate) struct Start<'a> {
    pub(crate) what: What,
    pub(crate) runs: &'a Runs,
    pub(crate) claims: &'a [u8],
    pub(crate) imports: &'a [Import],
    pub(crate) offers: &'a [Offer],
}

// Answers to one question that were none.
#[derive(Debug, Default)]
struct Ignored {
    count: usize,
    furthest: Option<(Stage, Refusal)>,
}

// A question on its way.
struct Sent {
    asked: Asked,
    subject: String,
    bytes: Vec<u8>,
    replies: SelectAll<Replies>,
}

// How far an answer came before it was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Form,
    Warrant,
    Signature,
    Fit,
}

// An answer that is the broker's, with what it tells about the log.
struct Genuine {
    answer: Verified<StartAnswer>,
    sighting: Sighting,
}

// Why there is no permit: the broker said so, or nobody said anything that counts.
enum Without {
    Answer(Error),
    Leave(Error),
}

impl From<Error> for Without {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Wire { .. }) { Self::Answer(error) } else { Self::Leave(error) }
    }
}

enum Next {
    Permits(Permits),
    // The answer knows less than this host does.
    Behind,
    // Nothing that counts came in time.
    Silence,
    // Nothing more can come.
    Closed,
}

impl Asker {
    /// Asks until an answer counts; where none comes, a standby permit that is held may stand in.
    ///
    /// # Errors
    /// The broker's refusal; `broker_unreachable`, or the reason why what came was ignored; `epoch_behind`;
    /// `log_fork`, `state_rollback`; `standby_over`, `standby_void`.
    pub(crate) async fn ask(&self, start: &Start<'_>) -> Result<Permits, Error> {
        // Whoever answers a host that has found a fork, it would bind nothing.
        self.memory.refuse_forked()?;
        let mut ignored = Ignored::default();
        let answered = self.ask_past(start, &mut ignored).await;
        if let Ignored { count: 1.., furthest: Some((_, refusal)) } = &ignored {
            let (id, count) = (&start.runs.id, ignored.count);
            tracing::info!(event = "spoofed_answer", %id, count, "answers were not the broker's: {refusal}");
        }
        match answered {
            Ok(permits) => Ok(permits),
            Err(Without::Leave(error)) => Err(error),
            Err(Without::Answer(error)) => self.stand_in(start, error),
        }
    }

    // Garbage and forgeries are silence: nothing but the broker's own word stands against what it gave leave to.
    fn stand_in(&self, start: &Start<'_>, unanswered: Error) -> Result<Permits, Error> {
        let open = |bytes: &[u8]| self.open(bytes).map(|genuine| genuine.answer).map_err(|(_, refusal)| refusal);
        let (content, epoch) = (Content::of(start), self.memory.newest_epoch()?);
        let held = self.standbys.take(&content, self.key.name(), epoch, self.clock.as_ref(), open)?;
        let Some(Held { request, answer, standby }) = held else {
            return Err(unanswered);
        };
        let sha256 = answer.request_sha256;
        let asked = Asked { request, sha256, sent: self.clock.moment() };
        match asked.answered_by(answer).map_err(|misfit| misfit.refusal)? {
            Told::Permitted(permits) => {
                tracing::warn!(event = "stood_in", id = %start.runs.id, "started by a standby permit of `{}`", standby.id);
                Ok(permits.standing_in(standby))
            }
            Told::Refused(refused) => Err(Error::Refused(Box::new(refused))),
        }
    }

    async fn ask_past(&self, start: &Start<'_>, ignored: &mut Ignored) -> Result<Permits, Without> {
        let deadline = Instant::now() + self.timeout;
        let mut behind = 0;
        loop {
            // A wire that is down may hold the question back for ever: the sending is under the deadline, too.
            let Ok(sent) = timeout_at(deadline, self.send(start)).await else {
                return Err(Without::Answer(self.unanswered(ignored).into()));
            };
            let sent = sent?;
            // A permit is counted from the sending: an answer after its longest life could open nothing.
            let until = deadline.min(Instant::now() + Duration::from_millis(PERMIT_TTL_MS));
            match self.await_answer(start, sent, until, ignored).await? {
                Next::Permits(permits) => return Ok(permits),
                Next::Behind if behind >= ASK_AGAIN => return Err(Without::Leave(self.behind().into())),
                Next::Behind => behind += 1,
                Next::Closed => return Err(Without::Answer(self.unanswered(ignored).into())),
                Next::Silence if Instant::now() >= deadline => {
                    return Err(Without::Answer(self.unanswered(ignored).into()));
                }
                Next::Silence => {}
            }
        }
    }

    async fn send(&self, start: &Start<'_>) -> Result<Sent, Error> {
        let inventory = policy::json::write(&Inventory { builtins: start.offers.to_vec() });
        let record = self.memory.record();
        let request = StartRequest {
            iss: *self.key.name(),
            aud: record.lattice,
            iat: self.clock.now(),
            jti: nonce()?,
            what: start.what,
            runs: start.runs.clone(),
            imports: start.imports.to_vec(),
            inventory_sha256: Digest::of(&inventory),
            seen: self.memory.seen(),
            stood_in: self.standbys.unreported(),
        };
        let bytes = self.key.sign(&request, &[start.claims, &inventory])?;
        let topic = match start.what {
            What::StartComponent => Topic::StartComponent,
            What::StartProvider => Topic::StartProvider,
        };
        let subject = topic.subject(&request.aud);
        let sha256 = Digest::of(bytes.split(|byte| *byte == b'\n').next().unwrap_or_default());
        // Before the sending, so that the wire's time counts against the permit.
        let asked = Asked { request, sha256, sent: self.clock.moment() };
        let replies = self.transport.ask(subject.clone(), bytes.clone()).await?;
        Ok(Sent { asked, subject, bytes, replies: SelectAll::from_iter([replies]) })
    }

    async fn await_answer(
        &self,
        start: &Start<'_>,
        sent: Sent,
        until: Instant,
        ignored: &mut Ignored,
    ) -> Result<Next, Error> {
        let Sent { mut asked, subject, bytes, mut replies } = sent;
        let mut again = Instant::now() + SEND_AGAIN;
        loop {
            let Ok(reply) = timeout_at(until.min(again), replies.next()).await else {
                if until <= again {
                    return Ok(Next::Silence);
                }
                let sending = timeout_at(until, self.transport.ask(subject.clone(), bytes.clone())).await;
                let Ok(more) = sending else { return Ok(Next::Silence) };
                replies.push(more?);
                again = Instant::now() + SEND_AGAIN;
                continue;
            };
            let Some(reply) = reply else { return Ok(Next::Closed) };
            let genuine = match self.open(&reply) {
                Ok(genuine) => genuine,
                Err((stage, refusal)) => {
                    self.ignore(ignored, stage, refusal);
                    continue;
                }
            };
            let Genuine { answer, mut sighting } = genuine;
            let decided = Decided::by(&answer);
            sighting.shown = Some(shown(&answer, &asked, &bytes, &reply));
            let (stands, moment, told_of) = (answer.standby.is_some(), asked.sent, asked.request.stood_in.clone());
            let told = match asked.answered_by(answer) {
                Ok(told) => told,
                Err(misfit) => {
                    // It answers this very question, and lies before what the question names.
                    if misfit.refusal.reason == Reason::StateRollback {
                        self.memory.witness(&sighting)?;
                    }
                    asked = misfit.question;
                    self.ignore(ignored, Stage::Fit, misfit.refusal);
                    continue;
                }
            };
            // On the disk before the permit is used.
            self.memory.raise(&sighting)?;
            self.standbys.reported(&told_of)?;
            if sighting.epoch < self.memory.record().epoch {
                return Ok(Next::Behind);
            }
            let answered = Answered { sent: moment, request: &bytes, answer: &reply };
            self.keep(start, stands && matches!(told, Told::Permitted(_)), &answered);
            return match told {
                Told::Permitted(permits) => Ok(Next::Permits(permits)),
                Told::Refused(refused) => {
                    self.note_refused(start, decided, refused.refusal.reason)?;
                    Err(Error::Refused(Box::new(refused)))
                }
            };
        }
    }

    // What is permitted is noted when it is bound.
    fn note_refused(&self, start: &Start<'_>, decided: Decided, reason: Reason) -> Result<(), Error> {
        let Start { what, runs, .. } = *start;
        let act = Act { what, runs, decided, reason: Some(reason), standby: None, bound: Vec::new() };
        let (host, at_ms) = (self.key.name(), self.clock.wall_ms());
        self.memory.alone(|| journal::write(self.memory.dir(), host, at_ms, act))
    }

    // The newest word counts: what it does not give leave to is forgotten. A start needs no standby permit to be kept.
    fn keep(&self, start: &Start<'_>, stands: bool, answered: &Answered<'_>) {
        let content = Content::of(start);
        let kept = if stands { self.standbys.keep(&content, answered) } else { self.standbys.forget(&content) };
        if let Err(error) = kept {
            tracing::warn!(id = %start.runs.id, "its standby permit is not as the broker said: {error}");
        }
    }

    // From bytes of anybody to the broker's word: form, the root's warrant, the signature of a key in it.
    fn open(&self, bytes: &[u8]) -> Result<Genuine, (Stage, Refusal)> {
        let answer = Unverified::<StartAnswer>::parse(bytes).map_err(at(Stage::Form))?;
        let token = answer.attachments().first().cloned().unwrap_or_default();
        let warrant = self.warrant(&token).map_err(at(Stage::Warrant))?;
        let keys = DecisionKeys::of(&warrant, self.clock.now()).map_err(at(Stage::Warrant))?;
        // The roots' word counts whatever comes with it, and before it: what it drops must not speak again (T17).
        if let Err(error) = self.memory.follow(&Standing::of(&warrant)) {
            self.say_unkept(&error);
            let unkept = |reason| Refusal::new(reason, "the warrant could not be remembered");
            return Err((Stage::Warrant, unkept(error.reason().unwrap_or(Reason::BrokerKeyUnknown))));
        }
        let answer = answer.verify(&keys).map_err(at(Stage::Signature))?;
        let sighting = Sighting {
            epoch: answer.epoch,
            head: Head { index: answer.index, entry_sha256: answer.entry_sha256 },
            warrant: Some(Standing::of(&warrant)),
            shown: None,
        };
        Ok(Genuine { answer, sighting })
    }

    /// From bytes of anybody to a document of the broker that no start waits for, and the warrant that it speaks under.
    pub(crate) fn told<T: Document>(&self, bytes: &[u8]) -> Result<(Verified<T>, Standing), Refusal>
    where
        DecisionKeys: Keyring<T>,
    {
        let told = Unverified::<T>::parse(bytes)?;
        let warrant = self.warrant(told.attachments().first().map(Vec::as_slice).unwrap_or_default())?;
        let told = told.verify(&DecisionKeys::of(&warrant, self.clock.now())?)?;
        let standing = Standing::of(&warrant);
        // The roots' word counts whatever brings it, also to a host that asks for nothing more (T17, T66).
        if let Err(error) = self.memory.follow(&standing) {
            self.say_unkept(&error);
        }
        Ok((told, standing))
    }

    pub(crate) fn warrant(&self, token: &[u8]) -> Result<Verified<Warrant>, Refusal> {
        let warrant = self.memory.read(token)?;
        self.memory.admits(&Standing::of(&warrant))?;
        Ok(warrant)
    }

    // Anybody may show it again with as many answers as they like.
    fn say_unkept(&self, error: &Error) {
        let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        unkept.count(error);
        for Line { count, last, .. } in unkept.due(std::time::Instant::now()) {
            tracing::warn!(count, "a warrant could not be remembered: {last}");
        }
    }

    fn ignore(&self, ignored: &mut Ignored, stage: Stage, refusal: Refusal) {
        tracing::debug!("an answer was ignored: {refusal}");
        self.ignored.fetch_add(1, Ordering::Relaxed);
        ignored.count += 1;
        if ignored.furthest.as_ref().is_none_or(|(furthest, _)| *furthest < stage) {
            ignored.furthest = Some((stage, refusal));
        }
    }

    // Where something that looked like an answer came, its reason says more than the silence around it.
    fn unanswered(&self, ignored: &Ignored) -> Refusal {
        let (address, seconds) = (self.transport.address(), self.timeout.as_secs_f32());
        let hint = hint(self.transport.as_ref(), self.clock.now());
        let waited =
            format!("no answer that counts came from {address} within {seconds} s; {} ignored{hint}", ignored.count);
        match &ignored.furthest {
            Some((stage, refusal)) if *stage > Stage::Form => refusal.clone().within(waited),
            _ => Refusal::new(Reason::BrokerUnreachable, waited),
        }
    }

    fn behind(&self) -> Refusal {
        let epoch = self.memory.record().epoch;
        Refusal::new(
            Reason::EpochBehind,
            format!("the broker's answers know less than epoch {epoch}, which this host has seen"),
        )
    }
}

// What it tells of the log, if it is the answer to this question.
fn shown(answer: &StartAnswer, asked: &Asked, question: &[u8], reply: &[u8]) -> Shown {
    let StartAnswer { index, entry_sha256, epoch, .. } = *answer;
    let place = Place { index, entry_sha256, epoch, root: None, after: Some(asked.request.seen) };
    let token = question.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Shown { place, piece: Piece::Answer { answer: text(reply), question: text(token) } }
}

fn at(stage: Stage) -> impl Fn(Refusal) -> (Stage, Refusal) {
    move |refusal| (stage, refusal)
}

// How often a host asks again when an answer knows less than it does.
const ASK_AGAIN: u32 = 2;
// After how long a question that nobody answered is sent again.
const SEND_AGAIN: Duration = Duration::from_secs(1);
