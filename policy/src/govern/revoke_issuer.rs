//! Revoke an issuer as compromised: everything it ever signed is refused, whatever its date (T15).

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State};
use crate::issuer::Standing;
use crate::key::{self, Name};
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;

/// Revoke an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeIssuer {
    /// Its key.
    pub key: Name<key::Issuer>,
}

/// An issuer is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerRevoked {
    /// Its key.
    pub key: Name<key::Issuer>,
    /// When.
    pub at: Timestamp,
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
                Ok(IssuerRevoked { key: self.key, at: case.now })
            }
        }
    }
}

impl Apply for IssuerRevoked {
    fn apply(&self, state: &mut State, _index: u64) {
        state.issuers.change(&self.key, |issuer| issuer.standing = Standing::Revoked(self.at));
    }

    fn told(&self) -> String {
        format!("issuer {} revoked", self.key)
    }
}
