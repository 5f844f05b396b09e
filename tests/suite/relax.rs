//! Weakenings on a real lattice: what is observed is told, what stands is shown, and what starts while the broker is down
//! is what `docs/broker-down.md` says.

use std::time::Duration;

use harness::embedded::Embedded;
use harness::lattice::{Lattice, path, wait_for};
use harness::proxy::Proxy;
use harness::stranger::{Rogue, eavesdrop};
use policy::digest::Digest;
use serde_json::{Value, json};

const NOBODY: [&str; 4] = ["--nats-url", "nats://127.0.0.1:1", "--timeout", "1"];

fn run(lattice: &Lattice, host: &str, id: &str, options: &[&str]) -> (i32, Value) {
    let cart = lattice.path("cart-acme.wasm");
    let output = lattice.host(host, &[&["-o", "json", "run", path(&cart), "--id", id], options].concat());
    let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let line = text.split(|byte| *byte == b'\n').rfind(|line| line.starts_with(b"{")).unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(line).unwrap())
}

fn key_of(lattice: &Lattice, host: &str) -> String {
    let memory: Value = serde_json::from_slice(&std::fs::read(lattice.path(host).join("memory")).unwrap()).unwrap();
    memory["host"].as_str().unwrap().to_owned()
}

// Restarts of `cart` on `host`.
fn allow_standby(lattice: &Lattice) {
    let (host, cart) = (key_of(lattice, "host"), std::fs::read(lattice.path("cart-acme.wasm")).unwrap());
    let sha256 = Digest::of(&cart).to_string();
    let named = ["--component", "cart", "--sha256", &sha256, "--host", &host, "--life", "12h"];
    let end = ["--until", "+1d", "--reason", "restarts at night", "--id", "nights"];
    lattice.accepted(&[&["relax", "standby"][..], &named, &end].concat());
}

