//! The form of an outcome on the wire: flat, with either `by` and its kin or `reason`.

use serde::{Deserialize, Serialize};

use super::{Grant, Outcome};
use crate::digest::Digest;
use crate::name::{ComponentId, LinkName, Package, Version};
use crate::provider::Subject;
use crate::reason::{Reason, Refusal};
use crate::resolve::By;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wire {
    package: Package,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    link: LinkName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<By>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<ComponentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<Subject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config_sha256: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wire: Option<Held>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

// How the wire of a binding is held.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Held {
    InProcess,
}

impl From<Outcome> for Wire {
    fn from(outcome: Outcome) -> Self {
        let Outcome { package, version, link, grant } = outcome;
        let bare = Self {
            package,
            version,
            link,
            by: None,
            id: None,
            provider: None,
            sha256: None,
            revision: None,
            config_sha256: None,
            wire: None,
            reason: None,
        };
        match grant {
            Ok(Grant { by, id, provider, sha256, revision, config_sha256 }) => Self {
                by: Some(by),
                id: Some(id),
                provider: Some(provider),
                sha256: Some(sha256),
                revision,
                config_sha256,
                wire: Some(Held::InProcess),
                ..bare
            },
            Err(reason) => Self { reason: Some(reason), ..bare },
        }
    }
}

impl TryFrom<Wire> for Outcome {
    type Error = Refusal;
    fn try_from(wire: Wire) -> Result<Self, Refusal> {
        let Wire { package, version, link, by, id, provider, sha256, revision, config_sha256, wire, reason } = wire;
        let grant = match (by, id, provider, sha256, wire, reason) {
            (Some(by), Some(id), Some(provider), Some(sha256), Some(Held::InProcess), None) => {
                Ok(Grant { by, id, provider, sha256, revision, config_sha256 })
            }
            (None, None, None, None, None, Some(reason)) if revision.is_none() && config_sha256.is_none() => {
                Err(reason)
            }
            _ => return Err(Refusal::new(Reason::SchemaMismatch, "an outcome is a grant or a reason, whole")),
        };
        Ok(Self { package, version, link, grant })
    }
}
