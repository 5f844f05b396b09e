//! What stands where a link can stand: a link, or the memory of one that was deleted.
//!
//! How links come and go is left to `put_link` and `delete_link`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::name::{ComponentId, LinkName, Package};
use crate::provider::Subject;

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

/// A link: exactly this provider answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRecord {
    /// The provider.
    pub provider: Subject,
    /// The one digest of it that may answer.
    pub sha256: Digest,
    /// SHA-256 of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<Digest>,
    /// Grows with each change.
    pub revision: u64,
}
