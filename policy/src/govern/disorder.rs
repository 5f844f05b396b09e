//! What is out of order with the log itself: a clock that was set back or jumped ahead (T22), an older log that was put
//! back (T28). How it is put right is left to `acknowledge_clock` and `restore`.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;
use crate::wire::CLOCK_LEEWAY_S;

use super::Restore;

/// What is out of order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disorder {
    /// The last time that the clock jumped ahead, until somebody acknowledged it.
    pub jump: Option<Jump>,
    /// A host proved that this log was longer once.
    pub ahead: Option<Ahead>,
    /// Places of lost entries that are filled, and no restore says so yet: it may wait for others to sign it.
    pub filled: Option<Filled>,
    /// Each time that an older log was put back on purpose, with the entry that says so.
    pub restored: Vec<(u64, Restore)>,
}

/// The broker's clock went further than the time that had passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jump {
    /// What it said before, in milliseconds since 1970.
    pub from_ms: u64,
    /// What it said then.
    pub to_ms: u64,
    /// How much time had passed by the clock that is never set.
    pub passed_ms: u64,
}

/// A checkpoint of this log that this log does not lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ahead {
    /// How many entries it counts.
    pub size: u64,
    /// Its epoch.
    pub epoch: u64,
    /// The hash of its last entry.
    pub last: Digest,
    /// The hash of this log's own entry in that place, where there is one: another. The broker asserts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Digest>,
}

/// Places of entries that are lost, from the first that was filled to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// How many entries stand before them.
    pub kept: u64,
    /// The hash of the last of those.
    pub kept_sha256: Digest,
    /// How many entries there are with them.
    pub seen: u64,
}

/// The log's time, and what the broker's clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The log's, which never runs backwards: what decisions use.
    pub now: Timestamp,
    /// The clock's.
    pub clock: Timestamp,
}

impl Disorder {
    /// Takes note of a place that is filled, after an entry of that hash.
    pub(crate) fn fill(&mut self, index: u64, before: Digest) {
        let first = Filled { kept: index, kept_sha256: before, seen: index };
        self.filled = Some(Filled { seen: index + 1, ..self.filled.unwrap_or(first) });
    }

    /// Whether what stood in that place may be lost since a restore, so that another hash of it proves nothing new.
    ///
    /// Everything before it counts: an older copy may have grown for a while before anybody noticed. A log that is put back
    /// to before the restore has no restore.
    pub fn lost(&self, index: u64) -> bool {
        self.restored.iter().any(|(at, _)| index < *at)
    }
}

impl Times {
    /// A clock in order.
    pub const fn at(now: Timestamp) -> Self {
        Self { now, clock: now }
    }

    /// Both, as milliseconds; the log's is the later of them.
    pub const fn of(now_ms: u64, clock_ms: u64) -> Self {
        Self { now: Timestamp::from_millis(now_ms), clock: Timestamp::from_millis(clock_ms) }
    }

    /// Whether the clock is further behind than clocks are.
    pub fn is_behind(self) -> bool {
        self.clock.plus(CLOCK_LEEWAY_S) < self.now
    }

    /// Refuses while the clock is behind.
    ///
    /// # Errors
    /// `clock_rollback`, with both times.
    pub fn in_order(self) -> Result<(), Refusal> {
        if !self.is_behind() {
            return Ok(());
        }
        let detail = format!("the broker's clock says {}, the log has come to {}", self.clock, self.now);
        Err(Refusal::new(Reason::ClockRollback, detail))
    }

    // What a command's end is held against: by the log's time none could be given while the clock is behind.
    pub(super) fn judging(self) -> Timestamp {
        if self.is_behind() { self.clock } else { self.now }
    }
}

impl From<Timestamp> for Times {
    fn from(now: Timestamp) -> Self {
        Self::at(now)
    }
}
