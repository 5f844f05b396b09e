//! Plans: what an act would change is told before it is done, and done is exactly that or nothing.

use std::time::Duration;

use harness::embedded::Embedded;
use harness::lattice::{Lattice, path, wait_for};
use harness::program::countersign;
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(20);

fn flips(plan: &Value) -> Vec<(&str, &str, &str)> {
    let rows = plan["flips"].as_array().unwrap().iter();
    rows.map(|row| ["id", "before", "after_reason"].map(|name| row[name].as_str().unwrap_or_default()))
        .map(|[id, before, after]| (id, before, after))
        .collect()
}

fn size(lattice: &Lattice) -> u64 {
    lattice.accepted(&["status"])["size"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_names_the_starts_that_would_come_out_otherwise_and_what_of_them_runs() {
    let lattice = Lattice::with_cart();
    let host = Embedded::new(&lattice, "host", &lattice.nats.url(), LONG).await;
    let running = host.start("cart").await.unwrap();
    let withdraw = ["contract", "withdraw", "wasi:logging"];
    let before = size(&lattice);
    let plan = wait_for("it runs", || {
        let plan = lattice.accepted(&[&withdraw[..], &["--plan"]].concat());
        (plan["flips"][0]["running"] == json!(true)).then_some(plan)
    });
    assert_eq!(flips(&plan), [("cart", "permitted", "contract_withdrawn")], "{plan}");
    assert_eq!((&plan["starts"], plan["plan"].as_array().unwrap().len()), (&json!(1), 1), "{plan}");
    assert_eq!(size(&lattice), before, "a plan was recorded");
    let harmless = lattice.accepted(&["issuer", "add", &lattice.issuer("new"), "--scope", "new:*", "--plan"]);
    assert_eq!((flips(&harmless), &harmless["starts"]), (Vec::new(), &json!(1)));

    let sha256 = plan["plan_sha256"].as_str().unwrap();
    let dir = lattice.path("lattice");
    let folder = ["--dir", path(&dir), "--nats-url", &lattice.nats.url()];
    let told = countersign(&[&folder[..], &withdraw[..], &["--plan"]].concat());
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains(sha256) && text.contains("contract_withdrawn") && text.contains("--apply"), "{text}");
    let done = lattice.accepted(&[&withdraw[..], &["--apply", sha256]].concat());
    assert!(done["index"].as_u64().unwrap() >= before, "{done}");
    drop(running);
    assert_eq!(host.decides().await.unwrap_err(), "contract_withdrawn");
}

#[test]
fn t79_a_plan_that_is_stale_or_of_something_else_is_not_done() {
    let lattice = Lattice::quiet();
    lattice.furnish();
    let put = |bind: &'static str| ["default", "put", "wasi:logging", "--bind", bind];
    let plan = lattice.accepted(&[&put("never")[..], &["--plan"]].concat());
    let shown = plan["plan_sha256"].as_str().unwrap();
    let refused = |arguments: &[&str]| {
        let (code, said) = lattice.json(arguments);
        (code, said["error"].as_str().unwrap_or_default().to_owned())
    };
    let superseded = (3, "superseded".to_owned());
    // Not what was shown: another act, and another digest.
    let other = ["default", "put", "wasi:keyvalue", "--bind", "never", "--apply", shown];
    assert_eq!(refused(&other), superseded);
    assert_eq!(refused(&[&put("never")[..], &["--apply", &"00".repeat(32)]].concat()), superseded);
    assert_eq!(refused(&[&put("never")[..], &["--apply", "what was shown"]].concat()).0, 2);
    // What was shown, but since then somebody changed the lattice.
    lattice.accepted(&["host", "invite"]);
    let before = size(&lattice);
    assert_eq!(refused(&[&put("never")[..], &["--apply", shown]].concat()), superseded);
    assert_eq!(size(&lattice), before, "a stale plan left something behind");
    let again = lattice.accepted(&[&put("never")[..], &["--plan"]].concat());
    lattice.accepted(&[&put("never")[..], &["--apply", again["plan_sha256"].as_str().unwrap()]].concat());
}
