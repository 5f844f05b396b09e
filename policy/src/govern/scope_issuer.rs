//! Scope an issuer anew: what it may speak for, in place of what it might until now.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State, Weighty};
use crate::issuer::Issuer;
use crate::key::{self, Name};
use crate::name::Scope;
use crate::reason::{Reason, Refusal};

/// Scope an issuer anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeIssuer {
    /// Its key.
    pub key: Name<key::Issuer>,
    /// What it may speak for from now on, all of it.
    pub scope: BTreeSet<Scope>,
}

/// An issuer has another scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerScoped {
    /// Its key.
    pub key: Name<key::Issuer>,
    /// What it might speak for until now.
    pub before: BTreeSet<Scope>,
    /// What it may speak for from now on.
    pub after: BTreeSet<Scope>,
    /// Whether that is less or more.
    pub change: Reach,
}

/// Whether a new scope is less than the old one or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It covers nothing that the old one did not.
    Narrowed,
    /// It covers something that the old one did not.
    Widened,
}

impl Judge for ScopeIssuer {
    type Event = IssuerScoped;

    fn subject(&self) -> String {
        format!("issuer {}", self.key)
    }

    fn weighs(&self, state: &State) -> Option<Weighty> {
        let issuer = state.issuers.find(&self.key)?;
        (reach(issuer, &self.scope) == Reach::Widened).then_some(Weighty::ScopeWidening)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<IssuerScoped, Refusal> {
        let issuer = state.issuer(&self.key)?;
        if self.scope.is_empty() {
            return Err(Refusal::new(Reason::SchemaMismatch, "an issuer needs a scope; empty permits nothing"));
        }
        if !matches!(issuer.standing, crate::issuer::Standing::Prepared) {
            issuer.stands(&self.key, case.now)?;
        }
        if issuer.scope == self.scope {
            return Err(Refusal::new(Reason::AlreadyExists, format!("issuer `{}` has that scope already", self.key)));
        }
        let change = reach(issuer, &self.scope);
        if let (Reach::Widened, Some(delegator)) = (change, &issuer.delegator) {
            let detail = format!("`{}` has its say from `{delegator}`, who signed for less", self.key);
            return Err(Refusal::new(Reason::IssuerScope, detail));
        }
        Ok(IssuerScoped { key: self.key, before: issuer.scope.clone(), after: self.scope.clone(), change })
    }
}

fn reach(issuer: &Issuer, scope: &BTreeSet<Scope>) -> Reach {
    if scope.iter().all(|scope| issuer.contains(scope)) { Reach::Narrowed } else { Reach::Widened }
}

impl Apply for IssuerScoped {
    fn apply(&self, state: &mut State, _index: u64) {
        state.issuers.change(&self.key, |issuer| issuer.scope.clone_from(&self.after));
    }

    fn told(&self) -> String {
        let change = match self.change {
            Reach::Narrowed => "narrowed",
            Reach::Widened => "widened",
        };
        let scope: Vec<String> = self.after.iter().map(Scope::to_string).collect();
        format!("issuer {}: scope {change} to {}", self.key, scope.join(", "))
    }
}
