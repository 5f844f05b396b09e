//! Trust an issuer: from now on its word counts, within its scope.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State};
use crate::issuer::{Issuer, Kind, Standing};
use crate::key::{self, Name, Role};
use crate::name::Scope;
use crate::reason::{Reason, Refusal};

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

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<IssuerAdded, Refusal> {
        if self.scope.is_empty() || self.kinds.is_empty() {
            return Err(Refusal::new(
                Reason::SchemaMismatch,
                "an issuer needs a scope and a kind; empty permits nothing",
            ));
        }
        self.key.usable()?;
        state.unused(self.key.raw(), key::Issuer::WORD)?;
        let Self { key, scope, kinds, max_lifetime_s } = self.clone();
        Ok(IssuerAdded { key, issuer: Issuer { scope, kinds, max_lifetime_s, standing: Standing::Active } })
    }
}

impl Apply for IssuerAdded {
    fn apply(&self, state: &mut State, _index: u64) {
        state.claim_key(*self.key.raw(), key::Issuer::WORD);
        state.issuers.put(self.key, self.issuer.clone());
    }

    fn told(&self) -> String {
        format!("issuer {} trusted", self.key)
    }
}
