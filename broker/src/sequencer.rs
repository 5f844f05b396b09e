//! The one owner of the state: inputs in arrival order, each one entry, each batch one commit.
//!
//! Whatever is queued when the previous commit returns is the next batch, so there is no timer to tune. Nothing is
//! told before its batch is durable. Any error of a write ends the sitting: its batch is unanswered, the files are
//! opened and the fold is run again, and what turns out to be durable stays. What entries say is left to `policy`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use policy::command::Command;
use policy::decide::Facts;
use policy::digest::Digest;
use policy::envelope::Verified;
use policy::examine::Examined;
use policy::govern::{HostKeys, State};
use policy::join::Join;
use policy::log::{Checkpoint, Head, Ruling, Step};
use policy::question::StartRequest;
use policy::reason::Reason;
use policy::warrant::Warrant;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::error::Error;
use crate::folder::FolderLock;
use crate::sequencer::court::Court;
use crate::store::{Act, Judgement, Recorded, Told};

pub(crate) mod court;

/// Where inputs are handed in.
#[derive(Clone)]
pub(crate) struct Sequencer {
    inputs: mpsc::Sender<Input>,
}

/// The state at one moment, for readers.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// The end of the log that it is the fold of.
    pub head: Head,
}

/// What the sequencer shows to everyone.
pub(crate) struct Shown {
    /// The newest durable end of the log.
    pub(crate) tip: watch::Receiver<Tip>,
    /// The keys of the enrolled hosts.
    pub(crate) hosts: Arc<ArcSwap<HostKeys>>,
}

/// The end of the log, with the key that signs for it: a checkpoint is signed by the key that the log named before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) log_key: Arc<str>,
}

impl Tip {
    fn of(court: &Court) -> Self {
        Self { checkpoint: court.checkpoint(), log_key: court.ledger().state().log_key().into() }
    }
}

/// Nothing was recorded; the cause stands in the broker's messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unavailable;

enum Input {
    Rule(Box<Examined<StartRequest>>, oneshot::Sender<Recorded<Ruling>>),
    Govern(Box<Examined<Command>>, Reply),
    Enrol(Box<Examined<Join>>, Reply),
    Install(Box<Verified<Warrant>>, Reply),
    Count(BTreeMap<Reason, u64>, oneshot::Sender<()>),
    Look(oneshot::Sender<Arc<Snapshot>>),
    Close(oneshot::Sender<Result<(), Error>>),
}

type Reply = oneshot::Sender<Recorded<Judgement>>;

impl Sequencer {
    /// Starts the task that owns the state, and with it the folder.
    pub(crate) fn start(court: Court, lock: FolderLock, clock: Arc<dyn Clock>) -> (Self, Shown) {
        let (inputs, queue) = mpsc::channel(QUEUE);
        let (tip_shown, tip) = watch::channel(Tip::of(&court));
        let hosts = Arc::new(ArcSwap::from_pointee(court.ledger().state().host_keys().clone()));
        let bench = Bench { queue, clock, tip: tip_shown, hosts: Arc::clone(&hosts), snapshot: None, _lock: lock };
        tokio::spawn(bench.run(court));
        (Self { inputs }, Shown { tip, hosts })
    }

    pub(crate) async fn rule(&self, examined: Examined<StartRequest>) -> Result<Recorded<Ruling>, Unavailable> {
        self.ask(|reply| Input::Rule(Box::new(examined), reply)).await
    }

    pub(crate) async fn govern(&self, examined: Examined<Command>) -> Result<Recorded<Judgement>, Unavailable> {
        self.ask(|reply| Input::Govern(Box::new(examined), reply)).await
    }

    pub(crate) async fn enrol(&self, examined: Examined<Join>) -> Result<Recorded<Judgement>, Unavailable> {
        self.ask(|reply| Input::Enrol(Box::new(examined), reply)).await
    }

    pub(crate) async fn install(&self, warrant: Verified<Warrant>) -> Result<Recorded<Judgement>, Unavailable> {
        self.ask(|reply| Input::Install(Box::new(warrant), reply)).await
    }

    pub(crate) async fn count(&self, turned_away: BTreeMap<Reason, u64>) -> Result<(), Unavailable> {
        self.ask(|reply| Input::Count(turned_away, reply)).await
    }

    pub(crate) async fn look(&self) -> Result<Arc<Snapshot>, Unavailable> {
        self.ask(Input::Look).await
    }

