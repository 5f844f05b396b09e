//! What acts would change before anybody does them: who depends on them, what runs on their ground, and the newest
//! starts, decided by the state of now and by the one after.
//!
//! Only what was asked once can be decided again; what nobody has started yet shows among the dependents alone.

use std::collections::{BTreeMap, BTreeSet};

use policy::command::Command;
use policy::decide::{Decision, Facts, Grant, Outcome, decide};
use policy::digest::Digest;
use policy::explain::{Listed, Touched};
use policy::govern::{Handled, Operation, Planned, State, Times};
use policy::inventory::Runs;
use policy::key::{Administrator, Host, Name};
use policy::log::{Body, Entry, question_anew};
use policy::name::ComponentId;
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::wire::Nonce;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Scene;
use super::explain::verdict;
use super::lists::row;
use crate::config::Held;
use crate::error::Error;
use crate::present::Process;
use crate::recall::Recall;

/// A command that somebody thinks of giving. It is signed by nobody, so it is worth nothing to whoever else reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Who would give it.
    pub by: Name<Administrator>,
    /// The epoch that it rests on.
    pub basis: u64,
    /// What to do, in order.
    pub operations: Vec<Operation>,
    /// The statements that the operations speak of; they travel below the query.
    #[serde(skip)]
    pub statements: Vec<Vec<u8>>,
    /// The configurations that they name; they travel there, too.
    #[serde(skip)]
    pub beside: Vec<Vec<u8>>,
}

// A start, by what was asked: this component on this host.
type Place = (Name<Host>, ComponentId);
// What runs, by where.
type Running = BTreeMap<Name<Host>, Vec<Process>>;
// The entries that permitted what runs, as hosts say.
type Grounds = BTreeMap<Place, BTreeSet<u64>>;

/// What a command would change.
pub(super) async fn plan(scene: Scene<'_>, proposal: &Proposal) -> Result<Value, Error> {
    let Handled { events, lack, .. } = handled(scene, proposal).await?;
    let mut after = scene.state.clone();
    events.iter().for_each(|event| after.apply(event, scene.head.size));
    let touched = Touched::between(scene.state, &after);
    let running: Option<Running> =
        scene.present.map(|present| scene.state.hosts().keys().map(|host| (*host, present.processes(host))).collect());
    let (starts, more) = newest(scene, running.as_ref()).await?;
    let flips = flips(scene, &after, &starts, running.as_ref()).await?;
    let flips = Listed::at_most(LISTED, flips.into_iter());
    Ok(row([
        ("epoch", json!(scene.state.epoch())),
        ("events", json!(events)),
        ("lack", json!(lack)),
        ("starts", json!(starts.len())),
        ("starts_more", json!(more)),
        ("flips", json!(flips.listed)),
        ("flips_more", json!(flips.count - flips.listed.len())),
        ("depends", json!(touched.dependents(scene.state))),
        ("running", running.map_or(Value::Null, |running| on_its_ground(&after, &touched, &running))),
    ]))
}

async fn handled(scene: Scene<'_>, proposal: &Proposal) -> Result<Handled, Error> {
    let command = Command {
        iss: proposal.by,
        aud: scene.state.lattice().clone(),
        inception_sha256: None,
        iat: scene.now,
        not_after: scene.now,
        jti: Nonce::from_random([0; 16]),
        basis: proposal.basis,
        planned: None,
        because: None,
        operations: proposal.operations.clone(),
        statements: proposal.statements.iter().map(|statement| Digest::of(statement)).collect(),
    };
    let planned = Planned::new(command, proposal.statements.clone())?;
    let Proposal { operations, statements, .. } = proposal;
    let beside: Vec<_> = proposal.beside.iter().map(|document| (Digest::of(document), document.clone())).collect();
    let held = Held { state: scene.state, log: scene.log, operations, statements, beside: &beside, sealed: None };
    // The log's time never goes back, though the clock may have.
    let times = Times { now: Timestamp::from_millis(scene.head.at_ms).max(scene.now), clock: scene.now };
    Ok(scene.state.plan(&planned, &held.find().await?.checked, times)?)
}

