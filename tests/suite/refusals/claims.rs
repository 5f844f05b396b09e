//! Claims: missing, twice, misplaced, of the wrong kind or form, about other bytes, or at the wrong time.

use harness::mint::{self, HEADER, NOW, component, issuer, provider, token};
use harness::vectors::guest;
use policy::artifact::component::{attach, read};
use serde_json::{Value, json};

use super::seen::Seen;
use super::stage::{Stage, minted};

fn with(member: &str, value: Value) -> String {
    let mut payload = component();
    payload[member] = value;
    mint::claims(&payload)
}

pub(super) fn unsigned(stage: &Stage) -> Seen {
    stage.verify("unsigned.wasm", guest("cart"))
}

// A reader that takes the first believes one issuer, a reader that takes the last another.
pub(super) fn two_sections(stage: &Stage) -> Seen {
    let bytes = guest("cart");
    let once = minted(&bytes, |_| ());
    let section = once[bytes.len()..].to_vec();
    stage.verify("two-sections.wasm", [once, section].concat())
}

pub(super) fn bytes_behind(stage: &Stage) -> Seen {
    stage.verify("bytes-behind.wasm", [minted(&guest("cart"), |_| ()), vec![0, 2, 1, b'x']].concat())
}

pub(super) fn of_a_provider(stage: &Stage) -> Seen {
    stage.verify("of-a-provider.wasm", attach(&guest("cart"), &mint::claims(&provider())).unwrap())
}

pub(super) fn of_an_older_form(stage: &Stage) -> Seen {
    stage.verify("older-form.jwt", with("wascap_revision", json!(2)))
}

pub(super) fn lower_case_hash(stage: &Stage) -> Seen {
    let lower = component().to_string().replace(&"AB".repeat(32), &"ab".repeat(32));
    stage.verify("lower-case.jwt", token(HEADER, lower.as_bytes(), 1))
}

// The genuine claims of one component around the bytes of another.
pub(super) fn grafted(stage: &Stage) -> Seen {
    let genuine = minted(&guest("cart"), |_| ());
    let claims = read(&genuine).unwrap().token().unwrap().to_vec();
    stage.verify("grafted.wasm", attach(&guest("rival"), std::str::from_utf8(&claims).unwrap()).unwrap())
}

pub(super) fn crossed_ends(stage: &Stage) -> Seen {
    stage.verify("crossed.jwt", with("exp", json!(NOW - 200)))
}

pub(super) fn ended(stage: &Stage) -> Seen {
    stage.verify("ended.jwt", with("exp", json!(NOW)))
}

pub(super) fn not_begun(stage: &Stage) -> Seen {
    stage.verify("not-begun.jwt", with("nbf", json!(NOW + 1)))
}

pub(super) fn from_tomorrow(stage: &Stage) -> Seen {
    stage.verify("from-tomorrow.jwt", with("iat", json!(NOW + 86_400)))
}

pub(super) fn without_end(stage: &Stage) -> Seen {
    let trusted = json!({"key": issuer(), "scope": ["*"], "max_lifetime_s": 86_400});
    stage.verify_under("without-end.jwt", mint::claims(&component()), &trusted)
}
