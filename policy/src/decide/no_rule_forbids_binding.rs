//! No rule of the operator forbids what the law lets answer; asked last, so it can only narrow.

use super::Binding;
use crate::reason::{Reason, Refusal};
use crate::rules::Case;

pub(super) fn judge(binding: &Binding<'_>) -> Result<(), Refusal> {
    let Some(rules) = binding.start.state.rules() else {
        return Ok(());
    };
    // The rules before this one have found candidate and contract; what rules cannot be told they cannot allow.
    let case = Case::of_binding(binding);
    let untold = || Refusal::new(Reason::RuleError, "there is no candidate to ask the rules about");
    rules.judge(&case.ok_or_else(untold)?)
}

pub(super) fn fact(binding: &Binding<'_>) -> String {
    super::words::rules(binding.start.state)
}
