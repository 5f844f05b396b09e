//! Plans: what an act would change is told before it is done, and done is exactly that or nothing.

use std::time::Duration;

use broker::keys::SigningKey;
use futures::StreamExt;
use harness::acts::administrator;
use harness::caller::query_by;
use harness::embedded::Embedded;
use harness::large::{ADMIN, Large, Size};
use harness::lattice::{Lattice, path, wait_for};
use harness::program::{countersign, countersign_json};
use policy::answer::View;
use policy::envelope::Unverified;
use policy::key::Administrator;
use policy::wire::inbox_prefix;
use serde_json::{Value, json};

use crate::choices::Shop;

const SMALL: Size = Size { issuers: 3, links: 30, hosts: 2, runs: 2 };
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t79_a_refused_start_under_an_id_hides_from_no_plan_what_was_permitted_and_runs_under_it() {
    let lattice = Lattice::with_cart();
    let host = Embedded::new(&lattice, "host", &lattice.nats.url(), LONG).await;
    let running = host.start("cart").await.unwrap();
    let plan = || lattice.accepted(&["contract", "withdraw", "wasi:logging", "--plan"]);
    let first = wait_for("it runs", || Some(plan()).filter(|plan| plan["flips"][0]["running"] == json!(true)));
    // Permitted again, and gone at once; then somebody asks for another file under that id.
    drop(host.start("cart").await.unwrap());
    let logger = lattice.signed("logger", "logger", "acme");
    let refused = lattice.host("host", &["run", path(&logger), "--id", "cart"]);
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    // What is decided again is the start that runs.
    let same = |plan: &Value| plan["flips"] == json!([first["flips"][0]]);
    wait_for("what runs alone", || Some(plan()).filter(same));
    drop(running);
    // What nobody runs is the newest that was permitted.
    let gone = |plan: &Value| plan["flips"][0]["running"] == json!(false);
    let after = wait_for("nothing runs", || Some(plan()).filter(gone));
    assert_eq!((flips(&after), &after["starts"]), (vec![("cart", "permitted", "contract_withdrawn")], &json!(1)));
    assert!(after["flips"][0]["index"].as_u64() > first["flips"][0]["index"].as_u64(), "{after}");
}

