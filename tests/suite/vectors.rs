//! Every expected verdict of a folder of signed-claims cases, through the library and through the built program.
//!
//! The folder is `tests/vectors/claims-sample`, or what `CLAIMS_VECTORS` names. Each disagreement is printed.

use std::path::Path;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use harness::program::countersign;
use harness::vectors::{self, text};
use policy::digest::Digest;
use policy::issuer::{Issuers, Kind};
use policy::key::{self, Key, Name};
use policy::time::Timestamp;
use policy::verify::{self, Form};
use serde_json::{Value, json};

#[derive(Default)]
struct Score {
    agreed: usize,
    disagreed: Vec<String>,
    apart: Vec<String>,
    recipes: Vec<String>,
}

impl Score {
    fn judge(&mut self, case: &Value, accepted: bool, how: &str) {
        let (id, expect) = (text(case, "id"), text(case, "expect"));
        let line = format!(
            "{id}: expected {expect}, {} ({how}): {}",
            if accepted { "accepted" } else { "refused" },
            text(case, "why")
        );
        match (expect, accepted) {
            ("accept", true) | ("refuse", false) => self.agreed += 1,
            ("either", _) => self.apart.push(line),
            _ if case["profile"] == true => self.apart.push(line),
            _ => self.disagreed.push(line),
        }
    }

    fn finish(self, name: &str) {
        self.apart.iter().for_each(|line| println!("apart: {line}"));
        self.recipes.iter().for_each(|line| println!("a recipe, to be built by hand: {line}"));
        self.disagreed.iter().for_each(|line| println!("DISAGREES: {line}"));
        println!(
            "{name}: {} agreed, {} disagreed, {} scored apart, {} recipes",
            self.agreed,
            self.disagreed.len(),
            self.apart.len(),
            self.recipes.len()
        );
        assert!(self.agreed > 0, "{name}: nothing was run");
        assert!(self.disagreed.is_empty(), "{name}: {} disagreements, printed above", self.disagreed.len());
    }
}

#[test]
fn every_token_gets_its_verdict() {
    let cases = vectors::json(&vectors::claims().join("jwt/cases.json"));
    let now = cases["now"].as_u64().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut score = Score::default();
    for case in listed(&cases, "cases") {
        let now = case["now"].as_u64().unwrap_or(now);
        let Some(token) = token(case) else {
            score.recipes.push(format!("{}: {}", text(case, "id"), text(case, "why")));
            continue;
        };
        let mut trust = cases["trust"].clone();
        trust_too(&mut trust, case);
        let kind = if text(case, "kind") == "component" { Kind::Component } else { Kind::Provider };
        let reading = verify::read(&token, Form::Token, Some(kind));
        let verdict = reading.judge(&force(&trust), Timestamp::from_seconds(now).unwrap());
        let path = folder.path().join("case.jwt");
        std::fs::write(&path, &token).unwrap();
        let run = run(&path, &trust, now, Some(kind), folder.path());
        refuse_traces(case, &run);
        println!("{}: {verdict:?}", text(case, "id"));
        assert_eq!(verdict.is_ok(), run.accepted, "{}: library and program differ: {verdict:?}", text(case, "id"));
        score.judge(case, run.accepted, &format!("{verdict:?}"));
    }
    score.finish("tokens");
}

#[test]
fn every_issuer_key_gets_its_verdict() {
    let cases = vectors::json(&vectors::claims().join("jwt/cases.json"));
    let now = cases["now"].as_u64().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.jwt");
    std::fs::write(&path, text(&cases["cases"][0], "token")).unwrap();
    let mut score = Score::default();
    for case in listed(&cases, "issuer_add") {
        let parsed = Key::<key::Issuer>::parse(text(case, "key"));
        let mut trust = cases["trust"].clone();
        trust["issuers"].as_array_mut().unwrap().push(json!({"key": case["key"], "scope": ["*"]}));
        let run = run(&path, &trust, now, None, folder.path());
        refuse_traces(case, &run);
        if let (Err(refusal), Some(secret)) = (&parsed, case["must_not_log"].as_str()) {
            assert!(!refusal.to_string().contains(secret), "the refusal repeats a secret");
        }
        assert_eq!(parsed.is_ok(), run.accepted, "{}: library and program differ", text(case, "id"));
        score.judge(case, parsed.is_ok(), &format!("{:?}", parsed.err()));
    }
    score.finish("issuer keys");
}

#[test]
fn every_wasm_file_gets_its_verdict() {
    files("wasm", "wasm files");
}

#[test]
fn every_archive_gets_its_verdict_and_nothing_is_written_outside() {
    files("par", "archives");
    assert!(!Path::new("/tmp/pwn").exists(), "an entry was written outside");
}

