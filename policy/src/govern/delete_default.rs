//! Take a lattice's default for a package back: absent means never.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State};
use crate::name::Package;
use crate::reason::{Reason, Refusal};

/// Delete a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteDefault {
    /// The package.
    pub package: Package,
}

/// A default is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultDeleted {
    /// The package.
    pub package: Package,
}

impl Judge for DeleteDefault {
    type Event = DefaultDeleted;

    fn subject(&self) -> String {
        format!("default {}", self.package)
    }

    fn narrows(&self) -> bool {
        true
    }

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<DefaultDeleted, Refusal> {
        if state.defaults.contains_key(&self.package) {
            return Ok(DefaultDeleted { package: self.package.clone() });
        }
        Err(Refusal::new(Reason::NotFound, format!("there is no default for `{}`", self.package)))
    }
}

impl Apply for DefaultDeleted {
    fn apply(&self, state: &mut State, _index: u64) {
        state.defaults.remove(&self.package);
    }

    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        format!("default of {} deleted", self.package)
    }
}
