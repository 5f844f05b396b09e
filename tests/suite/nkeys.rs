//! The nkey encodings, good and bad, of the published library and ours.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use harness::vectors::{self, text};
use nkeys::KeyPair;
use policy::envelope;
use policy::key::{self, Issuer, Name};
use policy::reason::Reason;

#[test]
fn t10_every_verdict_on_nkeys() {
    let file = vectors::json(&vectors::folder("nkeys").join("nkeys.json"));
    let (good, bad) = (file["valid"].as_array().unwrap(), file["invalid_public"].as_array().unwrap());
    for case in good {
        let public = text(case, "public");
        let (letter, raw) = key::inspect(public).unwrap_or_else(|refusal| panic!("{public}: {refusal}"));
        assert_eq!(KeyPair::from_seed(text(case, "seed")).unwrap().public_key(), public);
        assert!(public.starts_with(letter));
        assert_eq!(Name::<Issuer>::parse(public).is_ok(), text(case, "type") == "account", "{public}");
        if let Some(hex) = case["raw_hex"].as_str() {
            assert_eq!(HEXLOWER.encode(&raw), hex);
            // The role does not matter to the primitive.
            let signature = BASE64URL_NOPAD.decode(text(case, "signature_b64url").as_bytes()).unwrap();
            let key = Name::<Issuer>::from_raw(raw).usable().unwrap();
            envelope::check_detached(&key, text(case, "message").as_bytes(), &signature).unwrap();
        }
        let refused = key::inspect(text(case, "seed")).unwrap_err();
        assert_eq!(refused.reason, Reason::SecretInInput);
        assert!(!refused.to_string().contains(text(case, "seed")));
    }
    for case in bad {
        let refused = key::inspect(text(case, "key")).expect_err(text(case, "why"));
        let is_seed = text(case, "why").contains("seed");
        assert_eq!(refused.reason, if is_seed { Reason::SecretInInput } else { Reason::KeyMalformed }, "{case}");
    }
    println!("nkeys: {} good, {} bad, all as expected", good.len(), bad.len());
}
