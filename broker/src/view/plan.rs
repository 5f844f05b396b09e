//! What acts would change before anybody does them: the newest starts, decided by the state of now and by the one after.
//!
//! Only what was asked once can be decided again; what nobody has started yet shows in no plan.

use std::collections::BTreeSet;

use policy::decide::{Decision, Facts, decide};
use policy::govern::Event;
use policy::log::{Body, Entry, Ledger};
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use serde_json::{Value, json};

use super::Scene;
use super::explain::verdict;
use super::lists::row;
use crate::error::Error;

/// The most entries that are looked back over.
const LOOKED_BACK: u64 = 10_000;
/// The most starts that are decided again: the newest of each component on each host.
const DECIDED: usize = 1_000;

/// The starts that would come out otherwise.
pub(crate) async fn plan(scene: Scene<'_>, ledger: &Ledger, events: &[Event]) -> Result<Value, Error> {
    let mut after = scene.state.clone();
    events.iter().for_each(|event| after.apply(event, scene.head.size));
    let (mut starts, mut flips) = (0_u64, Vec::new());
    for entry in newest(scene).await? {
        // What cannot be asked again, as of a host that is gone, depends on nothing any more.
        let Ok(question) = ledger.question_anew(&entry, &scene.log.kept(&entry).await?) else { continue };
        let decided = |state| decide(state, &question, &Facts::default(), scene.now);
        starts += 1;
        flips.extend(flip(&entry, &decided(scene.state), &decided(&after)));
    }
    Ok(json!({"starts": starts, "flips": flips}))
}

// The newest start of each component on each host.
async fn newest(scene: Scene<'_>) -> Result<Vec<Entry>, Error> {
    let (mut known, mut found) = (BTreeSet::new(), Vec::new());
    let visited = scene.backwards(LOOKED_BACK, |entry, _| {
        if let Body::Ruling(ruled) = &entry.body
            && known.insert((ruled.host, ruled.id.clone()))
        {
            found.push(entry.clone());
        }
        Ok(found.len() >= DECIDED)
    });
    visited.await?;
    Ok(found)
}

fn flip(entry: &Entry, before: &Decision, after: &Decision) -> Option<Value> {
    let Body::Ruling(ruled) = &entry.body else { return None };
    let reason = |decision: &Decision| decision.refusal().map(|refusal| refusal.reason).map(Reason::code);
    let flips = before.outcomes() != after.outcomes() || reason(before) != reason(after);
    flips.then(|| {
        row([
            ("index", json!(entry.index)),
            ("at", json!(Timestamp::from_millis(entry.at_ms))),
            ("id", json!(ruled.id)),
            ("host", json!(ruled.host)),
            ("before", json!(verdict(before))),
            ("before_reason", json!(reason(before))),
            ("after", json!(verdict(after))),
            ("after_reason", json!(reason(after))),
            ("detail", json!(after.refusal().or(before.refusal()).map(Refusal::brief))),
        ])
    })
}
