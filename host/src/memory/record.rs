//! What a host remembers, as a value: what a sighting, a warrant or a fork makes of it.
//!
//! That it lies on the disk before it counts is left to `memory`.

use policy::digest::Digest;
use policy::envelope::Verified;
use policy::key::{Host, Name};
use policy::lineage::Changes;
use policy::log::Place;
use policy::name::Lattice;
use policy::reason::{Reason, Refusal};
use policy::warrant::{Rank, Warrant};
use serde::{Deserialize, Serialize};

use super::piece::{Fork, Keep, Piece, Shown};
use super::proved::Proved;

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
    /// The newest signed answer under the newest warrant, as a witness of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Shown>,
    /// How far the log is proved to have grown out of the pinned first entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<Proved>,
    /// Since when the broker was asked for a proof and gave none, by the host's clock in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_since_ms: Option<u64>,
    /// The fork that was found and that no operator has looked at: nothing is bound meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked: Option<Box<Fork>>,
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
    // The signed piece of it, to be held against others.
    pub(crate) shown: Option<Shown>,
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
    pub(super) fn admits(&self, warrant: &Standing) -> Result<(), Refusal> {
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

impl Record {
    /// Refuses while a fork was found that no operator has looked at.
    ///
    /// # Errors
    /// `log_fork`, with the file of the evidence.
    pub fn refuse_forked(&self) -> Result<(), Refusal> {
        self.forked.as_ref().map_or(Ok(()), |fork| Err(Refusal::new(Reason::LogFork, fork.to_string())))
    }

    /// The fork that a sighting proves, with what is held.
    pub(super) fn forked_by(&self, sighting: &Sighting, found_at_ms: u64) -> Option<Box<Fork>> {
        let met = sighting.shown.as_ref().filter(|met| self.counts(met, sighting))?;
        // No start waits for what growth will tell of answers anyhow.
        let proved = self.proved.as_ref().filter(|_| matches!(met.piece, Piece::Checkpoint(_)));
        let notes = self.checkpoint.iter().chain(proved.map(|proved| &proved.note));
        let notes: Vec<_> = notes.filter_map(|note| Shown::checkpoint(&self.log_key, note.as_bytes()).ok()).collect();
        let mut held = self.answer.iter().chain(&notes);
        let (held, contradiction) =
            held.find_map(|held| Some((held, policy::log::contradiction(&held.place, &met.place)?)))?;
        Some(Box::new(Fork::new(self, found_at_ms, contradiction, (held.clone(), met.clone()))))
    }

    // Whoever signed it must still be whom the roots name: what a key signs that they dropped proves nothing.
    fn counts(&self, met: &Shown, sighting: &Sighting) -> bool {
        match &met.piece {
            Piece::Checkpoint(note) => Shown::checkpoint(&self.log_key, note.as_bytes()).is_ok(),
            Piece::Answer { .. } => {
                sighting.warrant.as_ref().is_some_and(|warrant| self.warrant_sha256 == Some(warrant.sha256))
            }
            Piece::Growth { .. } | Piece::FirstEntry => false,
        }
    }

    /// What is remembered once an operator has looked: what was held, or what was met in its place.
    pub(super) fn looked_at(&self, fork: &Fork, keep: Keep) -> Self {
        let mut after = Self { forked: None, ..self.clone() };
        if keep == Keep::Held {
            // What was proved besides may have been the other log's broker's word.
            let (size, at_ms) = (fork.held.place.index + 1, fork.found_at_ms);
            after.proved = fork.held.piece.note().map(|note| Proved { note, size, at_ms });
            return after;
        }
        let Place { index, entry_sha256, epoch, .. } = fork.met.place;
        let head = Head { index, entry_sha256 };
        (after.epoch, after.head) = (epoch, head);
        let note = fork.met.piece.note();
        // By the operator's word, not by proof; from there on it is to be proved again.
        let at_ms = fork.found_at_ms;
        after.proved = note.clone().map(|note| Proved { note, size: index + 1, at_ms });
        (after.checkpoint, after.answer, after.answered) = match &fork.met.piece {
            Piece::Answer { .. } => (None, Some(fork.met.clone()), Some(Answered { epoch, head })),
            Piece::Checkpoint(_) | Piece::Growth { .. } | Piece::FirstEntry => (note, None, None),
        };
        after
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
    match &sighting.shown {
        Some(Shown { piece: Piece::Checkpoint(note), .. }) if seen.index >= held.index => {
            after.checkpoint = Some(note.clone());
        }
        Some(shown @ Shown { piece: Piece::Answer { .. }, .. })
            if record.answer.as_ref().is_none_or(|answer| answer.place.index < seen.index) =>
        {
            after.answer = Some(shown.clone()).filter(|shown| record.counts(shown, sighting)).or(after.answer);
        }
        Some(_) | None => {}
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

pub(super) fn under(record: Record, warrant: &Standing) -> Record {
    let Standing { rank, sha256, log_key } = warrant.clone();
    // Another log key: whatever the old one announced may have been a thief's, so what answers showed is all that stays.
    let (same, other) = (log_key == record.log_key, log_key != record.log_key);
    let (shown, checkpoint) = (record.answered.filter(|_| other), record.checkpoint.clone().filter(|_| same));
    // What is proved then begins at the pinned first entry again.
    let proved = record.proved.clone().filter(|_| same);
    let (epoch, head) = shown.map_or((record.epoch, record.head), |shown| (shown.epoch, shown.head));
    // An answer under an older warrant may be by a key that this one drops; a fork that rests on the old log key is one
    // that its thief could make.
    let answer = record.answer.clone().filter(|_| record.warrant_sha256 == Some(sha256));
    let forked = record.forked.clone().filter(|fork| same || !fork.rests_on_log_key());
    let (warrant_reset, warrant_serial, warrant_sha256) = (rank.reset, rank.serial, Some(sha256));
    Record {
        warrant_reset,
        warrant_serial,
        warrant_sha256,
        log_key,
        epoch,
        head,
        checkpoint,
        proved,
        answer,
        forked,
        ..record
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_first(reset: &u64) -> bool {
    *reset == 0
}
