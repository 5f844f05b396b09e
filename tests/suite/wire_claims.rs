//! The claims of real wasmCloud v1 software, and hostile ones in their shape: each its verdict, with its reason.

use data_encoding::BASE64;
use harness::vectors::{self, text};
use policy::digest::Digest;
use policy::issuer::{Issuers, Kind};
use policy::time::Timestamp;
use policy::verify::{self, Form};
use serde_json::json;

#[test]
fn every_sample_gets_the_verdict_that_is_written_down() {
    let folder = vectors::folder("wire-claims");
    let keys = vectors::json(&folder.join("public-keys.json"));
    let trust = json!({"issuers": [{"key": keys["keys"]["trusted"], "scope": ["*"]}]});
    let issuers = Issuers::read_trust(trust.to_string().as_bytes()).unwrap();
    let written = vectors::json(&folder.join("verdicts.json"));
    let now = Timestamp::from_seconds(written["now"].as_u64().unwrap()).unwrap();
    let verdicts = written["verdicts"].as_array().unwrap();
    let mut wrong = Vec::new();
    for verdict in verdicts {
        let name = text(verdict, "file");
        let sample = vectors::json(&folder.join(name));
        let (bytes, form) = match sample["jwt"].as_str() {
            Some(token) => (token.as_bytes().to_vec(), Form::Token),
            None => (BASE64.decode(text(&sample, "base64").as_bytes()).unwrap(), Form::File),
        };
        if form == Form::File {
            assert_eq!(Digest::of(&bytes).to_string(), text(&sample, "sha256"), "{name}");
        }
        let is_provider = name.contains("provider") || name.contains(".par.");
        let kind = if is_provider { Kind::Provider } else { Kind::Component };
        let found = verify::read(&bytes, form, Some(kind)).judge(&issuers, now);
        let reason = found.as_ref().err().map(|refusal| refusal.reason.code());
        let expected = verdict["reason"].as_str();
        if reason != expected || found.is_ok() != (text(verdict, "verdict") == "accept") {
            wrong.push(format!("{name}: expected {expected:?}, found {found:?}"));
        }
    }
    let samples = std::fs::read_dir(&folder).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.starts_with("token.") || name.starts_with("file.")
    });
    assert_eq!(samples.count(), verdicts.len(), "a sample has no verdict");
    println!("wire claims: {} samples, {} wrong", verdicts.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
