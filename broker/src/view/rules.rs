//! The operator's rules that stand, and which recorded starts another text would decide otherwise.

use policy::decide::Decision;
use policy::key::{Host, Name};
use policy::log::{Body, Entry, Rejudge};
use policy::name::ComponentId;
use policy::reason::{Reason, Refusal};
use policy::rules::{RulesRecord, RulesText};
use policy::time::Timestamp;
use serde_json::{Value, json};

use super::Scene;
use super::explain::verdict;
use super::lists::row;
use crate::error::Error;
use crate::rules::CedarLanguage;

/// The most starts of one diff.
const MOST: u64 = 10_000;
/// The most of them that are listed.
const LISTED: usize = 500;

pub(super) fn rules(scene: Scene<'_>) -> Value {
    let Some(rules) = scene.state.rules() else {
        return json!({"rules": []});
    };
    json!({
        "sha256": rules.sha256(), "since": rules.since(), "text": rules.text(),
        "rules": rules.names().into_iter().map(|rule| json!({"rule": rule})).collect::<Vec<_>>(),
    })
}

/// The newest starts, each decided on the state of its time, under the rules that stand now and under that text.
pub(super) async fn diff(scene: Scene<'_>, text: &RulesText, most: u64) -> Result<Value, Error> {
    let language = CedarLanguage::default();
    policy::rules::Language::read(&language, text)?;
    let (old, new) = (scene.state.rules().cloned(), RulesRecord::read(&language, text.clone(), scene.head.size));
    let from = oldest(scene, most.min(MOST)).await?;
    let mut ledger = scene.fold_before(from).await?;
    let (mut next, mut starts, mut flips) = (from, 0_u64, Vec::new());
    while next < scene.head.size {
        for kept in scene.page(next, scene.head.size).await? {
            next = kept.index + 1;
            let Some(entry) = kept.entry()? else {
                ledger.pass(kept.index, kept.hash)?;
                continue;
            };
            if let Body::Ruling(ruled) = &entry.body {
                let question = ledger.question_of(&entry, &scene.log.kept(&entry).await?)?;
                let now = Timestamp::from_millis(entry.at_ms);
                let before = ledger.suppose(old.as_ref(), &question, &ruled.facts, now);
                let after = ledger.suppose(Some(&new), &question, &ruled.facts, now);
                starts += 1;
                flips.extend(flip(&entry, &ruled.id, &ruled.host, &before, &after));
            }
            ledger.replay(&kept.bytes, Rejudge::No)?;
        }
    }
    let more = flips.len().saturating_sub(LISTED);
    flips.truncate(LISTED);
    Ok(row([
        ("before", json!(old.map(|rules| rules.sha256()))),
        ("after", json!(new.sha256())),
        ("starts", json!(starts)),
        ("flips", json!(flips)),
        ("flips_more", json!((more > 0).then_some(more))),
    ]))
}

// The index of the oldest of the newest starts.
async fn oldest(scene: Scene<'_>, most: u64) -> Result<u64, Error> {
    let (mut seen, mut from) = (0, scene.head.size);
    let visited = scene.backwards(u64::MAX, |entry, _| {
        if matches!(entry.body, Body::Ruling(_)) && seen < most {
            (seen, from) = (seen + 1, entry.index);
        }
        Ok(seen >= most)
    });
    visited.await?;
    Ok(from)
}

fn flip(entry: &Entry, id: &ComponentId, host: &Name<Host>, before: &Decision, after: &Decision) -> Option<Value> {
    let reason = |decision: &Decision| decision.refusal().map(|refusal| refusal.reason);
    // Rules speak last, so a start that the law refuses is refused by the law under both.
    let flips = before.outcomes() != after.outcomes() || reason(before) != reason(after);
    flips.then(|| {
        row([
            ("index", json!(entry.index)),
            ("id", json!(id)),
            ("host", json!(host)),
            ("before", json!(verdict(before))),
            ("before_reason", json!(reason(before))),
            ("after", json!(verdict(after))),
            ("after_reason", json!(reason(after))),
            ("detail", json!(after.refusal().or(before.refusal()).map(Refusal::brief))),
        ])
    })
}

/// The text that stands.
///
/// # Errors
/// `not_found` when none does.
pub fn standing(view: &Value) -> Result<RulesText, Refusal> {
    let text = view.get("text").cloned().ok_or_else(|| Refusal::new(Reason::NotFound, "no rules stand"))?;
    serde_json::from_value(text).map_err(|error| Refusal::new(Reason::SchemaMismatch, error.to_string()))
}
