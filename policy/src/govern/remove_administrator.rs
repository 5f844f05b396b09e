//! Remove an administrator: whatever the key signs from now on is nobody's word (T79).

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State, Weighty};
use crate::key::{Administrator, Name};
use crate::reason::{Reason, Refusal};

/// Remove an administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveAdministrator {
    /// Its key.
    pub key: Name<Administrator>,
}

/// An administrator is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdministratorRemoved {
    /// Its key.
    pub key: Name<Administrator>,
}

impl Judge for RemoveAdministrator {
    type Event = AdministratorRemoved;

    fn subject(&self) -> String {
        format!("administrator {}", self.key)
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        Some(Weighty::Administration)
    }

    fn narrows(&self) -> bool {
        true
    }

    fn judge(&self, state: &State, _: &Case<'_>) -> Result<AdministratorRemoved, Refusal> {
        let found = state.administrators().find(&self.key).filter(|record| !record.removed);
        if found.is_none() {
            return Err(Refusal::new(Reason::NotFound, format!("`{}` is no administrator here", self.key)));
        }
        let mut after = state.administrators().clone();
        after.remove(&self.key);
        state.keeps_operators(&after)?;
        Ok(AdministratorRemoved { key: self.key })
    }
}

impl Apply for AdministratorRemoved {
    fn apply(&self, state: &mut State, _index: u64) {
        state.administrators.remove(&self.key);
    }

    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        format!("administrator {} removed", self.key)
    }
}
