//! Delete the operator's rules: from then on the law alone decides.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State, Weighty};
use crate::digest::Digest;
use crate::reason::{Reason, Refusal};
use crate::rules::RulesRecord;

/// Delete the rules. It weakens, so it rests on what its signer saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteRules {
    /// SHA-256 of the text that is meant.
    pub sha256: Digest,
}

/// The rules are deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesDeleted {
    /// SHA-256 of the text that stood before.
    pub before: Digest,
}

impl Judge for DeleteRules {
    type Event = RulesDeleted;

    fn subject(&self) -> String {
        "rules".to_owned()
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        Some(Weighty::Weakening)
    }

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<RulesDeleted, Refusal> {
        match state.rules().map(RulesRecord::sha256) {
            Some(before) if before == self.sha256 => Ok(RulesDeleted { before }),
            Some(other) => {
                let detail = format!("the rules that stand are {other}, not {}", self.sha256);
                Err(Refusal::new(Reason::NotFound, detail))
            }
            None => Err(Refusal::new(Reason::NotFound, "no rules stand")),
        }
    }
}

impl Apply for RulesDeleted {
    fn apply(&self, state: &mut State, _index: u64) {
        state.rules = None;
    }

    fn told(&self) -> String {
        format!("rules {} deleted", self.before)
    }
}
