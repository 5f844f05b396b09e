//! Delete a link. A tombstone stays, so that no default takes over unless somebody says so (T45).

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, LinkKey, LinkRecord, LinkSlot, State};
use crate::name::{ComponentId, LinkName, Package};
use crate::reason::{Reason, Refusal};
use crate::withdrawal::{Ground, Running, told};

/// Delete a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteLink {
    /// The component whose import it answers.
    pub component: ComponentId,
    /// The package.
    pub package: Package,
    /// The link's name.
    pub name: LinkName,
    /// Whether the lattice's default may answer from now on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_default: bool,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// A link is deleted, or its tombstone lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkDeleted {
    /// The component whose import it answered.
    pub component: ComponentId,
    /// The package.
    pub package: Package,
    /// The link's name.
    pub name: LinkName,
    /// What stood there.
    pub before: LinkRecord,
    /// Whether the lattice's default may answer from now on.
    pub accept_default: bool,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

impl Judge for DeleteLink {
    type Event = LinkDeleted;

    fn subject(&self) -> String {
        format!("link {}/{}/{}", self.component, self.package, self.name)
    }

    // Accepting the default lets something else answer: that is no narrowing.
    fn narrows(&self) -> bool {
        !self.accept_default
    }

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<LinkDeleted, Refusal> {
        let Self { component, package, name, accept_default, running } = self.clone();
        let key = LinkKey { component: component.clone(), package: package.clone(), name: name.clone() };
        let before = match state.links().get(&key) {
            None => return Err(Refusal::new(Reason::NotFound, format!("there is no link `{key}`"))),
            Some(LinkSlot::Tombstone(_)) if !accept_default => {
                return Err(Refusal::new(Reason::AlreadyExists, format!("link `{key}` is deleted already")));
            }
            Some(slot) => slot.record().clone(),
        };
        Ok(LinkDeleted { component, package, name, before, accept_default, running })
    }
}

impl Apply for LinkDeleted {
    fn apply(&self, state: &mut State, index: u64) {
        let Self { component, package, name, before, accept_default, running } = self.clone();
        let key = LinkKey { component, package, name };
        state.withdraw(Ground::Link(key.clone()), running, index);
        if accept_default {
            state.links_mut().remove(&key);
        } else {
            state.links_mut().insert(key, LinkSlot::Tombstone(before));
        }
    }

    fn narrows(&self) -> bool {
        !self.accept_default
    }

    fn told(&self) -> String {
        let accepted = if self.accept_default { ", its default accepted" } else { "" };
        format!("link {}/{}/{} deleted{accepted}{}", self.component, self.package, self.name, told(self.running))
    }
}
