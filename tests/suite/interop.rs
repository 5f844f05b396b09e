//! What the published wasmCloud crates sign, ours verifies; what ours signs, they read.
//!
//! Real components, real archives, the published `wascap` and `provider-archive` as peers.

use std::path::Path;

use harness::mint;
use harness::program::countersign_json;
use harness::vectors::guest;
use nkeys::KeyPair;
use policy::issuer::Issuers;
use policy::reason::Reason;
use policy::verify::{self, Form, Reading};
use provider_archive::ProviderArchive;
use serde_json::{Value, json};
use wascap::jwt::{CapabilityProvider, Component, validate_token};

const GUESTS: [&str; 5] = ["cart", "logger", "rival", "dice", "greeter"];

fn judge(bytes: &[u8], issuer: &str) -> (Reading, Result<(), policy::reason::Refusal>) {
    let trust = json!({"issuers": [{"key": issuer, "scope": ["*"]}]}).to_string();
    let reading = verify::read(bytes, Form::File, None);
    let now = policy::time::Timestamp::from_seconds(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
    );
    let verdict = reading.judge(&Issuers::read_trust(trust.as_bytes()).unwrap(), now.unwrap());
    (reading, verdict)
}

fn wascap_sign(bytes: &[u8], account: &KeyPair, module: &KeyPair, days: Option<u64>) -> Vec<u8> {
    let (tags, version) = (vec!["a tag".to_owned()], Some("0.3.0".to_owned()));
    let alias = Some("shop/cart".to_owned());
    let name = "cart".to_owned();
    wascap::wasm::sign_buffer_with_claims(
        name,
        bytes,
        module,
        account,
        days,
        None,
        tags,
        false,
        Some(3),
        version,
        alias,
    )
    .unwrap()
}

#[test]
fn components_that_wascap_signs_verify() {
    let (account, module) = (KeyPair::new_account(), KeyPair::new_module());
    for name in GUESTS {
        for days in [None, Some(30)] {
            let signed = wascap_sign(&guest(name), &account, &module, days);
            let (reading, verdict) = judge(&signed, &account.public_key());
            verdict.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            assert_eq!(reading.subject().unwrap().to_string(), module.public_key());
            assert_eq!(reading.common().unwrap().rev, Some(3));
            assert_eq!(reading.common().unwrap().validity.exp.is_some(), days.is_some());
            let (_, verdict) = judge(&signed, &KeyPair::new_account().public_key());
            assert_eq!(verdict.unwrap_err().reason, Reason::IssuerUnknown);
        }
    }
}

#[test]
fn t31_claims_that_wascap_signed_for_one_guest_do_not_fit_another() {
    let (account, module) = (KeyPair::new_account(), KeyPair::new_module());
    let signed = wascap_sign(&guest("logger"), &account, &module, None);
    let (reading, _) = judge(&signed, &account.public_key());
    let Some(policy::artifact::Artifact::Component(file)) = reading.artifact() else { panic!("a component") };
    let token = std::str::from_utf8(file.token().unwrap()).unwrap();
    let replayed = policy::artifact::component::attach(&guest("rival"), token).unwrap();
    let (reading, verdict) = judge(&replayed, &account.public_key());
    assert_eq!(verdict.unwrap_err().reason, Reason::HashMismatch);
    assert_eq!(reading.issuer().unwrap().to_string(), account.public_key(), "whose claims were replayed is told");
}

#[test]
fn components_that_we_sign_are_read_by_wascap() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = seed(folder.path(), "issuer.nk", &KeyPair::new_account());
    for name in GUESTS {
        let path = folder.path().join(format!("{name}.wasm"));
        std::fs::write(&path, guest(name)).unwrap();
        let days = ["--rev", "7", "--ver", "0.7.0", "--tag", "t", "--call-alias", "shop/x", "--expires-in-days", "5"];
        let arguments =
            [&["claims", "sign", path.to_str().unwrap(), "--issuer-key", issuer.as_str()][..], &days].concat();
        let (code, signed) = countersign_json(&arguments);
        assert_eq!(code, 0, "{signed}");
        let bytes = std::fs::read(signed["file"].as_str().unwrap()).unwrap();
        let token = wascap::wasm::extract_claims(&bytes).unwrap().expect("claims");
        assert_eq!(token.claims.subject, signed["subject"].as_str().unwrap());
        assert_eq!(token.claims.issuer, signed["issuer"].as_str().unwrap());
        let component = token.claims.metadata.clone().unwrap();
        assert_eq!(
            (component.rev, component.ver.as_deref(), component.name.as_deref()),
            (Some(7), Some("0.7.0"), Some(name))
        );
        assert_eq!((component.tags, component.call_alias.as_deref()), (Some(vec!["t".to_owned()]), Some("shop/x")));
        let valid = validate_token::<Component>(&token.jwt).unwrap();
        assert!(valid.signature_valid && !valid.expired && !valid.cannot_use_yet);
        // Signed again by the other side, the same bytes lie under the claims.
        let resigned = wascap_sign(&bytes, &KeyPair::new_account(), &KeyPair::new_module(), None);
        let hash = wascap::wasm::extract_claims(&resigned).unwrap().unwrap().claims.metadata.unwrap().module_hash;
        assert_eq!(hash, component.module_hash);
    }
}

