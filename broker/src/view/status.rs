//! The lattice at a glance.

use std::collections::BTreeSet;

use policy::decide::LAW;
use policy::govern::{HostStanding, Jump, LinkSlot, Times};
use policy::inventory::Forked;
use policy::issuer::Standing;
use policy::log::{Body, leaf_hash};
use policy::reason::Reason;
use policy::time::Timestamp;
use serde_json::{Value, json};

use super::{Scene, lists::row};
use crate::error::Error;
use crate::store::{Room, Segment};

pub(super) async fn status(scene: Scene<'_>) -> Result<Value, Error> {
    let (state, head) = (scene.state, scene.head);
    let root = scene.page(0, 1).await?.first().map(|row| leaf_hash(&row.bytes));
    let issuers = state.issuers().iter().filter(|(_, issuer)| issuer.standing == Standing::Active).count();
    let hosts = state.hosts().values().filter(|record| record.standing == HostStanding::Enrolled).count();
    let live = state.links().values().filter(|slot| matches!(slot, LinkSlot::Live(_))).count();
    let pending = state.waiting().values().filter(|waiting| waiting.lack.until >= scene.now).count();
    let counts = json!({
        "issuers": issuers,
        "contracts": state.contracts().values().filter(|published| !published.withdrawn).count(),
        "defaults": state.defaults().len(),
        "components": state.components().values().filter(|record| !record.retired).count(),
        "providers": state.providers().values().filter(|record| !record.retired).count(),
        "hosts": hosts,
        "links": live,
        "links_removed": state.links().len() - live,
        "pending": pending,
    });
    let relaxations = super::relaxations::standing(scene).await?;
    let inception = state.inception();
    let root_set = state.root_sets().last().unwrap_or(&inception.roots);
    let roots: Vec<String> = root_set.keys.iter().map(ToString::to_string).collect();
    let administrators: Vec<String> =
        state.administrators().iter().filter(|(_, it)| it.stands(scene.now)).map(|(key, _)| key.to_string()).collect();
    let mut told = json!({
        "lattice": state.lattice(), "root": root, "roots": roots, "administrators": administrators,
        "threshold": state.highest_threshold(), "log_key": state.log_key(), "law": LAW,
        "size": head.size, "head": head.last, "epoch": head.epoch, "at": head.at_ms / 1000,
        "warrant_serial": state.warrant_serial(), "warrant_reset": state.warrant_rank().reset,
        "root_threshold": root_set.threshold, "counts": counts, "alarms": alarms(scene).await?,
        "relaxations": relaxations, "segments": segments(scene),
    });
    if let (Some(present), Some(members)) = (scene.present, told.as_object_mut()) {
        members.insert("check".to_owned(), present.check().told());
    }
    Ok(told)
}

// Where old entries lie; the log says when each was moved, in an entry of its own.
fn segments(scene: Scene<'_>) -> Vec<Value> {
    let told = |it: &Segment| json!({"first": it.first, "last": it.size.saturating_sub(1), "sha256": it.sha256});
    scene.log.segments().iter().map(told).collect()
}

