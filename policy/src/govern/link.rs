//! What stands where a link can stand: a link with both its ends, or the memory of one that was deleted.
//!
//! How links come and go is left to `put_link`, `switch_link`, `accept_link` and `delete_link`; what an end must be to
//! `pin`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pin::{Pin, Schemas};
use crate::digest::Digest;
use crate::name::{ComponentId, LinkName, Package};
use crate::provider::Subject;
use crate::reason::Refusal;

/// Which import of which component a link answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkKey {
    /// The component.
    pub component: ComponentId,
    /// The package.
    pub package: Package,
    /// The link's name.
    pub name: LinkName,
}

impl LinkKey {
    /// A key that sorts before every link of a component: where a range over them starts.
    ///
    /// # Errors
    /// None; it is a name's own check.
    pub fn before(component: ComponentId) -> Result<Self, Refusal> {
        Ok(Self { component, package: Package::parse("a:a")?, name: LinkName::first() })
    }
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.component, self.package, self.name)
    }
}

/// What stands where a link can stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkSlot {
    /// A link.
    Live(LinkRecord),
    /// A link was deleted here, and nobody accepted the default in its place (T45).
    Tombstone(LinkRecord),
}

impl LinkSlot {
    /// What stands or stood here.
    pub const fn record(&self) -> &LinkRecord {
        match self {
            Self::Live(record) | Self::Tombstone(record) => record,
        }
    }

    /// The link, where one stands.
    pub const fn live(&self) -> Option<&LinkRecord> {
        match self {
            Self::Live(record) => Some(record),
            Self::Tombstone(_) => None,
        }
    }
}

/// A link: exactly this provider answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRecord {
    /// The provider.
    pub provider: Subject,
    /// The digest of it that was agreed on.
    pub sha256: Digest,
    /// SHA-256 of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<Digest>,
    /// Grows with each change.
    pub revision: u64,
    /// What the provider must be; without one, these bytes answer whatever else of it is admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// What the component must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_pin: Option<Pin>,
    /// The schemas that its configuration was held to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Schemas>,
    /// The other end of a switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Box<Beside>>,
}

/// The provider's end of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The provider.
    pub provider: Subject,
    /// The digest of it that was agreed on.
    pub sha256: Digest,
    /// SHA-256 of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<Digest>,
    /// What the provider must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// The schemas that its configuration was held to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Schemas>,
}

/// The other end of a switch: it answers nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beside {
    /// It was verified and waits to answer.
    Prepared(End),
    /// It answered before, and may again.
    Kept(End),
}

impl Beside {
    /// The end, whatever it waits for.
    pub const fn end(&self) -> &End {
        match self {
            Self::Prepared(end) | Self::Kept(end) => end,
        }
    }
}

impl LinkRecord {
    /// A link to these bytes, whatever else of the provider is admitted.
    pub const fn new(provider: Subject, sha256: Digest, config_sha256: Option<Digest>, revision: u64) -> Self {
        Self { provider, sha256, config_sha256, revision, pin: None, component_pin: None, checked: None, beside: None }
    }

    /// The end that answers.
    pub fn end(&self) -> End {
        let Self { provider, sha256, config_sha256, pin, checked, .. } = self.clone();
        End { provider, sha256, config_sha256, pin, checked }
    }

    /// The next revision of it, answered by that end, with the other beside.
    pub(super) fn answered_by(&self, end: End, beside: Option<Beside>) -> Self {
        let End { provider, sha256, config_sha256, pin, checked } = end;
        let (revision, component_pin) = (self.revision + 1, self.component_pin.clone());
        let beside = beside.map(Box::new);
        Self { provider, sha256, config_sha256, revision, pin, component_pin, checked, beside }
    }
}
