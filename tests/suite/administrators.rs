//! Several administrators end to end: two people, queries that are signed, and acts that are given a second time (T79).

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::clock::SystemClock;
use broker::folder::Folder;
use broker::keys::SigningKey;
use broker::service::Service;
use futures::StreamExt;
use harness::acts::{administrator, commands, every_kind, waits};
use harness::asker::{Asker, now};
use harness::caller::query_by;
use harness::lattice::{Lattice, path};
use harness::program::countersign;
use policy::answer::{Receipt, View};
use policy::command::Command;
use policy::envelope::Unverified;
use policy::key::Administrator;
use policy::wire::inbox_prefix;
use serde_json::{Value, json};

fn refused(lattice: &Lattice, arguments: &[&str], reason: &str) {
    let (code, said) = lattice.json(arguments);
    assert_eq!((code, said["error"].as_str()), (3, Some(reason)), "{arguments:?}: {said}");
}

// A broker runs: what is commanded goes over NATS.
fn two_people(lattice: &Lattice) -> (String, String) {
    let bob = administrator(lattice, "bob");
    lattice.accepted(&["admin", "put", &bob, "--name", "bob", "--role", "operator"]);
    let id = waits(lattice, &["threshold", "put", "issuer-add", "2"]);
    // The first that takes two waits as long as any other: bob may be asleep.
    let until = lattice.accepted(&["approve", "--list"])["pending"][0]["not_after"].as_u64().unwrap();
    assert!(until > harness::asker::now().seconds() + 20 * 3600, "{until}");
    let by_bob = path(&lattice.path("bob.nk")).to_owned();
    lattice.accepted(&["--key", &by_bob, "approve", &id]);
    (bob, by_bob)
}

