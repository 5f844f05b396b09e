//! What is weakened, until when, and what each weakening let through: counted from the log.
//!
//! The log is read backwards, no further than the longest that a relaxation may stand.

use std::collections::{BTreeMap, BTreeSet};

use policy::key::{Host, Name};
use policy::log::{Body, Ruled};
use policy::name::{ComponentId, Package, RelaxationId};
use policy::reason::Reason;
use policy::relax::{RELAXATION_LIFETIME_S, Relaxation, StoodIn, Weakening};
use serde_json::{Value, json};

use super::Scene;
use super::lists::row;
use crate::error::Error;

// What would have been refused: by which relaxation it passed, for which component, and why it would have been.
type Observed = (RelaxationId, ComponentId, Option<Package>, Reason);

#[derive(Default)]
struct Counts {
    observed: BTreeMap<Observed, (u64, u64)>,
    // By relaxation: how many starts passed, standby permits were given, starts were made by them; each with its time.
    passed: BTreeMap<RelaxationId, Vec<u64>>,
    given: BTreeMap<RelaxationId, Vec<u64>>,
    stood_in: BTreeSet<(u64, Name<Host>, RelaxationId, ComponentId, u64)>,
}

pub(super) async fn relaxations(scene: Scene<'_>) -> Result<Value, Error> {
    let oldest = scene.now.seconds().saturating_sub(RELAXATION_LIFETIME_S);
    let counts = counts(scene, oldest).await?;
    let rows = scene.state.relaxations().iter().map(|(id, relaxation)| told(scene, id, relaxation, &counts));
    let observed = counts.observed.iter().take(MOST).map(|((id, component, package, reason), (count, last))| {
        row([
            ("relaxation", json!(id)),
            ("component", json!(component)),
            ("package", json!(package)),
            ("reason", json!(reason)),
            ("count", json!(count)),
            ("last", json!(last)),
        ])
    });
    let stood_in = counts.stood_in.iter().rev().take(MOST).map(|(at, host, relaxation, component, index)| {
        json!({"at": at, "host": host, "relaxation": relaxation, "component": component, "index": index})
    });
    Ok(json!({
        "relaxations": rows.collect::<Vec<_>>(),
        "observed": observed.collect::<Vec<_>>(),
        "stood_in": stood_in.collect::<Vec<_>>(),
    }))
}

/// Those that stand now, in short; nothing is read where none does.
pub(super) async fn standing(scene: Scene<'_>) -> Result<Value, Error> {
    let stands = |relaxation: &&Relaxation| relaxation.stands(scene.now);
    let Some(oldest) = scene.state.relaxations().values().filter(stands).map(|it| it.since.seconds()).min() else {
        return Ok(json!([]));
    };
    let counts = counts(scene, oldest).await?;
    let rows = scene.state.relaxations().iter().filter(|(_, relaxation)| stands(relaxation));
    Ok(rows.map(|(id, relaxation)| told(scene, id, relaxation, &counts)).collect())
}

async fn counts(scene: Scene<'_>, oldest: u64) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    let visited = scene.backwards(u64::MAX, |entry, _| {
        if let Body::Ruling(ruled) = &entry.body {
            counts.add(ruled, entry.at_ms / 1000);
        }
        Ok(entry.at_ms / 1000 < oldest)
    });
    visited.await?;
    Ok(counts)
}

impl Counts {
    fn add(&mut self, ruled: &Ruled, at: u64) {
        for relaxed in &ruled.relaxed {
            let key = (relaxed.id.clone(), ruled.id.clone(), relaxed.package.clone(), relaxed.would_refuse);
            let (count, last) = self.observed.entry(key).or_default();
            (*count, *last) = (*count + 1, at.max(*last));
        }
        let ids: BTreeSet<_> = ruled.relaxed.iter().map(|relaxed| &relaxed.id).collect();
        for id in ids {
            self.passed.entry(id.clone()).or_default().push(at);
        }
        if let Some(standby) = &ruled.standby {
            self.given.entry(standby.id.clone()).or_default().push(at);
        }
        for StoodIn { relaxation, id, index, at, .. } in &ruled.stood_in {
            self.stood_in.insert((at.seconds(), ruled.host, relaxation.clone(), id.clone(), *index));
        }
    }
}

fn told(scene: Scene<'_>, id: &RelaxationId, relaxation: &Relaxation, counts: &Counts) -> Value {
    let Relaxation { kind, since, until, reason } = relaxation;
    // An id may have been another relaxation's before.
    let ours = |times: &BTreeMap<RelaxationId, Vec<u64>>| {
        times.get(id).map_or(0, |times| times.iter().filter(|at| **at >= since.seconds()).count())
    };
    let used = counts.stood_in.iter().filter(|(at, _, relaxation, ..)| relaxation == id && *at >= since.seconds());
    let standby = matches!(kind, Weakening::Standby { .. });
    let last = counts.passed.get(id).into_iter().flatten().max();
    row([
        ("id", json!(id)),
        ("weakens", json!(kind.told())),
        ("standing", json!(if relaxation.stands(scene.now) { "stands" } else { "ended" })),
        ("since", json!(since)),
        ("end", json!(until)),
        ("reason", json!(reason)),
        ("let_through", if standby { json!(used.count()) } else { json!(ours(&counts.passed)) }),
        ("permits", if standby { json!(ours(&counts.given)) } else { Value::Null }),
        ("last", json!(last)),
        ("kind", json!(kind)),
    ])
}

// The most rows of one list.
const MOST: usize = 1000;
