//! Contracts: an import is answered only where the package's owner said what it is.

use harness::lattice::path;
use serde_json::json;

use super::seen::Seen;
use super::stage::{Stage, importing};

pub(super) fn nobodys_package(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = live.component("nobodys", &importing(&["demo:nobodys/a@0.1.0"]));
    live.run(&file, "nobodys", &[])
}

pub(super) fn withdrawn(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:withdrawn", |_| ());
    live.done(&["contract", "withdraw", "demo:withdrawn"]);
    let file = live.component("withdrawn", &importing(&["demo:withdrawn/a@0.1.0"]));
    live.run(&file, "withdrawn", &[])
}

pub(super) fn another_track(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:track", |_| ());
    let file = live.component("track", &importing(&["demo:track/a@2.0.0"]));
    live.run(&file, "track", &[])
}

pub(super) fn another_interface(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:interface", |_| ());
    let file = live.component("interface", &importing(&["demo:interface/c@0.1.0"]));
    live.run(&file, "interface", &[])
}

// A genuine contract of earlier days, played back.
pub(super) fn older_revision(stage: &Stage) -> Seen {
    let live = stage.live();
    let older = live.contract("demo:revision", |_| ());
    live.published("demo:revision", |contract| contract["revision"] = json!(2));
    live.told(&["contract", "publish", path(&older)])
}
