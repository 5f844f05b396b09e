//! Moves the bulk of old entries into a segment: a file with all of them, sealed by the log's key; then the log is
//! written anew without their bytes, proved whole, and put in the place of the old one.
//!
//! Nobody may serve meanwhile. Until the last step the log is as it was, and the last step is one rename.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use policy::digest::Digest;
use policy::govern::{Event, WarrantInstalled};
use policy::log::{Body, Checkpoint, Entry, Freezing, Frontier, Sealed, resting};
use policy::reason::{Reason, Refusal};
use policy::relax::RELAXATION_LIFETIME_S;
use policy::time::Timestamp;

use super::bulk::{Bulk, sha256_of};
use super::line::Seal;
use super::writing::{Pieces, Writing};
use crate::audit::{self, Against};
use crate::error::Error;
use crate::folder::{Folder, beside, make_place_durable, settle, write_private};
use crate::keys::LogKey;
use crate::sequencer::court::{Court, Files};
use crate::store::{Act, LogReader, Row, Segment, alone, name_of, thin};

/// Up to where.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// Entries before that index.
    Before(u64),
    /// Entries older than so many seconds.
    OlderThan(u64),
}

/// What to freeze.
#[derive(Debug, Clone)]
pub struct Freeze {
    /// Up to where.
    pub until: Until,
    /// The moment at which entries are as old as that.
    pub as_of: Timestamp,
    /// The folder that the segment is written to.
    pub out: PathBuf,
}

/// What was frozen.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// The segment.
    pub segment: Segment,
    /// Its file.
    pub file: PathBuf,
    /// How many entries of it left their bytes.
    pub moved: u64,
    /// The entry that says so.
    pub entry: u64,
    /// How long the log's file was, and is, in bytes.
    pub bytes: (u64, u64),
}

/// Freezes.
///
/// # Errors
/// [`Error::Locked`] while a broker works; `not_found` when nothing may be frozen; `broker_key_unknown` when the log's key
/// is not here, or signs for later entries only; [`Error::AlreadyThere`]; [`Error::Store`] or [`Error::Io`].
pub async fn freeze(folder: &Folder, now: Timestamp, freeze: &Freeze) -> Result<Frozen, Error> {
    let _held = folder.lock()?;
    let files = Files { log: folder.log(), lock: folder.lock_file(), whole: u64::MAX };
    // Holds the log to its lock, every row of it, and upgrades an older one.
    let court = Court::open(files).await?;
    let (cut, segment, file) = match sealed(folder, freeze).await {
        Ok(sealed) => sealed,
        Err(error) => return court.close().await.and(Err(error)),
    };
    let moved = cut.moved.len() as u64;
    let (entry, last) = record(court, &segment, moved, now).await?;
    let bytes = replace(folder, &cut, &segment, &freeze.out, last).await?;
    Ok(Frozen { segment, file, moved, entry, bytes })
}

// The segment, written and sealed; the log is as it was.
async fn sealed(folder: &Folder, freeze: &Freeze) -> Result<(Cut, Segment, PathBuf), Error> {
    let log = LogReader::open(&folder.log()).await?;
    let mut cut = Cut::of(&log, freeze.until, freeze.as_of, log.size().await?);
    let ledger = log.replay(None, |row, entry| Ok(cut.step(row, entry)?)).await?;
    cut.refuse_unfit()?;
    let lattice = ledger.state().lattice();
    let key = LogKey::load(&folder.key("log"), lattice)?;
    if key.note().to_string() != ledger.state().log_key() {
        let detail = format!("the log is signed for by {}, the key here is {}", ledger.state().log_key(), key.note());
        return Err(Error::refused(Reason::BrokerKeyUnknown, detail));
    }
    let seal = key.seal(&cut.seal(format!("countersign/{lattice}")));
    let (file, sha256) = cut.write(&log, &freeze.out, &seal).await?;
    let segment = Segment { first: cut.first, size: cut.tree.size(), sha256, seal };
    log.close().await?;
    Ok((cut, segment, file))
}

