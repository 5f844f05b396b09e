//! Publish a contract: its owner's signed word on one package enters the lattice.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, Published, State, Waiver, Weighty};
use crate::contract::Contract;
use crate::digest::Digest;
use crate::examine::Evidence;
use crate::issuer::{Kind, Signed};
use crate::key::{self, Name};
use crate::name::Package;
use crate::reason::{Reason, Refusal};

/// Publish a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishContract {
    /// The package it is about.
    pub package: Package,
    /// SHA-256 of its token, attached to the command.
    pub sha256: Digest,
    /// What is let pass: another owner's word on the package, or a lower revision.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waivers: BTreeSet<Waiver>,
}

/// A contract is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractPublished {
    /// SHA-256 of its token.
    pub sha256: Digest,
    /// What it says.
    pub contract: Contract,
    /// The issuer whose word on the package stood until now, and who is no other's successor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_over: Option<Name<key::Issuer>>,
    /// The higher revision that was published before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgraded: Option<u64>,
}

impl Judge for PublishContract {
    type Event = ContractPublished;

    fn subject(&self) -> String {
        format!("contract {}", self.package)
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        (!self.waivers.is_empty()).then_some(Weighty::Weakening)
    }

    fn reopens(&self, state: &State, _: &Case<'_>) -> bool {
        has_owners(state) && state.contracts.get(&self.package).is_some_and(|published| published.withdrawn)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<ContractPublished, Refusal> {
        let Evidence::Contract(claimed) = case.evidence(self.sha256)? else {
            return Err(Refusal::new(Reason::ClaimsKind, format!("statement {} is no contract", self.sha256)));
        };
        if claimed.sub != self.package {
            let detail = format!("the contract is about `{}`, the command says `{}`", claimed.sub, self.package);
            return Err(Refusal::new(Reason::SchemaMismatch, detail));
        }
        let signed = Signed { issuer: claimed.issuer(), kind: Kind::Contract, validity: &claimed.validity() };
        state.issuers.judge(signed, [self.package.as_str()], case.now)?;
        let (took_over, downgraded) = match state.contracts.get(&self.package) {
            Some(published) => self.after(&published.contract, &claimed, state)?,
            None => (None, None),
        };
        Ok(ContractPublished { sha256: self.sha256, contract: Contract::clone(&claimed), took_over, downgraded })
    }
}

impl PublishContract {
    // A package has one owner, whose revisions grow; a new owner counts them anew (T18).
    fn after(
        &self,
        old: &Contract,
        new: &Contract,
        state: &State,
    ) -> Result<(Option<Name<key::Issuer>>, Option<u64>), Refusal> {
        let other = Some(old.iss).filter(|owner| has_owners(state) && !state.issuers.same_line(owner, &new.iss));
        if let Some(owner) = other.filter(|_| !self.waivers.contains(&Waiver::TakeOver)) {
            let detail =
                format!("the contract for `{}` is issuer `{owner}`'s, this is signed by `{}`", self.package, new.iss);
            return Err(Refusal::new(Reason::SubjectOwned, detail));
        }
        let higher = Some(old.revision).filter(|highest| other.is_none() && new.revision <= *highest);
        if let Some(highest) = higher.filter(|_| !self.waivers.contains(&Waiver::Downgrade)) {
            let detail =
                format!("revision {} of `{}`, revision {highest} is already published", new.revision, self.package);
            return Err(Refusal::new(Reason::ContractDowngrade, detail));
        }
        Ok((other, higher))
    }
}

const fn has_owners(state: &State) -> bool {
    state.law() >= OWNERS_SINCE
}

impl Apply for ContractPublished {
    fn apply(&self, state: &mut State, _index: u64) {
        let published = Published { contract: self.contract.clone(), sha256: self.sha256, withdrawn: false };
        state.contracts.insert(self.contract.sub.clone(), published);
    }

    fn told(&self) -> String {
        let took = self.took_over.map(|owner| format!(", taken over from issuer {owner}")).unwrap_or_default();
        let down = self.downgraded.map(|highest| format!(", below revision {highest}")).unwrap_or_default();
        format!("contract {} revision {} published{took}{down}", self.contract.sub, self.contract.revision)
    }
}

const OWNERS_SINCE: u64 = 5;
