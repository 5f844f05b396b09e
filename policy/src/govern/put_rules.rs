//! Put the operator's rules: the whole text, in place of the one that stands.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State, Weighty};
use crate::digest::Digest;
use crate::reason::{Reason, Refusal};
use crate::rules::{RulesRecord, RulesText};

/// Put a text of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutRules {
    /// The text, line by line.
    pub text: RulesText,
}

/// A text of rules is put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesPut {
    /// SHA-256 of the text that stood before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// SHA-256 of the text.
    pub sha256: Digest,
    /// The text, so that replay has it.
    pub text: RulesText,
}

impl Judge for PutRules {
    type Event = RulesPut;

    fn subject(&self) -> String {
        "rules".to_owned()
    }

    fn weighs(&self, state: &State) -> Option<Weighty> {
        // Another text may forbid less.
        state.rules().map(|_| Weighty::Weakening)
    }

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<RulesPut, Refusal> {
        let (sha256, before) = (self.text.sha256(), state.rules().map(RulesRecord::sha256));
        if before == Some(sha256) {
            return Err(Refusal::new(Reason::AlreadyExists, format!("the rules {sha256} stand already")));
        }
        state.language().read(&self.text)?;
        Ok(RulesPut { before, sha256, text: self.text.clone() })
    }
}

impl Apply for RulesPut {
    fn apply(&self, state: &mut State, index: u64) {
        state.rules = Some(RulesRecord::read(state.language(), self.text.clone(), index));
    }

    fn told(&self) -> String {
        format!("rules {} put", self.sha256)
    }
}