#[test]
fn t79_two_people_do_over_the_command_line_what_one_cannot() {
    let lattice = Lattice::start();
    let (bob, by_bob) = two_people(&lattice);
    let mallory = lattice.issuer("mallory");
    let (_, proposed) = lattice.json(&["issuer", "add", &mallory, "--scope", "*", "--because", "why not"]);
    assert_eq!((&proposed["success"], &proposed["reason"]), (&json!(true), &json!("pending_approval")), "{proposed}");
    assert_eq!(proposed["pending"]["missing"], json!(1));
    let id = proposed["pending"]["id"].as_str().unwrap();
    let listed = lattice.accepted(&["approve", "--list"]);
    assert_eq!(listed["pending"][0]["operations"][0]["add_issuer"]["key"], json!(mallory));
    let dir = lattice.path("lattice");
    let text = countersign(&["--dir", path(&dir), "--nats-url", &lattice.nats.url(), "approve", "--list"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("add_issuer"), "{text:?}");
    assert_eq!((&listed["pending"][0]["id"], &listed["pending"][0]["because"]), (&json!(id), &json!("why not")));
    assert_eq!(lattice.accepted(&["status"])["counts"]["pending"], json!(1));
    refused(&lattice, &["issuer", "show", &mallory], "not_found");
    // Whoever proposed it cannot sign it again, nor raise a puppet to do so.
    refused(&lattice, &["approve", id], "signed_already");
    let puppet = administrator(&lattice, "puppet");
    let raised = waits(&lattice, &["admin", "put", &puppet, "--name", "puppet", "--role", "operator"]);
    // Turned down is what was never done: there is nothing to wait for.
    let rejected = lattice.accepted(&["--key", &by_bob, "reject", &raised]);
    assert_eq!((rejected.get("effective"), rejected.get("recorded_at_ms")), (None, None), "{rejected}");
    let (code, planned) = lattice.json(&["--key", &by_bob, "approve", id, "--plan"]);
    assert_eq!((code, planned["plan"][1]["issuer_added"]["key"].as_str()), (0, Some(mallory.as_str())), "{planned}");
    let done = lattice.accepted(&["--key", &by_bob, "approve", id, "--reason", "I asked"]);
    assert_eq!(done["operations"][0]["add_issuer"]["key"], json!(mallory));
    lattice.accepted(&["issuer", "show", &mallory]);
    refused(&lattice, &["--key", &by_bob, "approve", id], "not_found");

    // Nobody takes away what makes two of them necessary, and everybody sees who they are.
    refused(&lattice, &["admin", "remove", &bob], "threshold_unmet");
    // To take one of three away takes two, who have as long as for anything else.
    let carol = administrator(&lattice, "carol");
    let third = waits(&lattice, &["admin", "put", &carol, "--name", "carol", "--role", "viewer"]);
    lattice.accepted(&["--key", &by_bob, "approve", &third]);
    let removed = waits(&lattice, &["admin", "remove", &carol]);
    let until = lattice.accepted(&["approve", "--list"])["pending"][0]["not_after"].as_u64().unwrap();
    assert!(until > now().seconds() + 20 * 3600, "{until}");
    lattice.accepted(&["--key", &by_bob, "approve", &removed]);
    let down = waits(&lattice, &["threshold", "put", "issuer-add", "1"]);
    lattice.accepted(&["--key", &by_bob, "reject", &down]);
    let admins = lattice.accepted(&["admin", "list"]);
    assert_eq!(admins["administrators"].as_array().map(Vec::len), Some(3), "{admins}");
    assert_eq!(lattice.accepted(&["admin", "show", &bob])["name"], json!("bob"));
    let thresholds = lattice.accepted(&["threshold", "list"]);
    for class in ["issuer-add", "administration"] {
        assert!(thresholds["thresholds"].as_array().unwrap().contains(&json!({"class": class, "threshold": 2})));
    }
    let verified = lattice.accepted(&["audit", "verify"]);
    assert_eq!(verified["success"], json!(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t79_what_only_takes_away_cannot_be_kept_back_for_a_day() {
    let lattice = Lattice::start();
    two_people(&lattice);
    let mallory = lattice.issuer("mallory");
    let client = async_nats::connect(lattice.nats.url()).await.unwrap();
    let mut heard = client.subscribe("countersign.v1.default.command").await.unwrap();
    client.flush().await.unwrap();
    // There is no such issuer, and nobody asks before it is judged.
    for (act, lasts) in [(&["issuer", "revoke", &mallory][..], 600), (&["host", "invite"], 86_400)] {
        drop(lattice.json(act));
        let command = Unverified::<Command>::parse(&heard.next().await.unwrap().payload).unwrap();
        assert_eq!(command.says().not_after.seconds() - command.says().iat.seconds(), lasts, "{act:?}");
    }
}

#[test]
fn an_administrators_end_stays_until_another_is_given_or_it_is_taken_away() {
    let lattice = Lattice::quiet();
    let bob = administrator(&lattice, "bob");
    let put = |more: &[&str]| {
        let put = ["admin", "put", &bob, "--role"];
        lattice.accepted(&[&put[..], more].concat())
    };
    let end = || lattice.accepted(&["admin", "show", &bob]).get("end").and_then(Value::as_u64);
    put(&["viewer", "--name", "bob", "--until", "+30d"]);
    let given = end();
    assert!(given.is_some());
    put(&["auditor"]);
    assert_eq!(end(), given, "other roles took the end away");
    let plan = |more: &[&str]| {
        let put = ["admin", "put", &bob, "--role", "auditor", "--plan"];
        let dir = lattice.path("lattice");
        let told = countersign(&[&["--dir", path(&dir)], &put[..], more].concat());
        String::from_utf8(told.stdout).unwrap()
    };
    assert!(plan(&["--no-end"]).contains("(bob): auditor, no end"), "{}", plan(&["--no-end"]));
    assert!(plan(&["--until", "2099-01-31"]).contains("auditor, until 2099-01-31T00:00:00Z"));
    assert_eq!(lattice.json(&["admin", "put", &bob, "--role", "viewer", "--no-end", "--until", "+1d"]).0, 2);
    put(&["auditor", "--no-end"]);
    assert_eq!(end(), None);
}

#[test]
fn t79_a_viewer_looks_and_a_link_admin_links_and_neither_does_more() {
    let lattice = Lattice::with_cart();
    for (name, role) in [("vera", "viewer"), ("liam", "link-admin"), ("aude", "auditor")] {
        let key = administrator(&lattice, name);
        lattice.accepted(&["admin", "put", &key, "--name", name, "--role", role]);
    }
    let by = |name: &str| path(&lattice.path(&format!("{name}.nk"))).to_owned();
    let put = ["link", "put", "cart", "logging", "--contract", "wasi:logging"];
    for name in ["vera", "aude"] {
        refused(&lattice, &[&["--key", &by(name)], &put[..]].concat(), "role_missing");
    }
    lattice.accepted(&[&["--key", &by("liam")], &put[..]].concat());
    for forbidden in
        [&["host", "invite"][..], &["contract", "withdraw", "wasi:logging"], &["component", "retire", "cart"]]
    {
        refused(&lattice, &[&["--key", &by("liam")], forbidden].concat(), "role_missing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t79_a_query_over_nats_is_answered_to_an_administrator_alone() {
    let lattice = Lattice::with_cart();
    let gone = administrator(&lattice, "gone");
    lattice.accepted(&["admin", "put", &gone, "--role", "viewer"]);
    lattice.accepted(&["admin", "remove", &gone]);
    let load = |file: &str| SigningKey::<Administrator>::load(&lattice.path(file)).unwrap();
    let (admin, gone) = (load("lattice/keys/admin.nk"), load("gone.nk"));
    let stranger = SigningKey::<Administrator>::generate().unwrap();
    let ask = async |by: &SigningKey<Administrator>, word: &str, query: Vec<u8>| {
        let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox_prefix(&by.name()));
        let client = options.connect(lattice.nats.url()).await.unwrap();
        let answer = client.request(format!("countersign.v1.default.query.{word}"), query.into()).await.unwrap();
        let header = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error")).cloned();
        match header {
            Some(reason) => reason.to_string(),
            None => {
                let view = Unverified::<View>::parse(&answer.payload).unwrap();
                let view: Value = serde_json::from_slice(view.attachments().last().unwrap()).unwrap();
                view["refused"].as_str().map_or("shown", |reason| reason).to_owned()
            }
        }
    };
    let status = json!("status");
    let by = |key: &SigningKey<Administrator>| query_by(key, "status", &status, |_| ());
    let good = by(&admin);
    let mut forged = by(&admin);
    let at = forged.iter().position(|byte| *byte == b'\n').unwrap() - 5;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let cases = [
        ("its own", ask(&admin, "status", good.clone()).await, "shown"),
        ("again", ask(&admin, "status", good.clone()).await, "query_seen"),
        ("by a stranger", ask(&stranger, "status", by(&stranger)).await, "administrator_unknown"),
        ("by one who was removed", ask(&gone, "status", by(&gone)).await, "administrator_unknown"),
        ("forged", ask(&admin, "status", forged).await, "signature_invalid"),
        ("unsigned", ask(&admin, "status", b"{\"look\":\"status\"}".to_vec()).await, "token_malformed"),
        ("of another thing", ask(&admin, "links", by(&admin)).await, "schema_mismatch"),
        (
            "of yesterday",
            ask(
                &admin,
                "status",
                query_by(&admin, "status", &status, |query| {
                    query.iat = policy::time::Timestamp::from_seconds(now().seconds() - 86_400).unwrap();
                }),
            )
            .await,
            "request_stale",
        ),
        (
            "for elsewhere",
            ask(&admin, "status", query_by(&admin, "status", &status, |query| query.aud = "other".parse().unwrap()))
                .await,
            "lattice_mismatch",
        ),
        (
            "with other arguments",
            ask(&admin, "status", {
                let text = String::from_utf8(by(&admin)).unwrap();
                text.replace("\"status\"", "\"links\"").into_bytes()
            })
            .await,
            "evidence_missing",
        ),
    ];
    for (what, said, expected) in cases {
        assert_eq!(said, expected, "{what}");
    }
    // A host is no administrator: its question where a query belongs is none.
    let asker = Asker::of(&lattice, "host");
    let client = asker.connect(&lattice.nats.url()).await;
    let answer = client.request("countersign.v1.default.query.status", asker.question().into()).await.unwrap();
    assert_eq!(harness::asker::reason(&answer), "token_header");
}

// What every list says, without what tells of the log itself and of what runs, which a broker alone knows.
fn views(lattice: &Lattice) -> BTreeMap<&'static str, Value> {
    let lists = ["issuer", "contract", "default", "component", "provider", "host", "link", "admin", "threshold"];
    let shown = lists.map(|list| (list, lattice.accepted(&[list, "list"])));
    let without_epoch = shown.map(|(list, mut view)| {
        view.as_object_mut().unwrap().remove("epoch");
        for row in view.get_mut("issuers").and_then(Value::as_array_mut).into_iter().flatten() {
            row.as_object_mut().unwrap().remove("bound");
        }
        (list, view)
    });
    without_epoch.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t61_t79_each_kind_of_command_replayed_after_its_opposite_is_refused_everywhere() {
    let mut lattice = Lattice::with_cart();
    every_kind(&lattice);
    let given = commands(&lattice).await;
    // A broker that was started anew remembers no answer; what it knows stands in its log.
    lattice.stop_broker();
    lattice.serve();
    let before = views(&lattice);
    let reason_of = |answer: &[u8]| {
        let receipt = Unverified::<Receipt>::parse(answer).unwrap();
        receipt.says().reason.map(|reason| reason.code().to_owned())
    };
    for (command, bytes) in &given {
        let kinds: Vec<_> = command.operations.iter().map(|operation| operation.kind()).collect();
        let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox_prefix(&command.iss));
        let client = options.connect(lattice.nats.url()).await.unwrap();
        let answer = client.request("countersign.v1.default.command", bytes.clone().into()).await.unwrap();
        assert_eq!(reason_of(&answer.payload).as_deref(), Some("command_seen"), "over NATS: {kinds:?}");
    }
    assert_eq!(views(&lattice), before, "a replay changed something");
    lattice.stop_broker();

    let elsewhere = Lattice::quiet();
    for (place, folder, expected) in [
        ("in process", lattice.path("lattice"), "command_seen"),
        ("elsewhere", elsewhere.path("lattice"), "administrator_unknown"),
    ] {
        let folder = Folder::open(&folder).unwrap();
        let service = Service::open(&folder, Arc::new(SystemClock::default())).await.unwrap();
        for (command, bytes) in &given {
            let said = match service.command(bytes).await {
                Ok(receipt) => reason_of(&receipt),
                Err(error) => error.reason().map(|reason| reason.code().to_owned()),
            };
            assert_eq!(said.as_deref(), Some(expected), "{place}: {:?}", command.operations);
        }
        service.close().await.unwrap();
    }
    assert_eq!(views(&lattice), before);
    assert_eq!(lattice.json(&["audit", "verify"]).0, 0);
}

#[test]
fn t17_other_roots_are_recorded_when_both_agree_and_the_broker_opens_after_it() {
    let mut lattice = Lattice::quiet();
    let old = path(&lattice.path("lattice/keys/root.nk")).to_owned();
    let keys = ["a", "b", "c"].map(|name| {
        let file = lattice.path(&format!("root-{name}.nk"));
        lattice.accepted(&["keys", "gen", "root", "--out", path(&file)]);
        path(&file).to_owned()
    });
    let [a, b, c] = &keys;
    let third = lattice.accepted(&["keys", "show", c])["public"].as_str().unwrap().to_owned();
    let rotate = ["root", "rotate", "--root-key", &old, "--new", &third, "--threshold", "2", "--new-key", a];
    refused(&lattice, &rotate, "threshold_unmet");
    refused(&lattice, &["root", "rotate", "--root-key", b, "--new-key", a], "broker_key_unknown");
    let agreed = lattice.accepted(&[&rotate[..], &["--new-key", b]].concat());
    let document = agreed["document"].as_str().unwrap();
    let (whole, torn) = (lattice.path("root.jws"), lattice.path("torn.jws"));
    std::fs::write(&whole, document).unwrap();
    std::fs::write(&torn, document.lines().next().unwrap()).unwrap();
    refused(&lattice, &["root", "record", path(&torn)], "evidence_missing");
    lattice.accepted(&["root", "record", path(&whole)]);
    refused(&lattice, &["root", "record", path(&whole)], "state_rollback");
    let status = lattice.accepted(&["status"]);
    assert_eq!(status["roots"].as_array().map(Vec::len), Some(3), "{status}");
    refused(&lattice, &["admin", "put", &third, "--role", "viewer"], "key_in_use");
    // What is in force was signed by the root of its day.
    lattice.serve();
    lattice.accepted(&["host", "invite"]);
    // The next one takes two of the new roots, and the folder's commands follow.
    lattice.accepted(&["warrant", "request"]);
    refused(&lattice, &["warrant", "issue", "--root-key", &old], "broker_key_unknown");
    lattice.accepted(&["warrant", "issue", "--root-key", a, "--out", "first.jws"]);
    refused(&lattice, &["warrant", "install", "first.jws"], "broker_key_unknown");
    assert_eq!(lattice.accepted(&["warrant", "issue", "--partial", "first.jws", "--root-key", b])["missing"], 0);
    lattice.accepted(&["warrant", "install", "warrant.jws"]);
    assert_eq!(lattice.accepted(&["status"])["warrant_serial"], 2);
    lattice.accepted(&["host", "invite"]);
    assert_eq!(lattice.json(&["audit", "verify"]).0, 0);
}

#[test]
fn t79_a_lattice_founded_by_two_trusts_neither_alone() {
    let lattice = Lattice::quiet();
    let [ann, ben] = ["ann", "ben"].map(|name| administrator(&lattice, name));
    let folder = path(&lattice.path("of-two")).to_owned();
    let init = ["--dir", &folder, "init", "--bare", "--admin", &ann, "--admin", &ben, "--admin-threshold"];
    refused(&lattice, &[&init[..], &["3"]].concat(), "threshold_unmet");
    lattice.accepted(&[&init[..], &["2"]].concat());
    let by = |name: &str| path(&lattice.path(&format!("{name}.nk"))).to_owned();
    let acme = lattice.issuer("acme");
    let (by_ann, by_ben) = (by("ann"), by("ben"));
    let id = waits(&lattice, &["--dir", &folder, "--key", &by_ann, "issuer", "add", &acme, "--scope", "acme:*"]);
    lattice.accepted(&["--dir", &folder, "--key", &by_ben, "approve", &id]);
    lattice.accepted(&["--dir", &folder, "issuer", "show", &acme]);
    // What is not weighty takes one.
    lattice.accepted(&["--dir", &folder, "--key", &by_ben, "host", "invite"]);
}
