//! What a host must never forget: the pinned root, the highest warrant serial, the epoch and the head it has seen.
//!
//! On the disk before it is acted on, and only ever raised; so every host is a witness of its broker's log. Where two
//! signed pieces contradict each other it keeps both, and binds nothing until an operator has looked (T65). What may raise
//! it is left to `ask`, `join` and `notice`.

mod piece;
mod proved;
mod record;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use policy::digest::Digest;
use policy::envelope::Verified;
use policy::inventory::Forked;
use policy::lineage::{Changes, Lineage};
use policy::log::{Body, Entry, leaf_hash};
use policy::question::Seen;
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::warrant::{Inception, Warrant};
use serde_json::json;
use tokio::sync::Notify;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;

pub use piece::{Fork, Keep, Piece, Shown, kept};
pub(crate) use proved::Open;
pub use proved::Proved;
pub use record::{Answered, Head, Record};
pub(crate) use record::{Sighting, Standing, may_bind, raised};

/// The memory of one host in one lattice.
#[derive(Debug)]
pub struct Memory {
    dir: PathBuf,
    record: Mutex<Record>,
    // As far as the record's changes were followed; they are only ever added to.
    lineage: Mutex<Lineage>,
    raised: Arc<Notify>,
    // A note that another took the place of before it was proved.
    aside: Mutex<Option<String>>,
    returns: AtomicU64,
}

