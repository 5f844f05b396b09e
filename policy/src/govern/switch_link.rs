//! Switch a link from one provider to another in stages, each an event of its own that can be gone back on.
//!
//! Prepare: the new end is judged by the very rules of a start, and waits. Cut over: it answers, the old one is kept.
//! Roll back: the old one answers again. Retire: whichever does not answer is let go.

use serde::{Deserialize, Serialize};

use super::put_link::configured;
use super::{Apply, Beside, Case, End, Judge, LinkKey, LinkRecord, LinkSlot, Now, Pin, State};
use crate::artifact::Import;
use crate::decide::supposed_to_answer;
use crate::digest::Digest;
use crate::name::{ComponentId, LinkName, Package};
use crate::provider::{Subject, serves};
use crate::reason::{Reason, Refusal};

/// Move a link one stage further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchLink {
    /// The component whose import it answers.
    pub component: ComponentId,
    /// The package.
    pub package: Package,
    /// The link's name.
    pub name: LinkName,
    /// The stage.
    pub stage: Stage,
}

/// A stage of a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// This end is verified and waits.
    Prepare(Target),
    /// The end that waits answers; the other is kept.
    CutOver,
    /// The end that was kept answers again; the other waits.
    Rollback,
    /// The end that does not answer is let go.
    Retire,
}

/// The end that a link is switched to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The provider.
    pub provider: Subject,
    /// The digest of it.
    pub sha256: Digest,
    /// SHA-256 of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<Digest>,
    /// What the provider must be from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
}

/// A link moved one stage further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSwitched {
    /// The component whose import it answers.
    pub component: ComponentId,
    /// The package.
    pub package: Package,
    /// The link's name.
    pub name: LinkName,
    /// Which stage it was.
    pub stage: Staged,
    /// What stood there.
    pub before: LinkRecord,
    /// What stands there now.
    pub after: LinkRecord,
}

/// The word for a stage that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Staged {
    /// See [`Stage::Prepare`].
    Prepared,
    /// See [`Stage::CutOver`].
    CutOver,
    /// See [`Stage::Rollback`].
    RolledBack,
    /// See [`Stage::Retire`].
    Retired,
}

impl Judge for SwitchLink {
    type Event = LinkSwitched;

    fn subject(&self) -> String {
        format!("link {}/{}/{}", self.component, self.package, self.name)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<LinkSwitched, Refusal> {
        let Self { component, package, name, stage } = self.clone();
        let key = LinkKey { component: component.clone(), package: package.clone(), name: name.clone() };
        let before = state.live_link(&key)?.clone();
        let beside = before.beside.as_deref().cloned();
        let nothing = |what: &str| Err(Refusal::new(Reason::NotFound, format!("link `{key}` has no end that {what}")));
        let (stage, after) = match (stage, beside) {
            (Stage::Prepare(target), _) => {
                let end = state.prepared(&key, &before, target, case)?;
                (Staged::Prepared, before.answered_by(before.end(), Some(Beside::Prepared(end))))
            }
            (Stage::CutOver, Some(Beside::Prepared(end))) => {
                // Time may have passed since it was prepared.
                state.may_answer(&key, &before, &end, case)?;
                (Staged::CutOver, before.answered_by(end, Some(Beside::Kept(before.end()))))
            }
            (Stage::CutOver, _) => return nothing("was prepared; `countersign link switch ID PACKAGE --to PROVIDER`"),
            (Stage::Rollback, Some(Beside::Kept(end))) => {
                (Staged::RolledBack, before.answered_by(end, Some(Beside::Prepared(before.end()))))
            }
            (Stage::Rollback, _) => return nothing("answered before"),
            (Stage::Retire, Some(_)) => (Staged::Retired, before.answered_by(before.end(), None)),
            (Stage::Retire, None) => return nothing("does not answer"),
        };
        Ok(LinkSwitched { component, package, name, stage, before, after })
    }
}

impl State {
    fn prepared(&self, key: &LinkKey, link: &LinkRecord, target: Target, case: &Case<'_>) -> Result<End, Refusal> {
        let Target { provider, sha256, config_sha256, pin } = target;
        if provider == link.provider && sha256 == link.sha256 && config_sha256 == link.config_sha256 {
            return Err(Refusal::new(Reason::AlreadyExists, format!("link `{key}` is answered by it already")));
        }
        let published = self.contract_in_force(&key.package)?;
        configured(published.contract.config, config_sha256, &key.package)?;
        let checked = case.schemas(config_sha256, published)?;
        let end = End { provider, sha256, config_sha256, pin, checked };
        self.may_answer(key, link, &end, case)?;
        Ok(end)
    }

    // By the rules of a start, on what was admitted as the component: nothing that would be refused is cut over to.
    fn may_answer(&self, key: &LinkKey, link: &LinkRecord, end: &End, case: &Case<'_>) -> Result<(), Refusal> {
        let record = self.usable(&end.provider, end.sha256)?;
        let now = Now::of_provider(end.sha256, record);
        if let Some(pin) = end.pin.as_ref().filter(|pin| !pin.holds(&now)) {
            return Err(Refusal::new(Reason::LinkSuspended, format!("the pin is {pin}, the end is {now}")));
        }
        let component = self.components.get(&key.component);
        let of_package = |imports: &[Import]| serves(imports, &key.package).cloned().collect::<Vec<_>>();
        let imports = component.map(|component| of_package(&component.imports)).unwrap_or_default();
        // Where state does not know what is imported, what the provider serves of it stands for that.
        let imports = if imports.is_empty() { of_package(&record.serves) } else { imports };
        if imports.is_empty() {
            let detail = format!("provider `{}` serves no `{}` that can be read", record.id, key.package);
            return Err(Refusal::new(Reason::ProviderVersion, detail));
        }
        let supposed = LinkRecord { component_pin: None, ..link.answered_by(end.clone(), None) };
        supposed_to_answer(self, key, imports, &supposed, case.now)
    }
}

impl Apply for LinkSwitched {
    fn apply(&self, state: &mut State, _index: u64) {
        let Self { component, package, name, after, .. } = self.clone();
        state.links_mut().insert(LinkKey { component, package, name }, LinkSlot::Live(after));
    }

    fn told(&self) -> String {
        let Self { component, package, name, before, after, .. } = self;
        let of = |record: &LinkRecord| {
            record.beside.as_ref().map(|beside| beside.end().provider.to_string()).unwrap_or_default()
        };
        let what = match self.stage {
            Staged::Prepared => format!("prepared for {}", of(after)),
            Staged::CutOver => format!("cut over to {}", after.provider),
            Staged::RolledBack => format!("rolled back to {}", after.provider),
            Staged::Retired => format!("lets {} go", of(before)),
        };
        format!("link {component}/{package}/{name} {what}")
    }
}
