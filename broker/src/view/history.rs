//! The log as people read it: the newest entries, and what became of the links of one component.

use policy::decide::Outcome;
use policy::govern::{Event, LinkRecord, Staged};
use policy::inventory::Forked;
use policy::log::{Body, Entry, Freezing, Judged, Reported, Ruled, leaf_hash};
use policy::name::{ComponentId, LinkName, Package};
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::withdrawal::Close;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Scene;
use super::lists::row;
use super::page::{MOST_OF_A_ROW, NEXT, Room};
use crate::error::Error;
use crate::store::Row;

/// Whose links are meant, and which page of what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhichChanges {
    /// The component.
    pub id: ComponentId,
    /// Only this package's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// Only those of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<LinkName>,
    /// What comes after that many changes of an entry, as the page before named it: `INDEX/COUNT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A page of the newest entries, or of those from an index on. What follows on the next page is asked for by `next`.
pub(super) async fn tail(scene: Scene<'_>, from: Option<u64>, most: u64) -> Result<Value, Error> {
    let size = scene.head.size;
    let mut next = from.unwrap_or_else(|| size.saturating_sub(most));
    let end = next.saturating_add(most).min(size);
    let (mut room, mut told) = (Room::of(Some(most)), Vec::new());
    while next < end && !room.is_full() {
        for place in scene.page(next, end).await? {
            next = place.index + 1;
            let one = match place.entry()? {
                Some(entry) => fitting(tell(&entry, &place.bytes)),
                None => frozen(&place),
            };
            room.take(&one);
            told.push(one);
            if room.is_full() {
                break;
            }
        }
    }
    Ok(json!({"entries": told, NEXT: next, "size": size}))
}

// One command may do a thousand things. Where that is more than a page holds, this tells it in short, and `why` whole.
fn fitting(mut told: Value) -> Value {
    if policy::json::write(&told).len() <= MOST_OF_A_ROW {
        return told;
    }
    if let Value::Object(members) = &mut told {
        members.remove("events");
        let index = members.get("index").cloned().unwrap_or_default();
        if let Some(Value::String(summary)) = members.get_mut("summary") {
            summary.truncate(summary.floor_char_boundary(MOST_OF_A_SUMMARY));
            *summary += &format!("; and more: `countersign why {index}`");
        }
        members.insert("shortened".to_owned(), json!(true));
    }
    told
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

/// A page of what became of a component's links.
pub(super) async fn history(scene: Scene<'_>, which: &WhichChanges) -> Result<Value, Error> {
    let WhichChanges { id, package, name, after } = which;
    let begins = after.as_deref().map(place).transpose()?.unwrap_or_default();
    let meant = |change: &Change<'_>| {
        *change.component == *id
            && package.as_ref().is_none_or(|only| only == change.package)
            && name.as_ref().is_none_or(|only| only == change.name)
    };
    let (mut room, mut changes, mut next) = (Room::of(None), Vec::new(), None);
    let visited = scene.resting(scene.head.size, |entry| {
        let Body::Governance(judged) = &entry.body else { return };
        let all = judged.events.iter().filter_map(Change::of).filter(|change| meant(change));
        for (count, change) in all.enumerate().filter(|(count, _)| (entry.index, *count) >= begins) {
            if room.is_full() {
                next.get_or_insert_with(|| format!("{}/{count}", entry.index));
                return;
            }
            let told = change.told(entry, judged);
            room.take(&told);
            changes.push(told);
        }
    });
    visited.await?;
    Ok(row([("id", json!(id)), ("changes", json!(changes)), (NEXT, json!(next))]))
}

fn place(text: &str) -> Result<(u64, usize), Refusal> {
    let malformed = || Refusal::new(Reason::NameMalformed, "a page begins after `INDEX/COUNT`");
    let (index, count) = text.split_once('/').ok_or_else(malformed)?;
    Ok((index.parse().map_err(|_| malformed())?, count.parse().map_err(|_| malformed())?))
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

// What of a summary stands in a row that is told in short.
const MOST_OF_A_SUMMARY: usize = 4096;
