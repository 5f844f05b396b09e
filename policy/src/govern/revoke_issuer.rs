//! Revoke an issuer as compromised: everything it ever signed is refused, whatever its date (T15).

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State};
use crate::issuer::Standing;
use crate::key::{self, Name};
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;
use crate::withdrawal::{Ground, Running, told};

/// Revoke an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeIssuer {
    /// Its key.
    pub key: Name<key::Issuer>,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// An issuer is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerRevoked {
    /// Its key.
    pub key: Name<key::Issuer>,
    /// When.
    pub at: Timestamp,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

impl Judge for RevokeIssuer {
    type Event = IssuerRevoked;

    fn subject(&self) -> String {
        format!("issuer {}", self.key)
    }

    fn narrows(&self) -> bool {
        true
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<IssuerRevoked, Refusal> {
        match state.issuers.find(&self.key).map(|issuer| issuer.standing) {
            None => Err(Refusal::new(Reason::NotFound, format!("issuer `{}` was never trusted here", self.key))),
            Some(Standing::Revoked(at)) => {
                Err(Refusal::new(Reason::AlreadyExists, format!("issuer `{}` is revoked since {at}", self.key)))
            }
            Some(Standing::Prepared | Standing::Active | Standing::Retired(_)) => {
                Ok(IssuerRevoked { key: self.key, at: case.now, running: self.running })
            }
        }
    }
}

impl Apply for IssuerRevoked {
    fn apply(&self, state: &mut State, index: u64) {
        state.issuers.change(&self.key, |issuer| issuer.standing = Standing::Revoked(self.at));
        state.withdraw(Ground::Issuer(self.key), self.running, index);
    }

    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        format!("issuer {} revoked{}", self.key, told(self.running))
    }
}
