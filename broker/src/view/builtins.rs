//! Which builtins are bindable, and what each host last said that it offers.
//!
//! Until hosts report inventories by themselves, the newest request of each host is the evidence.

use std::collections::BTreeMap;

use policy::digest::Digest;
use policy::govern::HostStanding;
use policy::json as strict;
use policy::key::{Host, Name};
use policy::log::Body;
use policy::native::NATIVES;
use policy::provider::Source;
use policy::question::{Inventory, Offer};
use policy::reason::Refusal;
use serde_json::{Value, json};

use super::lists::{offered, row};
use super::{Scene, spelled};
use crate::error::Error;

pub(super) async fn builtins(scene: Scene<'_>) -> Result<Value, Error> {
    let state = scene.state;
    let natives = NATIVES.iter().map(|native| {
        let record = state.providers().get(&native.sha256());
        Ok(row([
            ("name", json!(native.name)),
            ("serves", json!(spelled(&native.serves()?))),
            ("base", json!(native.base)),
            ("admitted", json!(record.is_some_and(|record| !record.retired))),
            ("id", json!(record.map(|record| &record.id))),
        ]))
    });
    let natives = natives.collect::<Result<Vec<_>, Refusal>>()?;
    let exporting = state.providers().iter().filter(|(_, record)| record.source == Source::Exports);
    let components: Vec<Value> = exporting.map(|(sha256, record)| offered(state, &record.subject, *sha256)).collect();
    let newest = newest(scene).await?;
    let hosts = state.hosts().iter().map(|(key, record)| {
        let asked = newest.get(key);
        row([
            ("key", json!(key)),
            ("labels", json!(record.labels)),
            ("asked", json!(asked.map(|(index, _)| index))),
            ("offers", json!(asked.map(|(_, offers)| told(scene, offers)))),
        ])
    });
    Ok(json!({"natives": natives, "components": components, "hosts": hosts.collect::<Vec<_>>()}))
}

fn told(scene: Scene<'_>, offers: &[Offer]) -> Vec<Value> {
    offers.iter().map(|offer| offered(scene.state, &offer.subject, offer.sha256)).collect()
}

type Newest = BTreeMap<Name<Host>, (u64, Vec<Offer>)>;

/// What each host offered when it asked last, among the newest entries.
pub(super) async fn newest(scene: Scene<'_>) -> Result<Newest, Error> {
    let enrolled = scene.state.hosts().values().filter(|record| record.standing == HostStanding::Enrolled).count();
    let mut asked: BTreeMap<Name<Host>, (u64, Digest)> = BTreeMap::new();
    let visited = scene.backwards(WITHIN, |entry, _| {
        // A request names its inventory last.
        if let (Body::Ruling(ruled), Some(sha256)) = (&entry.body, entry.evidence.last()) {
            asked.entry(ruled.host).or_insert((entry.index, *sha256));
        }
        Ok(asked.len() >= enrolled)
    });
    visited.await?;
    let mut newest = Newest::new();
    for (host, (index, sha256)) in asked {
        let bytes = scene.log.evidence(sha256).await?.filter(|bytes| Digest::of(bytes) == sha256);
        let inventory = bytes.and_then(|bytes| strict::read::<Inventory>(&bytes).ok());
        newest.extend(inventory.map(|inventory| (host, (index, inventory.builtins))));
    }
    Ok(newest)
}

// How far back a host's last word is looked for.
const WITHIN: u64 = 10_000;
