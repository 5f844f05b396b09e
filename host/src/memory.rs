//! What a host must never forget: the pinned root, the highest warrant serial, the epoch and the head it has seen.
//!
//! On the disk before it is acted on, and only ever raised; so every host is a witness of its broker's log. What may
//! raise it is left to `ask`, `join` and `notice`.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use policy::digest::Digest;
use policy::envelope::Verified;
use policy::key::{Host, Name};
use policy::lineage::{Changes, Lineage};
use policy::log::{Body, Entry, leaf_hash};
use policy::name::Lattice;
use policy::question::Seen;
use policy::reason::{Reason, Refusal};
use policy::warrant::{Inception, Rank, Warrant};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::error::Error;

/// The memory of one host in one lattice.
#[derive(Debug)]
pub struct Memory {
    dir: PathBuf,
    record: Mutex<Record>,
    // As far as the record's changes were followed; they are only ever added to.
    lineage: Mutex<Lineage>,
    raised: Arc<Notify>,
}

/// What a host remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The lattice it joined.
    pub lattice: Lattice,
    /// Where its broker listened when it joined.
    pub nats_url: String,
    /// Its own key.
    pub host: Name<Host>,
    /// The pinned root: the hash of the lattice's first entry.
    pub root: Digest,
    /// The text of that entry.
    pub inception: String,
    /// The verifier key of the log, from the newest warrant.
    pub log_key: String,
    /// The highest serial of a warrant…
    pub warrant_serial: u64,
    /// …in the count that the roots began last…
    #[serde(default, skip_serializing_if = "is_first")]
    pub warrant_reset: u64,
    /// …and the one warrant that has it; unknown in a memory of an older make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warrant_sha256: Option<Digest>,
    /// The highest epoch.
    pub epoch: u64,
    /// The newest entry.
    pub head: Head,
    /// The newest signed checkpoint, as a witness of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The epoch and entry of the newest answer: what stays true when it was not the broker who signed checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Answered>,
    /// How the roots became others since that first entry.
    #[serde(default, skip_serializing_if = "Changes::is_empty")]
    pub changes: Changes,
}

/// What an answer showed, which the log's key alone cannot invent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// Its epoch.
    pub epoch: u64,
    /// Its entry.
    pub head: Head,
}

/// The newest entry that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its index.
    pub index: u64,
    /// Its hash.
    pub entry_sha256: Digest,
}

/// What a genuine document of the broker tells about its log.
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    pub(crate) epoch: u64,
    pub(crate) head: Head,
    // What is kept of the warrant, where one came along.
    pub(crate) warrant: Option<Standing>,
    // The signed note of it, where it is one.
    pub(crate) checkpoint: Option<String>,
}

/// What is kept of a warrant that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) rank: Rank,
    pub(crate) sha256: Digest,
    pub(crate) log_key: String,
}

impl Standing {
    pub(crate) fn of(warrant: &Verified<Warrant>) -> Self {
        Self { rank: warrant.rank(), sha256: warrant.sha256(), log_key: warrant.log_key.clone() }
    }
}

impl Record {
    /// Where the newest warrant stands among all.
    pub const fn rank(&self) -> Rank {
        Rank { reset: self.warrant_reset, serial: self.warrant_serial }
    }

    /// Whether a warrant may still count: none before the newest that was seen, and none beside it.
    fn admits(&self, warrant: &Standing) -> Result<(), Refusal> {
        let unknown = |detail: String| Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
        let (rank, held) = (warrant.rank, self.rank());
        if rank < held {
            return unknown(format!("the warrant has serial {rank}, this host has seen {held}"));
        }
        // Two warrants of one serial would let whoever was dropped from one speak under the other.
        if rank == held && self.warrant_sha256.is_some_and(|sha256| sha256 != warrant.sha256) {
            return unknown(format!("the warrant of serial {rank} is not the one that this host has seen"));
        }
        Ok(())
    }
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
        Ok(Self { dir, record, lineage, raised: Arc::default() })
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
            Ok::<_, Refusal>(under(record.clone(), warrant))
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
    /// `state_rollback` when it contradicts what is remembered, or when it cannot be written.
    pub(crate) fn raise(&self, sighting: &Sighting) -> Result<(), Error> {
        self.change(|record| raised(record, sighting))
    }