#[test]
fn a_plan_says_which_import_another_provider_answers_where_that_is_all_that_changes() {
    let shop = Shop::open();
    shop.link("east", "default");
    shop.answered();
    let put = ["link", "put", "asker", "west", "--contract", "demo:kv", "--plan"];
    let plan = shop.0.accepted(&put);
    let flip = &plan["flips"][0];
    assert_eq!((&flip["before"], &flip["after"]), (&json!("permitted"), &json!("permitted")), "{plan}");
    let answers = |side: &str| {
        let told = flip[side].as_object().unwrap();
        let told = told.iter().map(|(import, answer)| (import.clone(), answer["by"].clone(), answer["id"].clone()));
        told.collect::<Vec<_>>()
    };
    let [(import, by, id)] = &answers("before_providers")[..] else { panic!("{flip}") };
    assert!(import.starts_with("demo:kv") && import.ends_with(" default"), "{import}");
    assert_eq!((by, id), (&json!("link"), &json!("east")));
    assert_eq!(answers("after_providers"), [(import.clone(), json!("link"), json!("west"))]);
    let dir = shop.0.path("lattice");
    let text = countersign(&[&["--dir", path(&dir), "--nats-url", &shop.0.nats.url()], &put[..]].concat());
    let text = String::from_utf8(text.stdout).unwrap();
    for (side, id) in [("before_providers", "east"), ("after_providers", "west")] {
        let sha256 = flip[side][import]["sha256"].as_str().unwrap();
        assert!(text.contains(&format!("{id} {}", &sha256[..16])), "{text}");
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_without_the_folder_is_the_folders_own_and_is_done_from_there() {
    let mut large = Large::new(SMALL).await;
    let issuer = large.issuer.to_string();
    let revoke = ["issuer", "revoke", &issuer];
    let (code, away) = large.away_json(ADMIN, &[&revoke[..], &["--plan"]].concat());
    assert_eq!(code, 0, "{away}");
    let here = large.lattice.accepted(&[&revoke[..], &["--plan"]].concat());
    assert_eq!(away["plan_sha256"], here["plan_sha256"]);
    // Nobody hears hosts in the folder alone, and all else is the same.
    let size_before = size(&large.lattice);
    large.lattice.stop_broker();
    let alone = large.lattice.accepted(&[&revoke[..], &["--plan"]].concat());
    assert_eq!((alone.get("running"), &alone["depends"]), (None, &away["depends"]), "{alone}");
    let dir = large.lattice.path("lattice");
    let text = String::from_utf8(countersign(&["--dir", path(&dir), "inventory"]).stdout).unwrap();
    assert!(text.contains("what runs cannot be known") && !text.contains("nothing runs"), "{text}");
    large.lattice.serve();
    assert_eq!(size(&large.lattice), size_before, "a plan was recorded");
    let (code, stale) = large.away_json(ADMIN, &[&revoke[..], &["--apply", &"00".repeat(32)]].concat());
    assert_eq!((code, &stale["error"]), (3, &json!("superseded")), "{stale}");
    let shown = away["plan_sha256"].as_str().unwrap();
    let (code, done) = large.away_json(ADMIN, &[&revoke[..], &["--apply", shown]].concat());
    assert_eq!(code, 0, "{done}");
    let (code, again) = large.away_json(ADMIN, &[&revoke[..], &["--apply", shown]].concat());
    assert_eq!(code, 3, "{again}");
}

#[test]
fn t79_a_plan_is_made_by_the_broker_that_holds_the_folder_or_by_nobody() {
    let mut lattice = Lattice::start();
    let dir = lattice.path("lattice");
    let from = |arguments: &[&str]| {
        countersign_json(&[&["--dir", path(&dir), "--nats-url", "nats://127.0.0.1:1"], arguments].concat())
    };
    let (code, told) = from(&["host", "invite", "--plan"]);
    assert_eq!((code, &told["error"]), (1, &json!("broker_unreachable")), "{told}");
    // A look that merely tells less is still answered by the log.
    assert_eq!(from(&["issuer", "list"]).0, 0);
    lattice.stop_broker();
    assert_eq!(from(&["host", "invite", "--plan"]).0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t79_who_may_not_do_it_may_not_plan_it_either_and_nobody_plans_in_anothers_name() {
    let large = Large::new(SMALL).await;
    let (issuer, link_admin) = (large.issuer.to_string(), administrator(&large.lattice, "links"));
    large.lattice.accepted(&["admin", "put", &link_admin, "--role", "link-admin"]);
    let plan = |key: &str, arguments: &[&str]| large.away_json(key, &[arguments, &["--plan"]].concat());
    let (code, said) = plan("links.nk", &["issuer", "revoke", &issuer]);
    assert_eq!((code, &said["error"]), (3, &json!("role_missing")), "{said}");
    let delete = ["link", "del", "cart-0", "--contract", "large:package-n0"];
    let (code, said) = plan("links.nk", &delete);
    assert_eq!((code, &said["depends"]["links"]["count"]), (0, &json!(1)), "{said}");
    assert_eq!(said["running"]["count"], json!(SMALL.hosts), "{said}");
    // An operator's right is asked for by name: the one who signs the query is held against it.
    let admin = SigningKey::<Administrator>::load(&large.lattice.path(ADMIN)).unwrap();
    let links = SigningKey::<Administrator>::load(&large.lattice.path("links.nk")).unwrap();
    let revoke = json!([{"revoke_issuer": {"key": issuer, "running": "stop"}}]);
    let asked = json!({"plan": {"by": admin.name(), "basis": 0, "operations": revoke}});
    let query = query_by(&links, "plan", &asked, |_| ());
    let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox_prefix(&links.name()));
    let client = options.connect(large.lattice.nats.url()).await.unwrap();
    let answer = client.request("countersign.v1.default.query.plan", query.into()).await.unwrap();
    let view = Unverified::<View>::parse(&answer.payload).unwrap();
    let view: Value = serde_json::from_slice(view.attachments().last().unwrap()).unwrap();
    assert_eq!(view["refused"], "role_missing", "{view}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t61_t79_what_is_planned_over_the_wire_is_no_command_for_whoever_hears_it() {
    let large = Large::new(SMALL).await;
    let client = async_nats::connect(large.lattice.nats.url()).await.unwrap();
    let mut heard = client.subscribe("countersign.v1.default.query.plan").await.unwrap();
    client.flush().await.unwrap();
    let issuer = large.issuer.to_string();
    let (code, plan) = large.away_json(ADMIN, &["issuer", "revoke", &issuer, "--plan"]);
    assert_eq!(code, 0, "{plan}");
    let query = heard.next().await.unwrap().payload;
    let before = size(&large.lattice);
    let admin = SigningKey::<Administrator>::load(&large.lattice.path(ADMIN)).unwrap();
    let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox_prefix(&admin.name()));
    let thief = options.connect(large.lattice.nats.url()).await.unwrap();
    // Whole, its token alone, and each line by itself.
    let lines = query.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    for bytes in std::iter::once(query.to_vec()).chain(lines) {
        let told = thief.request("countersign.v1.default.command", bytes.into()).await.unwrap();
        let reason = told.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error")).unwrap();
        assert!(["token_header", "token_malformed"].contains(&reason.as_str()), "{reason}");
    }
    assert_eq!(size(&large.lattice), before, "something was recorded");
    assert_eq!(large.away_json(ADMIN, &["issuer", "show", &issuer]).1["standing"], "active");
}

#[test]
fn a_plan_says_which_starts_only_a_relaxation_would_let_through_and_who_lent_its_say() {
    let lattice = Lattice::with_cart();
    let cart = lattice.path("cart-acme.wasm");
    assert!(lattice.host("host", &["run", path(&cart), "--id", "cart"]).status.success());
    let acme = lattice.json(&["keys", "show", path(&lattice.path("acme.nk"))]).1["public"].clone();
    let acme = acme.as_str().unwrap();
    let (lent, own) = (lattice.issuer("till"), lattice.path("acme.nk"));
    let lend = ["issuer", "lend", &lent, "--issuer-key", path(&own), "--scope", "demo:till", "--kind", "component"];
    let lend = countersign(&[&lend[..], &["--until", "+1d"]].concat());
    std::fs::write(lattice.path("till.delegation"), lend.stdout).unwrap();
    lattice.accepted(&["issuer", "delegate", path(&lattice.path("till.delegation"))]);
    lattice.accepted(&["relax", "observe", "--until", "+1d", "--reason", "a trial", "--id", "trial"]);
    let narrow = ["issuer", "scope", acme, "--scope", "demo:*", "--plan"];
    let plan = lattice.accepted(&narrow);
    assert_eq!(plan["depends"]["delegates"], json!({"count": 1, "listed": [lent]}), "{plan}");
    let flip = &plan["flips"][0];
    assert_eq!((&flip["before"], &flip["after"]), (&json!("permitted"), &json!("permitted")), "{plan}");
    assert_eq!((flip.get("before_relaxations"), &flip["after_relaxations"]), (None, &json!(["trial"])), "{flip}");
    let dir = lattice.path("lattice");
    let text = countersign(&[&["--dir", path(&dir), "--nats-url", &lattice.nats.url()], &narrow[..]].concat());
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("permitted by relaxation trial") && text.contains("1 delegates"), "{text}");
}

#[test]
fn t79_what_is_made_anew_each_time_is_planned_as_what_it_is_made_from() {
    let lattice = Lattice::quiet();
    lattice.furnish();
    let (next, bob) = (lattice.issuer("next"), administrator(&lattice, "bob"));
    let key = lattice.path("next.nk");
    let add = ["issuer", "add", &next, "--scope", "next:*", "--issuer-key", path(&key), "--until", "+90d"];
    let acts: [(&[&str], usize); 4] = [
        (&add, 2),
        (&["host", "invite"], 2),
        (&["admin", "put", &bob, "--role", "viewer", "--until", "+30d"], 1),
        (&["relax", "observe", "--until", "+1d", "--reason", "a trial"], 2),
    ];
    for (act, anew) in acts {
        let plan = lattice.accepted(&[act, &["--plan"]].concat());
        assert_eq!(plan["made_anew"].as_array().unwrap().len(), anew, "{plan}");
        // In another second, at the earliest.
        std::thread::sleep(Duration::from_millis(1100));
        lattice.accepted(&[act, &["--apply", plan["plan_sha256"].as_str().unwrap()]].concat());
    }
    // What it is made from is not another: another span, a date in place of one.
    let plan = |act: &[&str]| lattice.accepted(&[act, &["--plan"]].concat())["plan_sha256"].clone();
    let until = |time: &'static str| ["admin", "put", &bob, "--role", "auditor", "--until", time];
    assert_eq!(plan(&until("+30d")), plan(&until("+30d")));
    assert_ne!(plan(&until("+30d")), plan(&until("+31d")));
    assert_ne!(plan(&until("+30d")), plan(&until("2026-12-31")));
    // Two lattices of one name, each as it was made.
    let [one, another] = [Lattice::quiet(), Lattice::quiet()]
        .map(|lattice| lattice.accepted(&["host", "invite", "--plan"])["plan_sha256"].clone());
    assert_ne!(one, another);
}
