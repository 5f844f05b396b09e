//! Asks the broker, and waits past everything that is not its answer until the deadline.
//!
//! A rogue responder that says yes first can neither permit nor deny: what does not parse, verify or fit is counted and
//! ignored (T50). Which answer fits is left to `permit`; what a host already knows, to `memory`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use policy::answer::StartAnswer;
use policy::artifact::Import;
use policy::digest::Digest;
use policy::envelope::{Unverified, Verified};
use policy::question::{Inventory, Offer, Runs, StartRequest, What};
use policy::reason::{Reason, Refusal};
use policy::warrant::{DecisionKeys, Warrant};
use policy::wire::{PERMIT_TTL_MS, Topic};
use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::error::Error;
use crate::identity::{HostKey, nonce};
use crate::memory::{Head, Memory, Sighting};
use crate::permit::{Asked, Permits, Told};
use crate::transport::{Replies, Transport};

/// Who asks: one host, in one lattice, over one wire.
pub(crate) struct Asker {
    pub(crate) key: HostKey,
    pub(crate) memory: Arc<Memory>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeout: Duration,
    pub(crate) ignored: Mutex<Ignored>,
}

/// What would start.
pub(crate) struct Start<'a> {
    pub(crate) what: What,
    pub(crate) runs: &'a Runs,
    pub(crate) claims: &'a [u8],
    pub(crate) imports: &'a [Import],
    pub(crate) offers: &'a [Offer],
}

/// Answers that were none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ignored {
    pub(crate) count: usize,
    furthest: Option<(Stage, Refusal)>,
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

enum Next {
    Permits(Permits),
    // Nothing that counts came in time, or what came knows less than this host does.
    Again,
}

impl Asker {
    /// Asks until an answer counts.
    ///
    /// # Errors
    /// The broker's refusal; `broker_unreachable`, or the reason why what came was ignored; `epoch_behind`;
    /// `state_rollback`.
    pub(crate) async fn ask(&self, start: &Start<'_>) -> Result<Permits, Error> {
        let deadline = Instant::now() + self.timeout;
        let mut behind = 0;
        loop {
            let (asked, replies) = self.send(start).await?;
            // A permit is counted from the sending: an answer after its longest life could open nothing.
            let until = deadline.min(Instant::now() + Duration::from_millis(PERMIT_TTL_MS));
            match self.await_answer(asked, replies, until, &mut behind).await? {
                Next::Permits(permits) => return Ok(permits),
                Next::Again if behind > ASK_AGAIN => return Err(self.behind().into()),
                Next::Again if Instant::now() >= deadline => return Err(self.unanswered().into()),
                Next::Again => {}
            }
        }
    }

    async fn send(&self, start: &Start<'_>) -> Result<(Asked, Replies), Error> {
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
        let replies = self.transport.ask(subject, bytes).await?;
        Ok((asked, replies))
    }

    async fn await_answer(
        &self,
        asked: Asked,
        mut replies: Replies,
        until: Instant,
        behind: &mut u32,
    ) -> Result<Next, Error> {
        let mut asked = asked;
        loop {
            let Ok(reply) = timeout_at(until, replies.next()).await else { return Ok(Next::Again) };
            let Some(bytes) = reply else { return Err(self.unanswered().into()) };
            let genuine = match self.open(&bytes) {
                Ok(genuine) => genuine,
                Err((stage, refusal)) => {
                    self.ignore(stage, refusal);
                    continue;
                }
            };
            let Genuine { answer, sighting } = genuine;
            let told = match asked.answered_by(answer) {
                Ok(told) => told,
                Err(misfit) => {
                    asked = misfit.question;
                    self.ignore(Stage::Fit, misfit.refusal);
                    continue;
                }
            };
            // On the disk before the permit is used.
            self.memory.raise(&sighting)?;
            if sighting.epoch < self.memory.record().epoch {
                *behind += 1;
                return Ok(Next::Again);
            }
            return match told {
                Told::Permitted(permits) => Ok(Next::Permits(permits)),
                Told::Refused(mut refused) => {
                    refused.ignored = self.ignored().count;
                    Err(Error::Refused(Box::new(refused)))
                }
            };
        }
    }

    // From bytes of anybody to the broker's word: form, the root's warrant, the signature of a key in it.
    fn open(&self, bytes: &[u8]) -> Result<Genuine, (Stage, Refusal)> {
        let answer = Unverified::<StartAnswer>::parse(bytes).map_err(at(Stage::Form))?;
        let token = answer.attachments().first().cloned().unwrap_or_default();
        let warrant = self.warrant(&token).map_err(at(Stage::Warrant))?;
        let keys = DecisionKeys::of(&warrant, self.clock.now()).map_err(at(Stage::Warrant))?;
        let answer = answer.verify(&keys).map_err(at(Stage::Signature))?;
        let sighting = Sighting {
            epoch: answer.epoch,
            head: Head { index: answer.index, entry_sha256: answer.entry_sha256 },
            warrant: Some((warrant.serial, warrant.log_key.clone())),
        };
        Ok(Genuine { answer, sighting })
    }

    fn warrant(&self, token: &[u8]) -> Result<Verified<Warrant>, Refusal> {
        let warrant = Unverified::<Warrant>::parse(token)?.verify(&self.memory.roots())?;
        let held = self.memory.record().warrant_serial;
        if warrant.serial < held {
            let detail = format!("the warrant has serial {}, this host has seen {held}", warrant.serial);
            return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
        }
        Ok(warrant)
    }

    fn ignore(&self, stage: Stage, refusal: Refusal) {
        tracing::debug!("an answer was ignored: {refusal}");
        let mut ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        ignored.count += 1;
        if ignored.furthest.as_ref().is_none_or(|(furthest, _)| *furthest < stage) {
            ignored.furthest = Some((stage, refusal));
        }
    }

    /// The answers that were ignored so far.
    pub(crate) fn ignored(&self) -> Ignored {
        self.ignored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    // Where something that looked like an answer came, its reason says more than the silence around it.
    fn unanswered(&self) -> Refusal {
        let waited = format!(
            "no answer that counts came from {} within {} s",
            self.transport.address(),
            self.timeout.as_secs_f32()
        );
        let ignored = self.ignored();
        match ignored.furthest {
            Some((stage, refusal)) if stage > Stage::Form => {
                refusal.within(format!("{waited}; {} ignored", ignored.count))
            }
            _ if ignored.count > 0 => {
                Refusal::new(Reason::BrokerUnreachable, format!("{waited}; {} ignored", ignored.count))
            }
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

fn at(stage: Stage) -> impl Fn(Refusal) -> (Stage, Refusal) {
    move |refusal| (stage, refusal)
}

// How often a host asks again when an answer knows less than it does.
const ASK_AGAIN: u32 = 2;
