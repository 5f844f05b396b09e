//! The law's figures: claims next to the bare primitive, and decisions as the state grows.

use std::hint::black_box;

use broker::recall::Recall;
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use policy::claims::{draft_component, read_component, read_component_knowing};
use policy::decide::{Decision, Facts, decide};
use policy::digest::Digest;
use policy::examine::Examiner;
use policy::key::{Issuer, Name};
use policy::question::What;

use crate::figure::{Board, Goal, TURNS_TIMED, median, speed, timed};
use crate::world::{NOW, World, at, claims, seeded};

/// Claims: of an issuer that is known, of one that is not, and seen before.
pub(crate) fn verification(board: &mut Board) {
    let (issuer, signing) = seeded::<Issuer>("issuer");
    let draft = draft_component(&issuer, &claims("cart"));
    let signature = signing.sign(draft.signing_input());
    let message = draft.signing_input().to_vec();
    let token = draft.seal(&signature.to_bytes()).into_bytes();
    let (raw, known) = (signing.verifying_key().to_bytes(), signing.verifying_key());

    let recall = Recall::default();
    let verify = || known.verify_strict(&message, black_box(&signature)).is_ok();
    let ours = || read_component_knowing(black_box(&token), &recall).is_ok();
    assert!(verify() && ours());
    board.put("claims, known issuer / raw verify_strict", speed(verify, ours), "ratio", Goal::AtLeast(0.85));

    let honest = || {
        let checked = Name::<Issuer>::from_raw(black_box(raw)).usable().is_ok();
        let key = VerifyingKey::from_bytes(&raw).expect("a key");
        checked && key.verify_strict(&message, &Signature::from_bytes(&signature.to_bytes())).is_ok()
    };
    let cold = || read_component(black_box(&token)).is_ok();
    let value = speed(honest, cold);
    board.put("claims, unknown issuer / raw + prime-order check", value, "ratio", Goal::AtLeast(0.85));

    let seen = || recall.verdict(What::StartComponent, black_box(&token), Digest::of(black_box(&token))).is_ok();
    board.put("claims, a token seen before / cold", speed(cold, seen), "ratio", Goal::AtLeast(20.0));
}

/// `decide` with ten imports, as the number of links grows.
pub(crate) fn decisions(board: &mut Board) {
    let mut world = World::new();
    let mut nanoseconds = Vec::new();
    for links in [10, 1_000, 100_000, 1_000_000] {
        board.doing(&format!("decide: a state of {links} links"));
        world.grow(links);
        let value = one_decision(&world);
        board.put(&format!("decide, 10 imports, {links} links"), value, "ns", Goal::AtMost(10_000.0));
        nanoseconds.push(value);
    }
    board.put("decide, 1000000 links / 10 links", nanoseconds[3] / nanoseconds[0], "ratio", Goal::AtMost(3.0));
}

fn one_decision(world: &World) -> f64 {
    let ruling = || decide(black_box(&world.state), &world.question, &Facts::default(), at(NOW));
    let answer = ruling();
    assert!(matches!(answer, Decision::Permitted(_)), "{answer:?}");
    let turns = (0..400).map(|_| timed(&mut || ruling()).as_nanos() as f64 / f64::from(TURNS_TIMED));
    median(turns.collect())
}
