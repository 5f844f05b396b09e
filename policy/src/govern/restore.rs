//! Restore: an older log was put back on purpose (T28). Says what is lost, and raises the epoch above what was seen.
//!
//! The places of the lost entries are filled before it is judged, so that its own index, which is the new epoch, lies
//! above everything that anybody has seen; it names those places and no others. Who fills them is left to the broker,
//! which must not serve meanwhile.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Filled, Judge, State, Weighty};
use crate::digest::Digest;
use crate::reason::{Reason, Refusal};

/// Restore an older log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// How many entries the copy has that was put back.
    pub kept: u64,
    /// The hash of its last entry.
    pub kept_sha256: Digest,
    /// How many entries the log had that was seen: those between the two are lost.
    pub seen: u64,
    /// The highest epoch that was seen.
    pub seen_epoch: u64,
    /// Ends of logs that were signed for and are not of this one, by what was known when it was restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disowned: Vec<Disowned>,
}

/// The end of a log that a checkpoint was signed for, and that is lost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disowned {
    /// How many entries it counts.
    pub size: u64,
    /// The hash of the last of them.
    pub last: Digest,
}

impl Restore {
    /// How many ends are named at most.
    pub const MAX_DISOWNED: usize = 256;

    /// Whether it tells that a log of that size, which ended with that entry, is lost: one of those that fill the gap, or
    /// one that is named.
    pub fn accounts_for(&self, size: u64, last: Digest) -> bool {
        let named = |disowned: &Disowned| (disowned.size, disowned.last) == (size, last);
        (size > self.kept && size <= self.seen) || self.disowned.iter().any(named)
    }
}

/// An older log was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRestored {
    /// What was restored.
    pub restore: Restore,
}

impl Judge for Restore {
    type Event = LogRestored;

    fn subject(&self) -> String {
        "log".to_owned()
    }

    fn mends(&self) -> bool {
        true
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        Some(Weighty::Restore)
    }

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<LogRestored, Refusal> {
        let (size, witnessed) = (state.next_index(), state.disorder.ahead.map_or(0, |ahead| ahead.size));
        let short = |detail: String| Err(Refusal::new(Reason::StateRollback, detail));
        let is_held = state.law() >= HELD_SINCE;
        if is_held && state.disorder.ahead.is_none() && state.disorder.filled.is_none() {
            return Err(Refusal::new(
                Reason::AlreadyExists,
                "nothing is lost: no place is filled, no host proved more",
            ));
        }
        if self.kept > size || self.seen < self.kept || self.seen_epoch >= self.seen.max(1) {
            return short(format!("{} entries are kept of {}, the log has {size}", self.kept, self.seen));
        }
        let beyond = self.disowned.iter().any(|disowned| disowned.size > self.seen);
        if beyond || self.disowned.len() > Self::MAX_DISOWNED {
            let most = Self::MAX_DISOWNED;
            let detail =
                format!("at most {most} ends are disowned, none of more entries than {} that were seen", self.seen);
            return Err(Refusal::new(Reason::LimitExceeded, detail));
        }
        if size < self.seen.max(witnessed) {
            let seen = self.seen.max(witnessed);
            return short(format!("the log has {size} entries, {seen} were seen: `countersign restore` fills them"));
        }
        if is_held && !self.fits(state) {
            let detail = format!("entries {} to {} are not those that this log has lost", self.kept, self.seen);
            return Err(Refusal::new(Reason::Superseded, detail));
        }
        Ok(LogRestored { restore: self.clone() })
    }
}

impl Restore {
    // What counts as lost is what a host may prove without being believed: no more than the places that are filled, or
    // none where the log has grown past them, as of the end that it has or had when the act was proposed.
    fn fits(&self, state: &State) -> bool {
        if let Some(Filled { kept, kept_sha256, seen }) = state.disorder.filled {
            return (self.kept, self.kept_sha256, self.seen) == (kept, kept_sha256, seen);
        }
        let ended = |index: u64, last| (self.kept, self.kept_sha256) == (index, last);
        let is_end = ended(state.next_index(), state.last());
        self.seen == self.kept
            && (is_end || state.waiting().values().any(|waiting| ended(waiting.index, waiting.before)))
    }
}

impl Apply for LogRestored {
    fn apply(&self, state: &mut State, index: u64) {
        state.disorder.ahead = None;
        state.disorder.filled = None;
        state.disorder.restored.push((index, self.restore.clone()));
    }

    fn told(&self) -> String {
        let Restore { kept, seen, seen_epoch, .. } = &self.restore;
        format!(
            "log restored: the entries from {kept} on, before {seen}, are lost; what was seen had come to epoch {seen_epoch}"
        )
    }
}

const HELD_SINCE: u64 = 4;
