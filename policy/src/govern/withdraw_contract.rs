//! Withdraw a contract: nothing new is bound under it.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State};
use crate::name::Package;
use crate::reason::{Reason, Refusal};
use crate::withdrawal::{Ground, Running, told};

/// Withdraw a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawContract {
    /// The package it is about.
    pub package: Package,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// A contract is withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractWithdrawn {
    /// The package it is about.
    pub package: Package,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

impl Judge for WithdrawContract {
    type Event = ContractWithdrawn;

    fn subject(&self) -> String {
        format!("contract {}", self.package)
    }

    fn narrows(&self) -> bool {
        true
    }

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<ContractWithdrawn, Refusal> {
        match state.contracts.get(&self.package) {
            None => Err(Refusal::new(Reason::NotFound, format!("no contract for `{}` is published", self.package))),
            Some(published) if published.withdrawn => Err(Refusal::new(
                Reason::AlreadyExists,
                format!("the contract for `{}` is withdrawn already", self.package),
            )),
            Some(_) => Ok(ContractWithdrawn { package: self.package.clone(), running: self.running }),
        }
    }
}

impl Apply for ContractWithdrawn {
    fn apply(&self, state: &mut State, index: u64) {
        state.withdraw(Ground::Contract(self.package.clone()), self.running, index);
        if let Some(published) = state.contracts.get_mut(&self.package) {
            published.withdrawn = true;
        }
    }

    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        format!("contract {} withdrawn{}", self.package, told(self.running))
    }
}
