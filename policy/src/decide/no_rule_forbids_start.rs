//! No rule of the operator forbids what the law lets start; asked last, so it can only narrow.

use super::Start;
use crate::reason::Refusal;
use crate::rules::Case;

pub(super) fn judge(start: &Start<'_>) -> Result<(), Refusal> {
    let rules = start.state.rules();
    rules.map_or(Ok(()), |rules| rules.judge(&Case::of_start(start)))
}

pub(super) fn fact(start: &Start<'_>) -> String {
    super::words::rules(start.state)
}
