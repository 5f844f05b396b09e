//! What hosts say is bound, and hosts that say nothing: what an administrator who looks is shown.

use policy::digest::Digest;
use policy::inventory::{HostInventory, Runs};
use policy::key::Host;
use policy::question::Seen;

use super::asker::Lattice;
use crate::clock::Clock;
use crate::keys::{SigningKey, nonce};
use crate::view::Look;

fn inventory(lattice: &Lattice, host: &SigningKey<Host>, running: Vec<Runs>) -> Vec<u8> {
    let inventory = HostInventory {
        iss: host.name(),
        aud: lattice.report.lattice.clone(),
        iat: lattice.clock.now(),
        process: nonce().unwrap(),
        sequence: 1,
        page: 0,
        pages: 1,
        seen: Seen { epoch: 0, index: 0, entry_sha256: lattice.report.root_sha256 },
        checkpoint: None,
        forked: None,
        builtins_sha256: Digest::of(b"none"),
        running,
        closed: Vec::new(),
        at_hand: None,
    };
    host.sign(&inventory, [])
}

async fn alarms(lattice: &Lattice) -> Vec<String> {
    let status = lattice.look(&Look::Status).await;
    let alarms = status["alarms"].as_array().unwrap().iter();
    alarms.map(|alarm| alarm["alarm"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn t102_a_host_that_falls_silent_while_it_runs_something_is_shown_within_a_minute() {
    let lattice = Lattice::new().await;
    let (host, idle) = (lattice.enrolled_host().await, lattice.enrolled_host().await);
    let cart = Runs {
        component: "cart".parse().unwrap(),
        sha256: Digest::of(b"cart"),
        issuer: None,
        index: 0,
        bindings: Vec::new(),
        closing: None,
    };
    lattice.service.inventory(&inventory(&lattice, &idle, Vec::new())).await.unwrap();
    lattice.service.inventory(&inventory(&lattice, &host, vec![cart])).await.unwrap();
    // No entry permitted it: that is shown at once.
    assert_eq!(alarms(&lattice).await, ["binding_differs"]);
    lattice.clock.advance(29_000);
    assert_eq!(alarms(&lattice).await, ["binding_differs"]);
    lattice.clock.advance(2_000);
    assert_eq!(alarms(&lattice).await, ["binding_differs", "host_silent"], "who runs nothing may be silent");
    // It says that nothing runs: a word is a word.
    lattice.clock.advance(200_000);
    lattice.service.inventory(&inventory(&lattice, &host, Vec::new())).await.unwrap();
    assert_eq!(alarms(&lattice).await, Vec::<String>::new());
}