impl Memory {
    /// Reads the memory of a host's folder.
    ///
    /// # Errors
    /// When the host has not joined, or the file is not what was written.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        Self::of(dir, read(dir)?)
    }

    /// Writes the first memory of a host that has just joined.
    pub(crate) fn begin(dir: &Path, record: Record) -> Result<Self, Error> {
        let _lock = lock(dir)?;
        write(dir, &record)?;
        Self::of(dir, record)
    }

    fn of(dir: &Path, record: Record) -> Result<Self, Error> {
        let mut lineage = Lineage::of(&inception(record.inception.as_bytes(), record.root)?, record.root);
        lineage.follow_all(&record.changes)?;
        let (dir, record, lineage) = (dir.to_owned(), Mutex::new(record), Mutex::new(lineage));
        Ok(Self { dir, record, lineage, raised: Arc::default(), aside: Mutex::default(), returns: AtomicU64::new(0) })
    }

    /// Whether a host's folder has one.
    pub(crate) fn exists(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// What is remembered now.
    pub fn record(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The folder it lies in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads a warrant of today's roots, as far as this host knows, or the one that it remembers.
    ///
    /// # Errors
    /// As [`Lineage::read`].
    pub fn read(&self, warrant: &[u8]) -> Result<Verified<Warrant>, Refusal> {
        let record = self.record();
        let mut lineage = self.lineage.lock().unwrap_or_else(PoisonError::into_inner);
        // Another task or process may have gone further.
        lineage.follow_all(&record.changes)?;
        lineage.read(warrant, record.warrant_sha256)
    }

    /// Follows the changes of the roots, counted from the inception, and has them on the disk before it returns.
    ///
    /// # Errors
    /// As [`Lineage::follow_all`], or when they cannot be written.
    pub(crate) fn follow_roots(&self, changes: &Changes) -> Result<(), Error> {
        let record = self.record();
        if !changes.extend(&record.changes) {
            return Ok(());
        }
        let mut lineage = Lineage::of(&inception(record.inception.as_bytes(), record.root)?, record.root);
        lineage.follow_all(changes)?;
        self.change(|record| {
            let changes = if changes.extend(&record.changes) { changes } else { &record.changes };
            Ok(Record { changes: changes.clone(), ..record.clone() })
        })
    }

    /// The newest of the log, as a question tells it.
    pub fn seen(&self) -> Seen {
        let record = self.record();
        Seen { epoch: record.epoch, index: record.head.index, entry_sha256: record.head.entry_sha256 }
    }

    /// The verdict on a warrant that holds, by what any process of this host has seen.
    ///
    /// # Errors
    /// `broker_key_unknown` for one that is older, or another of the same serial.
    pub(crate) fn admits(&self, warrant: &Standing) -> Result<(), Refusal> {
        // A file that cannot be read now says no as soon as something must be raised.
        read(&self.dir).unwrap_or_else(|_| self.record()).admits(warrant)
    }

    /// Takes in a warrant that holds, whoever brought it, and has it on the disk before it returns.
    ///
    /// # Errors
    /// As [`Memory::admits`], or when it cannot be written.
    pub(crate) fn follow(&self, warrant: &Standing) -> Result<(), Error> {
        let followed = |record: &Record| {
            record.admits(warrant)?;
            Ok::<_, Refusal>(record::under(record.clone(), warrant))
        };
        self.change(followed)
    }

    /// The newest epoch that any process of this host has seen.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn newest_epoch(&self) -> Result<u64, Error> {
        Ok(read(&self.dir)?.epoch.max(self.record().epoch))
    }

    /// Takes in what was sighted, and has it on the disk before it returns.
    ///
    /// # Errors
    /// `log_fork` when it and what is held prove one, and from then on; `state_rollback` when it contradicts what is
    /// remembered; or when it cannot be written.
    pub(crate) fn raise(&self, sighting: &Sighting) -> Result<(), Error> {
        let Some(Shown { piece: Piece::Checkpoint(met), .. }) = &sighting.shown else {
            return self.take_in(sighting, |record| raised(record, sighting));
        };
        let before = self.record().checkpoint;
        self.take_in(sighting, |record| raised(record, sighting))?;
        self.put_aside(before, met);
        Ok(())
    }

    /// Notices have begun again after a silence.
    pub(crate) fn returned(&self) {
        self.returns.fetch_add(1, Ordering::Relaxed);
    }

    /// How often notices began again.
    pub(crate) fn returns(&self) -> u64 {
        self.returns.load(Ordering::Relaxed)
    }

    /// Holds what was sighted against what is held, and takes in nothing else of it.
    ///
    /// # Errors
    /// `log_fork` when both prove one, and from then on; or when it cannot be written.
    pub(crate) fn witness(&self, sighting: &Sighting) -> Result<(), Error> {
        self.take_in(sighting, |record| Ok(record.clone()))
    }

    fn take_in(
        &self,
        sighting: &Sighting,
        otherwise: impl Fn(&Record) -> Result<Record, Refusal>,
    ) -> Result<(), Error> {
        let found_at_ms = SystemClock.wall_ms();
        self.change(|record| {
            record.refuse_forked()?;
            match record.forked_by(sighting, found_at_ms) {
                Some(forked) => Ok(Record { forked: Some(forked), ..record.clone() }),
                None => otherwise(record),
            }
        })?;
        Ok(self.record().refuse_forked()?)
    }

    /// Looks whether anything may be bound at all, by what every process of this host has found.
    ///
    /// # Errors
    /// `log_fork`, or when the file cannot be read.
    pub(crate) fn refuse_forked(&self) -> Result<(), Error> {
        // Read while it is held: what another task takes in meanwhile must not give way to what was read before.
        let mut held = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        self.hold(&mut held, read(&self.dir)?);
        Ok(held.refuse_forked()?)
    }

    /// Ends a fork once an operator has looked, and notes who said why beside the evidence.
    ///
    /// # Errors
    /// `not_found` when there is none, or when it cannot be written.
    pub fn dismiss(&self, keep: Keep, reason: &str) -> Result<Fork, Error> {
        let mut held = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = lock(&self.dir)?;
        let before = read(&self.dir)?;
        let Some(fork) = before.forked.clone() else {
            return Err(Refusal::new(Reason::NotFound, "this host has found no fork, or somebody has looked").into());
        };
        let ended = json!({"at_ms": SystemClock.wall_ms(), "by": "operator", "keep": keep, "reason": reason});
        fork.note(&self.dir, &ended)?;
        let after = before.looked_at(&fork, keep);
        write(&self.dir, &after)?;
        *held = after;
        Ok(*fork)
    }

    /// The fork that nobody has looked at, as an inventory tells it: by whichever process of this host it was found.
    pub(crate) fn forked(&self) -> Option<Forked> {
        // Each process speaks for the host, and of two words the broker takes the later.
        let fork = read(&self.dir).unwrap_or_else(|_| self.record()).forked?;
        Some(Forked {
            at: Timestamp::from_millis(fork.found_at_ms),
            contradiction: fork.contradiction,
            held: fork.held.place.index,
            met: fork.met.place.index,
            evidence_sha256: fork.sha256,
        })
    }

    fn change(&self, changed: impl Fn(&Record) -> Result<Record, Refusal>) -> Result<(), Error> {
        let mut held = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if changed(&held).is_ok_and(|after| after == *held) {
            return Ok(());
        }
        // Another process of this host may have written since.
        let _lock = lock(&self.dir)?;
        self.hold(&mut held, read(&self.dir)?);
        let after = changed(&held)?;
        self.settle(&held, &after)?;
        if after != *held {
            write(&self.dir, &after)?;
        }
        self.hold(&mut held, after);
        Ok(())
    }

    // What lies on the disk is never older than what a process holds, but where an operator has set it back.
    fn hold(&self, held: &mut Record, on_disk: Record) {
        let raised = on_disk.epoch > held.epoch;
        *held = on_disk;
        if raised {
            self.raised.notify_one();
        }
    }

    // The evidence of a fork is on the disk before the fork is known, and so is why it ended.
    fn settle(&self, before: &Record, after: &Record) -> Result<(), Error> {
        match (&before.forked, &after.forked) {
            (None, Some(fork)) => {
                tracing::error!(event = "log_fork", "the log was forked, and nothing is bound any more: {fork}");
                fork.keep(&self.dir, before)
            }
            (Some(fork), None) => {
                let serial = after.rank().to_string();
                let ended = json!({"at_ms": SystemClock.wall_ms(), "by": "warrant", "serial": serial});
                fork.note(&self.dir, &ended)
            }
            (None, None) | (Some(_), Some(_)) => Ok(()),
        }
    }

    /// Wakes whoever tells the broker, each time that the epoch rises.
    pub(crate) fn raised(&self) -> Arc<Notify> {
        Arc::clone(&self.raised)
    }

    /// Binds under an epoch, unless this host holds a newer one.
    ///
    /// The memory is held meanwhile, on the disk too, so no process of this host can take in a newer epoch, and say that
    /// it holds it, between the look and the bind (T23).
    ///
    /// # Errors
    /// `log_fork`, `epoch_behind`, or what binding says.
    pub(crate) fn bind_under(&self, epoch: u64, bind: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let mut held = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = lock(&self.dir)?;
        self.hold(&mut held, read(&self.dir)?);
        held.refuse_forked()?;
        may_bind(&held, epoch)?;
        bind()
    }

    /// Does what no other process of this host may do meanwhile.
    pub(crate) fn alone<T>(&self, act: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let _lock = lock(&self.dir)?;
        act()
    }
}