    pub(crate) async fn close(&self) -> Result<(), Error> {
        // A sequencer that is gone has closed its files on the way.
        self.ask(Input::Close).await.unwrap_or(Ok(()))
    }

    async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send(input(reply)).await.map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)
    }
}

struct Bench {
    queue: mpsc::Receiver<Input>,
    clock: Arc<dyn Clock>,
    tip: watch::Sender<Tip>,
    hosts: Arc<ArcSwap<HostKeys>>,
    snapshot: Option<Arc<Snapshot>>,
    // The folder is ours until this task ends.
    _lock: FolderLock,
}

enum Next {
    Batch(Batch),
    LockIsDue,
    Close(Option<oneshot::Sender<Result<(), Error>>>),
}

#[derive(Default)]
struct Batch {
    inputs: Vec<Input>,
    // A close that came behind the batch.
    close: Option<oneshot::Sender<Result<(), Error>>>,
}

struct Adjourned {
    files: court::Files,
    // Not before this moment are the files opened again, so that a full disk is not busy with replays.
    until: Instant,
}

impl Bench {
    async fn run(mut self, court: Court) {
        let mut sitting: Result<Court, Adjourned> = Ok(court);
        loop {
            let due = sitting.as_ref().ok().and_then(Court::lock_is_due);
            let (batch, close) = match self.next(due).await {
                Next::Batch(Batch { inputs, close }) => (inputs, close.map(Some)),
                Next::LockIsDue => (Vec::new(), None),
                Next::Close(close) => (Vec::new(), Some(close)),
            };
            sitting = match sitting {
                Ok(court) if batch.is_empty() => self.move_lock(court).await,
                Ok(court) => self.sit(court, batch).await,
                Err(adjourned) => self.reopen(adjourned, batch).await,
            };
            if let Some(reply) = close {
                let closed = match sitting {
                    Ok(court) => court.close().await,
                    Err(_) => Ok(()),
                };
                // Nobody may wait for the end any more; then nobody is told.
                let _ = reply.map(|reply| reply.send(closed));
                return;
            }
        }
    }

    // Waits for one input, then takes whatever else is there: group commit without a timer (T95).
    async fn next(&mut self, due: Option<Instant>) -> Next {
        let first = match due {
            None => self.queue.recv().await,
            Some(due) => match tokio::time::timeout_at(due.into(), self.queue.recv()).await {
                Ok(first) => first,
                Err(_) => return Next::LockIsDue,
            },
        };
        let mut batch = Batch::default();
        let mut bytes = 0;
        let mut input = match first {
            None => return Next::Close(None),
            Some(Input::Close(reply)) => return Next::Close(Some(reply)),
            Some(first) => first,
        };
        loop {
            bytes += input.bytes();
            batch.inputs.push(input);
            if batch.inputs.len() >= MAX_BATCH || bytes >= MAX_BATCH_BYTES {
                return Next::Batch(batch);
            }
            input = match self.queue.try_recv() {
                Ok(Input::Close(reply)) => {
                    batch.close = Some(reply);
                    return Next::Batch(batch);
                }
                Ok(input) => input,
                Err(_) => return Next::Batch(batch),
            };
        }
    }

    async fn sit(&mut self, mut court: Court, batch: Vec<Input>) -> Result<Court, Adjourned> {
        let files = court.files();
        let mut steps = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        let mut looks = Vec::new();
        for input in batch {
            if let Some((step, reply)) = self.judge(&mut court, input, &mut looks) {
                steps.push(step);
                replies.push(reply);
            }
        }
        // With an error the replies are dropped here, and whoever waits for one learns that nothing was granted.
        let (court, recorded) = court.commit(steps).await.map_err(|error| Adjourned::after(files, &error))?;
        self.show(&court);
        recorded.into_iter().zip(replies).for_each(|(recorded, reply)| reply.tell(recorded.told()));
        // Who looked sees the batch that it came with.
        if !looks.is_empty() {
            let snapshot = self.snapshot(&court);
            looks.into_iter().for_each(|look| drop(look.send(Arc::clone(&snapshot))));
        }
        Ok(court)
    }

