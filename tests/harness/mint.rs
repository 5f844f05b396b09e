//! Mints tokens with seeded keys: honest ones, and any that an attacker could.
//!
//! Written apart from the product's own writer, so that a mistake there is not repeated here.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer, SigningKey};
use policy::issuer::Issuers;
use policy::key::{self, Role};
use policy::time::Timestamp;
use serde_json::{Value, json};

/// The one header of claims.
pub const HEADER: &str = r#"{"typ":"jwt","alg":"Ed25519"}"#;

/// The moment at which the suite's tokens are judged.
pub const NOW: u64 = 1_750_000_000;

/// The moment at which the suite's tokens are judged.
pub fn now() -> Timestamp {
    Timestamp::from_seconds(NOW).expect("in range")
}

/// The key pair of a number.
pub fn pair(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// The nkey of a number in a role.
pub fn nkey<R: Role>(number: u8) -> String {
    key::encode(R::PREFIX, pair(number).verifying_key().as_bytes())
}

/// The trusted issuer of the suite.
pub fn issuer() -> String {
    nkey::<key::Issuer>(1)
}

/// A trust list of one issuer.
pub fn trust(issuer: &str, scope: &[&str]) -> Issuers {
    let list = json!({"issuers": [{"key": issuer, "scope": scope}]});
    Issuers::read_trust(list.to_string().as_bytes()).expect("a sound trust list")
}

/// A trust list with a key in it that no door would let in.
pub fn forced_trust(issuer: &str) -> Issuers {
    let kinds = ["component", "provider"];
    serde_json::from_value(json!({issuer: {"scope": ["*"], "kinds": kinds, "standing": "active"}})).expect("a list")
}

/// The payload of sound claims of a component.
pub fn component() -> Value {
    json!({
        "jti": "c0ffee", "iat": NOW - 100, "iss": issuer(), "sub": nkey::<key::Component>(2),
        "wascap": {"name": "cart", "hash": "AB".repeat(32), "tags": ["a"], "rev": 1, "ver": "0.1.0", "prov": false},
        "wascap_revision": 3,
    })
}

/// The payload of sound claims of a provider.
pub fn provider() -> Value {
    json!({
        "jti": "c0ffee", "iat": NOW - 100, "iss": issuer(), "sub": nkey::<key::Provider>(3),
        "wascap": {
            "name": "kv", "vendor": "acme", "rev": 1, "ver": "0.1.0",
            "target_hashes": {"x86_64-linux": "CD".repeat(32)}, "capid": "wasmcloud:keyvalue",
        },
        "wascap_revision": 3,
    })
}

/// A token over these very texts, signed by the pair of a number.
pub fn token(header: &str, payload: &[u8], signer: u8) -> String {
    let signed = format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(payload));
    let signature = pair(signer).sign(signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

/// A token over a payload with the right header, signed by the trusted issuer.
pub fn claims(payload: &Value) -> String {
    token(HEADER, payload.to_string().as_bytes(), 1)
}
