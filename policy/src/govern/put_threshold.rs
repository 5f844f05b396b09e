//! Put a threshold: how many administrators must sign an act of a class (T79).
//!
//! Changing one takes the higher of the old and the new, so that neither one alone lowers it, nor one alone shuts the
//! others out; and never less than any change of who may do what.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State, Weighty};
use crate::reason::{Reason, Refusal};

/// Put a threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutThreshold {
    /// The class.
    pub class: Weighty,
    /// How many must sign.
    pub threshold: u64,
}

/// A threshold is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdPut {
    /// The class.
    pub class: Weighty,
    /// How many had to sign until now.
    pub before: u64,
    /// How many must sign from now on.
    pub after: u64,
}

impl Judge for PutThreshold {
    type Event = ThresholdPut;

    fn subject(&self) -> String {
        format!("threshold {}", self.class.word())
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        Some(Weighty::Administration)
    }

    fn persons(&self, state: &State) -> u64 {
        let classes = [state.needed(self.class), self.threshold, state.needed(Weighty::Administration)];
        classes.into_iter().max().unwrap_or(1)
    }

    fn judge(&self, state: &State, _: &Case<'_>) -> Result<ThresholdPut, Refusal> {
        let before = state.threshold(self.class);
        if before == self.threshold {
            let detail = format!("the threshold of `{}` is {before} already", self.class.word());
            return Err(Refusal::new(Reason::AlreadyExists, detail));
        }
        // What nobody could sign could never be taken back either.
        let operators = state.administrators().lasting_operators();
        if self.threshold == 0 || self.threshold > operators {
            let detail =
                format!("a threshold is 1 to {operators}, the operators without an end; not {}", self.threshold);
            return Err(Refusal::new(Reason::ThresholdUnmet, detail));
        }
        Ok(ThresholdPut { class: self.class, before, after: self.threshold })
    }
}

impl Apply for ThresholdPut {
    fn apply(&self, state: &mut State, _index: u64) {
        state.thresholds.insert(self.class, self.after);
    }

    fn told(&self) -> String {
        format!("threshold of {}: {} instead of {}", self.class.word(), self.after, self.before)
    }
}