    fn judge(
        &self,
        court: &mut Court,
        input: Input,
        looks: &mut Vec<oneshot::Sender<Arc<Snapshot>>>,
    ) -> Option<(Step<Act>, Answer)> {
        let at_ms = self.clock.now_ms();
        let ledger = court.ledger_mut();
        let judged = |request_sha256: Digest| move |verdict| Act::Judged(Judgement { request_sha256, verdict });
        Some(match input {
            Input::Rule(examined, reply) => (
                ledger.rule(*examined, Facts::default(), at_ms).map(|ruling| Act::Ruled(Box::new(ruling))),
                Answer::Ruled(reply),
            ),
            Input::Govern(examined, reply) => {
                let sha256 = examined.document().sha256();
                (ledger.govern(&examined, at_ms).map(judged(sha256)), Answer::Judged(reply))
            }
            Input::Enrol(examined, reply) => {
                let sha256 = examined.document().sha256();
                (ledger.enrol(&examined, at_ms).map(judged(sha256)), Answer::Judged(reply))
            }
            Input::Install(warrant, reply) => {
                (ledger.install(&warrant, at_ms).map(judged(warrant.sha256())), Answer::Judged(reply))
            }
            Input::Count(counts, reply) => (ledger.count(counts, at_ms).map(|()| Act::Counted), Answer::Counted(reply)),
            Input::Look(reply) => {
                looks.push(reply);
                return None;
            }
            // `next` takes a close out of the queue itself.
            Input::Close(_) => return None,
        })
    }

    async fn move_lock(&mut self, court: Court) -> Result<Court, Adjourned> {
        let files = court.files();
        court.move_lock().await.map_err(|error| Adjourned::after(files, &error))
    }

    async fn reopen(&mut self, adjourned: Adjourned, batch: Vec<Input>) -> Result<Court, Adjourned> {
        if Instant::now() < adjourned.until {
            return Err(adjourned);
        }
        let began = Instant::now();
        match Court::open(adjourned.files.clone()).await {
            Ok(court) => {
                tracing::warn!(size = court.ledger().head().size, "the log is open again");
                self.show(&court);
                self.sit(court, batch).await
            }
            Err(error) => Err(Adjourned {
                until: Instant::now() + began.elapsed() * 4,
                ..Adjourned::after(adjourned.files, &error)
            }),
        }
    }

    fn show(&self, court: &Court) {
        let tip = Tip::of(court);
        if self.tip.borrow().checkpoint.epoch != tip.checkpoint.epoch {
            self.hosts.store(Arc::new(court.ledger().state().host_keys().clone()));
        }
        self.tip.send_replace(tip);
    }

    fn snapshot(&mut self, court: &Court) -> Arc<Snapshot> {
        let ledger = court.ledger();
        match &self.snapshot {
            Some(snapshot) if snapshot.head == ledger.head() => Arc::clone(snapshot),
            _ => {
                let snapshot = Arc::new(Snapshot { state: ledger.state().clone(), head: ledger.head() });
                self.snapshot = Some(Arc::clone(&snapshot));
                snapshot
            }
        }
    }
}

enum Answer {
    Ruled(oneshot::Sender<Recorded<Ruling>>),
    Judged(Reply),
    Counted(oneshot::Sender<()>),
}

impl Answer {
    // Whoever asked may be gone; what is recorded stays recorded, so a lost reply is no loss.
    fn tell(self, told: Told) {
        match (self, told) {
            (Self::Ruled(reply), Told::Ruled(ruling)) => drop(reply.send(*ruling)),
            (Self::Judged(reply), Told::Judged(judgement)) => drop(reply.send(judgement)),
            (Self::Counted(reply), Told::Counted) => drop(reply.send(())),
            // INVARIANT: `judge` makes step and reply of one kind; a reply that is dropped says no.
            (Self::Ruled(_) | Self::Judged(_) | Self::Counted(_), _) => {}
        }
    }
}

impl Adjourned {
    fn after(files: court::Files, error: &Error) -> Self {
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        tracing::error!(%error, cause, "the log could not be written; nothing is granted until it can");
        Self { files, until: Instant::now() + PAUSE }
    }
}

impl Input {
    fn bytes(&self) -> usize {
        match self {
            Self::Rule(examined, _) => weight(examined.document()),
            Self::Govern(examined, _) => weight(examined.document()),
            Self::Enrol(examined, _) => weight(examined.document()),
            Self::Install(warrant, _) => weight(warrant),
            Self::Count(..) | Self::Look(_) | Self::Close(_) => 0,
        }
    }
}

fn weight<T>(document: &Verified<T>) -> usize {
    document.token().len() + document.attachments().iter().map(Vec::len).sum::<usize>()
}

// How many inputs may wait; the next one waits outside.
const QUEUE: usize = 1024;
const MAX_BATCH: usize = 256;
const MAX_BATCH_BYTES: usize = 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(100);
