//! Put an administrator: a new one with roles, or other roles for one who is there (T79).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::administrators::AdminRecord;
use super::{AdminRole, Apply, Case, Judge, State, Weighty, begins_before};
use crate::key::{Administrator, Name, Role};
use crate::name::PersonName;
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;

/// Put an administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutAdministrator {
    /// Its key.
    pub key: Name<Administrator>,
    /// Whose key it is: keys of one name are one person's; none leaves it as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PersonName>,
    /// What it may do from now on, all of it.
    pub roles: BTreeSet<AdminRole>,
    /// The end of its say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// An administrator has these roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdministratorPut {
    /// Its key.
    pub key: Name<Administrator>,
    /// Whose key it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PersonName>,
    /// The roles it had until now; none for a new one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub before: BTreeSet<AdminRole>,
    /// The roles it has from now on.
    pub roles: BTreeSet<AdminRole>,
    /// The end of its say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Judge for PutAdministrator {
    type Event = AdministratorPut;

    fn subject(&self) -> String {
        format!("administrator {}", self.key)
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        Some(Weighty::Administration)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<AdministratorPut, Refusal> {
        if self.roles.is_empty() {
            return Err(Refusal::new(Reason::SchemaMismatch, "an administrator needs a role; `remove` takes all"));
        }
        begins_before(self.until, case.now)?;
        let found = state.administrators().find(&self.key);
        let name = self.name.clone().or_else(|| found.and_then(|record| record.name.clone()));
        let before = match found {
            None => {
                state.becomes_administrator(&self.key)?;
                BTreeSet::new()
            }
            Some(record) if record.removed => {
                let detail = format!("`{}` was an administrator's who was removed; make a new key", self.key);
                return Err(Refusal::new(Reason::KeyInUse, detail));
            }
            Some(record) if (&record.name, &record.roles, record.until) == (&name, &self.roles, self.until) => {
                let detail = format!("administrator `{}` is just so already", self.key);
                return Err(Refusal::new(Reason::AlreadyExists, detail));
            }
            Some(record) => record.roles.clone(),
        };
        let put = AdministratorPut { key: self.key, name, before, roles: self.roles.clone(), until: self.until };
        let mut after = state.administrators().clone();
        after.put_from(&put);
        state.keeps_operators(&after)?;
        Ok(put)
    }
}

impl super::AdministratorKeys {
    fn put_from(&mut self, put: &AdministratorPut) {
        // A key that was judged usable is; an event that was recorded cannot fail.
        if let Ok(key) = put.key.usable() {
            let (name, roles) = (put.name.clone(), put.roles.clone());
            self.put(&key.clone(), AdminRecord { key, name, roles, until: put.until, removed: false });
        }
    }
}

impl Apply for AdministratorPut {
    fn apply(&self, state: &mut State, _index: u64) {
        state.claim_key(*self.key.raw(), Administrator::WORD);
        state.administrators.put_from(self);
    }

    fn told(&self) -> String {
        let roles: Vec<&str> = self.roles.iter().map(|role| role.word()).collect();
        let name = self.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let until = self.until.map_or_else(|| "no end".to_owned(), |until| format!("until {until}"));
        format!("administrator {}{name}: {}, {until}", self.key, roles.join(", "))
    }
}
