//! The example of RFC 8037: the primitive verifies it, and as claims it is refused.

use data_encoding::BASE64URL_NOPAD;
use harness::vectors::{self, text};
use policy::claims;
use policy::envelope;
use policy::key::{Issuer, Name};
use policy::reason::Reason;

#[test]
fn t01_the_primitive_verifies_the_example_and_claims_refuse_it() {
    let example = vectors::json(&vectors::folder("rfc8037").join("example.json"));
    let raw = BASE64URL_NOPAD.decode(text(&example["jwk"], "x").as_bytes()).unwrap();
    let key = Name::<Issuer>::from_raw(raw.try_into().unwrap()).usable().unwrap();
    let jws = text(&example, "jws");
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    envelope::check_detached(&key, signed.as_bytes(), &signature).unwrap();
    let mut flipped = signature.clone();
    flipped[0] ^= 1;
    assert!(envelope::check_detached(&key, signed.as_bytes(), &flipped).is_err());
    assert_eq!(claims::read_component(jws.as_bytes()).unwrap_err().reason, Reason::TokenHeader);
    assert_eq!(claims::read_provider(jws.as_bytes()).unwrap_err().reason, Reason::TokenHeader);
}
