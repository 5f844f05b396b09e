//! Retire a provider: it answers nothing new.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State};
use crate::digest::Digest;
use crate::reason::{Reason, Refusal};
use crate::withdrawal::{Ground, Running, told};

/// Retire a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetireProvider {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// A provider is retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderRetired {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

impl Judge for RetireProvider {
    type Event = ProviderRetired;

    fn subject(&self) -> String {
        format!("provider {}", self.sha256)
    }

    fn narrows(&self) -> bool {
        true
    }

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<ProviderRetired, Refusal> {
        match state.providers.get(&self.sha256) {
            None => Err(Refusal::new(Reason::ProviderUnknown, format!("no provider {} was admitted", self.sha256))),
            Some(record) if record.retired => {
                Err(Refusal::new(Reason::AlreadyExists, format!("provider `{}` is retired already", record.id)))
            }
            Some(_) => Ok(ProviderRetired { sha256: self.sha256, running: self.running }),
        }
    }
}

impl Apply for ProviderRetired {
    fn apply(&self, state: &mut State, index: u64) {
        state.withdraw(Ground::Provider(self.sha256), self.running, index);
        if let Some(record) = state.providers.get_mut(&self.sha256) {
            record.retired = true;
        }
    }

    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        format!("provider {} retired{}", self.sha256, told(self.running))
    }
}
