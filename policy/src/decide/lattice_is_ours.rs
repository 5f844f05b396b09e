//! A question for another lattice is not ours to answer (T52).

use super::Start;
use crate::reason::{Reason, Refusal};

pub(super) fn judge(start: &Start<'_>) -> Result<(), Refusal> {
    let (asked, ours) = (&start.question.lattice, start.state.lattice());
    if asked == ours {
        return Ok(());
    }
    Err(Refusal::new(Reason::LatticeMismatch, format!("the question is for lattice `{asked}`, this is `{ours}`")))
}

pub(super) fn fact(start: &Start<'_>) -> String {
    format!("the question is for lattice `{}`, this is `{}`", start.question.lattice, start.state.lattice())
}
