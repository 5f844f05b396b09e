//! Retire an issuer: what it signs from then on does not count; what it signed before stays good until its own end.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State};
use crate::issuer::Standing;
use crate::key::{self, Name};
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;
use crate::withdrawal::{Ground, Running, told};

/// Retire an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetireIssuer {
    /// Its key.
    pub key: Name<key::Issuer>,
    /// From when on; none is now. It may lie ahead, and it may lie back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// An issuer is retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerRetired {
    /// Its key.
    pub key: Name<key::Issuer>,
    /// From when on.
    pub at: Timestamp,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

impl Judge for RetireIssuer {
    type Event = IssuerRetired;

    fn subject(&self) -> String {
        format!("issuer {}", self.key)
    }

    fn narrows(&self) -> bool {
        true
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<IssuerRetired, Refusal> {
        let issuer = state.issuer(&self.key)?;
        let at = self.at.unwrap_or(case.now);
        match issuer.standing {
            // Retiring leaves good what was signed before, and of a prepared one nothing was.
            Standing::Prepared => {
                let detail = format!("issuer `{}` is prepared and never signed anything that counts", self.key);
                return Err(Refusal::new(Reason::IssuerPrepared, detail));
            }
            Standing::Revoked(since) => {
                let detail = format!("issuer `{}` was revoked as compromised at {since}", self.key);
                return Err(Refusal::new(Reason::IssuerRevoked, detail));
            }
            Standing::Active | Standing::Retired(_) => {}
        }
        // What runs is closed by the act itself, and until then all of it may still start.
        if state.law() >= LATER_SINCE && at > case.now && self.running.is_some_and(|running| running.close().is_some())
        {
            let detail = format!("what runs stays until {at}, too: retire it then, or now, to drain or stop it");
            return Err(Refusal::new(Reason::SchemaMismatch, detail));
        }
        // An end only ever moves forward towards us: a later one would be trust given back.
        match issuer.end().filter(|end| *end <= at) {
            Some(end) => {
                let detail = format!("issuer `{}` retires at {end} already, which is not after {at}", self.key);
                Err(Refusal::new(Reason::AlreadyExists, detail))
            }
            None => Ok(IssuerRetired { key: self.key, at, running: self.running }),
        }
    }
}

impl Apply for IssuerRetired {
    fn apply(&self, state: &mut State, index: u64) {
        state.issuers.change(&self.key, |issuer| issuer.standing = Standing::Retired(self.at));
        state.withdraw(Ground::Issuer(self.key), self.running, index);
    }

    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        format!("issuer {} retired from {} on{}", self.key, self.at, told(self.running))
    }
}

const LATER_SINCE: u64 = 5;
