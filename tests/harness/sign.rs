//! Signs components with wasmCloud's published `wascap`, as developers of the field do.

use std::path::Path;

use nkeys::{KeyPair, KeyPairType};

/// The component, signed under a name by the issuer whose seed lies in a file. One name is one subject.
pub fn component(bytes: &[u8], name: &str, issuer: &Path) -> Vec<u8> {
    component_of_revision(bytes, name, 1, issuer)
}

/// The same, as a revision of that number.
pub fn component_of_revision(bytes: &[u8], name: &str, revision: i32, issuer: &Path) -> Vec<u8> {
    let seed = std::fs::read_to_string(issuer).expect("the issuer's seed");
    let account = KeyPair::from_seed(seed.trim()).expect("a seed");
    let subject = subject(name);
    let tags = vec!["suite".to_owned()];
    let signed = wascap::wasm::sign_buffer_with_claims(
        name.to_owned(),
        bytes,
        &subject,
        &account,
        Some(30),
        None,
        tags,
        false,
        Some(revision),
        Some("0.1.0".to_owned()),
        None,
    );
    signed.expect("wascap signs it")
}

/// The subject key of a name.
pub fn subject(name: &str) -> KeyPair {
    let raw = policy::digest::Digest::of(format!("suite subject {name}").as_bytes());
    KeyPair::new_from_raw(KeyPairType::Module, *raw.as_bytes()).expect("32 bytes are a seed")
}
