//! What an operator is told, in the words and the width that help, and commands that ask no more than they need.

use harness::acts::administrator;
use harness::lattice::{Lattice, path};
use harness::program::{countersign, countersign_json};
use harness::verifiers::edit;
use serde_json::{Value, json};

// What is printed for people, where no terminal shows it.
fn text(lattice: &Lattice, arguments: &[&str]) -> String {
    let dir = lattice.path("lattice");
    let told = countersign(&[&["--dir", path(&dir), "--nats-url", &lattice.nats.url()], arguments].concat());
    let said = [told.stdout, told.stderr].concat();
    String::from_utf8(said).unwrap()
}

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

#[test]
fn a_host_is_labelled_by_what_is_named_and_the_rest_stays() {
    let lattice = Lattice::with_cart();
    let host = lattice.accepted(&["host", "list"])["hosts"][0]["key"].as_str().unwrap().to_owned();
    let labels = || lattice.accepted(&["host", "show", &host])["labels"].clone();
    let label = |more: &[&str]| lattice.json(&[&["host", "label", &host], more].concat());
    assert_eq!(label(&["zone=eu", "rack=7", "--because", "moved in"]).1["labels"], json!({"zone": "eu", "rack": "7"}));
    assert_eq!(labels(), json!({"zone": "eu", "rack": "7"}));
    let (_, planned) = label(&["zone=us", "--remove", "rack", "--plan"]);
    assert_eq!(planned["plan"][0]["host_labelled"]["labels"], json!({"zone": "us"}), "{planned}");
    assert_eq!(labels()["rack"], json!("7"), "a plan changed something");
    let apply = ["zone=us", "--remove", "rack", "--apply", planned["plan_sha256"].as_str().unwrap()];
    assert_eq!(label(&apply).0, 0);
    assert_eq!(labels(), json!({"zone": "us"}));
    assert_eq!(label(&["--remove", "zone"]).0, 0);
    assert_eq!(labels(), json!({}));
    let (code, missing) = label(&["--remove", "zone"]);
    assert_eq!((code, &missing["error"]), (3, &json!("not_found")));
    for unmeant in [&[][..], &["zone"], &["zone=eu", "--remove", "zone"]] {
        assert_eq!(label(unmeant).0, 2, "{unmeant:?}");
    }
}

#[test]
fn a_refusal_says_what_helps_here() {
    let lattice = Lattice::start();
    let refused = |arguments: &[&str], error: &str, says: &str, remedy: &str| {
        let (_, told) = lattice.json(arguments);
        let is = |name: &str, part: &str| told[name].as_str().is_some_and(|text| text.contains(part));
        assert!(told["error"] == json!(error) && is("message", says) && is("remedy", remedy), "{arguments:?}: {told}");
        assert_eq!(told.get("clocks"), None, "{told}");
    };
    let (file, why) = ("0".repeat(64), ["--until", "+1d", "--because", "renewed on Monday"]);
    let exception = ["relax", "exception", &file, "--allow", "issuer_revoked"];
    refused(&[&exception[..], &why].concat(), "not_relaxable", "issuer_revoked", "countersign relax reprieve");
    let month = ["relax", "observe", "--until", "+31d", "--because", "a long first week"];
    refused(&month, "relaxation_excessive", "the longest is 30 days", "30 days");
    refused(&["threshold", "put", "issuer-add", "0"], "usage", "the least is 1", "--help");
    let unknown = &"0f".repeat(16);
    for act in ["approve", "reject"] {
        refused(&[act, unknown], "not_found", unknown, "countersign approve --list");
    }
    let told = text(&lattice, &["approve", unknown]);
    assert!(told.contains("fix: `countersign approve --list`"), "{told}");
}

#[test]
fn what_waits_is_told_whole_and_whose_it_was() {
    let lattice = Lattice::start();
    let carol = administrator(&lattice, "carol");
    lattice.accepted(&["admin", "put", &carol, "--name", "carol", "--role", "issuer-admin"]);
    let bob = administrator(&lattice, "bob");
    lattice.accepted(&["admin", "put", &bob, "--name", "bob", "--role", "operator"]);
    let by_bob = ["--key".to_owned(), path(&lattice.path("bob.nk")).to_owned()];
    let approve = |id: &str| lattice.accepted(&[&by_bob[0], &by_bob[1], "approve", id]);
    approve(&harness::acts::waits(&lattice, &["threshold", "put", "issuer-add", "2"]));
    let acme = lattice.issuer("acme");
    let by_carol = lattice.path("carol.nk");
    let add = ["--key", path(&by_carol), "issuer", "add", &acme, "--scope", "shop:*", "--scope", "wasi:keyvalue"];
    assert_eq!(lattice.json(&add).0, 4);
    let pending = |row: usize| lattice.accepted(&["approve", "--list"])["pending"][row].clone();
    assert_eq!(pending(0)["operations"][0]["add_issuer"]["key"], json!(acme), "{}", pending(0));
    let told = text(&lattice, &["approve", "--list"]);
    let line = told.lines().find(|line| line.contains(&acme)).unwrap_or_else(|| panic!("{told}"));
    assert!(line.contains("add_issuer") && line.contains("scope=shop:*,wasi:keyvalue"), "{told}");
    assert!(told.contains(" carol ") && !told.contains("(removed)"), "{told}");
    // Approved, it takes away as it would have alone: both moments are told.
    let removed = approve(&harness::acts::waits(&lattice, &["admin", "remove", &carol]));
    assert_eq!(removed["effective"], json!(true), "{removed}");
    assert!(removed["recorded_at_ms"].is_u64() && removed["effective_at_ms"].is_u64(), "{removed}");
    assert_eq!(pending(0)["standing"], json!("removed"), "{}", pending(0));
    assert!(text(&lattice, &["approve", "--list"]).contains("carol (removed)"));
}

#[test]
fn what_is_piped_is_one_line_a_row() {
    let lattice = Lattice::start();
    let acme = lattice.issuer("acme");
    let scopes: Vec<String> =
        (0..20).flat_map(|number| ["--scope".to_owned(), format!("wasi:store{number}")]).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    lattice.accepted(&[&["issuer", "add", &acme][..], &scopes].concat());
    let listed = text(&lattice, &["issuer", "list"]);
    let line = listed.lines().find(|line| line.contains(&acme)).unwrap_or_else(|| panic!("{listed}"));
    assert!(scopes.iter().skip(1).step_by(2).all(|scope| line.contains(scope)), "{listed}");
    let status: Value = lattice.accepted(&["status"]);
    assert!(text(&lattice, &["status"]).contains("1 of 1 must sign a warrant"), "{status}");
}
