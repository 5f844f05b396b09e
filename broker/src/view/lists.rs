//! What the state holds, list by list.

use std::collections::BTreeMap;

use policy::digest::Digest;
use policy::govern::{HostStanding, State};
use policy::issuer::{Issuer, Standing};
use policy::key::{self, Name};
use policy::name::{ComponentId, Package};
use policy::provider::Subject;
use policy::reason::Refusal;
use policy::relax::Weakening;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::page::{NEXT, Page};
use super::{Scene, inventory, spelled};

pub(super) fn issuers(scene: Scene<'_>, page: &Page) -> Result<Value, Refusal> {
    let (state, now) = (scene.state, scene.now);
    let (accepted, bound) = (Accepted::of(state), scene.present.map(|_| inventory::bound(scene)));
    page.of("issuers", state.issuers().iter(), Name::parse, |key, issuer| {
        // An end that lies ahead leaves it what it is until then.
        let ended = issuer.end().filter(|end| *end <= now);
        let (standing, since) = match (issuer.standing, ended) {
            (Standing::Revoked(since), _) => ("revoked", Some(since)),
            (_, Some(since)) => ("retired", Some(since)),
            (Standing::Prepared, None) => ("prepared", None),
            (Standing::Active | Standing::Retired(_), None) => ("active", None),
        };
        row([
            ("key", json!(key)),
            ("scope", json!(issuer.scope)),
            ("kinds", json!(issuer.kinds)),
            ("max_lifetime_s", json!(issuer.max_lifetime_s)),
            ("standing", json!(standing)),
            ("since", json!(since)),
            ("end", json!(issuer.end().filter(|_| since.is_none()))),
            ("known", json!(known(issuer))),
            ("proof_sha256", json!(issuer.proof)),
            ("succeeds", json!(issuer.succeeds)),
            ("delegator", json!(issuer.delegator)),
            ("delegates", listed(accepted.delegates.get(key))),
            ("components", listed(accepted.components.get(key))),
            ("providers", listed(accepted.providers.get(key))),
            ("contracts", listed(accepted.contracts.get(key))),
            ("reprieved", reprieved(scene, key)),
            ("bound", json!(bound.as_ref().map(|bound| bound.get(key).copied().unwrap_or_default()))),
        ])
    })
}

// Which of its files count though it was revoked, and until when.
fn reprieved(scene: Scene<'_>, key: &Name<key::Issuer>) -> Value {
    let stand = scene.state.relaxations().iter().filter(|(_, it)| it.stands(scene.now));
    let files = stand.filter_map(|(id, it)| match &it.kind {
        Weakening::Reprieve { sha256, issuer } if issuer == key => {
            Some(json!({"sha256": sha256, "relaxation": id, "end": it.until}))
        }
        _ => None,
    });
    let files: Vec<Value> = files.collect();
    if files.is_empty() { Value::Null } else { json!(files) }
}

// What was accepted under each issuer, found in one walk.
#[derive(Default)]
struct Accepted<'a> {
    delegates: BTreeMap<Name<key::Issuer>, Vec<&'a Name<key::Issuer>>>,
    components: BTreeMap<Name<key::Issuer>, Vec<&'a ComponentId>>,
    providers: BTreeMap<Name<key::Issuer>, Vec<&'a ComponentId>>,
    contracts: BTreeMap<Name<key::Issuer>, Vec<&'a Package>>,
}

impl<'a> Accepted<'a> {
    fn of(state: &'a State) -> Self {
        let mut found = Self::default();
        for (key, delegator) in state.issuers().iter().filter_map(|(key, issuer)| Some((key, issuer.delegator?))) {
            found.delegates.entry(delegator).or_default().push(key);
        }
        for (id, record) in state.components() {
            found.components.entry(record.issuer).or_default().push(id);
        }
        for (record, by) in state.providers().values().filter_map(|it| Some((it, it.signed.as_ref()?.0))) {
            found.providers.entry(by).or_default().push(&record.id);
        }
        for (package, published) in state.contracts() {
            found.contracts.entry(published.contract.iss).or_default().push(package);
        }
        found
    }
}

