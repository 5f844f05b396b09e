//! The committed guests, and components of text, signed at test time.

use std::path::PathBuf;

use nkeys::{KeyPair, KeyPairType};
use policy::artifact::{Artifact, component};
use policy::claims::{Common, ComponentClaims, draft_component};
use policy::key::{Component, Issuer, Name};
use policy::time::{Timestamp, Validity};

/// A key that is the same in every run.
pub(crate) fn key(kind: KeyPairType, number: u8) -> KeyPair {
    KeyPair::new_from_raw(kind, [number; 32]).unwrap()
}

pub(crate) fn issuer() -> KeyPair {
    key(KeyPairType::Account, 4)
}

/// The bytes of a guest, as committed.
pub(crate) fn unsigned(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/guests");
    std::fs::read(folder.join(format!("{name}.wasm"))).unwrap()
}

/// A guest, signed.
pub(crate) fn signed(name: &str) -> Vec<u8> {
    sign(&unsigned(name), u8::try_from(40 + name.len()).unwrap())
}

/// A guest, signed under the subject of that number.
pub(crate) fn signed_as(name: &str, subject: u8) -> Vec<u8> {
    sign(&unsigned(name), subject)
}

/// A component of text, signed.
pub(crate) fn text(wat: &str) -> Vec<u8> {
    sign(&wat::parse_str(wat).unwrap(), 60)
}

/// Signs a component under the subject of that number.
pub(crate) fn sign(bytes: &[u8], subject: u8) -> Vec<u8> {
    let Artifact::Component(file) = policy::artifact::read(bytes).unwrap() else { panic!("no component") };
    let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
    let validity = Validity { iat: at(1_700_000_000), nbf: None, exp: Some(at(4_000_000_000)) };
    let claims = ComponentClaims {
        common: Common { jti: "test".into(), validity, name: None, rev: None, ver: None },
        subject: Name::<Component>::parse(&key(KeyPairType::Module, subject).public_key()).unwrap(),
        hash: file.claims_hash(),
        tags: Vec::new(),
        call_alias: None,
        caps: None,
    };
    let draft = draft_component(&Name::<Issuer>::parse(&issuer().public_key()).unwrap(), &claims);
    let signature = issuer().sign(draft.signing_input()).unwrap();
    component::attach(bytes, &draft.seal(&signature)).unwrap()
}