#[tokio::test]
async fn archives_that_provider_archive_writes_verify() {
    let folder = tempfile::tempdir().unwrap();
    let (account, service) = (KeyPair::new_account(), KeyPair::new_service());
    for (packed, world) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut archive = ProviderArchive::new("kv", "acme", Some(4), Some("0.4.0".to_owned()));
        archive.add_library("x86_64-linux", b"#!/bin/sh\n").unwrap();
        archive.add_library("aarch64-macos", b"#!/bin/sh\nexit 1\n").unwrap();
        archive.set_schema(json!({"type": "object", "properties": {"n": {"minimum": 0.5, "default": null}}})).unwrap();
        if world {
            archive.add_wit_world(&guest("logger")).unwrap();
        }
        let path = folder.path().join(if packed { "kv.par.gz" } else { "kv.par" });
        archive.write(&path, &account, &service, packed).await.unwrap();
        let (reading, verdict) = judge(&std::fs::read(&path).unwrap(), &account.public_key());
        verdict.unwrap_or_else(|refusal| panic!("packed {packed}, world {world}: {refusal}"));
        assert_eq!(reading.subject().unwrap().to_string(), service.public_key());
        let serves = reading.contracts();
        assert_eq!(serves, if world { vec!["wasi:logging".to_owned()] } else { vec![] });
    }
}

#[tokio::test]
async fn archives_that_we_write_are_read_by_provider_archive() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = seed(folder.path(), "issuer.nk", &KeyPair::new_account());
    let (binary, world) = (folder.path().join("kv"), folder.path().join("world.wasm"));
    std::fs::write(&binary, b"#!/bin/sh\n").unwrap();
    std::fs::write(&world, guest("logger")).unwrap();
    let schema = folder.path().join("schema.json");
    std::fs::write(&schema, br#"{"type":"object","minimum":0.5}"#).unwrap();
    let subject = folder.path().join("kv.nk");
    for (name, extra) in
        [("plain.par", &[][..]), ("packed.par.gz", &["--gzip"]), ("world.par", &["--world", world.to_str().unwrap()])]
    {
        let out = folder.path().join(name);
        let target = format!("x86_64-linux={}", binary.display());
        let arguments = [
            &["archive", "create", "--binary", &target, "--vendor", "acme", "--name", "kv", "--rev", "4"][..],
            &["--issuer-key", &issuer, "--subject-key", subject.to_str().unwrap(), "--out", out.to_str().unwrap()],
            &["--config-schema", schema.to_str().unwrap()],
            extra,
        ];
        let (code, signed) = countersign_json(&arguments.concat());
        assert_eq!(code, 0, "{signed}");
        read_by_the_published(&out, &signed, name == "world.par").await;
        let (code, again) = countersign_json(&[
            "claims",
            "sign",
            out.to_str().unwrap(),
            "--issuer-key",
            &issuer,
            "--subject-key",
            subject.to_str().unwrap(),
            "--rev",
            "5",
        ]);
        assert_eq!((code, again["rev"].as_i64(), &again["vendor"]), (0, Some(5), &json!("acme")), "{again}");
        read_by_the_published(Path::new(again["file"].as_str().unwrap()), &again, name == "world.par").await;
    }
}

async fn read_by_the_published(path: &Path, signed: &Value, world: bool) {
    let archive = ProviderArchive::try_load(&std::fs::read(path).unwrap()).await.unwrap();
    assert_eq!(archive.target_bytes("x86_64-linux").unwrap(), b"#!/bin/sh\n");
    assert_eq!(archive.wit_world().is_some(), world);
    assert_eq!(archive.schema().unwrap(), json!({"type": "object", "minimum": 0.5}));
    let token = archive.claims_token().unwrap();
    assert_eq!(
        (&*token.claims.subject, &*token.claims.issuer),
        (signed["subject"].as_str().unwrap(), signed["issuer"].as_str().unwrap())
    );
    let valid = validate_token::<CapabilityProvider>(&token.jwt).unwrap();
    assert!(valid.signature_valid && !valid.expired);
}

#[test]
fn tokens_that_we_mint_are_read_by_wascap_too() {
    let valid = validate_token::<Component>(&mint::claims(&mint::component())).unwrap();
    assert!(valid.signature_valid);
    let valid = validate_token::<CapabilityProvider>(&mint::claims(&mint::provider())).unwrap();
    assert!(valid.signature_valid);
}

fn seed(folder: &Path, name: &str, pair: &KeyPair) -> String {
    let path = folder.join(name);
    std::fs::write(&path, pair.seed().unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}