fn files(kind: &str, name: &str) {
    let root = vectors::claims();
    let list = root.join(kind).join("cases.json");
    if !list.exists() {
        println!("{name}: this set has none");
        return;
    }
    let cases = vectors::json(&list);
    let now = cases["now"].as_u64().unwrap();
    let trust = json!({"issuers": [{"key": cases["trusted_issuer"], "scope": ["*"]}]});
    let folder = tempfile::tempdir().unwrap();
    let mut score = Score::default();
    for case in listed(&cases, "cases") {
        let now = case["now"].as_u64().unwrap_or(now);
        let mut trust = trust.clone();
        trust_too(&mut trust, case);
        let Some(file) = case["file"].as_str() else {
            score.recipes.push(format!("{}: {}", text(case, "id"), text(case, "why")));
            continue;
        };
        let bytes = std::fs::read(root.join(file)).unwrap();
        if let Some(sha256) = case["sha256"].as_str() {
            assert_eq!(Digest::of(&bytes).to_string(), sha256, "{file} is not the file that was judged");
        }
        let verdict =
            verify::read(&bytes, Form::of(&bytes), None).judge(&force(&trust), Timestamp::from_seconds(now).unwrap());
        let run = run(&root.join(file), &trust, now, None, folder.path());
        refuse_traces(case, &run);
        assert_eq!(verdict.is_ok(), run.accepted, "{file}: library and program differ: {verdict:?}");
        println!("{}: {verdict:?}", text(case, "id"));
        score.judge(case, run.accepted, &format!("{verdict:?}"));
    }
    score.finish(name);
}

fn listed<'a>(cases: &'a Value, member: &str) -> &'a [Value] {
    cases[member].as_array().map(Vec::as_slice).unwrap_or_default()
}

// One more issuer for this case, unless it stands on the list already.
fn trust_too(trust: &mut Value, case: &Value) {
    let issuers = trust["issuers"].as_array_mut().unwrap();
    if let Some(extra) = case.get("extra_trust").filter(|extra| issuers.iter().all(|entry| entry["key"] != **extra)) {
        issuers.push(json!({"key": extra, "scope": ["*"]}));
    }
}

struct Run {
    accepted: bool,
    printed: String,
}

fn run(path: &Path, trust: &Value, now: u64, kind: Option<Kind>, folder: &Path) -> Run {
    let trust_path = folder.join("trust.json");
    std::fs::write(&trust_path, trust.to_string()).unwrap();
    let (path, trust_path, now) = (path.to_str().unwrap(), trust_path.to_str().unwrap(), now.to_string());
    let mut arguments = vec!["-o", "json", "verify", path, "--trust", trust_path, "--at", &now];
    arguments.extend(kind.into_iter().flat_map(|kind| ["--kind", kind.word()]));
    let output = countersign(&arguments);
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8(printed).unwrap();
    let accepted = match output.status.code() {
        Some(0) => true,
        Some(3) => false,
        other => panic!("exit code {other:?}: {printed}"),
    };
    Run { accepted, printed }
}

fn refuse_traces(case: &Value, run: &Run) {
    if let Some(secret) = case["must_not_log"].as_str() {
        assert!(!run.printed.contains(secret), "{}: a secret was printed", text(case, "id"));
    }
}

fn token(case: &Value) -> Option<Vec<u8>> {
    let packed = case["token_b64"].as_str().map(|packed| {
        let unpadded = packed.trim_end_matches('=');
        BASE64.decode(packed.as_bytes()).or_else(|_| BASE64URL_NOPAD.decode(unpadded.as_bytes())).unwrap()
    });
    packed.or_else(|| case["token"].as_str().map(|token| token.as_bytes().to_vec()))
}

// Past the doors of a trust list, so that a weak key meets the verifier even when it stands on the list (T08).
fn force(trust: &Value) -> Issuers {
    let mut list = serde_json::Map::new();
    for entry in trust["issuers"].as_array().unwrap() {
        if Name::<key::Issuer>::parse(text(entry, "key")).is_err() {
            continue;
        }
        let standing = match (entry["revoked_at"].as_u64(), entry["reason"].as_str()) {
            (None, _) => json!("active"),
            (Some(at), Some("retired")) => json!({"retired": at}),
            (Some(at), _) => json!({"revoked": at}),
        };
        let kinds = ["component", "provider"];
        let mut issuer = json!({"scope": entry["scope"], "kinds": kinds, "standing": standing});
        if let Some(longest) = entry.get("max_lifetime_s") {
            issuer["max_lifetime_s"] = longest.clone();
        }
        list.insert(text(entry, "key").to_owned(), issuer);
    }
    serde_json::from_value(Value::Object(list)).unwrap()
}
