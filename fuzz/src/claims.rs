//! What issuers sign, and who is trusted: claims, contracts and trust lists.

use policy::claims::{draft_component, draft_provider, read_component, read_provider};
use policy::digest::Digest;
use policy::envelope::Claimed;
use policy::examine::{Evidence, read_claims};
use policy::issuer::{Issuers, Kind, Signed, Standing};
use policy::reason::{Reason, Refusal};
use policy::time::Validity;
use policy::{contract as contracts, json};

use super::court::{CONTRACT_HEADER, NOW, WASCAP_HEADER, at, issue, issue_bytes, name};
use super::json::meaning;

/// A token of claims, or a payload that the seeded issuer signs.
pub(super) fn token_claims(bytes: &[u8]) {
    let token = if bytes.starts_with(b"ey") { bytes.to_vec() } else { issue_bytes(WASCAP_HEADER, bytes) };
    let (component, provider, either) = (read_component(&token), read_provider(&token), read_claims(&token));
    assert!(component.is_err() || provider.is_err(), "one token of two kinds");
    assert_eq!(either.is_ok(), component.is_ok() || provider.is_ok());
    assert!(either.is_err() || contracts::read(&token).is_err(), "claims are no contract");
    assert_eq!(refusal(&component), refusal(&read_component(&token)));
    assert_eq!(refusal(&provider), refusal(&read_provider(&token)));
    if let Ok(claimed) = component {
        assert!(matches!(either, Ok(Evidence::Component(_))));
        let again = issue(draft_component(&name(), &claimed));
        let again_read = read_component(&again).expect("what is written reads back");
        assert_eq!(*again_read, *claimed);
        sound(&token, &again, claimed.issuer() == &name(), &claimed);
        assert_ne!(claimed.issuer().raw(), claimed.subject.raw());
    } else if let Ok(claimed) = provider {
        assert!(matches!(either, Ok(Evidence::Provider(_))));
        // A fraction in a configuration's schema may round either way.
        if meaning(&payload(&token)).is_some() {
            let again = issue(draft_provider(&name(), &claimed));
            assert_eq!(*read_provider(&again).expect("what is written reads back"), *claimed);
            sound(&token, &again, claimed.issuer() == &name(), &claimed);
        }
        assert_ne!(claimed.issuer().raw(), claimed.subject.raw());
    }
}

/// A token of a contract, or a payload that the seeded issuer signs.
pub(super) fn contract(bytes: &[u8]) {
    let token = if bytes.starts_with(b"ey") { bytes.to_vec() } else { issue_bytes(CONTRACT_HEADER, bytes) };
    let read = contracts::read(&token);
    assert_eq!(refusal(&read), refusal(&contracts::read(&token)));
    let Ok(claimed) = read else { return };
    assert!(read_claims(&token).is_err(), "a contract is no claims");
    assert!(claimed.revision > 0 && !claimed.interfaces.is_empty());
    let ours = *claimed.issuer() == name();
    assert_eq!(*claimed.issuer(), claimed.iss);
    let mut same = policy::contract::Contract::clone(&claimed);
    same.iss = name();
    let again = issue(same.draft());
    assert_eq!(*contracts::read(&again).expect("what is written reads back"), same);
    sound(&token, &again, ours, &claimed);
}

/// A trust list.
pub(super) fn trust(bytes: &[u8]) {
    let read = Issuers::read_trust(bytes);
    assert_eq!(read, Issuers::read_trust(bytes));
    let Ok(issuers) = read else { return };
    assert_eq!(json::read::<Issuers>(&json::write(&issuers)).expect("what is written reads back"), issuers);
    let validity = Validity { iat: at(NOW - 100), nbf: None, exp: Some(at(NOW + 100)) };
    for (name, issuer) in issuers.iter() {
        assert!(name.usable().is_ok(), "a key that nobody should trust");
        for kind in [Kind::Component, Kind::Provider, Kind::Contract] {
            let signed = Signed { issuer: name, kind, validity: &validity };
            let verdict = issuers.judge(signed, ["wasi:logging"], at(NOW)).map(drop);
            let stands = match issuer.standing {
                Standing::Active => true,
                Standing::Retired(since) => validity.iat < since,
                Standing::Prepared | Standing::Revoked(_) => false,
            };
            let believed = stands
                && issuer.kinds.contains(&kind)
                && issuer.max_lifetime_s.is_none_or(|longest| longest >= 200)
                && issuer.scope.iter().any(|scope| ["*", "wasi:*", "wasi:logging"].contains(&&*scope.to_string()));
            assert_eq!(verdict.is_ok(), believed, "{verdict:?}");
        }
    }
}

fn refusal<T>(read: &Result<T, Refusal>) -> Option<(Reason, String)> {
    read.as_ref().err().map(|refusal| (refusal.reason, refusal.detail.clone()))
}

// What was accepted keeps its bytes; signed anew it says the same; and no byte of it can be changed.
fn sound<T>(token: &[u8], again: &[u8], ours: bool, claimed: &Claimed<T>) {
    assert_eq!((claimed.token(), claimed.sha256()), (token, Digest::of(token)));
    if ours {
        assert_eq!(meaning(&payload(token)), meaning(&payload(again)), "the reader lost or made up something");
    }
    for at in [token.len() / 4, token.len() / 2, token.len() - 40] {
        let mut forged = token.to_vec();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert!(read_claims(&forged).is_err() && contracts::read(&forged).is_err(), "a forged byte {at} is believed");
    }
}

fn payload(token: &[u8]) -> Vec<u8> {
    let segment = token.split(|byte| *byte == b'.').nth(1).expect("a token has three segments");
    data_encoding::BASE64URL_NOPAD.decode(segment).expect("a token that was read")
}
