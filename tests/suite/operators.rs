//! What an operator is told, in the words and the width that help, and commands that ask no more than they need.

use harness::lattice::{Lattice, path};
use harness::program::countersign_json;
use harness::verifiers::edit;
use serde_json::json;

#[test]
fn a_changing_command_from_afar_asks_nothing_that_reads_the_log() {
    let lattice = Lattice::start();
    let root = lattice.accepted(&["status"])["root"].as_str().unwrap().to_owned();
    let (key, nowhere, url) = (lattice.path("lattice/keys/admin.nk"), lattice.path("nowhere"), lattice.nats.url());
    let away = ["--dir", path(&nowhere), "--nats-url", &url, "--root", &root, "--key", path(&key)];
    // Whoever looks at the whole lattice reads its first row.
    edit(&lattice.log(), "DELETE FROM entries WHERE idx = 0");
    assert_eq!(countersign_json(&[&away[..], &["status"]].concat()).1["error"], json!("log_broken"));
    let invite = countersign_json(&[&away[..], &["host", "invite"]].concat());
    assert_eq!((invite.0, &invite.1["success"]), (0, &json!(true)), "{}", invite.1);
}