#[test]
fn a_lattice_comes_under_enforcement_step_by_step() {
    let lattice = Lattice::with_cart();
    // Nobody gave that id to anyone: refused, observed, mended.
    assert_eq!(run(&lattice, "host", "trolley", &[]).1["error"], "component_unknown");
    let observed =
        lattice.accepted(&["relax", "observe", "--until", "+7d", "--reason", "the first week", "--id", "first-week"]);
    assert_eq!(observed["relaxation"], "first-week");
    for _ in 0..2 {
        let (code, started) = run(&lattice, "host", "trolley", &[]);
        assert_eq!(
            (code, &started["relaxations"]),
            (0, &json!([{"id": "first-week", "would_refuse": "component_unknown"}]))
        );
    }
    let (_, plain) = run(&lattice, "host", "cart", &[]);
    assert_eq!(plain["relaxations"], json!([]), "what needs no relaxation rests on none");

    let report = lattice.accepted(&["relax", "report"]);
    let [row] = report["observed"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!(
        (&row["component"], &row["reason"], &row["count"], &row["relaxation"]),
        (&json!("trolley"), &json!("component_unknown"), &json!(2), &json!("first-week"))
    );
    let status = lattice.accepted(&["status"]);
    assert_eq!(
        (&status["relaxations"][0]["let_through"], &status["relaxations"][0]["reason"]),
        (&json!(2), &json!("the first week"))
    );
    let why = lattice.accepted(&["why", "trolley"]);
    assert_eq!((&why["follows"], &why["relaxations"][0]["would_refuse"]), (&json!(true), &json!("component_unknown")));
    let cart = lattice.path("cart-acme.wasm");
    let explained = lattice.accepted(&["explain", path(&cart), "--id", "trolley"]);
    assert_eq!(
        (&explained["verdict"], &explained["relaxations"][0]["id"]),
        (&json!("permitted"), &json!("first-week"))
    );

    lattice.accepted(&["component", "admit", path(&cart), "--id", "trolley"]);
    lattice.accepted(&["relax", "end", "first-week"]);
    let (code, enforced) = run(&lattice, "host", "trolley", &[]);
    assert_eq!((code, &enforced["relaxations"]), (0, &json!([])));
    assert_eq!(run(&lattice, "host", "barrow", &[]).1["error"], "component_unknown", "enforced again");
    assert_eq!(lattice.accepted(&["status"])["relaxations"], json!([]));
    // The report outlives it, and the log says the same when it is judged again.
    assert_eq!(lattice.accepted(&["relax", "report"])["observed"][0]["count"], 2);
    lattice.accepted(&["audit", "verify"]);
}

#[test]
fn t15_single_files_of_a_stolen_key_are_permitted_again_and_nothing_else_it_signed() {
    let lattice = Lattice::with_cart();
    let thief = lattice.issuer("thief");
    lattice.accepted(&["issuer", "add", &thief, "--scope", "demo:*", "--kind", "component"]);
    let known = lattice.signed("cart", "till", "thief");
    lattice.accepted(&["component", "admit", path(&known), "--id", "till"]);
    let start = |file: &std::path::Path, id: &str| {
        let output = lattice.host("host", &["-o", "json", "run", path(file), "--id", id]);
        let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        let line = text.split(|byte| *byte == b'\n').rfind(|line| line.starts_with(b"{")).unwrap();
        serde_json::from_slice::<Value>(line).unwrap()
    };
    assert_eq!(start(&known, "till")["relaxations"], json!([]));
    // Stolen: a later revision of the same subject, and a stranger under its name.
    lattice.accepted(&["issuer", "revoke", &thief, "--because", "its laptop is gone"]);
    let bytes = harness::vectors::guest("cart");
    let newer = lattice.path("newer.wasm");
    std::fs::write(&newer, harness::sign::component_of_revision(&bytes, "till", 2, &lattice.path("thief.nk"))).unwrap();
    let [sha256, unknown] = [&known, &newer].map(|file| Digest::of(&std::fs::read(file).unwrap()).to_string());
    assert_eq!(start(&known, "till")["error"], "issuer_revoked");
    let until = ["--until", "+7d", "--reason", "in the log since May, stolen in June"];
    let put = |sha256: &str, id: &str| {
        let named = ["relax", "reprieve", sha256, "--issuer", &thief, "--id", id];
        lattice.json(&[&named[..], &until].concat())
    };
    let (code, refused) = put(&unknown, "newer");
    assert_eq!((code, &refused["error"]), (3, &json!("not_found")), "{refused}");
    assert_eq!(put(&sha256, "till").0, 0);
    let started = start(&known, "till");
    assert_eq!(started["relaxations"], json!([{"id": "till", "would_refuse": "issuer_revoked"}]), "{started}");
    assert_eq!(start(&newer, "till")["error"], "issuer_revoked");
    let (code, refused) = lattice.json(&["component", "admit", path(&newer), "--id", "till"]);
    assert_eq!((code, &refused["error"]), (3, &json!("issuer_revoked")));
    // It is shown wherever somebody looks, and the log says the same when it is judged again.
    let status = lattice.accepted(&["status"]);
    assert_eq!(
        (&status["relaxations"][0]["id"], &status["relaxations"][0]["let_through"]),
        (&json!("till"), &json!(1))
    );
    let shown = lattice.accepted(&["issuer", "show", &thief]);
    assert_eq!((&shown["standing"], &shown["reprieved"][0]["sha256"]), (&json!("revoked"), &json!(sha256)), "{shown}");
    // The newest decision on `till` was a refusal of other bytes; the one before it is the reprieve.
    let seen = lattice.accepted(&["audit", "seen", &sha256, "--limit", "1"]);
    let why = lattice.accepted(&["why", &seen["presentations"][0]["index"].to_string()]);
    assert_eq!((&why["follows"], &why["relaxations"][0]["would_refuse"]), (&json!(true), &json!("issuer_revoked")));
    lattice.accepted(&["audit", "verify"]);
    lattice.accepted(&["relax", "end", "till"]);
    assert_eq!(start(&known, "till")["error"], "issuer_revoked");
}

#[test]
fn t59_without_a_broker_a_standby_permit_starts_what_it_names_and_nothing_else() {
    let mut lattice = Lattice::with_cart();
    lattice.join("other");
    let cart = lattice.path("cart-acme.wasm");
    lattice.accepted(&["component", "admit", path(&cart), "--id", "basket"]);
    allow_standby(&lattice);
    for (host, id) in [("host", "cart"), ("host", "basket"), ("other", "cart")] {
        assert_eq!(run(&lattice, host, id, &[]).0, 0, "{host} {id}: the broker permits it");
    }
    lattice.kill_broker();
    for options in [&["--timeout", "1"][..], &NOBODY] {
        let (code, started) = run(&lattice, "host", "cart", options);
        assert_eq!((code, &started["standby"]["id"]), (0, &json!("nights")), "{started}");
        for (host, id) in [("host", "basket"), ("other", "cart"), ("host", "trolley")] {
            let (code, refused) = run(&lattice, host, id, options);
            assert_eq!((code, &refused["error"]), (1, &json!("broker_unreachable")), "{host} {id}: {refused}");
        }
    }
    // The broker hears of both, and the log keeps them.
    lattice.serve();
    let (_, asked) = run(&lattice, "host", "cart", &[]);
    assert_eq!(asked.get("standby"), None);
    let report = lattice.accepted(&["relax", "report"]);
    assert_eq!(report["stood_in"].as_array().unwrap().len(), 2, "{report}");
    let shown = lattice.accepted(&["relax", "show", "nights"]);
    assert_eq!(shown["let_through"], 2, "{shown}");
    lattice.accepted(&["audit", "verify"]);
}

#[test]
fn t59_after_a_ban_that_the_host_has_heard_of_nothing_starts_without_a_broker() {
    let lattice = Lattice::with_cart();
    allow_standby(&lattice);
    assert_eq!(run(&lattice, "host", "cart", &[]).0, 0);
    assert_eq!(run(&lattice, "host", "cart", &NOBODY).0, 0);
    let host = key_of(&lattice, "host");
    lattice.accepted(&["host", "ban", &host]);
    let epoch = lattice.accepted(&["status"])["epoch"].clone();
    // It hears of it whatever it asks.
    let memory = lattice.path("host/memory");
    wait_for("the ban", || {
        assert_ne!(run(&lattice, "host", "basket", &["--timeout", "1"]).0, 0);
        let memory: Value = serde_json::from_slice(&std::fs::read(&memory).ok()?).ok()?;
        (memory["epoch"].as_u64() >= epoch.as_u64()).then_some(())
    });
    let (code, refused) = run(&lattice, "host", "cart", &NOBODY);
    assert_eq!((code, &refused["error"]), (3, &json!("standby_void")), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t59_kills_garbage_and_cut_wires_start_only_what_is_on_standby() {
    let mut lattice = Lattice::with_cart();
    let cart = lattice.path("cart-acme.wasm");
    lattice.accepted(&["component", "admit", path(&cart), "--id", "basket"]);
    allow_standby(&lattice);
    let url = lattice.nats.url();
    let overheard = eavesdrop(&url).await;
    let proxy = Proxy::to(&lattice.nats.address());
    let host = Embedded::new(&lattice, "host", &proxy.url(), Duration::from_millis(700)).await;
    wait_for("a first start", || {
        let started = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(host.decides()));
        started.is_ok().then_some(())
    });
    let genuine = wait_for("the permit at the eavesdropper", || overheard.lock().unwrap().clone());
    let only_standby = async |what: &str| {
        let running = host.start("cart").await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(running.leave().standby.is_some(), "{what}");
        let code = host.start("basket").await.err().map(|error| error.code());
        assert!(code.is_some_and(|code| code != "component_unknown"), "{what}: {code:?}");
    };
    lattice.kill_broker();
    only_standby("the broker is killed").await;
    let garbage = vec![b"true".to_vec(), genuine[..genuine.len() / 2].to_vec(), genuine];
    let _garbler = Rogue::on(&url, None, move |_| garbage.clone()).await;
    only_standby("answers are garbled, and an old one is played back").await;
    proxy.cut();
    only_standby("the wire is cut").await;
}
