//! Trust an issuer: its word counts, within its scope, from now on or once it is activated.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State, Weighty, begins_before};
use crate::digest::Digest;
use crate::issuer::{Issuer, Kind, Standing};
use crate::key::{self, Name, Role};
use crate::name::Scope;
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;

/// Trust an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddIssuer {
    /// Its key.
    pub key: Name<key::Issuer>,
    /// What it may speak for.
    pub scope: BTreeSet<Scope>,
    /// What it may sign.
    pub kinds: BTreeSet<Kind>,
    /// The longest lifetime in seconds it may promise; none means that `exp` is not demanded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lifetime_s: Option<u64>,
    /// The end of its trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Whether it is only prepared: its word does not count before it is activated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prepared: bool,
    /// SHA-256 of the proof that its owner holds the key, attached to the command; none where an administrator
    /// vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_sha256: Option<Digest>,
}

impl AddIssuer {
    /// Trust that begins at once and has no end, vouched for.
    pub const fn vouched(
        key: Name<key::Issuer>,
        scope: BTreeSet<Scope>,
        kinds: BTreeSet<Kind>,
        max_lifetime_s: Option<u64>,
    ) -> Self {
        Self { key, scope, kinds, max_lifetime_s, until: None, prepared: false, proof_sha256: None }
    }
}

/// An issuer is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerAdded {
    /// Its key.
    pub key: Name<key::Issuer>,
    /// How far it is trusted.
    pub issuer: Issuer,
}

impl Judge for AddIssuer {
    type Event = IssuerAdded;

    fn subject(&self) -> String {
        format!("issuer {}", self.key)
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        Some(Weighty::IssuerAdd)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<IssuerAdded, Refusal> {
        if self.scope.is_empty() || self.kinds.is_empty() {
            return Err(Refusal::new(
                Reason::SchemaMismatch,
                "an issuer needs a scope and a kind; empty permits nothing",
            ));
        }
        self.key.usable()?;
        state.unused(self.key.raw(), key::Issuer::WORD)?;
        begins_before(self.until, case.now)?;
        let proof = self.proof_sha256.map(|sha256| case.proof(sha256, &self.key, state)).transpose()?;
        let standing = if self.prepared { Standing::Prepared } else { Standing::Active };
        let Self { key, scope, kinds, max_lifetime_s, until, .. } = self.clone();
        let issuer = Issuer { standing, until, proof, ..Issuer::trusted(scope, kinds, max_lifetime_s) };
        Ok(IssuerAdded { key, issuer })
    }
}

impl Apply for IssuerAdded {
    fn apply(&self, state: &mut State, _index: u64) {
        state.claim_key(*self.key.raw(), key::Issuer::WORD);
        state.issuers.put(self.key, self.issuer.clone());
    }

    fn told(&self) -> String {
        let known = if self.issuer.proof.is_some() { "proved" } else { "vouched for" };
        let done = if self.issuer.standing == Standing::Prepared { "prepared" } else { "trusted" };
        format!("issuer {} {done}, {known}", self.key)
    }
}