// The starts that are decided again: what runs, by the entry that permitted it; else the newest permitted start of each
// component on each host, for whoever is refused there may have asked for something else under that id; a refused one
// where none was permitted. What runs comes first, and no more than can be decided while one waits.
async fn newest(scene: Scene<'_>, running: Option<&Running>) -> Result<(Vec<Entry>, usize), Error> {
    let mut found: BTreeMap<Place, Entry> = BTreeMap::new();
    let visited = scene.backwards(LOOKED_BACK, |entry, _| {
        if let Body::Ruling(ruled) = &entry.body {
            let kept = found.entry((ruled.host, ruled.id.clone())).or_insert_with(|| entry.clone());
            if is_permitted(entry) && !is_permitted(kept) {
                *kept = entry.clone();
            }
        }
        Ok(false)
    });
    visited.await?;
    let (runs, mut starts) = (grounds(running), Vec::new());
    // What has run for long was asked before the entries that were looked back over.
    let all = runs.iter().flat_map(|(place, indexes)| indexes.iter().map(move |index| (place.clone(), *index)));
    let all: Vec<(Place, u64)> = all.take(DECIDED).collect();
    for (place, index) in all {
        if let Some(entry) = its_start(scene, &place, index).await? {
            starts.push((place, entry));
        }
    }
    starts.iter().for_each(|(place, _)| drop(found.remove(place)));
    starts.extend(found);
    starts.sort_by_key(|(place, entry)| (!runs.contains_key(place), std::cmp::Reverse(entry.index)));
    let more = starts.len().saturating_sub(DECIDED);
    starts.truncate(DECIDED);
    Ok((starts.into_iter().map(|(_, entry)| entry).collect(), more))
}

// The entry by which a host says that this runs, if it is that: a host may name any.
async fn its_start(scene: Scene<'_>, place: &Place, index: u64) -> Result<Option<Entry>, Error> {
    let Some(row) = scene.log.row(index).await?.filter(|row| row.index < scene.head.size) else { return Ok(None) };
    // What lies in a segment cannot be asked again from here.
    let Some(entry) = row.entry()? else { return Ok(None) };
    let is_it = matches!(&entry.body, Body::Ruling(it) if (it.host, &it.id) == (place.0, &place.1));
    Ok(Some(entry).filter(|entry| is_it && is_permitted(entry)))
}

const fn is_permitted(entry: &Entry) -> bool {
    matches!(&entry.body, Body::Ruling(ruled) if ruled.reason.is_none())
}

// Each thing that runs, with the entries that permitted it: several processes of one host may run it.
fn grounds(running: Option<&Running>) -> Grounds {
    let mut grounds = Grounds::new();
    for (host, processes) in running.into_iter().flatten() {
        for runs in processes.iter().flat_map(|process| &process.running) {
            grounds.entry((*host, runs.component.clone())).or_default().insert(runs.index);
        }
    }
    grounds
}

// The starts that would come out otherwise.
async fn flips(
    scene: Scene<'_>,
    after: &State,
    starts: &[Entry],
    running: Option<&Running>,
) -> Result<Vec<Value>, Error> {
    let (recall, runs) = (Recall::default(), running.map(|running| grounds(Some(running))));
    let (mut pieces, mut flips) = (BTreeMap::new(), Vec::new());
    for entry in starts {
        let kept = scene.log.kept_knowing(entry, &mut pieces).await?;
        // What cannot be asked again, as of a host that is gone, depends on nothing any more.
        let Ok(question) = question_anew(scene.state, entry, &kept, &recall) else { continue };
        let decided = |state| decide(state, &question, &Facts::default(), scene.now);
        flips.extend(flip(entry, &decided(scene.state), &decided(after), runs.as_ref()));
    }
    Ok(flips)
}

