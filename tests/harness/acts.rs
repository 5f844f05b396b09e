//! Every kind of act that an administrator can do, done on a real lattice, each followed by its opposite.
//!
//! What was signed for it is read back from the log, so that others may try it again.

use broker::store::LogReader;
use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::govern::Operation;
use policy::log::{Body, Entry};

use crate::lattice::{Lattice, path};
use crate::program::countersign;

/// Does every kind of act on a lattice that has `cart`; a second administrator's key lies in `bob.nk`.
pub fn every_kind(lattice: &Lattice) {
    let keys = ["first", "second", "third"].map(|name| lattice.issuer(name));
    let [first, second, third] = &keys;
    let proof = |name: &str| {
        let key = lattice.path(&format!("{name}.nk"));
        written(lattice, &format!("{name}.proof"), &["issuer", "prove", "--issuer-key", path(&key)])
    };
    let (first_proof, second_proof) = (proof("first"), proof("second"));
    lattice.accepted(&["issuer", "add", first, "--scope", "acme:*", "--prepared"]);
    lattice.accepted(&["issuer", "activate", first, "--proof", &first_proof]);
    lattice.accepted(&["issuer", "scope", first, "--scope", "acme:shop"]);
    lattice.accepted(&["issuer", "rotate", first, second, "--proof", &second_proof]);
    let acme = lattice.path("acme.nk");
    let lend = ["issuer", "lend", third, "--issuer-key", path(&acme), "--scope", "demo:*", "--kind", "component"];
    let lent = written(lattice, "third.delegation", &[&lend[..], &["--until", "+90d"]].concat());
    lattice.accepted(&["issuer", "delegate", &lent]);
    lattice.accepted(&["issuer", "retire", second]);
    lattice.accepted(&["issuer", "revoke", third]);

    let rules = lattice.path("rules.cedar");
    std::fs::write(&rules, "@id(\"none-of-these\")\nforbid(principal, action, resource) when { false };\n")
        .expect("written");
    lattice.accepted(&["rules", "put", path(&rules)]);
    lattice.accepted(&["rules", "delete"]);

    let trial = ["relax", "observe", "--until", "+1d", "--reason", "a trial", "--id", "trial"];
    lattice.accepted(&trial);
    lattice.accepted(&["relax", "end", "trial"]);

    lattice.accepted(&["link", "put", "cart", "logging", "--contract", "wasi:logging"]);
    let first = other(lattice, 1);
    lattice.accepted(&["link", "switch", "cart", "wasi:logging", "--to", "other"]);
    lattice.accepted(&["link", "rollback", "cart", "wasi:logging"]);
    let pin = format!("sha256={first}");
    lattice.accepted(&["link", "put", "cart", "other", "--contract", "wasi:logging", "--pin-provider", &pin]);
    other(lattice, 2);
    lattice.accepted(&["link", "accept", "cart", "wasi:logging"]);
    lattice.accepted(&["link", "del", "cart", "--contract", "wasi:logging", "--accept-default"]);
    lattice.accepted(&["default", "del", "wasi:logging"]);
    lattice.accepted(&["contract", "withdraw", "wasi:logging"]);
    lattice.accepted(&["provider", "retire", "logging"]);
    lattice.accepted(&["component", "retire", "cart"]);
    let hosts = lattice.accepted(&["host", "list"]);
    let host = hosts["hosts"][0]["key"].as_str().expect("a host").to_owned();
    let label = serde_json::json!([{"label_host": {"host": host, "labels": {"zone": "b"}}}]);
    std::fs::write(lattice.path("label.json"), label.to_string()).expect("written");
    lattice.accepted(&["apply", "-f", path(&lattice.path("label.json"))]);
    lattice.accepted(&["host", "ban", &host]);

    let (bob, carol) = (administrator(lattice, "bob"), administrator(lattice, "carol"));
    lattice.accepted(&["admin", "put", &bob, "--name", "bob", "--role", "operator"]);
    lattice.accepted(&["admin", "put", &carol, "--role", "viewer"]);
    lattice.accepted(&["admin", "remove", &carol]);
    let by_bob = lattice.path("bob.nk");
    let approved = waits(lattice, &["threshold", "put", "issuer-add", "2"]);
    lattice.accepted(&["--key", path(&by_bob), "approve", &approved]);
    let rejected = waits(lattice, &["threshold", "put", "issuer-add", "1"]);
    lattice.accepted(&["--key", path(&by_bob), "reject", &rejected]);
}

// Admits a revision of a provider of logging, and tells its digest.
fn other(lattice: &Lattice, revision: i32) -> Digest {
    let guest = crate::vectors::guest("logger");
    let bytes = crate::sign::component_of_revision(&guest, "other", revision, &lattice.path("acme.nk"));
    let file = lattice.path(&format!("other-{revision}.wasm"));
    std::fs::write(&file, &bytes).expect("written");
    lattice.accepted(&["provider", "admit", path(&file), "--id", "other"]);
    Digest::of(&bytes)
}

/// Makes an administrator's key in a file of that name, and tells its public half.
pub fn administrator(lattice: &Lattice, name: &str) -> String {
    let file = lattice.path(&format!("{name}.nk"));
    let made = lattice.accepted(&["keys", "gen", "administrator", "--out", path(&file)]);
    made["public"].as_str().expect("a key").to_owned()
}

/// Gives a command that must wait for others, and tells its id.
pub fn waits(lattice: &Lattice, arguments: &[&str]) -> String {
    let (code, said) = lattice.json(arguments);
    assert_eq!((code, said["reason"].as_str()), (4, Some("pending_approval")), "{arguments:?}: {said}");
    said["pending"]["id"].as_str().expect("an id").to_owned()
}

/// Every command that a lattice's log took, as it was signed.
pub async fn commands(lattice: &Lattice) -> Vec<(Command, Vec<u8>)> {
    let log = LogReader::open(&lattice.log()).await.expect("the log");
    let mut commands = Vec::new();
    for row in log.rows(0, 1000).await.expect("its rows") {
        let entry = Entry::read(&row.bytes).expect("an entry");
        let Body::Governance(judged) = &entry.body else { continue };
        if judged.by.is_none() {
            continue;
        }
        let kept = log.kept(&entry).await.expect("its evidence");
        let pieces: Vec<Vec<u8>> =
            entry.evidence.iter().filter_map(|sha256| policy::log::Evidences::find(&kept, *sha256)).collect();
        let bytes = pieces.join(&b'\n');
        commands.push((Unverified::<Command>::parse(&bytes).expect("a command").says().clone(), bytes));
    }
    let done = commands.iter().flat_map(|(command, _)| command.operations.iter().map(Operation::kind));
    // These two are refused where nothing is out of order; their own tests put something out of order first.
    let kinds: std::collections::BTreeSet<_> = done.chain(["AcknowledgeClock", "Restore"]).collect();
    assert_eq!(kinds.len(), Operation::KINDS, "a kind of act is not done here: {kinds:?}");
    commands
}

fn written(lattice: &Lattice, name: &str, arguments: &[&str]) -> String {
    let made = countersign(arguments);
    assert!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
    let file = lattice.path(name);
    std::fs::write(&file, made.stdout).expect("written");
    path(&file).to_owned()
}
