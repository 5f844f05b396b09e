//! Keys and names: mistyped, of another role, weak, used twice; and names that are more than one name.

use broker::keys::SigningKey;
use data_encoding::BASE64URL_NOPAD;
use harness::lattice::path;
use harness::mint::{self, HEADER, component, issuer, nkey};
use harness::vectors;
use policy::key::{self, Administrator, Host};
use serde_json::json;

use super::seen::Seen;
use super::stage::{Stage, as_role};

pub(super) fn mistyped(stage: &Stage) -> Seen {
    let mut key = issuer();
    let last = if key.pop() == Some('A') { 'B' } else { 'A' };
    key.push(last);
    stage.live().told(&["issuer", "add", &key, "--scope", "*"])
}

pub(super) fn host_as_issuer(stage: &Stage) -> Seen {
    stage.live().told(&["issuer", "add", &nkey::<Host>(77), "--scope", "*"])
}

// Under the neutral point, R = S·B is a signature of anything in a lax verifier.
pub(super) fn anybody_can_sign(stage: &Stage) -> Seen {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut payload = component();
    payload["iss"] = json!(as_role::<key::Issuer>(&neutral));
    let signed = mint::token(HEADER, payload.to_string().as_bytes(), 1);
    let mut signature = [0; 64];
    signature[0] = 1;
    let forged = format!("{}.{}", signed.rsplit_once('.').unwrap().0, BASE64URL_NOPAD.encode(&signature));
    stage.verify("weak.jwt", forged)
}

// The key of RFC 8037, whose seed stands beside it.
pub(super) fn from_a_book(stage: &Stage) -> Seen {
    let example = vectors::json(&vectors::folder("rfc8037").join("example.json"));
    let raw = BASE64URL_NOPAD.decode(vectors::text(&example["jwk"], "x").as_bytes()).unwrap();
    let key = as_role::<key::Issuer>(&raw.try_into().unwrap());
    stage.live().told(&["issuer", "add", &key, "--scope", "*"])
}

pub(super) fn administrator_as_issuer(stage: &Stage) -> Seen {
    let live = stage.live();
    let admin = SigningKey::<Administrator>::load(&live.lattice.path("lattice/keys/admin.nk")).unwrap();
    live.told(&["issuer", "add", &as_role::<key::Issuer>(admin.name().raw()), "--scope", "*"])
}

pub(super) fn own_witness(stage: &Stage) -> Seen {
    let mut payload = component();
    payload["sub"] = json!(nkey::<key::Component>(1));
    stage.verify("own.jwt", mint::claims(&payload))
}

pub(super) fn two_tokens_as_an_id(stage: &Stage) -> Seen {
    let live = stage.live();
    live.told(&["component", "admit", path(&live.lattice.path("cart-acme.wasm")), "--id", "cart.start"])
}