fn flip(entry: &Entry, before: &Decision, after: &Decision, runs: Option<&Grounds>) -> Option<Value> {
    let Body::Ruling(ruled) = &entry.body else { return None };
    let reason = |decision: &Decision| decision.refusal().map(|refusal| refusal.reason).map(Reason::code);
    let flips = before.outcomes() != after.outcomes()
        || reason(before) != reason(after)
        || relaxations(before) != relaxations(after);
    let told = |decision| Some(relaxations(decision)).filter(|relaxations| !relaxations.is_empty());
    flips.then(|| {
        row([
            ("index", json!(entry.index)),
            ("at", json!(Timestamp::from_millis(entry.at_ms))),
            ("id", json!(ruled.id)),
            ("host", json!(ruled.host)),
            ("before", json!(verdict(before))),
            ("before_reason", json!(reason(before))),
            ("before_relaxations", json!(told(before))),
            ("after", json!(verdict(after))),
            ("after_reason", json!(reason(after))),
            ("after_relaxations", json!(told(after))),
            ("before_providers", answerers(before, after)),
            ("after_providers", answerers(after, before)),
            ("detail", json!(after.refusal().or(before.refusal()).map(Refusal::brief))),
            ("running", json!(runs.map(|runs| runs.contains_key(&(ruled.host, ruled.id.clone()))))),
        ])
    })
}

// The relaxations that let a start through: permitted by one of them is less than permitted.
fn relaxations(decision: &Decision) -> BTreeSet<String> {
    decision.relaxed().iter().map(|relaxed| relaxed.id.to_string()).collect()
}

// What answers each import that the other decision has answered by something else, where the verdict is the same.
fn answerers(decision: &Decision, other: &Decision) -> Value {
    let differs = |outcome: &&Outcome| !other.outcomes().contains(outcome);
    let told = |outcome: &Outcome| {
        let version = outcome.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
        let answer = match &outcome.grant {
            Ok(Grant { by, id, sha256, revision, config_sha256, .. }) => row([
                ("by", json!(by)),
                ("id", json!(id)),
                ("sha256", json!(sha256)),
                ("revision", json!(revision)),
                ("config_sha256", json!(config_sha256)),
            ]),
            Err(reason) => row([("reason", json!(reason))]),
        };
        (format!("{}{version} {}", outcome.package, outcome.link), answer)
    };
    let told: Map<String, Value> = decision.outcomes().iter().filter(differs).map(told).collect();
    if verdict(decision) != verdict(other) || told.is_empty() { Value::Null } else { Value::Object(told) }
}

// What runs on the ground of the act, and what becomes of it.
fn on_its_ground(after: &State, touched: &Touched, running: &Running) -> Value {
    let all = running.iter().flat_map(|(host, processes)| {
        processes.iter().flat_map(|process| &process.running).map(move |runs| (host, runs))
    });
    let on_it: Vec<(&Name<Host>, &Runs)> = all.filter(|(host, runs)| touched.is_ground_of(host, runs)).collect();
    let bindings: usize = on_it.iter().map(|(_, runs)| runs.bindings.len()).sum();
    let rows = on_it.iter().map(|(host, runs)| {
        let becomes = after.withdrawn().of(host, runs).map_or("keep", |lost| lost.running.word());
        json!({
            "host": host, "component": runs.component, "entry": runs.index, "bindings": runs.bindings.len(),
            "becomes": becomes,
        })
    });
    let Listed { count, listed } = Listed::at_most(LISTED, rows);
    json!({"count": count, "bindings": bindings, "listed": listed})
}

/// The most entries that are looked back over.
const LOOKED_BACK: u64 = 10_000;
/// The most starts that are decided again: the newest of each component on each host.
const DECIDED: usize = 2_000;
/// The most flips, and the most of what runs, that are listed.
const LISTED: usize = 500;