/// Reads the inception out of the lattice's first entry, if it is the pinned one.
pub(crate) fn inception(bytes: &[u8], root: Digest) -> Result<Inception, Refusal> {
    let found = leaf_hash(bytes);
    if found != root {
        let detail = format!("the lattice begins with entry {found}, pinned is {root}");
        return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
    }
    match Entry::read(bytes)?.body {
        Body::Inception(inception) => Ok(inception),
        _ => Err(Refusal::new(Reason::LogBroken, "the pinned entry is no inception")),
    }
}

fn read(dir: &Path) -> Result<Record, Error> {
    let path = dir.join(FILE);
    let bytes = fs::read(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            let detail = format!("`{}` has joined no lattice: `countersign-host join INVITE`", dir.display());
            Refusal::new(Reason::HostUnknown, detail).into()
        }
        _ => Error::file("read the host's memory", &path, source),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Refusal::new(Reason::SchemaMismatch, format!("`{}` is not a host's memory: {error}", path.display())).into()
    })
}

// Whole or not at all: a new file, fsynced, renamed over the old one, and the folder fsynced.
fn write(dir: &Path, record: &Record) -> Result<(), Error> {
    let failed = |source| Error::file("write the host's memory", &dir.join(FILE), source);
    let text = serde_json::to_vec_pretty(record).map_err(|error| failed(error.into()))?;
    put(dir, FILE, &text).map_err(failed)
}

/// Puts a file into a folder of this host, whole and on the disk, or not at all.
pub(crate) fn put(dir: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let (path, new) = (dir.join(name), dir.join(format!("{name}.new")));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    fs::rename(&new, &path)?;
    File::open(dir).and_then(|dir| dir.sync_all())
}

/// Makes a folder in a folder of this host, and has it on the disk.
pub(crate) fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if folder.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().mode(0o700).create(folder)?;
    let above = folder.parent().unwrap_or(folder);
    File::open(above).and_then(|above| above.sync_all())
}

/// Held until the file is dropped.
pub(crate) fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let failed = |source| Error::file("lock the host's memory", &path, source);
    let file =
        fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    Ok(file)
}

const FILE: &str = "memory";
const LOCK: &str = "memory.lock";
