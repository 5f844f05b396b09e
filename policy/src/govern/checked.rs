//! Whether a configuration fits its schemas: found by the broker, recorded as its word, so that replay needs no engine.
//!
//! How it is found, and where the values are, is left to the broker; here are only digests (T48).

use serde::{Deserialize, Serialize};

use super::{Case, LinkKey, Operation, Published, Schemas, Stage, State};
use crate::digest::Digest;
use crate::name::Package;
use crate::reason::{Reason, Refusal};

/// What the broker found of the configuration of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    /// The number of the operation in its command, from 0.
    pub operation: u64,
    /// The schemas that it was held to.
    pub schemas: Schemas,
    /// Why it does not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The sentence for the administrator; it holds no value of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What has to be found out: whether these values fit this package and this provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The package.
    pub package: Package,
    /// SHA-256 of the provider's bytes.
    pub provider_sha256: Digest,
    /// SHA-256 of the configuration.
    pub config_sha256: Digest,
}

impl Checked {
    pub(super) fn of(found: &[Self], number: usize) -> Option<&Self> {
        found.iter().find(|checked| usize::try_from(checked.operation) == Ok(number))
    }
}

impl Operation {
    /// The configuration that it would put into force, if any.
    pub fn configured(&self, state: &State) -> Option<Configured> {
        let (package, provider_sha256, config_sha256) = match self {
            Self::PutLink(put) => (&put.package, put.sha256, put.config_sha256),
            Self::SwitchLink(switch) => match &switch.stage {
                Stage::Prepare(target) => (&switch.package, target.sha256, target.config_sha256),
                Stage::CutOver | Stage::Rollback | Stage::Retire => return None,
            },
            Self::AcceptLink(accept) => {
                let (component, name) = (accept.component.clone(), accept.name.clone());
                let key = LinkKey { component, package: accept.package.clone(), name };
                let link = state.links().get(&key)?.record();
                (&accept.package, accept.provider_sha256, link.config_sha256)
            }
            _ => return None,
        };
        Some(Configured { package: package.clone(), provider_sha256, config_sha256: config_sha256? })
    }
}

impl Case<'_> {
    /// The same, for the operation of that number.
    pub(super) fn of(&self, number: usize) -> Self {
        Self { checked: Checked::of(self.found, number), ..*self }
    }

    /// The schemas that a configuration was held to; none where nobody looked, as in a log from before anybody did.
    pub(super) fn schemas(&self, config: Option<Digest>, published: &Published) -> Result<Option<Schemas>, Refusal> {
        let Some(checked) = self.checked.filter(|_| config.is_some()) else {
            return Ok(None);
        };
        if let Some(reason) = checked.reason {
            return Err(Refusal::new(reason, checked.detail.clone().unwrap_or_default()));
        }
        // The contract may have changed between the look and the judgement.
        if checked.schemas.contract != published.contract.config_schema_sha256 {
            return Err(Refusal::new(Reason::Superseded, "the contract has got another schema meanwhile"));
        }
        Ok(Some(checked.schemas))
    }
}
