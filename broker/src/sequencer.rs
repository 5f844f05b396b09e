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
use policy::envelope::Verified;
use policy::examine::Examined;
use policy::govern::{AdministratorKeys, Checked, HostKeys, Jump};
use policy::inventory::HostInventory;
use policy::join::Join;
use policy::log::{Observed, Ruling};
use policy::question::StartRequest;
use policy::reason::Reason;
use policy::root::Agreed;
use policy::warrant::Warrant;
use policy::wire::CLOCK_JUMP_MS;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::error::Error;
use crate::folder::FolderLock;
use crate::guard::Guard;
use crate::present::Present;
use crate::sequencer::answer::Answer;
use crate::sequencer::court::Court;
use crate::sequencer::input::Input;
pub use crate::sequencer::shown::Snapshot;
pub(crate) use crate::sequencer::shown::{Shown, Tip};
use crate::store::{Judgement, Recorded, Reserve, Room, Vouched};

mod answer;
pub(crate) mod court;
mod input;
mod judging;
mod pulse;
mod shown;

/// Where inputs are handed in.
#[derive(Clone)]
pub(crate) struct Sequencer {
    inputs: mpsc::Sender<Input>,
}

/// Nothing was recorded; the cause stands in the broker's messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unavailable;

impl Sequencer {
    /// Starts the task that owns the state, and with it the folder.
    pub(crate) fn start(
        court: Court,
        reserve: Reserve,
        lock: FolderLock,
        clock: Arc<dyn Clock>,
        guard: &Guard,
    ) -> (Self, Shown) {
        let (inputs, queue) = mpsc::channel(QUEUE);
        let (tip_shown, tip) = watch::channel(Tip::of(&court));
        let (passed_shown, passed) = watch::channel(court.passed());
        let state = court.ledger().state();
        let hosts = Arc::new(ArcSwap::from_pointee(state.host_keys().clone()));
        let administrators = Arc::new(ArcSwap::from_pointee(state.administrators().clone()));
        let present = Arc::new(Present::since(Arc::clone(&clock), state));
        present.show(state, court.ledger().head());
        present.has(reserve.room());
        let read = Read { wall_ms: clock.now_ms(), elapsed_ms: clock.elapsed_ms() };
        let shown = Shown {
            tip,
            hosts: Arc::clone(&hosts),
            administrators: Arc::clone(&administrators),
            present: Arc::clone(&present),
            passed,
        };
        let bench = Bench {
            queue,
            clock,
            tip: tip_shown,
            passed: passed_shown,
            hosts,
            administrators,
            present,
            read,
            snapshot: None,
            reserve,
            // Told at the first batch, if it is another.
            room: Room::Ample,
            _lock: lock,
        };
        // Who hands in learns of its end by silence, whoever serves by the guard.
        drop(guard.spawn("sequencer", bench.run(court)));
        (Self { inputs }, shown)
    }

    pub(crate) async fn rule(&self, examined: Examined<StartRequest>) -> Result<Recorded<Ruling>, Unavailable> {
        self.ask(|reply| Input::Rule(Box::new(examined), reply)).await
    }

    /// Judges a command, knowing what was found of configurations.
    pub(crate) async fn govern(
        &self,
        examined: Examined<Command>,
        found: Vec<Checked>,
    ) -> Result<Recorded<Judgement>, Unavailable> {
        self.ask(|reply| Input::Govern(Box::new(examined), found, reply)).await
    }

    pub(crate) async fn enrol(&self, examined: Examined<Join>) -> Result<Recorded<Judgement>, Unavailable> {
        self.ask(|reply| Input::Enrol(Box::new(examined), reply)).await
    }

    pub(crate) async fn install(&self, warrant: Verified<Warrant>) -> Result<Recorded<Judgement>, Unavailable> {
        self.ask(|reply| Input::Install(Box::new(warrant), reply)).await
    }

    pub(crate) async fn reroot(&self, agreed: Agreed) -> Result<Recorded<Judgement>, Unavailable> {
        self.ask(|reply| Input::Reroot(Box::new(agreed), reply)).await
    }

    pub(crate) async fn count(&self, turned_away: BTreeMap<Reason, u64>) -> Result<(), Unavailable> {
        self.ask(|reply| Input::Count(turned_away, reply)).await
    }

    /// Records what an inventory adds.
    pub(crate) async fn report(
        &self,
        inventory: Verified<HostInventory>,
        observed: Observed,
    ) -> Result<(), Unavailable> {
        self.ask(|reply| Input::Report(Box::new(inventory), observed, reply)).await
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
    passed: watch::Sender<Option<Vouched>>,
    hosts: Arc<ArcSwap<HostKeys>>,
    administrators: Arc<ArcSwap<AdministratorKeys>>,
    present: Arc<Present>,
    read: Read,
    snapshot: Option<Arc<Snapshot>>,
    reserve: Reserve,
    room: Room,
    // The folder is ours until this task ends.
    _lock: FolderLock,
}

// Both clocks, as they were read last.
#[derive(Clone, Copy)]
struct Read {
    wall_ms: u64,
    elapsed_ms: u64,
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
            None => self.receive().await,
            Some(due) => match tokio::time::timeout_at(due.into(), self.receive()).await {
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
            input = match self.try_receive() {
                Some(Input::Close(reply)) => {
                    batch.close = Some(reply);
                    return Next::Batch(batch);
                }
                Some(input) => input,
                None => return Next::Batch(batch),
            };
        }
    }

