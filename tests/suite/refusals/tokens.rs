//! Tokens and JSON: what an attacker can write who has a keyboard, and sometimes a trusted key.

use harness::mint::{self, HEADER, component, issuer, nkey, token};
use policy::key;
use serde_json::json;

use super::seen::Seen;
use super::stage::Stage;

pub(super) fn two_segments(stage: &Stage) -> Seen {
    let good = mint::claims(&component());
    stage.verify("two-segments.jwt", good.rsplit_once('.').unwrap().0)
}

pub(super) fn longer_than_any(stage: &Stage) -> Seen {
    stage.verify("longer.jwt", format!("{}{}", mint::claims(&component()), "A".repeat(policy::envelope::MAX_TOKEN)))
}

pub(super) fn no_algorithm(stage: &Stage) -> Seen {
    let header = r#"{"typ":"jwt","alg":"none"}"#;
    stage.verify("none.jwt", token(header, component().to_string().as_bytes(), 1))
}

pub(super) fn lax_json(stage: &Stage) -> Seen {
    let lax = component().to_string().replace("\"rev\":1", "\"rev\":1.0");
    stage.verify("lax.jwt", token(HEADER, lax.as_bytes(), 1))
}

// The trusted issuer first, the real signer last: which one does a reader believe?
pub(super) fn two_issuers(stage: &Stage) -> Seen {
    let honest = component().to_string();
    let twice = format!("{},\"iss\":\"{}\"}}", honest.strip_suffix('}').unwrap(), nkey::<key::Issuer>(9));
    stage.verify("twice.jwt", token(HEADER, twice.as_bytes(), 9))
}

pub(super) fn endless_nesting(stage: &Stage) -> Seen {
    let mut payload = component();
    payload["wascap"]["tags"] = json!("TAGS");
    let deep = payload.to_string().replace("\"TAGS\"", &("[".repeat(40) + &"]".repeat(40)));
    stage.verify("deep.jwt", token(HEADER, deep.as_bytes(), 1))
}

pub(super) fn unknown_member(stage: &Stage) -> Seen {
    let mut payload = component();
    payload["wascap"]["may_do_anything"] = json!(true);
    stage.verify("unknown.jwt", mint::claims(&payload))
}

// Names the trusted issuer, signed by somebody else.
pub(super) fn forged(stage: &Stage) -> Seen {
    assert_eq!(component()["iss"], json!(issuer()));
    stage.verify("forged.jwt", token(HEADER, component().to_string().as_bytes(), 9))
}

pub(super) fn seed_in_a_sentence(stage: &Stage) -> Seen {
    let seed = nkeys::KeyPair::new_account().seed().unwrap();
    stage.live().told(&["host", "invite", "--because", &format!("the key is {seed}")])
}
