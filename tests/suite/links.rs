//! Links over real processes: switched and switched back, suspended and accepted, put in bulk, and configured.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use broker::keys::SigningKey;
use harness::asker::now;
use harness::embedded::Embedded;
use harness::guests::store;
use harness::lattice::{Lattice, path, wait_for};
use policy::contract::Contract;
use policy::digest::Digest;
use policy::key::Issuer;
use serde_json::{Value, json};

use crate::choices::Shop;

// Admits other bytes of `east`, which answer that number, and returns their digest.
fn revise_east(shop: &Shop, number: u32) -> String {
    let bytes = wat::parse_str(store(number)).unwrap();
    let bytes = harness::sign::component(&bytes, "east", &shop.0.path("acme.nk"));
    let file = shop.0.path("artifacts").join(format!("east-{number}.wasm"));
    std::fs::write(&file, &bytes).unwrap();
    shop.0.accepted(&["provider", "admit", path(&file), "--id", "east"]);
    Digest::of(&bytes).to_string()
}

fn number(shop: &Shop) -> String {
    shop.answered().0
}

#[test]
fn a_link_is_switched_and_rolled_back_by_one_command_each_and_its_history_tells_it() {
    let shop = Shop::open();
    shop.link("east", "default");
    shop.0.accepted(&["link", "switch", "asker", "demo:kv", "--to", "west", "--stage", "prepare"]);
    assert_eq!(number(&shop), "1", "what is prepared answers nothing");
    // What is cut over to was prepared with its configuration: another one is never left out in silence.
    std::fs::write(shop.0.path("values.json"), r#"{"bucket":"eu"}"#).unwrap();
    let cut_over = ["link", "switch", "asker", "demo:kv", "--stage", "cut-over"];
    for config in [["--config", "bucket=eu"], ["--config-file", path(&shop.0.path("values.json"))]] {
        let (code, told) = shop.0.json(&[&cut_over[..], &config].concat());
        assert_eq!((code, told["error"].as_str()), (2, Some("usage")), "{told}");
    }
    shop.0.accepted(&cut_over);
    assert_eq!(number(&shop), "2");
    shop.0.accepted(&["link", "rollback", "asker", "demo:kv", "--reason", "slower than before"]);
    assert_eq!(number(&shop), "1");
    let switched = shop.0.accepted(&["link", "switch", "asker", "demo:kv", "--to", "west"]);
    assert_eq!(switched["reachable"], "unknown");
    assert_eq!(number(&shop), "2");
    shop.0.accepted(&["link", "retire", "asker", "demo:kv"]);
    let (code, told) = shop.0.json(&["link", "rollback", "asker", "demo:kv"]);
    assert_eq!((code, told["error"].as_str()), (3, Some("not_found")), "{told}");

    let history = shop.0.accepted(&["link", "history", "asker", "demo:kv", "--name", "default"]);
    let changes = history["changes"].as_array().unwrap();
    let told: Vec<_> =
        changes.iter().map(|change| (change["act"].as_str().unwrap(), change["revision"].as_u64())).collect();
    let acts = ["put", "prepare", "cut_over", "rollback", "prepare", "cut_over", "retire"];
    assert_eq!(told, acts.into_iter().zip((1..).map(Some)).collect::<Vec<_>>());
    assert_eq!(changes[3]["because"], "slower than before");
    assert!(changes.iter().all(|change| change["by"].is_string() && change["at"].is_number()));
    assert_eq!(changes[3]["before"]["sha256"], changes[2]["after"]["sha256"]);
    let elsewhere = shop.0.accepted(&["link", "history", "asker", "demo:other"]);
    assert_eq!(elsewhere["changes"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_tells_whether_the_hosts_that_are_there_have_the_provider_at_hand() {
    let shop = Shop::open();
    shop.link("east", "default");
    let _host = Embedded::new(&shop.0, "host", &shop.0.nats.url(), Duration::from_secs(20)).await;
    let prepare = |to: &str| {
        let switch = ["link", "switch", "asker", "demo:kv", "--to", to, "--stage", "prepare"];
        shop.0.accepted(&switch)
    };
    let said = |reach: &'static str| move |told: &Value| told["reachable"] == reach;
    wait_for("what the host has", || Some(prepare("west")).filter(said("everywhere")));
    std::fs::remove_file(shop.0.path("artifacts/west.wasm")).unwrap();
    let told = wait_for("what the host has not", || Some(prepare("west")).filter(said("nowhere")));
    assert_eq!(told["hosts"].as_array().map(Vec::len), Some(1), "{told}");
    std::fs::copy(shop.0.path("west.wasm"), shop.0.path("artifacts/later.wasm")).unwrap();
    wait_for("what came since", || Some(prepare("west")).filter(said("everywhere")));
}

#[test]
fn a_switch_to_what_a_start_would_refuse_is_refused_whole() {
    let shop = Shop::open();
    shop.link("east", "default");
    let logger = shop.0.signed("logger", "logger", "acme");
    shop.0.accepted(&["provider", "admit", path(&logger), "--id", "logger"]);
    let (code, told) = shop.0.json(&["link", "switch", "asker", "demo:kv", "--to", "logger"]);
    assert_eq!((code, told["error"].as_str()), (3, Some("provider_version")), "{told}");
    assert_eq!(number(&shop), "1");
    let shown = shop.0.accepted(&["link", "show", "asker", "demo:kv"]);
    assert_eq!((&shown["revision"], shown.get("prepared")), (&json!(1), None), "{shown}");
}

#[test]
fn t29_a_pinned_provider_that_changed_suspends_its_link_until_somebody_accepts_it() {
    let shop = Shop::open();
    let old = Digest::of(&std::fs::read(shop.0.path("east.wasm")).unwrap()).to_string();
    let pin = format!("sha256={old}");
    shop.0.accepted(&["link", "put", "asker", "east", "--contract", "demo:kv", "--pin-provider", &pin]);
    shop.0.accepted(&["default", "put", "demo:kv", "--bind", "builtin"]);
    assert_eq!(number(&shop), "1");
    let new = revise_east(&shop, 7);
    shop.refused("link_suspended", &[]);
    let why = shop.0.accepted(&["why", "asker", "--contract", "demo:kv"]).to_string();
    assert!(why.contains("link_suspended") && why.contains("countersign link accept"), "{why}");
    let listed = shop.0.accepted(&["link", "list", "--suspended"]);
    assert_eq!((listed["links"].as_array().unwrap().len(), &listed["links"][0]["standing"]), (1, &json!("suspended")));
    let shown = shop.0.accepted(&["link", "show", "asker", "demo:kv"]);
    let change = &shown["change"];
    assert_eq!((&change["end"], &change["pin"]), (&json!("provider"), &json!(pin)), "{shown}");
    assert_eq!((&change["old"]["sha256"], &change["new"]["sha256"]), (&json!(old), &json!(new)), "{shown}");
    shop.0.accepted(&["link", "accept", "asker", "demo:kv", "--reason", "reviewed"]);
    assert_eq!(number(&shop), "7");
    assert_eq!(shop.0.accepted(&["link", "list", "--suspended"])["links"], json!([]));
}

#[test]
fn many_links_are_put_at_once_or_none_and_the_error_names_the_line() {
    let shop = Shop::open();
    let line = |number: usize, provider: &str| {
        json!({"component": "asker", "package": "demo:kv", "name": format!("n{number}"), "provider": provider})
            .to_string()
    };
    let put = |lines: &[String]| {
        let file = shop.0.path("links.jsonl");
        std::fs::write(&file, lines.join("\n")).unwrap();
        shop.0.json(&["link", "put", "-f", path(&file)])
    };
    let (code, told) = put(&[line(1, "east"), line(2, "nobody")]);
    let message = told["message"].as_str().unwrap();
    assert_eq!((code, told["error"].as_str()), (3, Some("provider_unknown")));
    assert!(message.contains("line 2, link `asker/demo:kv/n2`"), "{message}");
    // Refused by the broker, not here: the law demands the package's contract.
    let other = line(3, "east").replace("demo:kv", "demo:nowhere");
    let (code, told) = put(&[line(1, "east"), String::new(), other]);
    let message = told["message"].as_str().unwrap();
    assert_eq!((code, told["error"].as_str()), (3, Some("contract_unknown")), "{told}");
    assert!(message.contains("line 3, link `asker/demo:nowhere/n3`"), "{message}");
    assert_eq!(shop.0.accepted(&["link", "list"])["links"], json!([]), "none of them stands");
    // Of two lines about one link nobody can tell which was meant.
    let (code, told) = put(&[line(1, "east"), line(2, "east"), line(1, "west")]);
    let message = told["message"].as_str().unwrap();
    assert_eq!((code, told["error"].as_str()), (2, Some("usage")));
    assert!(message.contains("line 3, link `asker/demo:kv/n1` stands on line 1"), "{message}");
    let lines: Vec<_> = (0..12).map(|number| line(number, ["east", "west"][number % 2])).collect();
    assert_eq!(put(&lines).0, 0);
    let first = shop.0.accepted(&["link", "list", "--limit", "5"]);
    let next = first["next"].as_str().unwrap();
    let rest = shop.0.accepted(&["link", "list", "--after", next]);
    assert_eq!((first["links"].as_array().unwrap().len(), rest["links"].as_array().unwrap().len()), (5, 7));
    assert!(rest.get("next").is_none());
    let east = shop.0.accepted(&["link", "list", "--provider", "east", "--component", "asker"]);
    assert_eq!(east["links"].as_array().unwrap().len(), 6);
    let (code, told) = put(&vec![line(1, "east"); 1001]);
    assert_eq!((code, told["error"].as_str()), (2, Some("usage")));
}

// A contract for `demo:kv` that takes configuration of this schema, published beside it.
fn with_schema(lattice: &Lattice, revision: u64, schema: &Value) -> (i32, Value) {
    let shown = lattice.accepted(&["contract", "show", "demo:kv"]);
    let mut contract: Contract = serde_json::from_value(shown["contract"].clone()).unwrap();
    let canonical = policy::json::write(schema);
    contract.iat = now();
    contract.revision = revision;
    contract.config = policy::contract::Configuration::Optional;
    contract.config_schema_sha256 = Some(Digest::of(&canonical));
    let key = SigningKey::<Issuer>::load(&lattice.path("acme.nk")).unwrap();
    let (token, file): (PathBuf, PathBuf) = (lattice.path("kv.jwt"), lattice.path("kv.schema.json"));
    std::fs::write(&token, key.sign_contract(&contract)).unwrap();
    std::fs::write(&file, serde_json::to_string_pretty(schema).unwrap()).unwrap();
    lattice.json(&["contract", "publish", path(&token), "--config-schema", path(&file)])
}

#[test]
fn t48_configuration_is_held_to_its_schema_by_a_broker_that_fetches_nothing() {
    let shop = Shop::open();
    let schema = json!({
        "type": "object", "properties": {"bucket": {"type": "string"}, "password": {"type": "string"}, "size": {"type": "integer"}},
        "additionalProperties": false, "required": ["bucket"],
    });
    assert_eq!(with_schema(&shop.0, 2, &schema).0, 0);
    let given = |values: &Value, more: &[&str]| {
        let file = shop.0.path("values.json");
        std::fs::write(&file, values.to_string()).unwrap();
        let put = ["link", "put", "asker", "east", "--contract", "demo:kv", "--config-file", path(&file)];
        shop.0.json(&[&put[..], more].concat())
    };
    let put = |values: &Value| given(values, &[]);
    let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
    let huge: serde_json::Map<_, _> = (0..100).map(|number| (format!("n{number}"), json!("x".repeat(1000)))).collect();
    for (values, reason) in [
        (json!({"bucket": "eu", "password": "hunter2"}), "secret_in_input"),
        (json!({"bucket": "postgres://me:hunter2@db"}), "secret_in_input"),
        (json!({"bucket": 3}), "config_mismatch"),
        (json!({"bucket": "eu", "more": "x"}), "config_mismatch"),
        (json!({"../bucket": "eu"}), "name_malformed"),
        (json!({"bucket": deep}), "json_limit"),
        (Value::Object(huge), "token_oversize"),
    ] {
        // Whoever only plans it is told the same.
        for more in [&[][..], &["--plan"]] {
            let (code, told) = given(&values, more);
            assert_eq!((code, told["error"].as_str()), (3, Some(reason)), "{told}");
            assert!(!told.to_string().contains("hunter2"), "{told}");
        }
    }
    // A plan stands for the values, whatever salt they get.
    let fine = json!({"bucket": "canary-eu", "password": "secret:kv-password", "size": 3});
    let (_, plan) = given(&fine, &["--plan"]);
    let apply = ["--apply", plan["plan_sha256"].as_str().unwrap()];
    assert_eq!(given(&json!({"bucket": "canary-us"}), &apply).1["error"], "superseded");
    let (code, told) = given(&fine, &apply);
    assert_eq!(code, 0, "{told}");
    assert_eq!(number(&shop), "1");
    let log = std::fs::read(shop.0.log()).unwrap();
    assert!(!log.windows(9).any(|window| window == b"canary-eu"), "a value is in the log");
    // A schema that points elsewhere: nobody is called, and nothing can be configured by it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let elsewhere = format!("http://{}/schema.json", listener.local_addr().unwrap());
    assert_eq!(with_schema(&shop.0, 3, &json!({"$ref": elsewhere})).0, 0);
    // What was held to the old schema is not held to this one.
    shop.refused("link_suspended", &[]);
    let (code, told) = put(&json!({"bucket": "eu"}));
    assert_eq!((code, told["error"].as_str()), (3, Some("schema_mismatch")), "{told}");
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody called");
    assert_eq!(shop.0.accepted(&["audit", "verify"])["success"], true, "the verdicts replay without the schemas");
}

// Whatever `explain` prints to be done for a component, done as it is printed with that issuer's key.
fn fix(lattice: &Lattice, file: &str, id: &str) {
    let (code, told) = lattice.json(&["explain", file, "--id", id]);
    assert_eq!((code, told["fix"].get("still")), (3, None), "{told}");
    let acts = told["fix"]["acts"].as_array().unwrap().iter();
    let lines = acts.map(|act| act["command"].as_str().unwrap().replace("--issuer-key KEY", "--issuer-key acme.nk"));
    let lines: Vec<String> = lines.collect();
    let ran = lattice.shell(&lines.join("\n"), &[]);
    assert!(ran.status.success(), "{lines:?}: {}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(lattice.accepted(&["explain", file, "--id", id])["verdict"], "permitted");
}

#[test]
fn the_printed_fix_of_a_contract_works_and_keeps_all_that_the_contract_said() {
    let shop = Shop::open();
    let schema = json!({"type": "object", "properties": {"bucket": {"type": "string"}}});
    assert_eq!(with_schema(&shop.0, 2, &schema).0, 0);
    shop.0.accepted(&["link", "put", "asker", "east", "--contract", "demo:kv", "--config", "bucket=eu"]);
    // The next one names the same schema, which is published; and it no longer allows what the link says.
    let shown = || shop.0.accepted(&["contract", "show", "demo:kv"])["contract"].clone();
    let mut contract: Contract = serde_json::from_value(shown()).unwrap();
    let providers = shop.0.accepted(&["provider", "list"])["providers"].clone();
    let subject =
        |id: &str| providers.as_array().unwrap().iter().find(|row| row["id"] == id).unwrap()["subject"].clone();
    contract.providers.issuers = Vec::new();
    contract.providers.subjects = vec![serde_json::from_value(subject("west")).unwrap()];
    (contract.revision, contract.defaultable, contract.exp) = (3, false, Some(contract.iat.plus(86_400)));
    contract.legacy_ids = vec!["demo:keyvalue".parse().unwrap()];
    let key = SigningKey::<Issuer>::load(&shop.0.path("acme.nk")).unwrap();
    std::fs::write(shop.0.path("kv.jwt"), key.sign_contract(&contract)).unwrap();
    shop.0.accepted(&["contract", "publish", path(&shop.0.path("kv.jwt"))]);
    fix(&shop.0, path(&shop.0.path("asker.wasm")), "asker");
    let mut expected = serde_json::to_value(&contract).unwrap();
    let found = shown();
    let mut subjects = vec![subject("east"), subject("west")];
    subjects.sort_by_key(Value::to_string);
    (expected["providers"]["subjects"], expected["revision"]) = (subjects.into(), json!(4));
    expected["iat"] = found["iat"].clone();
    expected["exp"] = (found["iat"].as_u64().unwrap() + 86_400).into();
    assert_eq!(found, expected);
    assert_eq!(number(&shop), "1");
    // What an option says otherwise is so, and whoever begins anew takes nothing over.
    let draft = |more: &[&str]| {
        let draft = ["contract", "draft", "demo:kv"];
        shop.0.accepted(&[&draft[..], more].concat())["contract"].clone()
    };
    let plain = draft(&["--config", "none", "--defaultable"]);
    assert_eq!((&plain["config"], plain.get("config_schema_sha256")), (&json!("none"), None), "{plain}");
    assert_eq!((&plain["defaultable"], &plain["tracks"]), (&json!(true), &found["tracks"]), "{plain}");
    let issuer = key.name().to_string();
    let anew = draft(&["--anew", "--interface", "other", "--provider-issuer", &issuer]);
    assert_eq!((&anew["interfaces"], &anew["revision"]), (&json!(["other"]), &json!(5)), "{anew}");
    assert_eq!(anew["providers"], json!({"issuers": [issuer], "subjects": []}), "{anew}");
}

#[test]
fn the_printed_fix_publishes_the_first_contract_too() {
    let lattice = Lattice::quiet();
    let acme = lattice.issuer("acme");
    lattice.accepted(&["issuer", "add", &acme, "--scope", "*"]);
    let cart = lattice.signed("cart", "cart", "acme");
    lattice.accepted(&["component", "admit", path(&cart), "--id", "cart"]);
    fix(&lattice, path(&cart), "cart");
}

#[test]
fn what_the_server_takes_no_longer_is_refused_before_it_is_sent_and_a_plan_counts_what_is_made_anew() {
    let mut shop = Shop::open();
    let schema = json!({"type": "object"});
    assert_eq!(with_schema(&shop.0, 2, &schema).0, 0);
    let file = shop.0.path("links.jsonl");
    let values: Value = (0..20).map(|number| (format!("n{number}"), json!("x".repeat(1000)))).collect();
    let line = |number: usize| {
        let (name, config) = (format!("n{number}"), &values);
        json!({"component": "asker", "package": "demo:kv", "name": name, "provider": "east", "config": config})
            .to_string()
    };
    std::fs::write(&file, (0..15).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let put = ["link", "put", "-f", path(&file)];
    let plan = shop.0.accepted(&[&put[..], &["--plan"]].concat());
    assert_eq!(plan["made_anew"], json!(["the salt of a configuration, 15 times"]));
    shop.0.nats.configure("max_payload: 256KB\nmax_pending: 512KB\n");
    shop.0.nats.restart();
    let size = wait_for("the broker", || shop.0.json(&["status"]).1["size"].as_u64());
    for more in [&[][..], &["--plan"]] {
        let (code, told) = shop.0.json(&[&put[..], more].concat());
        let message = told["message"].as_str().unwrap();
        assert_eq!((code, told["error"].as_str()), (3, Some("token_oversize")), "{told}");
        assert!(message.contains("split the file") && !message.contains("sent"), "{message}");
    }
    assert_eq!(shop.0.accepted(&["status"])["size"], json!(size));
}

#[test]
fn a_reason_with_control_characters_or_a_seed_is_refused() {
    let shop = Shop::open();
    let put = |reason: &str| {
        let (code, told) = shop.0.json(&["link", "put", "asker", "east", "--contract", "demo:kv", "--reason", reason]);
        (code, told["error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(put("a\u{1b}[2Jb").0, 3);
    // Whoever only plans it is told the same.
    let planned = |more: &[&str]| {
        let plan = ["link", "put", "asker", "east", "--contract", "demo:kv", "--plan"];
        let (code, told) = shop.0.json(&[&plan[..], more].concat());
        (code, told["error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(planned(&["--reason", "a\u{1b}[2Jb"]), (3, "schema_mismatch".to_owned()));
    assert_eq!(planned(&["--reason", &"x".repeat(1025)]), (2, "usage".to_owned()));
    assert_eq!(planned(&["--open-for", "8d"]), (3, "command_expired".to_owned()));
    assert_eq!(planned(&["--open-for", "7d"]), (0, String::new()));
    let seed = SigningKey::<Issuer>::generate().unwrap().seed().unwrap();
    assert_eq!(put(&format!("because {seed}")), (3, "secret_in_input".to_owned()));
    assert_eq!(put(&"x".repeat(1025)).0, 2);
    assert_eq!(put("one store for all").0, 0);
}
