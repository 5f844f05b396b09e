//! Link an import of a component to exactly one provider.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, LinkKey, LinkRecord, LinkSlot, Now, Pin, ProviderRecord, Published, State};
use crate::contract::Configuration;
use crate::digest::Digest;
use crate::name::{ComponentId, LinkName, Package};
use crate::provider::Subject;
use crate::reason::{Reason, Refusal};

/// Put a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutLink {
    /// The component whose import is answered.
    pub component: ComponentId,
    /// The package.
    pub package: Package,
    /// The link's name.
    pub name: LinkName,
    /// The provider.
    pub provider: Subject,
    /// The one digest of it that may answer.
    pub sha256: Digest,
    /// SHA-256 of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<Digest>,
    /// What the provider must be from now on; without one, these bytes answer whatever else of it is admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// What the component must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_pin: Option<Pin>,
}

/// A link is put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkPut {
    /// The component whose import is answered.
    pub component: ComponentId,
    /// The package.
    pub package: Package,
    /// The link's name.
    pub name: LinkName,
    /// What stood there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<LinkRecord>,
    /// What stands there now.
    pub after: LinkRecord,
}

impl Judge for PutLink {
    type Event = LinkPut;

    fn subject(&self) -> String {
        format!("link {}/{}/{}", self.component, self.package, self.name)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<LinkPut, Refusal> {
        let Self { component, package, name, provider, sha256, config_sha256, pin, component_pin } = self.clone();
        let known =
            state.components.contains_key(&component) || state.providers.values().any(|record| record.id == component);
        if !known {
            return Err(Refusal::new(Reason::ComponentUnknown, format!("nothing was admitted as `{component}`")));
        }
        let record = state.usable(&provider, sha256)?;
        pin.as_ref().map_or(Ok(()), |pin| fits(pin, &Now::of_provider(sha256, record)))?;
        let runs = state.components.get(&component).map(Now::of_component);
        component_pin.as_ref().zip(runs).map_or(Ok(()), |(pin, runs)| fits(pin, &runs))?;
        let published = state.contract_in_force(&package)?;
        configured(published.contract.config, config_sha256, &package)?;
        let checked = case.schemas(config_sha256, published)?;
        self.has_room(state)?;
        let before =
            state.links().get(&LinkKey { component: component.clone(), package: package.clone(), name: name.clone() });
        let revision = before.map_or(1, |slot| slot.record().revision + 1);
        let after =
            LinkRecord { pin, component_pin, checked, ..LinkRecord::new(provider, sha256, config_sha256, revision) };
        let before = before.and_then(LinkSlot::live).cloned();
        if before.as_ref().is_some_and(|before| LinkRecord { revision, ..before.clone() } == after) {
            return Err(Refusal::new(Reason::AlreadyExists, "the link stands as it is"));
        }
        Ok(LinkPut { component, package, name, before, after })
    }
}

// A pin that does not hold what is put would suspend its link at once.
fn fits(pin: &Pin, now: &Now) -> Result<(), Refusal> {
    if pin.holds(now) {
        return Ok(());
    }
    Err(Refusal::new(Reason::LinkSuspended, format!("the pin is {pin}, the end is {now}")))
}

impl State {
    /// A provider that a link may name.
    pub(super) fn usable(&self, provider: &Subject, sha256: Digest) -> Result<&ProviderRecord, Refusal> {
        let record = self.providers.get(&sha256).filter(|record| record.subject == *provider);
        let unknown = || format!("provider `{provider}` with bytes {sha256} is not admitted");
        let record = record.ok_or_else(|| Refusal::new(Reason::ProviderUnknown, unknown()))?;
        if record.retired {
            return Err(Refusal::new(Reason::ProviderRetired, format!("provider `{}` is retired", record.id)));
        }
        Ok(record)
    }

    /// The contract that links for a package need.
    pub(super) fn contract_in_force(&self, package: &Package) -> Result<&Published, Refusal> {
        let found = self.contracts.get(package).filter(|published| !published.withdrawn);
        found.ok_or_else(|| Refusal::new(Reason::ContractUnknown, format!("no contract for `{package}` is published")))
    }
}

impl PutLink {
    fn has_room(&self, state: &State) -> Result<(), Refusal> {
        let unnamed = LinkName::unnamed();
        let others = state.link_names(&self.component, &self.package);
        let others = others.filter(|other| **other != self.name && **other != unnamed).count();
        if self.name == unnamed || others < MAX_NAMES {
            return Ok(());
        }
        let detail =
            format!("`{}` has {others} named links for `{}`, at most {MAX_NAMES}", self.component, self.package);
        Err(Refusal::new(Reason::SchemaMismatch, detail))
    }
}

/// The most links besides `default` that one package of one component may have.
///
/// With as many imports as a start may have, its outcomes are then still an array that the log's reader takes back.
pub const MAX_NAMES: usize = crate::json::MAX_ELEMENTS / crate::question::MAX_IMPORTS - 1;

/// Whether a binding has the configuration that its contract demands.
pub(crate) fn configured(wanted: Configuration, config: Option<Digest>, package: &Package) -> Result<(), Refusal> {
    match (wanted, config) {
        (Configuration::Required, None) => {
            Err(Refusal::new(Reason::ConfigRequired, format!("the contract for `{package}` demands configuration")))
        }
        (Configuration::None, Some(_)) => {
            Err(Refusal::new(Reason::ConfigForbidden, format!("the contract for `{package}` takes no configuration")))
        }
        _ => Ok(()),
    }
}

impl Apply for LinkPut {
    fn apply(&self, state: &mut State, _index: u64) {
        let Self { component, package, name, after, .. } = self.clone();
        state.links_mut().insert(LinkKey { component, package, name }, LinkSlot::Live(after));
    }

    fn told(&self) -> String {
        format!("link {}/{}/{} to {}", self.component, self.package, self.name, self.after.provider)
    }
}
