//! What is weakened, until when, and what each weakening let through: counted from the log.
//!
//! Lists count in the newest entries alone, and say how far back that is, so that no look takes longer the busier a
//! lattice is. A report counts everything, a page of entries at a time.

use std::collections::{BTreeMap, BTreeSet};

use policy::key::{Host, Name};
use policy::log::{Body, Entry, Head, Ruled};
use policy::name::{ComponentId, Package, RelaxationId};
use policy::reason::Reason;
use policy::relax::{RELAXATION_LIFETIME_S, Relaxation, StoodIn, Weakening};
use serde_json::{Value, json};

use super::Scene;
use super::lists::row;
use super::seen::index;
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
    // The time of the oldest entry that was read, where older ones were left.
    since: Option<u64>,
}

/// All that there are.
pub(super) async fn relaxations(scene: Scene<'_>) -> Result<Value, Error> {
    Ok(json!({"relaxations": told_of(scene, |_| true).await?}))
}

/// Those that stand now.
pub(super) async fn standing(scene: Scene<'_>) -> Result<Value, Error> {
    told_of(scene, |relaxation| relaxation.stands(scene.now)).await
}

/// What would have been refused, and what was started without a broker: a page of entries, the newest first.
pub(super) async fn report(scene: Scene<'_>, after: Option<&str>) -> Result<Value, Error> {
    let end = after.map_or(Ok(scene.head.size), index)?.min(scene.head.size);
    let oldest = scene.now.seconds().saturating_sub(RELAXATION_LIFETIME_S);
    let (mut counts, mut next) = (Counts::default(), None);
    let before = Scene { head: Head { size: end, ..scene.head }, ..scene };
    let visited = before.backwards(RECENT, |entry, _| {
        counts.add(entry);
        next = (entry.at_ms / 1000 >= oldest && entry.index > 0).then_some(entry.index);
        Ok(next.is_none() || counts.observed.len().max(counts.stood_in.len()) >= MOST)
    });
    visited.await?;
    let observed = counts.observed.iter().map(|((id, component, package, reason), (count, last))| {
        row([
            ("relaxation", json!(id)),
            ("component", json!(component)),
            ("package", json!(package)),
            ("reason", json!(reason)),
            ("count", json!(count)),
            ("last", json!(last)),
        ])
    });
    let stood_in = counts.stood_in.iter().rev().map(|(at, host, relaxation, component, index)| {
        json!({"at": at, "host": host, "relaxation": relaxation, "component": component, "index": index})
    });
    Ok(row([
        ("observed", observed.collect()),
        ("stood_in", stood_in.collect()),
        ("next", json!(next.map(|next| next.to_string()))),
    ]))
}

// Nothing is read where none is meant.
async fn told_of(scene: Scene<'_>, meant: impl Fn(&Relaxation) -> bool) -> Result<Value, Error> {
    let all = scene.state.relaxations().iter().filter(|(_, relaxation)| meant(relaxation));
    let Some(oldest) = all.clone().map(|(_, relaxation)| relaxation.since.seconds()).min() else {
        return Ok(json!([]));
    };
    let counts = Counts::recent(scene, oldest).await?;
    Ok(all.map(|(id, relaxation)| told(scene, id, relaxation, &counts)).collect())
}

impl Counts {
    // Of the newest entries, back to a time.
    async fn recent(scene: Scene<'_>, oldest: u64) -> Result<Self, Error> {
        let (mut counts, mut since) = (Self::default(), None);
        let visited = scene.backwards(RECENT, |entry, _| {
            counts.add(entry);
            let at = entry.at_ms / 1000;
            since = Some(at).filter(|at| *at >= oldest && entry.index > 0);
            Ok(since.is_none())
        });
        visited.await?;
        Ok(Self { since, ..counts })
    }

    fn add(&mut self, entry: &Entry) {
        if let Body::Ruling(ruled) = &entry.body {
            self.ruled(ruled, entry.at_ms / 1000);
        }
    }

    fn ruled(&mut self, ruled: &Ruled, at: u64) {
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
    let counted_since = counts.since.filter(|from| *from >= since.seconds());
    row([
        ("id", json!(id)),
        ("weakens", json!(kind.told())),
        ("standing", json!(if relaxation.stands(scene.now) { "stands" } else { "ended" })),
        ("since", json!(since)),
        ("end", json!(until)),
        ("reason", json!(reason)),
        ("let_through", if standby { json!(used.count()) } else { json!(ours(&counts.passed)) }),
        ("permits", if standby { json!(ours(&counts.given)) } else { Value::Null }),
        ("counted_since", json!(counted_since)),
        ("last", json!(last)),
        ("kind", json!(kind)),
    ])
}

// The most rows of one page.
const MOST: usize = 1000;
// How many of the newest entries are counted in, and how many are read for one page.
const RECENT: u64 = 4096;
