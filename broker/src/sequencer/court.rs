//! A sitting: the ledger with the files it stands on, opened together and given up together.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use policy::digest::Digest;
use policy::govern::Event;
use policy::log::{Body, Checkpoint, Frontier, Ledger, Step};
use policy::wire::FRESHNESS_S;

use crate::error::Error;
use crate::store::{Act, Lock, LogReader, Recorded, Retiler, Row, Shelf, Tiler, Writer};

/// Where the files of a lattice are.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) log: PathBuf,
    pub(crate) lock: PathBuf,
}

/// The ledger, and the files that it stands on.
pub(crate) struct Court {
    files: Files,
    ledger: Ledger,
    frontier: Frontier,
    // None while an older log is put right: what lacks is made at the next start.
    tiler: Option<Tiler>,
    origin: String,
    writer: Writer,
    lock: Lock,
    warrant: Option<(u64, Digest)>,
    rerooted: Vec<u64>,
    inception: Vec<u8>,
    lock_due: Option<Instant>,
    asked: Vec<Asked>,
}

/// A question that the log has decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) request_sha256: Digest,
    pub(crate) index: u64,
    pub(crate) at_ms: u64,
}

impl Court {
    /// Replays the log, holds it to the lock, and opens it to write.
    pub(crate) async fn open(files: Files) -> Result<Self, Error> {
        let tiles = Retiler::new(Shelf::beside(&files.log));
        let (court, locked) = Self::read(files, Some(tiles)).await?;
        court.lock.refuse_older(court.ledger.head(), locked.as_ref())?;
        // What is durable and not yet behind the lock was never acted on; now it will be.
        let lock = court.lock.advance(court.ledger.head()).await?;
        Ok(Self { lock, ..court })
    }

    /// Opens what is there, though it may be behind its lock: for whoever looks what is lost, and restores it.
    pub(crate) async fn found(files: Files) -> Result<(Self, Option<Row>), Error> {
        Self::read(files, None).await
    }

    async fn read(files: Files, mut tiles: Option<Retiler>) -> Result<(Self, Option<Row>), Error> {
        let lock = Lock::open(&files.lock).await?;
        let reader = LogReader::open(&files.log).await?;
        let (mut frontier, mut warrant, mut inception, mut locked) = (Frontier::default(), None, Vec::new(), None);
        let (mut asked, mut rerooted) = (VecDeque::new(), Vec::new());
        let ledger = reader.replay(None, |row, entry| {
            frontier.append(row.hash);
            if let Some(tiles) = &mut tiles {
                tiles.append(row.hash);
            }
            // What lies in a segment is older than what is remembered, and changes no state.
            let Some(entry) = entry else { return Ok(()) };
            if let Body::Inception(_) = &entry.body {
                inception.clone_from(&row.bytes);
            }
            if let Body::Governance(judged) = &entry.body {
                let installed = judged.events.iter().find_map(installed);
                warrant = installed.map(|sha256| (row.index, sha256)).or(warrant);
                let changes = judged.events.iter().filter(|event| matches!(event, Event::RootsChanged(_)));
                rerooted.extend(changes.map(|_| row.index));
            }
            if let Body::Ruling(ruled) = &entry.body {
                let (index, at_ms) = (row.index, entry.at_ms);
                asked.push_back(Asked { request_sha256: ruled.request_sha256, index, at_ms });
                while asked.len() > MOST_ASKED || asked.front().is_some_and(|first| first.at_ms + RECENT_MS < at_ms) {
                    asked.pop_front();
                }
            }
            if row.index == lock.row() {
                locked = Some(row.clone());
            }
            Ok(())
        });
        let ledger = ledger.await?;
        let writer = Writer::open(&files.log).await?;
        let origin = format!("countersign/{}", ledger.state().lattice());
        let asked = asked.into();
        let (tiler, lock_due) = (tiles.map(Retiler::live), None);
        let court = Self {
            files,
            ledger,
            frontier,
            tiler,
            origin,
            writer,
            lock,
            warrant,
            rerooted,
            inception,
            lock_due,
            asked,
        };
        Ok((court, locked))
    }

    /// The same files, with the ledger that the next entries come from.
    pub(crate) fn mended(self, ledger: Ledger) -> Self {
        Self { ledger, ..self }
    }

