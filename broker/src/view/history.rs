//! The log as people read it: the newest entries, and what became of the links of one component.

use policy::decide::Outcome;
use policy::govern::{Event, LinkRecord, Staged};
use policy::inventory::Forked;
use policy::log::{Body, Entry, Freezing, Judged, Reported, Ruled, leaf_hash};
use policy::name::{ComponentId, LinkName, Package};
use policy::time::Timestamp;
use policy::withdrawal::Close;
use serde_json::{Value, json};

use super::Scene;
use super::lists::row;
use crate::error::Error;
use crate::store::Row;

/// The most entries of one look.
const MOST: u64 = 1000;

pub(super) async fn tail(scene: Scene<'_>, from: Option<u64>, most: u64) -> Result<Value, Error> {
    let most = most.min(MOST);
    let mut next = from.unwrap_or_else(|| scene.head.size.saturating_sub(most));
    let end = next.saturating_add(most).min(scene.head.size);
    let mut told = Vec::new();
    while next < end {
        for row in scene.page(next, end).await? {
            next = row.index + 1;
            match row.entry()? {
                Some(entry) => told.push(tell(&entry, &row.bytes)),
                None => told.push(frozen(&row)),
            }
        }
    }
    Ok(json!({"entries": told, "next": next}))
}

// What is known of an entry whose bytes lie in a segment.
fn frozen(place: &Row) -> Value {
    let says = "lies in a segment: `audit verify --segments DIR` reads it";
    row([
        ("index", json!(place.index)),
        ("entry_sha256", json!(place.hash)),
        ("kind", json!("frozen")),
        ("summary", json!(says)),
    ])
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
        Body::Report(reported) => reports(reported),
        Body::Clock(jump) => format!(
            "the clock jumped ahead: from {} to {}",
            Timestamp::from_millis(jump.from_ms),
            Timestamp::from_millis(jump.to_ms)
        ),
        Body::Lost(_) => "an entry that is lost stood here".to_owned(),
        Body::Freeze(Freezing { first, size, moved, sha256 }) => {
            format!("{moved} of the entries {first} to {} moved to the segment {sha256}", size.saturating_sub(1))
        }
        Body::Door(counts) => {
            let counts = counts.iter().map(|(reason, count)| format!("{count} x {reason}"));
            format!("turned away at the door: {}", joined(counts))
        }
    }
}

fn reports(reported: &Reported) -> String {
    let closed = reported.closed.iter().map(|closed| {
        let how = if closed.close == Close::Stop { "stopped" } else { "drained" };
        format!("`{}` of entry {} {how} by the act of entry {}", closed.component, closed.index, closed.since)
    });
    let ahead =
        reported.ahead.map(|ahead| format!("holds a checkpoint of {} entries, which this log lacks", ahead.size));
    let forked = reported.forked.map(|Forked { held, met, contradiction, evidence_sha256, .. }| {
        let pieces = format!("holds two signed pieces of this log, of entries {held} and {met}");
        format!("{pieces}: {contradiction} (evidence {evidence_sha256})")
    });
    format!("host {}: {}", reported.host, joined(closed.chain(ahead).chain(forked)))
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

pub(super) async fn history(
    scene: Scene<'_>,
    id: &ComponentId,
    package: Option<&Package>,
    name: Option<&LinkName>,
) -> Result<Value, Error> {
    let meant = |change: &Change<'_>| {
        *change.component == *id
            && package.is_none_or(|only| only == change.package)
            && name.is_none_or(|only| only == change.name)
    };
    let mut changes = Vec::new();
    let visited = scene.resting(scene.head.size, |entry| {
        let Body::Governance(judged) = &entry.body else { return };
        let all = judged.events.iter().filter_map(Change::of).filter(|change| meant(change));
        changes.extend(all.map(|change| change.told(entry, judged)));
    });
    visited.await?;
    Ok(json!({"id": id, "changes": changes}))
}

// A revision of a link: what stood, and what stands since.
struct Change<'e> {
    event: &'e Event,
    component: &'e ComponentId,
    package: &'e Package,
    name: &'e LinkName,
    act: &'static str,
    before: Option<&'e LinkRecord>,
    after: Option<&'e LinkRecord>,
    accepted: Value,
}

impl<'e> Change<'e> {
    fn of(event: &'e Event) -> Option<Self> {
        let (component, package, name, act, before, after) = match event {
            Event::LinkPut(it) => (&it.component, &it.package, &it.name, "put", it.before.as_ref(), Some(&it.after)),
            Event::LinkSwitched(it) => {
                let act = match it.stage {
                    Staged::Prepared => "prepare",
                    Staged::CutOver => "cut_over",
                    Staged::RolledBack => "rollback",
                    Staged::Retired => "retire",
                };
                (&it.component, &it.package, &it.name, act, Some(&it.before), Some(&it.after))
            }
            Event::LinkAccepted(it) => {
                (&it.component, &it.package, &it.name, "accept", Some(&it.before), Some(&it.after))
            }
            Event::LinkDeleted(it) => (&it.component, &it.package, &it.name, "delete", Some(&it.before), None),
            _ => return None,
        };
        let accepted = if let Event::LinkDeleted(it) = event { json!(it.accept_default) } else { Value::Null };
        Some(Self { event, component, package, name, act, before, after, accepted })
    }

    fn told(self, entry: &Entry, judged: &Judged) -> Value {
        row([
            ("index", json!(entry.index)),
            ("at", json!(entry.at_ms / 1000)),
            ("package", json!(self.package)),
            ("name", json!(self.name)),
            ("act", json!(self.act)),
            ("revision", json!(self.after.map(|after| after.revision))),
            ("summary", json!(self.event.told())),
            ("before", json!(self.before)),
            ("after", json!(self.after)),
            ("accept_default", self.accepted),
            ("by", json!(judged.by)),
            ("because", json!(judged.because)),
        ])
    }
}
