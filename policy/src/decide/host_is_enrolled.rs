//! Only an enrolled host that was not banned is answered (T55).

use super::Start;
use crate::govern::HostStanding;
use crate::reason::{Reason, Refusal};

pub(super) fn judge(start: &Start<'_>) -> Result<(), Refusal> {
    let host = &start.question.host;
    match start.state.hosts().get(host).map(|record| record.standing) {
        Some(HostStanding::Enrolled) => Ok(()),
        Some(HostStanding::Banned) => Err(Refusal::new(Reason::HostBanned, format!("host `{host}` was banned"))),
        None => Err(Refusal::new(Reason::HostUnknown, format!("host `{host}` is not enrolled"))),
    }
}

pub(super) fn fact(start: &Start<'_>) -> String {
    let host = &start.question.host;
    match start.state.hosts().get(host) {
        None => format!("host `{host}` never joined"),
        Some(record) if record.standing == HostStanding::Banned => format!("host `{host}` was banned"),
        Some(record) => format!("host `{host}` joined at entry {}", record.joined),
    }
}
