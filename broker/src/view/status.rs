//! The lattice at a glance.

use policy::decide::LAW;
use policy::govern::{HostStanding, LinkSlot};
use policy::issuer::Standing;
use policy::log::leaf_hash;
use serde_json::{Value, json};

use super::Scene;
use crate::error::Error;

pub(super) async fn status(scene: Scene<'_>) -> Result<Value, Error> {
    let (state, head) = (scene.state, scene.head);
    let root = scene.page(0, 1).await?.first().map(|row| leaf_hash(&row.bytes));
    let issuers = state.issuers().iter().filter(|(_, issuer)| issuer.standing == Standing::Active).count();
    let hosts = state.hosts().values().filter(|record| record.standing == HostStanding::Enrolled).count();
    let live = state.links().values().filter(|slot| matches!(slot, LinkSlot::Live(_))).count();
    let counts = json!({
        "issuers": issuers,
        "contracts": state.contracts().values().filter(|published| !published.withdrawn).count(),
        "defaults": state.defaults().len(),
        "components": state.components().values().filter(|record| !record.retired).count(),
        "providers": state.providers().values().filter(|record| !record.retired).count(),
        "hosts": hosts,
        "links": live,
        "links_removed": state.links().len() - live,
    });
    let relaxations = super::relaxations::standing(scene).await?;
    let inception = state.inception();
    let roots: Vec<String> = inception.roots.keys.iter().map(ToString::to_string).collect();
    let administrators: Vec<String> = inception.administrators.keys.iter().map(ToString::to_string).collect();
    Ok(json!({
        "lattice": state.lattice(), "root": root, "roots": roots, "administrators": administrators,
        "threshold": inception.administrators.threshold, "log_key": inception.log_key, "law": LAW,
        "size": head.size, "head": head.last, "epoch": head.epoch, "at": head.at_ms / 1000,
        "warrant_serial": state.warrant_serial(), "counts": counts,
        "relaxations": relaxations,
    }))
}
