//! A host joins: the one event that no administrator signs; its invitation was signed before.

use serde::{Deserialize, Serialize};

use super::{Apply, Event, State};
use crate::examine::Examined;
use crate::join::Join;
use crate::key::{Host, Invite, Name, Role};
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;

/// A host is enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostJoined {
    /// The host.
    pub host: Name<Host>,
    /// The invitation that it used up.
    pub invite: Name<Invite>,
}

impl Apply for HostJoined {
    fn apply(&self, state: &mut State, index: u64) {
        state.enrol(self.host, self.invite, index);
    }

    fn told(&self) -> String {
        format!("host {} joined", self.host)
    }
}

impl State {
    /// Judges a join.
    ///
    /// # Errors
    /// `lattice_mismatch`, `invite_unknown`, `key_in_use` or `key_published`.
    pub fn handle_join(&self, examined: &Examined<Join>, now: Timestamp) -> Result<Event, Refusal> {
        let join = &examined.document;
        let Some(proof) = &examined.proof else {
            return Err(Refusal::new(Reason::InviteUnknown, "the join carries no proof of its invitation"));
        };
        if join.aud != *self.lattice() {
            let detail = format!("the join is for lattice `{}`, this is `{}`", join.aud, self.lattice());
            return Err(Refusal::new(Reason::LatticeMismatch, detail));
        }
        self.invitation(&proof.iss, now)?;
        self.unused(join.iss.raw(), Host::WORD)?;
        Ok(Event::HostJoined(HostJoined { host: join.iss, invite: proof.iss }))
    }
}
