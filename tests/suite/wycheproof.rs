//! Wycheproof's Ed25519 cases, all of them, through the one verifier and the one way a key is parsed.

use data_encoding::HEXLOWER;
use harness::vectors::{self, text};
use policy::envelope;
use policy::key::{Issuer, Name};

#[test]
fn t06_f01_all_151_verdicts_of_wycheproof() {
    let file = vectors::json(&vectors::folder("wycheproof").join("ed25519_test.json"));
    let (mut right, mut wrong) = (0, Vec::new());
    for group in file["testGroups"].as_array().unwrap() {
        let raw = HEXLOWER.decode(text(&group["publicKey"], "pk").as_bytes()).unwrap();
        // A key that is not usable verifies nothing: that is a refusal too.
        let key = Name::<Issuer>::from_raw(raw.try_into().unwrap()).usable();
        for test in group["tests"].as_array().unwrap() {
            let hex = |member| HEXLOWER.decode(text(test, member).as_bytes()).unwrap();
            let accepted =
                key.as_ref().is_ok_and(|key| envelope::check_detached(key, &hex("msg"), &hex("sig")).is_ok());
            if accepted == (text(test, "result") == "valid") {
                right += 1;
            } else {
                wrong.push(test["tcId"].clone());
            }
        }
    }
    println!("wycheproof: {right} right, wrong: {wrong:?}");
    assert_eq!((right, wrong.len()), (151, 0), "{wrong:?}");
}