    /// Writes what puts an older log right: the places of lost entries, then the act. Only then does the lock move, so
    /// that a log that was filled half-way still does not open.
    pub(crate) async fn mend(self, steps: Vec<Step<Act>>) -> Result<(Self, Vec<Recorded<Act>>), Error> {
        let mut court = self;
        let mut last = Vec::new();
        let mut steps = steps.into_iter().peekable();
        while steps.peek().is_some() {
            let batch: Vec<_> = steps.by_ref().take(MEND_BATCH).collect();
            batch.iter().for_each(|step| court.frontier.append(step.hash));
            let (writer, recorded) = court.writer.commit(batch).await?;
            (court.writer, last) = (writer, recorded);
        }
        Ok((court.move_lock().await?, last))
    }

    /// Where the lock stands: size and epoch.
    pub(crate) const fn locked(&self) -> (u64, u64) {
        self.lock.stand()
    }

    /// Gives the files up as they are: the lock stays where it stands.
    pub(crate) async fn leave(self) -> Result<(), Error> {
        self.writer.close().await?;
        self.lock.close().await
    }

    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) const fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    pub(crate) fn files(&self) -> Files {
        self.files.clone()
    }

    /// The newest warrant: the entry that installed it, and the digest of its token.
    pub(crate) const fn warrant(&self) -> Option<(u64, Digest)> {
        self.warrant
    }

    /// The entries by which the roots became others, as of the opening.
    pub(crate) fn rerooted(&self) -> &[u64] {
        &self.rerooted
    }

    /// What the last minutes' questions were, as of the opening.
    pub(crate) fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// The bytes of the first entry.
    pub(crate) fn inception(&self) -> &[u8] {
        &self.inception
    }

    /// The root of what is durable.
    pub(crate) fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// The size and root of what is durable.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let head = self.ledger.head();
        let (origin, root) = (self.origin.clone(), self.frontier.root());
        Checkpoint { origin, size: self.frontier.size(), root, epoch: head.epoch, last: head.last }
    }

    /// Makes a batch durable: first the log, then, if it holds an event, the lock. On an error nothing is left.
    pub(crate) async fn commit(self, steps: Vec<Step<Act>>) -> Result<(Self, Vec<Recorded<Act>>), Error> {
        if steps.is_empty() {
            return Ok((self, Vec::new()));
        }
        let mut court = self;
        let governs = steps.iter().any(|step| step.epoch == step.index);
        steps.iter().for_each(|step| court.frontier.append(step.hash));
        let (writer, recorded) = court.writer.commit(steps).await?;
        court.writer = writer;
        if let Some(tiler) = &mut court.tiler {
            recorded.iter().for_each(|recorded| tiler.append(recorded.hash()));
        }
        let now = Instant::now();
        let due = *court.lock_due.get_or_insert(now + LOCK_LAG);
        // Under steady load nobody waits for the lock to be due, so it is looked at here too.
        if governs || due <= now {
            court = court.move_lock().await?;
        }
        Ok((court, recorded))
    }

    /// Uses little space beside the log while there is little.
    pub(crate) async fn spare(mut self, short: bool) -> Result<Self, Error> {
        self.writer.spare(short).await?;
        Ok(self)
    }

    /// When the lock must move, if it lags behind the log.
    pub(crate) const fn lock_is_due(&self) -> Option<Instant> {
        self.lock_due
    }

    /// Moves the lock to the end of the log.
    pub(crate) async fn move_lock(self) -> Result<Self, Error> {
        let lock = self.lock.advance(self.ledger.head()).await?;
        Ok(Self { lock, lock_due: None, ..self })
    }

    /// Moves the lock a last time and closes the files.
    pub(crate) async fn close(self) -> Result<(), Error> {
        let court = self.move_lock().await?;
        court.writer.close().await?;
        court.lock.close().await
    }
}

fn installed(event: &Event) -> Option<Digest> {
    if let Event::WarrantInstalled(installed) = event { Some(installed.sha256) } else { None }
}

// A question is fresh for a minute before and after its time: older ones are turned away at the door.
const RECENT_MS: u64 = (2 * FRESHNESS_S + 1) * 1000;
// Half of what is remembered at most, so that a busy log leaves room for the next questions.
const MOST_ASKED: usize = 50_000;
// How many entries of a mended log are written at once.
const MEND_BATCH: usize = 256;
// Rulings alone move the lock no later than this.
const LOCK_LAG: Duration = Duration::from_secs(1);