// The log says that entries move before they do. What stays though it says so, after a crash, the next freeze moves.
async fn record(court: Court, segment: &Segment, moved: u64, now: Timestamp) -> Result<(u64, Digest), Error> {
    let mut court = court;
    let freezing = Freezing { first: segment.first, size: segment.size, moved, sha256: segment.sha256 };
    let step = court.ledger_mut().freeze(freezing, now.seconds().saturating_mul(1000));
    let noted = (step.index, step.hash);
    let (court, _) = court.commit(vec![step.map(|()| Act::Counted)]).await?;
    court.close().await?;
    Ok(noted)
}

// Where the segment ends, and what leaves its bytes there.
struct Cut {
    until: Until,
    size: u64,
    // Entries after this moment stay.
    oldest: u64,
    first: u64,
    done: bool,
    before: Frontier,
    tree: Frontier,
    last: Digest,
    epoch: u64,
    rests: Digest,
    // From here on the log's key signs.
    keyed: u64,
    moved: Vec<(u64, Digest)>,
    wanted: BTreeSet<Digest>,
    // What the entry before rests on, if it moves.
    newest: BTreeSet<Digest>,
}

impl Cut {
    fn of(log: &LogReader, until: Until, as_of: Timestamp, size: u64) -> Self {
        let age = if let Until::OlderThan(seconds) = until { seconds.max(YOUNGEST_S) } else { YOUNGEST_S };
        Self {
            until,
            size,
            oldest: as_of.seconds().saturating_sub(age).saturating_mul(1000),
            first: log.segments().last().map_or(0, |segment| segment.size),
            done: false,
            before: Frontier::default(),
            tree: Frontier::default(),
            last: Digest::from_bytes([0; 32]),
            epoch: 0,
            rests: Digest::from_bytes([0; 32]),
            keyed: 0,
            moved: Vec::new(),
            wanted: BTreeSet::new(),
            newest: BTreeSet::new(),
        }
    }

    fn step(&mut self, row: &Row, entry: Option<&Entry>) -> Result<(), Refusal> {
        let ends = matches!(self.until, Until::Before(index) if row.index >= index) || row.index + 1 >= self.size;
        self.done = self.done || ends || entry.is_some_and(|entry| entry.at_ms >= self.oldest);
        let moves = !self.done && row.index >= self.first && entry.is_some_and(Entry::changes_nothing);
        if entry.is_some_and(Entry::needs_the_one_before)
            && let Some((stays, _)) = self.moved.pop_if(|(index, _)| *index + 1 == row.index)
        {
            tracing::debug!(stays, "the entry behind it takes its time from it");
            self.wanted.append(&mut self.newest);
        }
        self.newest.clear();
        if let Some(entry) = entry {
            self.keyed = if names_log_key(entry) { row.index } else { self.keyed };
            // The first piece is its document, which lies beside the entry.
            let statements = entry.evidence.iter().skip(1);
            if moves { &mut self.newest } else { &mut self.wanted }.extend(statements);
        }
        if self.done {
            return Ok(());
        }
        if row.index == self.first {
            self.before = self.tree.clone();
        }
        self.tree.append(row.hash);
        self.last = row.hash;
        self.epoch = entry.map_or(self.epoch, |entry| entry.epoch);
        if entry.is_some_and(|entry| !entry.changes_nothing()) {
            self.rests = resting(self.rests, row.index, row.hash);
        }
        if moves {
            self.moved.push((row.index, row.hash));
        }
        Ok(())
    }

    fn refuse_unfit(&self) -> Result<(), Error> {
        let days = YOUNGEST_S / 86_400;
        let end = self.tree.size();
        let young = || format!("entries of the last {days} days stay with the log, so does the newest");
        match self.until {
            Until::Before(index) if index > end => {
                let detail = format!("entry {end} is not old enough: {}", young());
                Err(Error::refused(Reason::NotFound, detail))
            }
            _ if end <= self.first || self.moved.is_empty() => {
                let detail = format!("there is nothing to freeze between {} and {end}: {}", self.first, young());
                Err(Error::refused(Reason::NotFound, detail))
            }
            _ if end <= self.keyed => {
                let detail = format!("the log's key signs from entry {} on: freeze up to a later one", self.keyed);
                Err(Error::refused(Reason::BrokerKeyUnknown, detail))
            }
            _ => Ok(()),
        }
    }

