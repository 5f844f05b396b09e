//! Standby permits: kept past their end, and carried to another host.

use std::path::Path;

use harness::lattice::{Lattice, path, wait_for};
use policy::digest::Digest;
use serde_json::Value;

use super::seen::Seen;
use super::stage::Stage;

const NOBODY: &str = "nats://127.0.0.1:1";

// A lattice of its own, so that nothing is governed meanwhile, whose host started `cart` under a permit of that life.
fn permitted(life: &str) -> Lattice {
    let lattice = Lattice::with_cart();
    let memory: Value = serde_json::from_slice(&std::fs::read(lattice.path("host/memory")).unwrap()).unwrap();
    let sha256 = Digest::of(&std::fs::read(lattice.path("cart-acme.wasm")).unwrap()).to_string();
    let named = ["--component", "cart", "--sha256", &sha256, "--host", memory["host"].as_str().unwrap()];
    let end = ["--until", "+1h", "--reason", "restarts", "--life", life];
    lattice.accepted(&[&["relax", "standby"][..], &named, &end].concat());
    let started = run(&lattice, "host", &[]);
    assert!(started.is_done(), "{started:?}");
    lattice
}

fn run(lattice: &Lattice, host: &str, options: &[&str]) -> Seen {
    let cart = lattice.path("cart-acme.wasm");
    Seen::printed(&lattice.host(host, &[&["-o", "json", "run", path(&cart), "--id", "cart"], options].concat()))
}

pub(super) fn after_its_end(_: &Stage) -> Seen {
    let lattice = permitted("2s");
    // It may start until then, and not from then on.
    wait_for("the end of its life", || {
        let seen = run(&lattice, "host", &["--nats-url", NOBODY, "--timeout", "1"]);
        (!seen.is_done()).then_some(seen)
    })
}

pub(super) fn of_another_host(_: &Stage) -> Seen {
    let lattice = permitted("1h");
    lattice.join("borrower");
    copied(&lattice.path("host/standby"), &lattice.path("borrower/standby"));
    run(&lattice, "borrower", &["--nats-url", NOBODY, "--timeout", "1"])
}

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
