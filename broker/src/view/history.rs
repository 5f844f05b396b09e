//! The log as people read it: the newest entries, and what became of the links of one component.

use policy::decide::Outcome;
use policy::govern::Event;
use policy::log::{Body, Entry, Judged, Ruled, leaf_hash};
use policy::name::ComponentId;
use serde_json::{Value, json};

use super::Scene;
use super::lists::row;
use crate::error::Error;

/// The most entries of one look.
const MOST: u64 = 1000;

pub(super) async fn tail(scene: Scene<'_>, from: Option<u64>, most: u64) -> Result<Value, Error> {
    let most = most.min(MOST);
    let mut next = from.unwrap_or_else(|| scene.head.size.saturating_sub(most));
    let end = next.saturating_add(most).min(scene.head.size);
    let mut told = Vec::new();
    while next < end {
        for row in scene.page(next, end).await? {
            told.push(tell(&Entry::read(&row.bytes)?, &row.bytes));
            next = row.index + 1;
        }
    }
    Ok(json!({"entries": told, "next": next}))
}

/// One entry, with its hash and what it says in short.
pub(super) fn tell(entry: &Entry, bytes: &[u8]) -> Value {
    let (kind, summary) = (entry.body.kind(), summary(&entry.body));
    let mut told = row([
        ("index", json!(entry.index)),
        ("entry_sha256", json!(leaf_hash(bytes))),
        ("at", json!(entry.at_ms / 1000)),
        ("epoch", json!(entry.epoch)),
        ("law", json!(entry.law)),
        ("kind", json!(kind)),
        ("summary", json!(summary)),
    ]);
    if let (Value::Object(told), Body::Governance(judged) | Body::Refusal(judged)) = (&mut told, &entry.body) {
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                told.insert(name.to_owned(), value);
            }
        };
        put("by", json!(judged.by));
        put("id", json!(judged.id));
        put("because", json!(judged.because));
        put("reason", json!(judged.reason));
        put("detail", json!(judged.detail));
        put("events", if judged.events.is_empty() { Value::Null } else { json!(judged.events) });
    }
    told
}

fn summary(body: &Body) -> String {
    match body {
        Body::Inception(inception) => format!("lattice `{}` began", inception.lattice),
        Body::Governance(judged) => joined(judged.events.iter().map(Event::told)),
        Body::Refusal(judged) => refused(judged),
        Body::Ruling(ruled) => ruling(ruled),
        Body::Door(counts) => {
            let counts = counts.iter().map(|(reason, count)| format!("{count} x {reason}"));
            format!("turned away at the door: {}", joined(counts))
        }
    }
}

fn refused(judged: &Judged) -> String {
    let what = if judged.by.is_some() { "command" } else { "join or warrant" };
    let reason = judged.reason.map(|reason| reason.code()).unwrap_or_default();
    format!("{what} refused: {reason}: {}", judged.detail.as_deref().unwrap_or_default())
}

fn ruling(ruled: &Ruled) -> String {
    match ruled.reason {
        None => {
            let would = ruled.relaxed.iter().map(|it| format!("{} by `{}`", it.would_refuse, it.id));
            let relaxed =
                if ruled.relaxed.is_empty() { String::new() } else { format!("; relaxed: {}", joined(would)) };
            format!("`{}` permitted: {}{relaxed}", ruled.id, joined(ruled.outcomes.iter().map(answered)))
        }
        Some(reason) => format!("`{}` refused: {reason}: {}", ruled.id, ruled.detail.as_deref().unwrap_or_default()),
    }
}

/// One outcome in a few words.
pub(super) fn answered(outcome: &Outcome) -> String {
    let Outcome { package, grant, .. } = outcome;
    match grant {
        Ok(grant) => format!("{package} by {} {}", json!(grant.by).as_str().unwrap_or_default(), grant.provider),
        Err(reason) => format!("{package} refused {reason}"),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "nothing to answer".to_owned() } else { parts.join("; ") }
}

pub(super) async fn history(scene: Scene<'_>, id: &ComponentId) -> Result<Value, Error> {
    let mut changes = Vec::new();
    let visited = scene.forwards(scene.head.size, |row| {
        let entry = Entry::read(&row.bytes)?;
        let Body::Governance(judged) = &entry.body else {
            return Ok(());
        };
        changes.extend(judged.events.iter().filter_map(|event| changed(&entry, judged, event, id)));
        Ok(())
    });
    visited.await?;
    Ok(json!({"id": id, "changes": changes}))
}

fn changed(entry: &Entry, judged: &Judged, event: &Event, id: &ComponentId) -> Option<Value> {
    let (package, name, before, after, accepted) = match event {
        Event::LinkPut(put) if put.component == *id => {
            (&put.package, &put.name, json!(put.before), json!(put.after), Value::Null)
        }
        Event::LinkDeleted(deleted) if deleted.component == *id => {
            let accepted = json!(deleted.accept_default);
            (&deleted.package, &deleted.name, json!(deleted.before), Value::Null, accepted)
        }
        _ => return None,
    };
    Some(row([
        ("index", json!(entry.index)),
        ("at", json!(entry.at_ms / 1000)),
        ("package", json!(package)),
        ("name", json!(name)),
        ("summary", json!(event.told())),
        ("before", before),
        ("after", after),
        ("accept_default", accepted),
        ("by", json!(judged.by)),
        ("because", json!(judged.because)),
    ]))
}