    fn seal(&self, origin: String) -> Sealed {
        let (size, root) = (self.tree.size(), self.tree.root());
        let checkpoint = Checkpoint { origin, size, root, epoch: self.epoch, last: self.last };
        let hashes: Vec<&[u8]> = self.moved.iter().map(|(_, hash)| hash.as_bytes().as_slice()).collect();
        Sealed { checkpoint, first: self.first, moved: Digest::of_parts(&hashes), rests: self.rests }
    }

    // Writes the segment whole or not at all; one that is there already must be this very one.
    async fn write(&self, log: &LogReader, out: &Path, seal: &[u8]) -> Result<(PathBuf, Digest), Error> {
        let file = out.join(name_of(self.first, self.tree.size()));
        let fresh = beside(&file)?;
        let written = self.write_to(log, &fresh, seal).await;
        let settled = written.and_then(|()| {
            let sha256 = sha256_of(&fresh)?;
            match settle(&fresh, &file) {
                Err(Error::AlreadyThere(_)) if sha256_of(&file)? == sha256 => fs::remove_file(&fresh)
                    .map_err(|source| Error::Io { act: "take away", path: fresh.clone(), source })?,
                settled => settled?,
            }
            make_place_durable(&file)?;
            Ok((file, sha256))
        });
        settled.inspect_err(|_| {
            // The first error matters more than what is left of a file that nobody knows.
            let _ = fs::remove_file(&fresh);
        })
    }

    async fn write_to(&self, log: &LogReader, path: &Path, seal: &[u8]) -> Result<(), Error> {
        use std::io::Write as _;
        write_private(path, &[])?;
        let failed = |source| Error::Io { act: "write", path: path.to_owned(), source };
        let mut file = fs::OpenOptions::new().append(true).open(path).map_err(failed)?;
        let mut writing = Writing::of(log, Bulk::default(), Pieces::WithEvidence);
        let mut next = self.first;
        while next < self.tree.size() {
            let (lines, after) = writing.page(next, self.tree.size()).await?;
            file.write_all(&lines).map_err(failed)?;
            next = after;
        }
        let seal = Seal {
            checkpoint: String::from_utf8_lossy(seal).into_owned(),
            first: self.first,
            peaks: self.tree.peaks().to_vec(),
            peaks_before: self.before.peaks().to_vec(),
            size: self.tree.size(),
        };
        let mut last = Vec::new();
        seal.write(&mut last);
        file.write_all(&last).and_then(|()| file.sync_all()).map_err(failed)
    }
}

// The log anew, proved with the segment at hand, in the place of the old one.
async fn replace(folder: &Folder, cut: &Cut, segment: &Segment, out: &Path, last: Digest) -> Result<(u64, u64), Error> {
    let (old, new) = (folder.log(), folder.path().join("log.db.new"));
    // What an interrupted freeze left; the folder is ours.
    clear(&new);
    let made = async {
        thin(&old, &new, &cut.moved, &cut.wanted, segment).await?;
        let log = LogReader::open(&new).await?;
        let against = Against { segments: Some(out.to_owned()), ..Against::default() };
        let sound = audit::log(&log, against, || ()).await?.map_err(|broken| Error::Refused(broken.refusal))?;
        if sound.last != last {
            return Err(Error::refused(Reason::LogBroken, "the log that was written anew ends otherwise"));
        }
        log.close().await?;
        alone(&new).await?;
        alone(&old).await
    };
    if let Err(error) = made.await {
        clear(&new);
        return Err(error);
    }
    let length = |path: &Path| fs::metadata(path).map(|found| found.len()).unwrap_or_default();
    let bytes = (length(&old), length(&new));
    let failed = |source| Error::Io { act: "replace", path: old.clone(), source };
    fs::rename(&new, &old).and_then(|()| crate::folder::make_durable(folder.path())).map_err(failed)?;
    Ok(bytes)
}

fn clear(new: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut path = new.as_os_str().to_owned();
        path.push(suffix);
        // What is not there need not go; what cannot go is met by whoever makes it anew.
        let _ = fs::remove_file(PathBuf::from(path));
    }
}

fn names_log_key(entry: &Entry) -> bool {
    let Body::Governance(judged) = &entry.body else { return false };
    judged
        .events
        .iter()
        .any(|event| matches!(event, Event::WarrantInstalled(WarrantInstalled { log_key: Some(_), .. })))
}

// What `relax report` reads, and longer than any command or permit is remembered.
const YOUNGEST_S: u64 = RELAXATION_LIFETIME_S;
