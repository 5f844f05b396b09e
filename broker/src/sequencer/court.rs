//! A sitting: the ledger with the files it stands on, opened together and given up together.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use policy::digest::Digest;
use policy::log::{Checkpoint, Frontier, Ledger, Step};

use crate::error::Error;
use crate::store::{
    Act, Asked, Folded, Gleaned, Lock, LogReader, Opening, Pages, Recorded, Row, Shelf, Tiler, Vouched, Writer, mend,
};

/// Where the files of a lattice are, and how they are opened.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) log: PathBuf,
    pub(crate) lock: PathBuf,
    /// Up to how many entries every row is read at the opening.
    pub(crate) whole: u64,
}

/// The ledger, and the files that it stands on.
pub(crate) struct Court {
    files: Files,
    ledger: Ledger,
    tree: Frontier,
    // None while an older log is put right: what lacks is made at the next start.
    tiler: Option<Tiler>,
    origin: String,
    writer: Writer,
    lock: Lock,
    gleaned: Gleaned,
    passed: Option<Vouched>,
    lock_due: Option<Instant>,
}

impl Court {
    /// Folds the log, holds it to the lock, and opens it to write.
    pub(crate) async fn open(files: Files) -> Result<Self, Error> {
        let shelf = Shelf::beside(&files.log);
        let lock = Lock::open(&files.lock).await?;
        let (court, locked) = Self::read(files, lock, Some(shelf)).await?;
        court.lock.refuse_older(court.ledger.head(), locked.as_ref())?;
        // What is durable and not yet behind the lock was never acted on; now it will be.
        let lock = court.lock.advance(court.ledger.head(), court.tree.root()).await?;
        Ok(Self { lock, ..court })
    }

    /// Opens what is there, though it may be behind its lock, or have none: for whoever looks what is lost, and restores it.
    pub(crate) async fn found(files: Files) -> Result<(Self, Option<Row>), Error> {
        let lock = if files.lock.exists() { Lock::open(&files.lock).await? } else { Lock::lost(&files.lock).await? };
        Self::read(files, lock, None).await
    }

    async fn read(files: Files, lock: Lock, shelf: Option<Shelf>) -> Result<(Self, Option<Row>), Error> {
        let reader = LogReader::open(&files.log).await?;
        let seen = Some(lock.stand().0).filter(|_| !lock.is_lost());
        let ahead = reader.size().await?.saturating_sub(seen.unwrap_or(u64::MAX));
        if ahead > MANY {
            tracing::warn!(ahead, "the log is far ahead of its lock: every entry behind it is decided anew first");
        }
        let opening = Opening { vouched: lock.vouched(), whole: files.whole, watch: Some(lock.row()), seen };
        let whole = |tile, hashes: &[Digest]| shelf.iter().for_each(|shelf| mend(shelf, tile, hashes));
        let Folded { ledger, tree, edge, mut gleaned, watched, passed } = reader.fold(opening, whole).await?;
        let writer = open_to_write(&files, &gleaned, passed.is_some()).await?.behind(ledger.head());
        gleaned.resting = Vec::new();
        let origin = format!("countersign/{}", ledger.state().lattice());
        let (tiler, lock_due) = (shelf.map(|shelf| Tiler::at(shelf, edge)), None);
        let court = Self { files, ledger, tree, tiler, origin, writer, lock, gleaned, passed, lock_due };
        Ok((court, watched))
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
            batch.iter().for_each(|step| court.tree.append(step.hash));
            let (writer, recorded) = court.writer.commit(batch).await?;
            (court.writer, last) = (writer, recorded);
        }
        Ok((court.move_lock().await?, last))
    }

    /// Where the lock stands: size and epoch.
    pub(crate) const fn locked(&self) -> (u64, u64) {
        self.lock.stand()
    }

    /// Whether nobody can tell by the lock that this is the log which was acted on: it has seen another, or is lost.
    pub(crate) fn is_another(&self, locked: Option<&Row>) -> bool {
        let head = self.ledger.head();
        self.lock.is_lost() || (head.size >= self.lock.stand().0 && self.lock.refuse_older(head, locked).is_err())
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
        self.gleaned.warrant
    }

    /// The entries by which the roots became others, as of the opening.
    pub(crate) fn rerooted(&self) -> &[u64] {
        &self.gleaned.rerooted
    }

    /// What the last minutes' questions were, as of the opening.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.gleaned.asked.iter()
    }

    /// Up to where rows were passed at the opening, which are still to be read; nothing where every row was.
    pub(crate) const fn passed(&self) -> Option<Vouched> {
        self.passed
    }

    /// The bytes of the first entry.
    pub(crate) fn inception(&self) -> &[u8] {
        &self.gleaned.inception
    }

    /// The root of what is durable.
    pub(crate) fn root(&self) -> Digest {
        self.tree.root()
    }

    /// The size and root of what is durable.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let head = self.ledger.head();
        let (origin, root) = (self.origin.clone(), self.tree.root());
        Checkpoint { origin, size: self.tree.size(), root, epoch: head.epoch, last: head.last }
    }

    /// Makes a batch durable: first the log, then, if it holds an event, the lock. On an error nothing is left.
    pub(crate) async fn commit(self, steps: Vec<Step<Act>>) -> Result<(Self, Vec<Recorded<Act>>), Error> {
        if steps.is_empty() {
            return Ok((self, Vec::new()));
        }
        let mut court = self;
        let governs = steps.iter().any(|step| step.epoch == step.index);
        steps.iter().for_each(|step| court.tree.append(step.hash));
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
        // Without it nobody could tell later that this log is the newest.
        court.lock.still()?;
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
        let lock = self.lock.advance(self.ledger.head(), self.tree.root()).await?;
        Ok(Self { lock, lock_due: None, ..self })
    }

    /// Moves the lock a last time and closes the files.
    pub(crate) async fn close(self) -> Result<(), Error> {
        let court = self.move_lock().await?;
        court.writer.close().await?;
        court.lock.close().await
    }
}

// A log of before does not name what its fold rests on yet. Once it was read whole, all is named: before the lock moves,
// which vouches for it.
async fn open_to_write(files: &Files, gleaned: &Gleaned, passed: bool) -> Result<Writer, Error> {
    if passed {
        return Writer::open(&files.log, Pages::Later).await;
    }
    let mut writer = Writer::open(&files.log, Pages::AtOnce).await?;
    let lacked = writer.name_folds(&gleaned.resting).await?;
    if lacked > 0 {
        tracing::warn!(
            lacked,
            of = gleaned.resting.len(),
            "entries that the fold rests on were not named; now they are"
        );
    }
    Ok(writer)
}

// More than a broker that is killed leaves; some seconds of work.
const MANY: u64 = 20_000;
// How many entries of a mended log are written at once.
const MEND_BATCH: usize = 256;
// Rulings alone move the lock no later than this.
const LOCK_LAG: Duration = Duration::from_millis(250);