// From where it is known that somebody holds its key.
const fn known(issuer: &Issuer) -> &'static str {
    match (issuer.proof, issuer.delegator) {
        (Some(_), _) => "proved",
        (None, Some(_)) => "delegated",
        (None, None) => "vouched",
    }
}

// Nothing, where there is nothing to list. A row must not grow without end: who wants all of them asks for that list.
fn listed<T: Serialize>(items: Option<&Vec<T>>) -> Value {
    items.map_or(Value::Null, |items| json!(items.get(..MOST_NAMED).unwrap_or(items)))
}

pub(super) fn contracts(state: &State, page: &Page) -> Result<Value, Refusal> {
    page.of("contracts", state.contracts().iter(), Package::parse, |package, published| {
        row([
            ("package", json!(package)),
            ("revision", json!(published.contract.revision)),
            ("sha256", json!(published.sha256)),
            ("withdrawn", json!(published.withdrawn)),
            ("bind", json!(state.defaults().get(package))),
            ("contract", json!(published.contract)),
        ])
    })
}

pub(super) fn defaults(state: &State) -> Value {
    let rows = state.defaults().iter().map(|(package, bind)| json!({"package": package, "bind": bind}));
    json!({"defaults": rows.collect::<Vec<_>>()})
}

pub(super) fn components(state: &State, page: &Page) -> Result<Value, Refusal> {
    page.of("components", state.components().iter(), ComponentId::parse, |id, record| {
        json!({
            "id": id, "subject": record.subject, "sha256": record.sha256, "issuer": record.issuer,
            "imports": record.imports, "exports": record.exports, "retired": record.retired,
        })
    })
}

pub(super) fn providers(state: &State, page: &Page) -> Result<Value, Refusal> {
    page.of("providers", state.providers().iter(), Digest::parse, |sha256, record| {
        let signed = record.signed.as_ref();
        row([
            ("id", json!(record.id)),
            ("subject", json!(record.subject)),
            ("sha256", json!(sha256)),
            ("issuer", json!(signed.map(|(issuer, _)| issuer))),
            ("exp", json!(signed.and_then(|(_, validity)| validity.exp))),
            ("rev", json!(record.rev)),
            ("serves", json!(record.serves)),
            ("capid", json!(record.capid)),
            ("source", json!(record.source)),
            ("retired", json!(record.retired)),
        ])
    })
}

pub(super) fn hosts(state: &State, page: &Page) -> Result<Value, Refusal> {
    let mut told = page.of("hosts", state.hosts().iter(), Name::parse, |key, record| {
        let standing = match record.standing {
            HostStanding::Enrolled => "enrolled",
            HostStanding::Banned => "banned",
        };
        json!({"key": key, "labels": record.labels, "standing": standing, "joined": record.joined})
    })?;
    let invitations = state
        .invitations()
        .take(MOST_INVITED)
        .map(|(key, labels, not_after)| json!({"key": key, "labels": labels, "not_after": not_after}));
    // They stand on the last page.
    if let Some(members) = told.as_object_mut().filter(|members| !members.contains_key(NEXT)) {
        members.insert("invitations".to_owned(), invitations.collect());
    }
    Ok(told)
}

// How one provider is told wherever it is offered.
pub(super) fn offered(state: &State, subject: &Subject, sha256: policy::digest::Digest) -> Value {
    let record = state.providers().get(&sha256).filter(|record| record.subject == *subject);
    let serves = record.map(|record| record.serves.iter().map(spelled).collect::<Vec<_>>());
    row([
        ("subject", json!(subject)),
        ("sha256", json!(sha256)),
        ("admitted", json!(record.is_some_and(|record| !record.retired))),
        ("id", json!(record.map(|record| &record.id))),
        ("serves", json!(serves)),
    ])
}

// An object without the members that have no value: a null has no meaning in our documents.
pub(super) fn row<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

// The most names of a kind that stand beside one issuer.
const MOST_NAMED: usize = 1000;
// The most invitations that are told.
const MOST_INVITED: usize = 1000;
