//! Ban a host: it gets no further permit.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, HostStanding, Judge, State};
use crate::key::{Host, Name};
use crate::reason::{Reason, Refusal};
use crate::withdrawal::{Ground, Running, told};

/// Ban a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanHost {
    /// The host.
    pub host: Name<Host>,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// A host is banned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostBanned {
    /// The host.
    pub host: Name<Host>,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

impl Judge for BanHost {
    type Event = HostBanned;

    fn subject(&self) -> String {
        format!("host {}", self.host)
    }

    fn narrows(&self) -> bool {
        true
    }

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<HostBanned, Refusal> {
        match state.hosts.get(&self.host).map(|record| record.standing) {
            None => Err(Refusal::new(Reason::HostUnknown, format!("host `{}` is not enrolled", self.host))),
            Some(HostStanding::Banned) => {
                Err(Refusal::new(Reason::AlreadyExists, format!("host `{}` is banned already", self.host)))
            }
            Some(HostStanding::Enrolled) => Ok(HostBanned { host: self.host, running: self.running }),
        }
    }
}

impl Apply for HostBanned {
    fn apply(&self, state: &mut State, index: u64) {
        state.withdraw(Ground::Host(self.host), self.running, index);
        state.ban(self.host);
    }

    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        format!("host {} banned{}", self.host, told(self.running))
    }
}
