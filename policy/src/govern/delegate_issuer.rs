//! Publish what an issuer lends to another key: a part of its own say, until an end, and no further (T12).

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State, Weighty};
use crate::digest::Digest;
use crate::examine::Evidence;
use crate::issuer::Issuer;
use crate::key::{self, Name, Role};
use crate::reason::{Reason, Refusal};

/// Publish a delegation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegateIssuer {
    /// The delegate.
    pub key: Name<key::Issuer>,
    /// SHA-256 of the delegation, attached to the command.
    pub sha256: Digest,
}

/// An issuer lent a part of its say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerDelegated {
    /// The delegate.
    pub key: Name<key::Issuer>,
    /// How far it is trusted, and by whom it has its say.
    pub issuer: Issuer,
}

impl Judge for DelegateIssuer {
    type Event = IssuerDelegated;

    fn subject(&self) -> String {
        format!("issuer {}", self.key)
    }

    // Somebody's word begins to count here, whoever lends it (T79).
    fn weighs(&self, state: &State) -> Option<Weighty> {
        (state.law() >= WEIGHED_SINCE).then_some(Weighty::IssuerAdd)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<IssuerDelegated, Refusal> {
        let Evidence::Delegation(lent) = case.evidence(self.sha256)? else {
            return Err(Refusal::new(Reason::ClaimsKind, format!("statement {} is no delegation", self.sha256)));
        };
        if lent.sub != self.key {
            let detail = format!("the delegation is to `{}`, the command says `{}`", lent.sub, self.key);
            return Err(Refusal::new(Reason::SchemaMismatch, detail));
        }
        state.is_meant("the delegation", &lent.aud, lent.inception_sha256)?;
        let delegator = state.issuers.find(lent.issuer()).ok_or_else(|| {
            Refusal::new(Reason::IssuerUnknown, format!("issuer `{}` is not trusted here", lent.issuer()))
        })?;
        delegator.stands(lent.issuer(), lent.iat)?;
        delegator.stands(lent.issuer(), case.now)?;
        lent.validity().covers(case.now).map_err(|refusal| refusal.within("the delegation"))?;
        if let Some(above) = &delegator.delegator {
            let detail = format!("`{}` has its own say from `{above}`, and may not lend it on", lent.issuer());
            return Err(Refusal::new(Reason::DelegationDepth, detail));
        }
        if let Some(end) = delegator.end().filter(|end| lent.exp > *end) {
            let detail = format!("the delegation ends at {}, its delegator at {end}", lent.exp);
            return Err(Refusal::new(Reason::LifetimeExceeded, detail));
        }
        if let Some(kind) = lent.kinds.iter().find(|kind| !delegator.kinds.contains(kind)) {
            let detail = format!("`{}` may not sign a {}, and cannot lend it", lent.issuer(), kind.word());
            return Err(Refusal::new(Reason::IssuerKind, detail));
        }
        if let Some(scope) = lent.scope.iter().find(|scope| !delegator.contains(scope)) {
            let detail = format!("`{}` may not speak for all of `{scope}`, and cannot lend it", lent.issuer());
            return Err(Refusal::new(Reason::IssuerScope, detail));
        }
        self.key.usable()?;
        // A key that is an issuer already cannot become a delegate, so there are no loops.
        state.unused(self.key.raw(), key::Issuer::WORD)?;
        let trusted = Issuer::trusted(lent.scope.clone(), lent.kinds.clone(), delegator.max_lifetime_s);
        let issuer = Issuer { until: Some(lent.exp), delegator: Some(*lent.issuer()), ..trusted };
        Ok(IssuerDelegated { key: self.key, issuer })
    }
}

impl Apply for IssuerDelegated {
    fn apply(&self, state: &mut State, _index: u64) {
        state.claim_key(*self.key.raw(), key::Issuer::WORD);
        state.issuers.put(self.key, self.issuer.clone());
    }

    fn told(&self) -> String {
        let delegator = self.issuer.delegator.map(|delegator| delegator.to_string()).unwrap_or_default();
        format!("issuer {delegator} delegates to {}", self.key)
    }
}

const WEIGHED_SINCE: u64 = 5;