    fn change(&self, changed: impl Fn(&Record) -> Result<Record, Refusal>) -> Result<(), Error> {
        let mut held = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if changed(&held)? == *held {
            return Ok(());
        }
        // Another process of this host may have written since.
        let _lock = lock(&self.dir)?;
        let before = read(&self.dir)?;
        let after = changed(&before)?;
        if after != before {
            write(&self.dir, &after)?;
        }
        let raised = after.epoch > held.epoch;
        *held = after;
        drop(held);
        if raised {
            self.raised.notify_one();
        }
        Ok(())
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
    /// `epoch_behind`, or what binding says.
    pub(crate) fn bind_under(&self, epoch: u64, bind: impl FnOnce() -> Result<(), Refusal>) -> Result<(), Error> {
        let mut held = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = lock(&self.dir)?;
        let known = read(&self.dir)?;
        if known.epoch > held.epoch {
            *held = known;
        }
        may_bind(&held, epoch)?;
        Ok(bind()?)
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

/// Whether what was decided under an epoch may still be bound.
pub(crate) fn may_bind(record: &Record, epoch: u64) -> Result<(), Refusal> {
    if epoch >= record.epoch {
        return Ok(());
    }
    let detail = format!("the permit knows epoch {epoch}, this host epoch {}", record.epoch);
    Err(Refusal::new(Reason::EpochBehind, detail))
}

/// The memory after a sighting.
pub(crate) fn raised(record: &Record, sighting: &Sighting) -> Result<Record, Refusal> {
    let mut after = record.clone();
    let (held, seen) = (record.head, sighting.head);
    if seen.index == held.index && seen.entry_sha256 != held.entry_sha256 {
        let detail = format!("entry {} is {}, this host has seen {}", seen.index, seen.entry_sha256, held.entry_sha256);
        return Err(Refusal::new(Reason::StateRollback, detail));
    }
    // A longer log that knows fewer events was not written on top of the one that was seen.
    if seen.index > held.index && sighting.epoch < record.epoch {
        let detail =
            format!("entry {} has epoch {}, this host has seen epoch {}", seen.index, sighting.epoch, record.epoch);
        return Err(Refusal::new(Reason::StateRollback, detail));
    }
    after.epoch = record.epoch.max(sighting.epoch);
    if seen.index > held.index {
        after.head = seen;
    }
    if seen.index >= held.index && sighting.checkpoint.is_some() {
        after.checkpoint.clone_from(&sighting.checkpoint);
    }
    // Answers come with a warrant, checkpoints do not.
    if sighting.warrant.is_some() && record.answered.is_none_or(|answered| answered.head.index < seen.index) {
        after.answered = Some(Answered { epoch: sighting.epoch, head: seen });
    }
    // What admits no older one is `admits`; here, one that another process has overtaken since changes nothing.
    Ok(match &sighting.warrant {
        Some(warrant) if record.admits(warrant).is_ok() => under(after, warrant),
        Some(_) | None => after,
    })
}

fn under(record: Record, warrant: &Standing) -> Record {
    let Standing { rank, sha256, log_key } = warrant.clone();
    // Another log key: whatever the old one announced may have been a thief's, so what answers showed is all that stays.
    let (same, other) = (log_key == record.log_key, log_key != record.log_key);
    let (shown, checkpoint) = (record.answered.filter(|_| other), record.checkpoint.clone().filter(|_| same));
    let (epoch, head) = shown.map_or((record.epoch, record.head), |shown| (shown.epoch, shown.head));
    let (warrant_reset, warrant_serial, warrant_sha256) = (rank.reset, rank.serial, Some(sha256));
    Record { warrant_reset, warrant_serial, warrant_sha256, log_key, epoch, head, checkpoint, ..record }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_first(reset: &u64) -> bool {
    *reset == 0
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
