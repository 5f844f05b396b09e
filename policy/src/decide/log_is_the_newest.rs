//! A log that was put back knows nothing of what was revoked since: whoever has seen more is not answered by it, and
//! once somebody proves to have, nobody is (T28, T64).

use super::Start;
use crate::reason::{Reason, Refusal};

pub(super) fn judge(start: &Start<'_>) -> Result<(), Refusal> {
    let rollback = |detail: String| Err(Refusal::new(Reason::StateRollback, detail));
    if let Some(ahead) = start.state.disorder().ahead {
        return rollback(format!(
            "a host holds a checkpoint of {} entries that this log does not lead to: `countersign restore`",
            ahead.size
        ));
    }
    if start.state.disorder().filled.is_some() {
        return rollback(
            "a restore has begun, and waits for others to sign it: `countersign approve --list`".to_owned(),
        );
    }
    let (size, epoch) = (start.state.next_index(), start.state.epoch());
    match start.question.seen {
        Some(seen) if seen.index >= size || seen.epoch > epoch => rollback(format!(
            "the host has seen entry {} in epoch {}, this log ends at {size} in epoch {epoch}",
            seen.index, seen.epoch
        )),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn fact(start: &Start<'_>) -> String {
    let seen = start.question.seen.map(|seen| format!("entry {} in epoch {}", seen.index, seen.epoch));
    let (size, epoch) = (start.state.next_index(), start.state.epoch());
    format!(
        "the host has seen {}, this log ends at {size} in epoch {epoch}",
        seen.unwrap_or_else(|| "nothing of it".to_owned())
    )
}
