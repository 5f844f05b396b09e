//! Acknowledge the clock: from here on the log's time is what the broker's clock says, though that is earlier (T22).

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State, Times, Weighty};
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;
use crate::wire::CLOCK_LEEWAY_S;

/// Acknowledge the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeClock {
    /// The right time, as the operator knows it; the broker's clock must say the same within a minute.
    pub now: Timestamp,
}

/// The clock is acknowledged: this entry's own time may be before that of the entry before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockAcknowledged {
    /// What the log's time had come to.
    pub before: Timestamp,
    /// What the clock says.
    pub clock: Timestamp,
}

impl Judge for AcknowledgeClock {
    type Event = ClockAcknowledged;

    fn subject(&self) -> String {
        "clock".to_owned()
    }

    fn mends(&self) -> bool {
        true
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        Some(Weighty::Weakening)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<ClockAcknowledged, Refusal> {
        let (before, clock) = (case.now, case.clock);
        if self.now.distance(clock) > CLOCK_LEEWAY_S {
            let detail = format!("the operator's clock says {}, the broker's {clock}: one is wrong", self.now);
            return Err(Refusal::new(Reason::ClockRollback, detail));
        }
        if !(Times { now: before, clock }).is_behind() && state.disorder.jump.is_none() {
            return Err(Refusal::new(Reason::AlreadyExists, format!("the clock is in order: it says {clock}")));
        }
        Ok(ClockAcknowledged { before, clock })
    }
}

impl Apply for ClockAcknowledged {
    fn apply(&self, state: &mut State, _index: u64) {
        state.disorder.jump = None;
        state.signed_since = self.clock;
    }

    fn told(&self) -> String {
        format!("clock acknowledged: it says {}, the log had come to {}", self.clock, self.before)
    }
}
