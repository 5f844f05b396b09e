//! What the state holds, list by list.

use policy::govern::{HostStanding, LinkSlot, State};
use policy::issuer::Standing;
use policy::provider::Subject;
use serde_json::{Map, Value, json};

use super::spelled;

pub(super) fn issuers(state: &State) -> Value {
    let rows = state.issuers().iter().map(|(key, issuer)| {
        let (standing, since) = match issuer.standing {
            Standing::Active => ("active", None),
            Standing::Retired(since) => ("retired", Some(since)),
            Standing::Revoked(since) => ("revoked", Some(since)),
        };
        row([
            ("key", json!(key)),
            ("scope", json!(issuer.scope)),
            ("kinds", json!(issuer.kinds)),
            ("max_lifetime_s", json!(issuer.max_lifetime_s)),
            ("standing", json!(standing)),
            ("since", json!(since)),
        ])
    });
    json!({"issuers": rows.collect::<Vec<_>>()})
}

pub(super) fn contracts(state: &State) -> Value {
    let rows = state.contracts().iter().map(|(package, published)| {
        row([
            ("package", json!(package)),
            ("revision", json!(published.contract.revision)),
            ("sha256", json!(published.sha256)),
            ("withdrawn", json!(published.withdrawn)),
            ("bind", json!(state.defaults().get(package))),
            ("contract", json!(published.contract)),
        ])
    });
    json!({"contracts": rows.collect::<Vec<_>>()})
}

pub(super) fn defaults(state: &State) -> Value {
    let rows = state.defaults().iter().map(|(package, bind)| json!({"package": package, "bind": bind}));
    json!({"defaults": rows.collect::<Vec<_>>()})
}

pub(super) fn components(state: &State) -> Value {
    let rows = state.components().iter().map(|(id, record)| {
        json!({
            "id": id, "subject": record.subject, "sha256": record.sha256, "issuer": record.issuer,
            "imports": record.imports, "exports": record.exports, "retired": record.retired,
        })
    });
    json!({"components": rows.collect::<Vec<_>>()})
}

pub(super) fn providers(state: &State) -> Value {
    let rows = state.providers().iter().map(|(sha256, record)| {
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
    });
    json!({"providers": rows.collect::<Vec<_>>()})
}

pub(super) fn hosts(state: &State) -> Value {
    let hosts = state.hosts().iter().map(|(key, record)| {
        let standing = match record.standing {
            HostStanding::Enrolled => "enrolled",
            HostStanding::Banned => "banned",
        };
        json!({"key": key, "labels": record.labels, "standing": standing, "joined": record.joined})
    });
    let invitations = state
        .invitations()
        .map(|(key, labels, not_after)| json!({"key": key, "labels": labels, "not_after": not_after}));
    json!({"hosts": hosts.collect::<Vec<_>>(), "invitations": invitations.collect::<Vec<_>>()})
}

pub(super) fn links(state: &State) -> Value {
    let rows = state.links().iter().map(|(key, slot)| {
        let record = slot.record();
        let standing = match slot {
            LinkSlot::Live(_) => "live",
            LinkSlot::Tombstone(_) => "removed",
        };
        row([
            ("component", json!(key.component)),
            ("package", json!(key.package)),
            ("name", json!(key.name)),
            ("standing", json!(standing)),
            ("provider", json!(record.provider)),
            ("id", json!(state.providers().get(&record.sha256).map(|provider| &provider.id))),
            ("sha256", json!(record.sha256)),
            ("config_sha256", json!(record.config_sha256)),
            ("revision", json!(record.revision)),
        ])
    });
    json!({"links": rows.collect::<Vec<_>>()})
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
