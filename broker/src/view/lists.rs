//! What the state holds, list by list.

use policy::govern::{HostStanding, ProviderRecord, State};
use policy::issuer::{Issuer, Standing};
use policy::key::{self, Name};
use policy::provider::Subject;
use policy::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::spelled;

pub(super) fn issuers(state: &State, now: Timestamp) -> Value {
    let rows = state.issuers().iter().map(|(key, issuer)| {
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
            ("delegates", listed(state.issuers().delegates(key))),
            ("components", listed(state.components().iter().filter(|it| it.1.issuer == *key).map(|it| it.0))),
            ("providers", listed(state.providers().values().filter(|it| signed_by(it, key)).map(|it| &it.id))),
            ("contracts", listed(state.contracts().iter().filter(|it| it.1.contract.iss == *key).map(|it| it.0))),
        ])
    });
    json!({"issuers": rows.collect::<Vec<_>>()})
}

// From where it is known that somebody holds its key.
const fn known(issuer: &Issuer) -> &'static str {
    match (issuer.proof, issuer.delegator) {
        (Some(_), _) => "proved",
        (None, Some(_)) => "delegated",
        (None, None) => "vouched",
    }
}

fn signed_by(provider: &ProviderRecord, key: &Name<key::Issuer>) -> bool {
    provider.signed.as_ref().is_some_and(|(issuer, _)| issuer == key)
}

// Nothing, where there is nothing to list.
fn listed<T: Serialize>(items: impl Iterator<Item = T>) -> Value {
    let items: Vec<T> = items.collect();
    if items.is_empty() { Value::Null } else { json!(items) }
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
