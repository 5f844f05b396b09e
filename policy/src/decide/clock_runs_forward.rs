//! While the broker's clock is behind the log's time nothing is granted: the expired would be valid again (T22).

use super::Start;
use crate::govern::Times;
use crate::reason::Refusal;
use crate::time::Timestamp;

pub(super) fn judge(start: &Start<'_>) -> Result<(), Refusal> {
    times(start).in_order()
}

pub(super) fn fact(start: &Start<'_>) -> String {
    let Times { now, clock } = times(start);
    format!("the log has come to {now}, the broker's clock says {clock}")
}

fn times(start: &Start<'_>) -> Times {
    let clock = start.facts.clock_ms.map_or(start.now, Timestamp::from_millis);
    Times { now: start.now, clock }
}