    async fn sit(&mut self, court: Court, batch: Vec<Input>) -> Result<Court, Adjourned> {
        let files = court.files();
        let mut court = self.look(court).await.map_err(|error| self.adjourn(files.clone(), &error))?;
        let mut steps = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        let mut looks = Vec::new();
        if let Some(jump) = self.jumped() {
            tracing::error!(?jump, "the clock jumped ahead");
            steps.push(judging::jump(&mut court, jump));
            replies.push(Answer::Nobody);
        }
        for input in batch {
            if let Some((step, reply)) = self.judge(court.ledger_mut(), input, &mut looks) {
                steps.push(step);
                replies.push(reply);
            }
        }
        // With an error the replies are dropped here, and whoever waits for one learns that nothing was granted.
        let (court, recorded) = court.commit(steps).await.map_err(|error| self.adjourn(files, &error))?;
        // In the order of the log, and before anybody is told.
        recorded.iter().for_each(|recorded| self.present.recorded(recorded));
        self.show(&court);
        recorded.into_iter().zip(replies).for_each(|(recorded, reply)| reply.tell(recorded.told()));
        // Who looked sees the batch that it came with.
        if !looks.is_empty() {
            let snapshot = self.snapshot(&court);
            looks.into_iter().for_each(|look| drop(look.send(Arc::clone(&snapshot))));
        }
        Ok(court)
    }

    // Whether the wall clock ran ahead of the one that is never set, since both were read last (T22).
    fn jumped(&mut self) -> Option<Jump> {
        let before = std::mem::replace(
            &mut self.read,
            Read { wall_ms: self.clock.now_ms(), elapsed_ms: self.clock.elapsed_ms() },
        );
        let Read { wall_ms, elapsed_ms } = self.read;
        let passed_ms = elapsed_ms.saturating_sub(before.elapsed_ms);
        let jump = Jump { from_ms: before.wall_ms, to_ms: wall_ms, passed_ms };
        (wall_ms.saturating_sub(before.wall_ms) > passed_ms.saturating_add(CLOCK_JUMP_MS)).then_some(jump)
    }

    async fn move_lock(&mut self, court: Court) -> Result<Court, Adjourned> {
        let files = court.files();
        court.move_lock().await.map_err(|error| self.adjourn(files, &error))
    }

    // How much room there is for this batch, and where that has changed, what follows from it.
    async fn look(&mut self, court: Court) -> Result<Court, Error> {
        let room = self.reserve.look();
        self.present.has(room);
        if room == self.room {
            return Ok(court);
        }
        self.room = room;
        match room {
            Room::Ample => tracing::info!("there is space again: grants are recorded"),
            Room::Short => tracing::error!("the disk is full: nothing is granted until there is space"),
            Room::Last => tracing::error!("the reserve runs out: only what takes away is recorded"),
        }
        court.spare(room != Room::Ample).await
    }

    fn adjourn(&mut self, files: court::Files, error: &Error) -> Adjourned {
        self.reserve.after(error);
        // The files that are opened next know nothing of how much room there is.
        self.room = Room::Ample;
        Adjourned::after(files, error)
    }

    async fn reopen(&mut self, adjourned: Adjourned, batch: Vec<Input>) -> Result<Court, Adjourned> {
        if Instant::now() < adjourned.until {
            return Err(adjourned);
        }
        // To open needs some, too.
        self.present.has(self.reserve.look());
        let began = Instant::now();
        let told = self.tip.borrow().checkpoint.size;
        let opened = Court::open(adjourned.files.clone()).await.and_then(|court| {
            let here = court.ledger().head().size;
            // What was answered was durable; the lock may lag behind it for a moment.
            let detail = || format!("the log ends at {here}, this broker has answered up to {told}");
            if here < told { Err(Error::refused(Reason::StateRollback, detail())) } else { Ok(court) }
        });
        match opened {
            Ok(court) => {
                tracing::warn!(size = court.ledger().head().size, "the log is open again");
                self.present.found(told..court.ledger().head().size);
                self.show(&court);
                if court.passed().is_some() {
                    self.passed.send_replace(court.passed());
                }
                self.sit(court, batch).await
            }
            Err(error) => {
                Err(Adjourned { until: Instant::now() + began.elapsed() * 4, ..self.adjourn(adjourned.files, &error) })
            }
        }
    }

    fn show(&self, court: &Court) {
        let tip = Tip::of(court);
        if self.tip.borrow().checkpoint.epoch != tip.checkpoint.epoch {
            let state = court.ledger().state();
            self.hosts.store(Arc::new(state.host_keys().clone()));
            self.administrators.store(Arc::new(state.administrators().clone()));
        }
        self.present.show(court.ledger().state(), court.ledger().head());
        self.tip.send_replace(tip);
    }

    fn snapshot(&mut self, court: &Court) -> Arc<Snapshot> {
        let ledger = court.ledger();
        match &self.snapshot {
            Some(snapshot) if snapshot.head == ledger.head() => Arc::clone(snapshot),
            _ => {
                let snapshot =
                    Arc::new(Snapshot { state: ledger.state().clone(), head: ledger.head(), root: court.root() });
                self.snapshot = Some(Arc::clone(&snapshot));
                snapshot
            }
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

// How many inputs may wait; the next one waits outside.
const QUEUE: usize = 1024;
const MAX_BATCH: usize = 256;
const MAX_BATCH_BYTES: usize = 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(100);
