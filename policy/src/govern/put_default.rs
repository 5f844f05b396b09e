//! Say what answers a package where no link does.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State};
use crate::name::Package;
use crate::reason::{Reason, Refusal};

/// What answers where no link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bind {
    /// Nothing: the same as no default, but said.
    Never,
    /// The one admitted builtin of the host that serves it.
    Builtin,
    /// The one admitted provider that serves it.
    SoleProvider,
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::Builtin => "builtin",
            Self::SoleProvider => "sole-provider",
        })
    }
}

/// Put a lattice's default for a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutDefault {
    /// The package.
    pub package: Package,
    /// What answers it.
    pub bind: Bind,
    /// Whether every host must offer the same builtin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uniform: bool,
}

/// A default is put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultPut {
    /// The package.
    pub package: Package,
    /// What answered it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Bind>,
    /// What answers it now.
    pub bind: Bind,
}

impl Judge for PutDefault {
    type Event = DefaultPut;

    fn subject(&self) -> String {
        format!("default {}", self.package)
    }

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<DefaultPut, Refusal> {
        if self.uniform || self.bind == Bind::SoleProvider {
            let detail = "`uniform` and `sole-provider` are not supported yet";
            return Err(Refusal::new(Reason::NotSupportedYet, detail));
        }
        let package = &self.package;
        let Some(published) = state.contracts.get(package).filter(|published| !published.withdrawn) else {
            return Err(Refusal::new(Reason::ContractUnknown, format!("no contract for `{package}` is published")));
        };
        if self.bind != Bind::Never && !published.contract.defaultable {
            return Err(Refusal::new(
                Reason::NotDefaultable,
                format!("the contract for `{package}` is not defaultable"),
            ));
        }
        let before = state.defaults.get(package).copied();
        if before == Some(self.bind) {
            return Err(Refusal::new(
                Reason::AlreadyExists,
                format!("the default for `{package}` is `{}` already", self.bind),
            ));
        }
        Ok(DefaultPut { package: package.clone(), before, bind: self.bind })
    }
}

impl Apply for DefaultPut {
    fn apply(&self, state: &mut State, _index: u64) {
        state.defaults.insert(self.package.clone(), self.bind);
    }

    fn told(&self) -> String {
        format!("default of {} is {}", self.package, self.bind)
    }
}
