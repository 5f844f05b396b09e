//! Invite a host: whoever holds the one-time key may join once, before the invitation ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::Invitation;
use super::{Apply, Case, Judge, State, end};
use crate::key::{Invite, Name, Role};
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;

/// Invite a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteHost {
    /// The public half of the one-time key; the seed is never sent or stored.
    pub invite: Name<Invite>,
    /// What the host will be called by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The invitation's last second.
    pub not_after: Timestamp,
}

/// A host is invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostInvited {
    /// The public half of the one-time key.
    pub invite: Name<Invite>,
    /// What the host will be called by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The invitation's last second.
    pub not_after: Timestamp,
}

/// The longest that an invitation may stand, in seconds.
pub(crate) const INVITE_LIFETIME_S: u64 = 7 * 86_400;

impl Judge for InviteHost {
    type Event = HostInvited;

    fn subject(&self) -> String {
        format!("invitation {}", self.invite)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<HostInvited, Refusal> {
        self.invite.usable()?;
        state.unused(self.invite.raw(), Invite::WORD)?;
        if self.not_after < case.now || self.not_after > case.now.plus(INVITE_LIFETIME_S) {
            let detail = format!(
                "the invitation ends at {}, at most {INVITE_LIFETIME_S} s ahead; the clock here says {}",
                self.not_after, case.now
            );
            return Err(Refusal::new(Reason::CommandExpired, detail).with_skew(end(self.not_after, case.now)));
        }
        let Self { invite, labels, not_after } = self.clone();
        Ok(HostInvited { invite, labels, not_after })
    }
}

impl Apply for HostInvited {
    fn apply(&self, state: &mut State, _index: u64) {
        state.claim_key(*self.invite.raw(), Invite::WORD);
        let Self { labels, not_after, .. } = self.clone();
        state.invites.insert(self.invite, Invitation { labels, not_after });
    }

    fn told(&self) -> String {
        format!("host invited with {}", self.invite)
    }
}