// What somebody should look at: each with a word, a sentence, and the entry where there is one.
async fn alarms(scene: Scene<'_>) -> Result<Vec<Value>, Error> {
    let disorder = scene.state.disorder();
    let alarm = |what: &str, says: String, entry: Option<u64>| {
        row([("alarm", json!(what)), ("says", json!(says)), ("entry", json!(entry))])
    };
    let mut alarms = Vec::new();
    let times = Times { now: Timestamp::from_millis(scene.head.at_ms), clock: scene.now };
    if let Err(refusal) = times.in_order() {
        alarms.push(alarm("clock_rollback", refusal.detail, None));
    }
    if let Some(Jump { from_ms, to_ms, .. }) = disorder.jump {
        let (from, to) = (Timestamp::from_millis(from_ms), Timestamp::from_millis(to_ms));
        alarms.push(alarm("clock_jumped", format!("the clock jumped ahead, from {from} to {to}"), None));
    }
    if let Some(ahead) = disorder.ahead {
        let says =
            format!("a host proved that the log had {} entries; nothing is granted until it is restored", ahead.size);
        alarms.push(alarm("state_rollback", says, None));
    }
    if let Some(says) = scene.present.and_then(|present| present.check().alarm()) {
        alarms.push(alarm("log_broken", says, None));
    }
    if let Some(says) = short(scene.room) {
        alarms.push(alarm("space_short", says.to_owned(), None));
    }
    for (index, restore) in &disorder.restored {
        let says = format!(
            "an older log was put back: the entries from {} on, before {}, are lost",
            restore.kept, restore.seen
        );
        alarms.push(alarm("restored", says, Some(*index)));
    }
    for (host, fork) in scene.present.map(|present| present.forks()).unwrap_or_default() {
        let Forked { held, met, contradiction, evidence_sha256, .. } = fork;
        let says = format!(
            "host {host} holds two signed pieces, of entries {held} and {met}: {contradiction}; it binds nothing until \
             somebody looks (evidence {evidence_sha256})"
        );
        alarms.push(alarm("log_fork", says, None));
    }
    alarms.extend(heard(scene));
    let mut seen = BTreeSet::new();
    let visited = scene.backwards(LATELY, |entry, _| {
        if let Body::Ruling(ruled) = &entry.body
            && ruled.reason == Some(Reason::StateRollback)
            && disorder.ahead.is_none()
            && seen.insert(ruled.host)
        {
            let says = format!("host {} has seen more than this log holds", ruled.host);
            alarms.push(alarm("host_ahead", says, Some(entry.index)));
        }
        Ok(false)
    });
    match visited.await {
        // Whoever looks what is wrong is told so.
        Err(Error::Refused(refusal)) if alarms.iter().all(|alarm| alarm["alarm"] != "log_broken") => {
            alarms.push(alarm("log_broken", format!("a row of the log does not hold: {}", refusal.detail), None));
            Ok(alarms)
        }
        Err(Error::Refused(_)) | Ok(()) => Ok(alarms),
        Err(error) => Err(error),
    }
}

// What hosts say that is not as it was permitted, and who says nothing (T102).
fn heard(scene: Scene<'_>) -> Vec<Value> {
    let Some(present) = scene.present else { return Vec::new() };
    let enrolled = scene.state.hosts().iter().filter(|(_, record)| record.standing == HostStanding::Enrolled);
    let mut alarms = Vec::new();
    for (host, _) in enrolled {
        for process in present.processes(host) {
            let odd = process.running.iter().filter_map(|runs| Some((runs, process.differs(runs)?)));
            alarms.extend(odd.map(|(runs, differs)| {
                let says = format!("host {host} says that {differs}");
                row([("alarm", json!("binding_differs")), ("says", json!(says)), ("entry", json!(runs.index))])
            }));
        }
        if let Some(silent_ms) = present.silence(host).filter(|silent_ms| *silent_ms > SILENT_MS) {
            let says = format!("host {host} may run something, and has not said what for {} s", silent_ms / 1000);
            alarms.push(json!({"alarm": "host_silent", "says": says}));
        }
    }
    alarms.truncate(MOST);
    alarms
}

fn short(room: Room) -> Option<&'static str> {
    match room {
        Room::Ample => None,
        Room::Short => Some(
            "the disk is full: nothing is granted; refusals, and acts that only take away, are recorded in reserved space; \
             make room, and it goes on by itself",
        ),
        Room::Last => Some(
            "the disk is full, and half of the reserved space is used: only acts that take away are recorded; make room, \
             and it goes on by itself",
        ),
    }
}

// Hosts say what they run every few seconds.
const SILENT_MS: u64 = 30_000;
// The most alarms about what hosts say.
const MOST: usize = 100;
// How far back refusals are looked for.
const LATELY: u64 = 1000;
