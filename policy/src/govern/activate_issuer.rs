//! Activate a prepared issuer: from now on its word counts. Nobody's does whose key was not proved (T16).

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State, Weighty};
use crate::digest::Digest;
use crate::issuer::Standing;
use crate::key::{self, Name};
use crate::reason::{Reason, Refusal};

/// Activate an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivateIssuer {
    /// Its key.
    pub key: Name<key::Issuer>,
    /// SHA-256 of the proof that its owner holds the key, attached to the command; none where one was shown before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_sha256: Option<Digest>,
}

/// An issuer is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerActivated {
    /// Its key.
    pub key: Name<key::Issuer>,
    /// SHA-256 of the proof.
    pub proof: Digest,
}

impl Judge for ActivateIssuer {
    type Event = IssuerActivated;

    fn subject(&self) -> String {
        format!("issuer {}", self.key)
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        Some(Weighty::IssuerAdd)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<IssuerActivated, Refusal> {
        let issuer = state.issuer(&self.key)?;
        if issuer.standing != Standing::Prepared {
            issuer.stands(&self.key, case.now)?;
            return Err(Refusal::new(Reason::AlreadyExists, format!("issuer `{}` is active already", self.key)));
        }
        if let Some(end) = issuer.until.filter(|end| *end <= case.now) {
            let detail =
                format!("issuer `{}` was to be trusted until {end}; the clock here says {}", self.key, case.now);
            return Err(Refusal::new(Reason::IssuerRetired, detail));
        }
        let proof = case.proof_now_or_before(self.proof_sha256, &self.key, state)?;
        Ok(IssuerActivated { key: self.key, proof })
    }
}

impl Apply for IssuerActivated {
    fn apply(&self, state: &mut State, _index: u64) {
        state.issuers.change(&self.key, |issuer| {
            issuer.standing = Standing::Active;
            issuer.proof = Some(self.proof);
        });
    }

    fn told(&self) -> String {
        format!("issuer {} activated, proved", self.key)
    }
}
