//! The two moments of an act: recorded, and effective, with the hosts that have not said that they hold it.

use policy::govern::HostStanding;
use policy::log::Body;
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::wire::{FRESHNESS_S, PERMIT_TTL_MS};
use serde_json::{Value, json};

use super::Scene;
use super::lists::row;
use super::page::Room;
use crate::error::Error;

pub(super) async fn effective(scene: Scene<'_>, index: u64) -> Result<Value, Error> {
    let missing = || Refusal::new(Reason::NotFound, format!("no entry {index}; the log has {}", scene.head.size));
    let entry = scene.log.row(index).await?.filter(|_| index < scene.head.size).ok_or_else(missing)?;
    let recorded_ms = entry.entry()?.ok_or_else(missing)?.at_ms;
    let (after_ms, within_ms) = match scene.present {
        Some(present) => {
            let effect = present.effect(index);
            (effect.after_ms, effect.within_ms)
        }
        None => alone(scene, index, recorded_ms).await?,
    };
    let enrolled = scene.state.hosts().iter().filter(|(_, record)| record.standing == HostStanding::Enrolled);
    let (mut hosts, mut more) = (0_u64, 0_u64);
    let (mut room, mut unacknowledged) = (Room::of(None), Vec::new());
    for (key, _) in enrolled {
        hosts += 1;
        let held = scene.present.and_then(|present| present.held(key));
        if held.is_some_and(|held| held >= index) {
            continue;
        }
        // Each is named or counted.
        if room.is_full() {
            more += 1;
            continue;
        }
        let processes = scene.present.map(|present| present.processes(key)).unwrap_or_default();
        let newest = processes.iter().min_by_key(|process| process.silent_ms);
        let silent = row([
            ("host", json!(key)),
            ("epoch", json!(held)),
            ("last_seen", json!(newest.map(|process| process.heard))),
            ("silent_ms", json!(newest.map(|process| process.silent_ms))),
        ]);
        room.take(&silent);
        unacknowledged.push(silent);
    }
    Ok(row([
        ("index", json!(index)),
        ("recorded_at_ms", json!(recorded_ms)),
        ("effective", json!(after_ms.is_some())),
        ("effective_at_ms", json!(after_ms.map(|after_ms| recorded_ms + after_ms))),
        ("within_ms", json!(within_ms)),
        ("hosts", json!(hosts)),
        ("unacknowledged", json!(unacknowledged)),
        ("unacknowledged_more", json!((more > 0).then_some(more))),
    ]))
}

// Where no broker runs nobody hears hosts: what they may still hold is what the log permitted in the seconds before, and
// any standby permit.
async fn alone(scene: Scene<'_>, index: u64, recorded_ms: u64) -> Result<(Option<u64>, u64), Error> {
    let standing = scene.state.standbys().values().map(|until| until.plus(FRESHNESS_S).seconds() * 1000);
    let mut until_ms = standing.fold(recorded_ms, u64::max);
    let visited = scene.backwards(WITHIN, |entry, _| {
        if let Body::Ruling(ruled) = &entry.body
            && entry.index < index
            && ruled.reason.is_none()
        {
            until_ms = until_ms.max(entry.at_ms.saturating_add(PERMIT_TTL_MS));
        }
        Ok(entry.index < index && entry.at_ms.saturating_add(PERMIT_TTL_MS) < recorded_ms)
    });
    visited.await?;
    // In whole seconds, as the scene's clock is: rather one too many.
    let until = Timestamp::from_millis(until_ms.saturating_add(999));
    let over = scene.now >= until || until_ms == recorded_ms;
    let left_ms = until.seconds().saturating_sub(scene.now.seconds()).saturating_mul(1000);
    Ok((over.then(|| until_ms - recorded_ms), if over { 0 } else { left_ms }))
}

// How far back permits are looked for.
const WITHIN: u64 = 100_000;
