//! Operator rules, whole: checked, tried, put, shown, told in `explain` and `why`, reloaded under load, and replayed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::asker::{Asker, send};
use harness::lattice::{Lattice, path};
use harness::vectors::repository;
use policy::answer::{StartAnswer, Verdict};
use policy::envelope::Unverified;
use policy::wire::Topic;
use serde_json::{Value, json};

const NO_BUILTIN: &str = "\
@id(\"no-builtin-in-production\")
forbid (principal, action == Action::\"bind\", resource is Builtin)
when { principal.hasTag(\"environment\") && principal.getTag(\"environment\") == \"production\" };
";
const NO_KEYVALUE: &str = "\
@id(\"no-keyvalue\")
forbid (principal, action == Action::\"bind\", resource)
when { context.contract.package == \"wasi:keyvalue\" };
";
const NOTHING: &str =
    "@id(\"nobody-of-that-name\")\nforbid (principal, action, resource) when { principal.key == \"\" };\n";

fn file(lattice: &Lattice, name: &str, text: &str) -> String {
    let file = lattice.path(name);
    std::fs::write(&file, text).unwrap();
    path(&file).to_owned()
}

fn entries(lattice: &Lattice) -> Vec<Value> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let reader = broker::store::LogReader::open(&lattice.log()).await.unwrap();
        let rows = reader.rows(0, 100_000).await.unwrap();
        rows.iter().map(|row| serde_json::from_slice(&row.bytes).unwrap()).collect()
    })
}

fn verified(lattice: &Lattice) -> Value {
    lattice.accepted(&["audit", "verify"])
}

#[test]
fn a_text_is_put_refuses_tells_its_rule_and_is_taken_back() {
    let mut lattice = Lattice::with_cart();
    let cart = path(&lattice.path("cart-acme.wasm")).to_owned();
    let run = |lattice: &Lattice| {
        let output = lattice.host("host", &["-o", "json", "run", &cart, "--id", "cart", "--timeout", "60"]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    assert_eq!(run(&lattice).0, Some(0));
    let host = lattice.accepted(&["host", "list"])["hosts"][0]["key"].as_str().unwrap().to_owned();
    let label = json!([{"label_host": {"host": host, "labels": {"environment": "production"}}}]).to_string();
    lattice.accepted(&["apply", "-f", &file(&lattice, "label.json", &label)]);
    let (wide, text) = (file(&lattice, "nothing.cedar", NOTHING), file(&lattice, "builtin.cedar", NO_BUILTIN));

    // Before it stands: what it would change of what was decided.
    assert_eq!(lattice.accepted(&["rules", "check", &text])["rules"], json!(["no-builtin-in-production"]));
    assert_eq!(lattice.accepted(&["rules", "diff", &wide])["flips"], json!([]));
    assert_eq!(run(&lattice).0, Some(0));
    let flips = lattice.accepted(&["rules", "diff", &text]);
    // The first start came before the label.
    assert_eq!((&flips["starts"], flips["flips"].as_array().map(Vec::len)), (&json!(2), Some(1)), "{flips}");
    assert_eq!(flips["flips"][0]["after_reason"], json!("rule_forbids"));

    let put = lattice.accepted(&["rules", "put", &text, "--because", "production takes no builtins"]);
    assert_eq!(lattice.json(&["rules", "put", &text]).1["error"], json!("already_exists"));
    let shown = lattice.accepted(&["rules", "show"]);
    assert_eq!((&shown["sha256"], &shown["since"]), (&put["sha256"], &put["index"]));
    let lines: Vec<&str> = shown["text"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(lines.join("\n"), NO_BUILTIN);

    let (code, said) = run(&lattice);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("rule_forbids"), "{said}");
    let (code, told) = lattice.json(&["explain", &cart, "--host", &host]);
    assert_eq!((code, &told["reason"]), (3, &json!("rule_forbids")), "{told}");
    let rule = told["rules"]["imports"][0]["rules"].as_array().unwrap().last().unwrap();
    assert_eq!(rule["rule"], json!("no rule forbids the binding"));
    assert!(rule["fact"].as_str().unwrap().contains("`no-builtin-in-production`"), "{rule}");
    let outside = &told["fix"]["outside"][0];
    assert_eq!(outside["role"], json!("administrator"), "{told}");
    assert!(outside["must"].as_str().unwrap().contains("rule `no-builtin-in-production` forbids"), "{outside}");
    let why = lattice.accepted(&["why", "cart"]);
    assert_eq!((&why["reason"], &why["follows"]), (&json!("rule_forbids"), &json!(true)), "{why}");

    // The broker reads its own log again, and so does anybody.
    lattice.stop_broker();
    lattice.serve();
    assert!(run(&lattice).1.contains("rule_forbids"));
    let deleted = lattice.accepted(&["rules", "delete", "--because", "no longer"]);
    assert_eq!(deleted["sha256"], put["sha256"]);
    assert_eq!(lattice.json(&["rules", "delete"]).1["error"], json!("not_found"));
    assert_eq!(run(&lattice).0, Some(0));
    // What was decided under the text is still told with it.
    let index = why["index"].to_string();
    assert_eq!(lattice.accepted(&["why", &index])["follows"], json!(true));
    assert_eq!(lattice.accepted(&["why", &index])["again"]["verdict"], json!("permitted"));
    verified(&lattice);
}

#[test]
fn a_text_that_permits_is_too_deep_or_outside_of_the_schema_never_stands() {
    let lattice = Lattice::quiet();
    let deep = format!(
        "@id(\"deep\") forbid (principal, action, resource) when {{ {}true{} }};",
        "(\n".repeat(99),
        ")".repeat(99)
    );
    let long = "// x\n".repeat(2100);
    for (name, text, says) in [
        ("permit", "@id(\"open\") permit (principal, action, resource);", "only forbid"),
        ("deep", deep.as_str(), "too deep"),
        ("long", long.as_str(), "2048"),
        ("schema", "@id(\"odd\") forbid (principal, action, resource) when { resource.price > 3 };", "price"),
        ("syntax", "@id(\"odd\")\nforbid (principal", "line 1"),
    ] {
        let file = file(&lattice, &format!("{name}.cedar"), text);
        for command in [&["rules", "check", &file][..], &["rules", "put", &file]] {
            let (code, told) = lattice.json(command);
            assert_eq!((code, &told["error"]), (3, &json!("rules_malformed")), "{command:?}: {told}");
            assert!(told.to_string().contains(says), "{command:?}: {told}");
        }
        // Past the command line's check, to the judge itself.
        let lines: Vec<&str> = text.split('\n').collect();
        let operations = json!([{"put_rules": {"text": lines}}]).to_string();
        let operations = self::file(&lattice, &format!("{name}.json"), &operations);
        let (code, told) = lattice.json(&["apply", "-f", &operations]);
        assert_eq!((code, &told["error"]), (3, &json!("rules_malformed")), "{name}: {told}");
    }
    assert_eq!(lattice.json(&["rules", "show"]).1["error"], json!("not_found"));
}

#[test]
fn shipped_rules_are_tried_by_the_program_and_a_wrong_case_is_told() {
    let lattice = Lattice::quiet();
    let mut tried = 0;
    for file in std::fs::read_dir(repository().join("docs/rules")).unwrap().flatten() {
        let rules = file.path();
        if rules.extension().is_none_or(|extension| extension != "cedar") {
            continue;
        }
        let cases = rules.with_extension("cases.json");
        let told = lattice.accepted(&["rules", "test", path(&cases), "--rules", path(&rules), "--full"]);
        assert_eq!((&told["failed"], &told["gaps"]), (&json!(0), &json!([])), "{told}");
        tried += 1;
    }
    assert_eq!(tried, 3);
    let rules = file(&lattice, "builtin.cedar", NO_BUILTIN);
    let case = json!({"host": {"key": "N"}, "runs": {"id": "cart"}});
    let cases = json!({"cases": [{"name": "a start", "case": case, "expect": "permitted"}]});
    let cases = file(&lattice, "cases.json", &cases.to_string());
    lattice.accepted(&["rules", "test", &cases, "--rules", &rules]);
    let (code, told) = lattice.json(&["rules", "test", &cases, "--rules", &rules, "--full"]);
    assert_eq!((code, &told["error"], &told["gaps"]), (3, &json!("rule_case"), &json!(["no-builtin-in-production"])));
}

#[test]
fn t25_rules_are_reloaded_under_load_and_each_verdict_is_that_of_the_text_it_names() {
    let lattice = Lattice::with_cart();
    let asker = Asker::of(&lattice, "host");
    let texts = [("wide", NOTHING, Verdict::Permitted), ("narrow", NO_KEYVALUE, Verdict::Refused)];
    let texts = texts.map(|(name, text, verdict)| (file(&lattice, name, text), verdict));
    let by_digest: BTreeMap<String, Verdict> = texts
        .iter()
        .map(|(file, verdict)| {
            let sha256 = lattice.accepted(&["rules", "check", file])["sha256"].as_str().unwrap().to_owned();
            (sha256, *verdict)
        })
        .collect();
    lattice.accepted(&["rules", "put", &texts[0].0]);
    // So many starts for each text: all of them are verified in the end.
    let (done, may_ask) = (AtomicBool::new(false), tokio::sync::Semaphore::new(0));
    let answers = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let client = asker.connect(&lattice.nats.url()).await;
                let mut answers = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let Ok(Ok(permit)) = tokio::time::timeout(Duration::from_millis(200), may_ask.acquire()).await
                    else {
                        continue;
                    };
                    permit.forget();
                    let Some(message) = send(&client, Topic::StartComponent, asker.question()).await else { continue };
                    // What is asked too fast is turned away, and says nothing of rules.
                    if message.headers.is_none() {
                        let answer = Unverified::<StartAnswer>::parse(&message.payload).unwrap();
                        answers.push((answer.says().index, answer.says().verdict));
                    }
                }
                answers
            })
        });
        for round in 0..20 {
            may_ask.add_permits(60);
            lattice.accepted(&["rules", "put", &texts[(round + 1) % 2].0]);
        }
        done.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });
    // Of each answer, the entry says which text stood; the log says which text was put last before it.
    let (mut standing, mut told) = (None, BTreeMap::new());
    for row in entries(&lattice) {
        for event in row["body"]["events"].as_array().into_iter().flatten() {
            standing = event["rules_put"]["sha256"].as_str().map(str::to_owned).or(standing);
        }
        if row["kind"] == "ruling" {
            assert_eq!(row["body"]["rules_sha256"].as_str().map(str::to_owned), standing);
            told.insert(row["index"].as_u64().unwrap(), standing.clone().unwrap());
        }
    }
    let verdicts: Vec<(Verdict, Verdict)> =
        answers.iter().map(|(index, verdict)| (*verdict, by_digest[&told[index]])).collect();
    assert!(verdicts.iter().all(|(met, named)| met == named), "{verdicts:?}");
    for either in [Verdict::Permitted, Verdict::Refused] {
        assert!(verdicts.iter().any(|(met, _)| *met == either), "both texts were met: {}", verdicts.len());
    }
    println!("{} starts under 21 texts", verdicts.len());
    verified(&lattice);
}
