//! Accept the ends of a suspended link as they are now: the act that lifts a suspension, as a new revision.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, LinkKey, LinkRecord, LinkSlot, Now, Pin, State};
use crate::digest::Digest;
use crate::name::{ComponentId, LinkName, Package};
use crate::reason::{Reason, Refusal};

/// Accept the ends of a link as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptLink {
    /// The component whose import it answers.
    pub component: ComponentId,
    /// The package.
    pub package: Package,
    /// The link's name.
    pub name: LinkName,
    /// The provider's bytes that the administrator looked at; others are not accepted.
    pub provider_sha256: Digest,
    /// The component's bytes that the administrator looked at; a pin on it moves to no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_sha256: Option<Digest>,
}

/// The ends of a link are accepted as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkAccepted {
    /// The component whose import it answers.
    pub component: ComponentId,
    /// The package.
    pub package: Package,
    /// The link's name.
    pub name: LinkName,
    /// What stood there.
    pub before: LinkRecord,
    /// What stands there now.
    pub after: LinkRecord,
}

impl Judge for AcceptLink {
    type Event = LinkAccepted;

    fn subject(&self) -> String {
        format!("link {}/{}/{}", self.component, self.package, self.name)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<LinkAccepted, Refusal> {
        let Self { component, package, name, .. } = self.clone();
        let key = LinkKey { component: component.clone(), package: package.clone(), name: name.clone() };
        let before = state.live_link(&key)?.clone();
        let runs = state.components.get(&component).map(Now::of_component);
        let after = state.accepted(&before, runs);
        if after.sha256 != self.provider_sha256 {
            let detail = format!("the provider's newest bytes are {}, not {}", after.sha256, self.provider_sha256);
            return Err(Refusal::new(Reason::Superseded, detail));
        }
        if let Some(runs) = runs.filter(|_| before.component_pin.is_some() && self.is_blind(state)) {
            let detail =
                format!("`component_sha256` is missing: the component was admitted with bytes {}", runs.sha256);
            return Err(Refusal::new(Reason::SchemaMismatch, detail));
        }
        if let Some((seen, runs)) = self.component_sha256.zip(runs).filter(|(seen, runs)| runs.sha256 != *seen) {
            let detail = format!("the component was admitted with bytes {}, not {seen}", runs.sha256);
            return Err(Refusal::new(Reason::Superseded, detail));
        }
        state.usable(&after.provider, after.sha256)?;
        let checked = case.schemas(after.config_sha256, state.contract_in_force(&package)?)?;
        let after = LinkRecord { checked, ..after };
        if (LinkRecord { revision: before.revision, ..after.clone() }) == before {
            return Err(Refusal::new(Reason::AlreadyExists, format!("link `{key}` is not suspended")));
        }
        Ok(LinkAccepted { component, package, name, before, after })
    }
}

impl AcceptLink {
    // Whether it names no bytes of the component, under a law that asks for them.
    const fn is_blind(&self, state: &State) -> bool {
        self.component_sha256.is_none() && state.law() >= NAMED_SINCE
    }
}

impl State {
    /// The link that stands at a place.
    pub(super) fn live_link(&self, key: &LinkKey) -> Result<&LinkRecord, Refusal> {
        match self.links().get(key) {
            Some(LinkSlot::Live(record)) => Ok(record),
            Some(LinkSlot::Tombstone(_)) => {
                Err(Refusal::new(Reason::LinkRemoved, format!("link `{key}` is deleted; put it again")))
            }
            None => Err(Refusal::new(Reason::NotFound, format!("there is no link `{key}`"))),
        }
    }

    /// The next revision of a link, its ends and pins as those are now.
    pub(crate) fn accepted(&self, link: &LinkRecord, component: Option<Now>) -> LinkRecord {
        let newest = self.newest(&link.provider).filter(|_| link.pin.is_some());
        let now = newest.map(|(sha256, record)| Now::of_provider(sha256, record));
        let moved = |pin: &Option<Pin>, now: Option<Now>| {
            pin.as_ref().map(|pin| now.map_or_else(|| pin.clone(), |now| pin.moved(&now)))
        };
        LinkRecord {
            sha256: now.map_or(link.sha256, |now| now.sha256),
            pin: moved(&link.pin, now),
            component_pin: moved(&link.component_pin, component),
            revision: link.revision + 1,
            ..link.clone()
        }
    }
}

impl Apply for LinkAccepted {
    fn apply(&self, state: &mut State, _index: u64) {
        let Self { component, package, name, after, .. } = self.clone();
        state.links_mut().insert(LinkKey { component, package, name }, LinkSlot::Live(after));
    }

    fn told(&self) -> String {
        let Self { component, package, name, after, .. } = self;
        format!("link {component}/{package}/{name} accepted with {}", after.sha256)
    }
}

const NAMED_SINCE: u64 = 4;
