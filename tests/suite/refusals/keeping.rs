//! Keeping the log: what was moved away and is not here, and files of another log.

use broker::clock::{Clock, SystemClock};
use broker::export::{Freeze, Until, freeze};
use broker::folder::Folder;
use harness::lattice::{Lattice, path};

use super::seen::Seen;
use super::stage::Stage;

// Old rulings lie in a segment that nobody brought.
pub(super) fn frozen_and_gone(_: &Stage) -> Seen {
    let mut lattice = Lattice::with_cart();
    let cart = lattice.path("cart-acme.wasm");
    let ran = lattice.host("host", &["run", path(&cart), "--id", "cart"]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    lattice.accepted(&["host", "invite"]);
    lattice.stop_broker();
    let (folder, out) = (Folder::open(&lattice.path("lattice")).unwrap(), lattice.path("segments"));
    std::fs::create_dir(&out).unwrap();
    let now = SystemClock::default().now();
    // As it will be in a year.
    let asked = Freeze { until: Until::OlderThan(90 * 86_400), as_of: now.plus(365 * 86_400), out };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(freeze(&folder, now, &asked)).unwrap();
    let (code, object) = lattice.json(&["audit", "verify"]);
    Seen::Printed { code: Some(code), object }
}

pub(super) fn export_of_another_log(stage: &Stage) -> Seen {
    let file = stage.found("exported").join("log.jsonl");
    let done = stage.alone("exported", &["audit", "export", "--out", path(&file)]);
    assert!(done.is_done(), "{done:?}");
    stage.found("another");
    stage.alone("another", &["audit", "export", "--out", path(&file)])
}
