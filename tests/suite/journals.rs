//! What hosts wrote down and what the log says tell the same, or it is named where they do not.

use std::path::PathBuf;

use broker::keys::SigningKey;
use harness::asker::{Asker, ask};
use harness::lattice::{Lattice, path};
use policy::key::Host;
use serde_json::{Value, json};

fn run(lattice: &Lattice, id: &str) -> bool {
    let cart = lattice.path("cart-acme.wasm");
    lattice.host("host", &["run", path(&cart), "--id", id]).status.success()
}

fn journal(lattice: &Lattice) -> String {
    let output = lattice.host("host", &["journal"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn reconciled(lattice: &Lattice, journal: &str) -> (i32, Value) {
    let file: PathBuf = lattice.path("host.journal");
    std::fs::write(&file, journal).unwrap();
    lattice.json(&["audit", "reconcile", "--journal", path(&file)])
}

fn changed(line: &str, change: impl Fn(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(line).unwrap();
    change(&mut value);
    String::from_utf8(policy::json::write(&value)).unwrap()
}

#[test]
fn t63_journals_and_the_log_tell_the_same_and_every_change_of_a_line_is_named() {
    let lattice = Lattice::with_cart();
    for id in ["cart", "nobody", "cart", "cart"] {
        assert_eq!(run(&lattice, id), id == "cart");
    }
    let whole = journal(&lattice);
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines.len(), 4);
    let (code, told) = reconciled(&lattice, &whole);
    assert_eq!((code, &told["lines"], &told["findings"]), (0, &json!(4), &json!([])), "{told}");
    assert_eq!(told["not_acted_on"], json!([]), "{told}");

    // A grant whose answer was lost is told, and is no error.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let asker = Asker::of(&lattice, "host");
    runtime.block_on(async {
        let client = asker.connect(&lattice.nats.url()).await;
        ask(&client, asker.question(), std::time::Duration::from_secs(20)).await.expect("an answer")
    });
    let (code, told) = reconciled(&lattice, &whole);
    assert_eq!((code, told["not_acted_on"].as_array().unwrap().len()), (0, 1), "{told}");
    // So is that what was before a journal's first line was rotated away.
    let (code, told) = reconciled(&lattice, &lines[2..].join("\n"));
    assert_eq!((code, &told["hosts"][0]["first"]), (0, &json!(3)), "{told}");

    let other = policy::digest::Digest::of(b"other");
    let with = |line: String| format!("{}\n{line}\n{}\n{}\n", lines[0], lines[2], lines[3]);
    let with_third = |change: &dyn Fn(&mut Value)| {
        format!("{}\n{}\n{}\n{}\n", lines[0], lines[1], changed(lines[2], change), lines[3])
    };
    let cases = [
        ("a line that is gone", format!("{}\n{}\n{}\n", lines[0], lines[2], lines[3]), "hole"),
        ("a line twice", format!("{whole}{}\n", lines[1]), "twice"),
        (
            "a line of its own",
            whole.clone() + &changed(lines[3], |it| (it["number"], it["index"]) = (json!(5), json!(9999))),
            "missing",
        ),
        ("another entry", with(changed(lines[1], |it| it["entry_sha256"] = json!(other))), "other_entry"),
        (
            "a yes where a no was",
            with(changed(lines[1], |it| {
                it["verdict"] = json!("permitted");
                it.as_object_mut().unwrap().remove("reason");
            })),
            "other_decision",
        ),
        ("another question", with(changed(lines[1], |it| it["request_sha256"] = json!(other))), "other_decision"),
        ("other bytes than it asked for", with(changed(lines[1], |it| it["sha256"] = json!(other))), "other_decision"),
        ("another id", with(changed(lines[1], |it| it["id"] = json!("cart"))), "other_decision"),
        ("bound to what nobody granted", with_third(&|it| it["bound"][0]["sha256"] = json!(other)), "other_decision"),
        (
            "another import than it asked for",
            with_third(&|it| it["bound"][0]["import"] = json!("wasi:made-up/anything@9.9.9")),
            "other_decision",
        ),
        (
            "less than it asked for",
            with_third(&|it| drop(it.as_object_mut().unwrap().remove("bound"))),
            "other_decision",
        ),
        ("a standby permit that nobody gave", with_third(&|it| it["standby"] = json!("night")), "other_decision"),
    ];
    for (what, journal, finding) in cases {
        let (code, told) = reconciled(&lattice, &journal);
        assert_eq!((code, &told["error"]), (3, &json!("journal_mismatch")), "{what}: {told}");
        let found: Vec<_> = told["findings"].as_array().unwrap().iter().map(|it| it["finding"].clone()).collect();
        assert_eq!(found, [json!(finding)], "{what}: {told}");
    }
    // Another lattice's journal accuses nobody.
    let stranger = changed(lines[0], |it| it["host"] = json!(SigningKey::<Host>::generate().unwrap().name()));
    let (code, told) = reconciled(&lattice, &stranger);
    assert_eq!((code, &told["error"]), (3, &json!("host_unknown")), "{told}");
    let (code, told) = reconciled(&lattice, "{\"number\":1}\n");
    assert_eq!((code, &told["error"]), (3, &json!("schema_mismatch")), "{told}");
}

#[test]
fn t62_t63_a_log_that_lost_its_end_or_was_rewritten_does_not_account_for_what_a_host_did() {
    let mut lattice = Lattice::with_cart();
    assert!(run(&lattice, "cart"));
    lattice.stop_broker();
    lattice.copy_folder("before");
    lattice.serve();
    assert!(run(&lattice, "cart"));
    lattice.stop_broker();
    let whole = journal(&lattice);
    let file = lattice.path("host.journal");
    std::fs::write(&file, &whole).unwrap();
    let reconcile = |folder: &str| {
        let folder = lattice.path(folder);
        lattice.json(&["--dir", path(&folder), "audit", "reconcile", "--journal", path(&file)])
    };
    assert_eq!(reconcile("lattice").0, 0);
    let (code, told) = reconcile("before");
    assert_eq!((code, &told["findings"][0]["finding"]), (3, &json!("missing")), "{told}");
    // Rewritten from there on: the copy goes its own way, over the places of what the host acted on.
    let because = "a sentence to be changed";
    for _ in 0..10 {
        let folder = lattice.path("before");
        lattice.accepted(&["--dir", path(&folder), "host", "invite", "--because", because]);
    }
    let (code, told) = reconcile("before");
    assert_eq!((code, &told["findings"][0]["finding"]), (3, &json!("other_entry")), "{told}");
    // One bit of a row.
    let log = lattice.path("before/log.db");
    let mut bytes = std::fs::read(&log).unwrap();
    let places: Vec<_> =
        (0..bytes.len() - because.len()).filter(|at| bytes[*at..].starts_with(because.as_bytes())).collect();
    places.iter().for_each(|at| bytes[*at] ^= 1);
    std::fs::write(&log, bytes).unwrap();
    let (code, told) = reconcile("before");
    assert_eq!((code, &told["error"]), (3, &json!("log_broken")), "{told}");
}
