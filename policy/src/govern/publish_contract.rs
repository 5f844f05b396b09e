//! Publish a contract: its owner's signed word on one package enters the lattice.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, Published, State};
use crate::contract::Contract;
use crate::digest::Digest;
use crate::examine::Evidence;
use crate::issuer::{Kind, Signed};
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
}

/// A contract is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractPublished {
    /// SHA-256 of its token.
    pub sha256: Digest,
    /// What it says.
    pub contract: Contract,
}

impl Judge for PublishContract {
    type Event = ContractPublished;

    fn subject(&self) -> String {
        format!("contract {}", self.package)
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
        if let Some(published) = state.contracts.get(&self.package) {
            let (old, new) = (published.contract.revision, claimed.revision);
            if new <= old {
                let detail = format!("revision {new} of `{}`, revision {old} is already published", self.package);
                return Err(Refusal::new(Reason::ContractDowngrade, detail));
            }
        }
        Ok(ContractPublished { sha256: self.sha256, contract: Contract::clone(&claimed) })
    }
}

impl Apply for ContractPublished {
    fn apply(&self, state: &mut State, _index: u64) {
        let published = Published { contract: self.contract.clone(), sha256: self.sha256, withdrawn: false };
        state.contracts.insert(self.contract.sub.clone(), published);
    }

    fn told(&self) -> String {
        format!("contract {} revision {} published", self.contract.sub, self.contract.revision)
    }
}
