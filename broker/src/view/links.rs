//! Links as people look at them: page by page, and one with both its ends as agreed and as they are.

use std::ops::Bound;

use policy::artifact::Import;
use policy::digest::Digest;
use policy::govern::{Beside, Departed, LinkKey, LinkRecord, LinkSlot, Now, ProviderRecord, State};
use policy::name::{ComponentId, LinkName, Package};
use policy::reason::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::lists::row;
use super::page::Room;
use super::spelled;

/// Which links are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Those after this one, as the page before named it: `COMPONENT/PACKAGE/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Only this component's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentId>,
    /// Only those of a provider: its id, its subject or its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Only this package's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// Only those that are suspended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
}

pub(super) fn links(state: &State, which: &Which) -> Result<Value, Refusal> {
    let after = which.after.as_deref().map(key).transpose()?;
    let from = match (after, &which.component) {
        (Some(after), _) => Bound::Excluded(after),
        (None, Some(component)) => Bound::Included(LinkKey::before(component.clone())?),
        (None, None) => Bound::Unbounded,
    };
    let of_component = |key: &LinkKey| which.component.as_ref().is_none_or(|only| key.component == *only);
    let mut found = state
        .links()
        .range((from, Bound::Unbounded))
        .take_while(|(key, _)| of_component(key))
        .filter(|(key, slot)| which.means(state, key, slot))
        .peekable();
    let (mut room, mut rows, mut next) = (Room::of(which.limit), Vec::new(), None);
    while let Some((key, slot)) = found.next() {
        let told = short(state, key, slot);
        room.take(&told);
        rows.push(told);
        if room.is_full() {
            next = found.peek().map(|_| key.to_string());
            break;
        }
    }
    Ok(row([("links", json!(rows)), ("next", json!(next))]))
}

impl Which {
    fn means(&self, state: &State, key: &LinkKey, slot: &LinkSlot) -> bool {
        let record = slot.record();
        let is_provider = |wanted: &String| {
            let id = state.providers().get(&record.sha256).map(|provider| provider.id.as_str());
            id == Some(wanted) || record.provider.to_string() == *wanted || record.sha256.to_string() == *wanted
        };
        self.package.as_ref().is_none_or(|only| key.package == *only)
            && self.provider.as_ref().is_none_or(is_provider)
            && (!self.suspended || departed(state, key, slot).is_some())
    }
}

fn key(text: &str) -> Result<LinkKey, Refusal> {
    let mut parts = text.splitn(3, '/');
    let (Some(component), Some(package), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Refusal::new(Reason::NameMalformed, "a page begins after `COMPONENT/PACKAGE/NAME`"));
    };
    Ok(LinkKey {
        component: ComponentId::parse(component)?,
        package: Package::parse(package)?,
        name: LinkName::parse(name)?,
    })
}

// By the component as it was admitted: what runs under its id may be another of its files.
fn departed(state: &State, key: &LinkKey, slot: &LinkSlot) -> Option<Departed> {
    let component = state.components().get(&key.component).map(Now::of_component);
    state.departed(&key.package, slot.live()?, component)
}

fn standing(state: &State, key: &LinkKey, slot: &LinkSlot) -> &'static str {
    match (slot, departed(state, key, slot)) {
        (LinkSlot::Tombstone(_), _) => "removed",
        (LinkSlot::Live(_), Some(_)) => "suspended",
        (LinkSlot::Live(_), None) => "live",
    }
}

fn short(state: &State, key: &LinkKey, slot: &LinkSlot) -> Value {
    let record = slot.record();
    let (sha256, provider) = state.answering(record).map_or((record.sha256, None), |(sha256, it)| (sha256, Some(it)));
    let (prepared, kept) = match record.beside.as_deref() {
        Some(Beside::Prepared(end)) => (Some(end), None),
        Some(Beside::Kept(end)) => (None, Some(end)),
        None => (None, None),
    };
    row([
        ("component", json!(key.component)),
        ("package", json!(key.package)),
        ("name", json!(key.name)),
        ("standing", json!(standing(state, key, slot))),
        ("provider", json!(record.provider)),
        ("id", json!(provider.map(|provider| &provider.id))),
        ("sha256", json!(sha256)),
        ("config_sha256", json!(record.config_sha256)),
        ("pin", json!(record.pin.as_ref().map(ToString::to_string))),
        ("component_pin", json!(record.component_pin.as_ref().map(ToString::to_string))),
        ("prepared", json!(prepared)),
        ("kept", json!(kept)),
        ("revision", json!(record.revision)),
    ])
}

pub(super) fn link(
    state: &State,
    component: &ComponentId,
    package: &Package,
    name: &LinkName,
) -> Result<Value, Refusal> {
    let key = LinkKey { component: component.clone(), package: package.clone(), name: name.clone() };
    let slot = state.links().get(&key);
    let slot = slot.ok_or_else(|| Refusal::new(Reason::NotFound, format!("there is no link `{key}`")))?;
    let (record, runs) = (slot.record(), state.components().get(component).map(Now::of_component));
    let departed = departed(state, &key, slot);
    let mut told = short(state, &key, slot);
    if let Value::Object(members) = &mut told {
        let newest = state.newest(&record.provider).map(|(sha256, _)| sha256);
        let more = row([
            ("newest_sha256", json!(newest)),
            ("component_sha256", json!(runs.map(|runs| runs.sha256))),
            ("why", json!(departed.as_ref().map(ToString::to_string))),
            ("change", departed.map_or(Value::Null, |departed| change(state, record, &departed))),
        ]);
        members.extend(more.as_object().cloned().unwrap_or_default());
    }
    Ok(told)
}

// What was agreed beside what is there.
fn change(state: &State, record: &LinkRecord, departed: &Departed) -> Value {
    match departed {
        Departed::Provider(pin, now) => {
            let old = state.providers().get(&record.sha256);
            let new = state.providers().get(&now.sha256);
            let (was, is) = (serves(old), serves(new));
            let without = |one: &[String], other: &[String]| -> Vec<String> {
                one.iter().filter(|export| !other.contains(export)).cloned().collect()
            };
            row([
                ("end", json!("provider")),
                ("pin", json!(pin.to_string())),
                (
                    "old",
                    json!(
                        old.map(|old| Now::of_provider(record.sha256, old))
                            .map_or_else(|| only(record.sha256), |now| json!(now))
                    ),
                ),
                ("new", json!(now)),
                ("exports_added", json!(without(&is, &was))),
                ("exports_removed", json!(without(&was, &is))),
            ])
        }
        Departed::Component(pin, now) => {
            row([("end", json!("component")), ("pin", json!(pin.to_string())), ("new", json!(now))])
        }
        Departed::Schema(held, demanded) => {
            row([("end", json!("configuration")), ("old", json!(held)), ("new", json!(demanded))])
        }
    }
}

fn only(sha256: Digest) -> Value {
    json!({"sha256": sha256})
}

fn serves(record: Option<&ProviderRecord>) -> Vec<String> {
    let exports = record.map(|record| record.serves.as_slice()).unwrap_or_default();
    exports.iter().map(|export: &Import| spelled(export)).collect()
}
