//! The life of an issuer: prepared, active, retired or revoked; what its word is worth at each moment.

use std::collections::BTreeSet;

use super::world::{NOW, Pair, World, at, common, component_token_with};
use crate::command::Command;
use crate::decide::Decision;
use crate::digest::Digest;
use crate::govern::{
    ActivateIssuer, AddIssuer, OVERLAP_S, Operation, Reach, RetireIssuer, RevokeIssuer, RotateIssuer, ScopeIssuer,
};
use crate::issuer::{Kind, Standing};
use crate::key::{Issuer, Name};
use crate::name::Scope;
use crate::possession::{KeyProof, PROOF_LIFETIME_S};
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;

fn scope(texts: &[&str]) -> BTreeSet<Scope> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn prepared(key: Name<Issuer>) -> AddIssuer {
    AddIssuer { prepared: true, ..AddIssuer::vouched(key, scope(&["*"]), BTreeSet::from([Kind::Component]), None) }
}

fn activate(key: Name<Issuer>, proof: Option<&[u8]>) -> Operation {
    Operation::ActivateIssuer(ActivateIssuer { key, proof_sha256: proof.map(Digest::of) })
}

fn retire(key: Name<Issuer>, at: Option<Timestamp>) -> Operation {
    Operation::RetireIssuer(RetireIssuer { key, at, running: None })
}

fn revoke(key: Name<Issuer>) -> Operation {
    Operation::RevokeIssuer(RevokeIssuer { key, running: None })
}

fn rotate(old: Name<Issuer>, new: Name<Issuer>, overlap_until: u64, proof: Option<&[u8]>) -> RotateIssuer {
    RotateIssuer { old, new, overlap_until: at(overlap_until), until: None, proof_sha256: proof.map(Digest::of) }
}

fn reason(verdict: Result<(), Refusal>) -> Option<Reason> {
    verdict.err().map(|refusal| refusal.reason)
}

// What is answered to `cart`, signed by this issuer at that time, by now.
fn started(world: &mut World, issuer: &Pair<Issuer>, iat: u64, exp: Option<u64>) -> Option<Reason> {
    let mut signed = common();
    (signed.validity.iat, signed.validity.exp) = (at(iat), exp.map(at));
    let token = component_token_with(issuer, "cart", None, signed);
    let asked = world.request().with_claims(token);
    world.ask(&asked).unwrap().decision().refusal().map(|refusal| refusal.reason)
}

#[test]
fn t15_t21_every_cell_of_the_truth_table() {
    let since = NOW + 1000;
    let mut cells = 0;
    // Revoked or retired; signed before that or after; with an end or without; asked under an epoch before it or after.
    for revoked in [true, false] {
        for (iat, before) in [(since - 1, true), (since + 1, false)] {
            for exp in [None, Some(since + 500)] {
                for asked_before in [true, false] {
                    let mut world = World::with_builtin();
                    let issuer = Pair::<Issuer>::seeded("1");
                    world.now_ms = since * 1000;
                    if !asked_before {
                        world.act(if revoked { revoke(issuer.name) } else { retire(issuer.name, None) }).unwrap();
                    }
                    world.now_ms = (since + 2) * 1000;
                    let expected = match (asked_before, revoked, before) {
                        (true, _, _) | (false, false, true) => None,
                        (false, true, _) => Some(Reason::IssuerRevoked),
                        (false, false, false) => Some(Reason::IssuerRetired),
                    };
                    let cell =
                        format!("revoked {revoked}, signed at {iat}, until {exp:?}, asked before {asked_before}");
                    assert_eq!(started(&mut world, &issuer, iat, exp), expected, "{cell}");
                    world.now_ms = (since + 500) * 1000;
                    let ended = if exp.is_some() && expected.is_none() { Some(Reason::Expired) } else { expected };
                    assert_eq!(started(&mut world, &issuer, iat, exp), ended, "{cell}, at its end");
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 16);
}

#[test]
fn t15_after_the_acknowledgement_of_a_revocation_nothing_is_permitted() {
    let mut world = World::with_builtin();
    let thief = Pair::<Issuer>::seeded("1");
    assert_eq!(started(&mut world, &thief, NOW - 100, None), None);
    world.act(revoke(thief.name)).unwrap();
    for iat in [1, NOW - 86_400, NOW - 100, NOW] {
        assert_eq!(started(&mut world, &thief, iat, None), Some(Reason::IssuerRevoked), "back-dated to {iat}");
    }
}

#[test]
fn a_prepared_issuers_word_does_not_count_before_it_is_activated() {
    let mut world = World::with_builtin();
    let key = Pair::<Issuer>::seeded("next");
    world.act(Operation::AddIssuer(prepared(key.name))).unwrap();
    assert_eq!(started(&mut world, &key, NOW - 100, None), Some(Reason::IssuerPrepared));
    let token = component_token_with(&key, "till", None, common());
    assert_eq!(reason(world.admit("till", &token, Vec::new())), Some(Reason::IssuerPrepared));
    assert_eq!(reason(world.act(retire(key.name, None))), Some(Reason::IssuerPrepared));
    let proof = world.proof(&key);
    world.act_with(activate(key.name, Some(&proof)), &proof).unwrap();
    world.admit("till", &token, Vec::new()).unwrap();
    assert_eq!(reason(world.act(activate(key.name, None))), Some(Reason::AlreadyExists));
}

#[test]
fn t16_nobody_is_activated_or_rotated_in_without_a_proof_of_the_key() {
    let mut world = World::with_builtin();
    let (old, next, other) = (world.issuer.name, Pair::<Issuer>::seeded("next"), Pair::<Issuer>::seeded("other"));
    world.act(Operation::AddIssuer(prepared(next.name))).unwrap();
    assert_eq!(reason(world.act(activate(next.name, None))), Some(Reason::ProofMissing));
    let bare = rotate(old, next.name, NOW + 60, None);
    assert_eq!(reason(world.act(Operation::RotateIssuer(bare))), Some(Reason::ProofMissing));

    // A proof of another key, for another lattice, forged, of another time, or no proof at all.
    let anothers = world.proof(&other);
    let ours = crate::possession::read(&world.proof(&next)).unwrap();
    let foreign = next.state(KeyProof { aud: "other".parse().unwrap(), ..KeyProof::clone(&ours) }.draft());
    let named = |inception| KeyProof { inception_sha256: Some(inception), ..KeyProof::clone(&ours) };
    let twins = next.state(named(Digest::of(b"a twin")).draft());
    let forged = other.state(ours.draft());
    let claims = component_token_with(&next, "cart", None, common());
    let good = world.proof(&next);
    for (proof, expected) in [
        (&anothers, Reason::ProofMissing),
        (&foreign, Reason::LatticeMismatch),
        (&twins, Reason::LatticeMismatch),
        (&forged, Reason::SignatureInvalid),
        (&claims, Reason::ClaimsKind),
    ] {
        assert_eq!(reason(world.act_with(activate(next.name, Some(proof)), proof)), Some(expected));
        let rotated = Operation::RotateIssuer(rotate(old, next.name, NOW + 60, Some(proof)));
        assert_eq!(reason(world.act_with(rotated, proof)), Some(expected));
    }
    assert_eq!(reason(world.act(activate(next.name, Some(&good)))), Some(Reason::EvidenceMissing));
    world.now_ms += PROOF_LIFETIME_S * 1000;
    assert_eq!(reason(world.act_with(activate(next.name, Some(&good)), &good)), Some(Reason::Expired));
    assert_eq!(world.ledger.state().issuers().find(&next.name).unwrap().standing, Standing::Prepared);

    // One that was shown when the key was added is enough; one who was only vouched for is told as such.
    let proof = world.proof(&other);
    let add = AddIssuer { proof_sha256: Some(Digest::of(&proof)), ..prepared(other.name) };
    world.act_with(Operation::AddIssuer(add), &proof).unwrap();
    world.act(activate(other.name, None)).unwrap();
    let told = |key: Name<Issuer>| world.ledger.state().issuers().find(&key).unwrap().proof;
    assert_eq!((told(other.name), told(old), told(next.name)), (Some(Digest::of(&proof)), None, None));
}

#[test]
fn t16_a_rotation_has_no_gap_and_ends_by_itself() {
    let mut world = World::with_builtin();
    let (old, new) = (Pair::<Issuer>::seeded("1"), Pair::<Issuer>::seeded("next"));
    let proof = world.proof(&new);
    for overlap_until in [NOW - 1, NOW, NOW + OVERLAP_S + 1] {
        let endless = Operation::RotateIssuer(rotate(old.name, new.name, overlap_until, Some(&proof)));
        assert_eq!(reason(world.act_with(endless, &proof)), Some(Reason::TimeMalformed), "{overlap_until}");
    }
    let end = NOW + 600;
    let rotated = Operation::RotateIssuer(rotate(old.name, new.name, end, Some(&proof)));
    world.act_with(rotated.clone(), &proof).unwrap();
    let found = world.ledger.state().issuers().find(&new.name).unwrap().clone();
    let before = world.ledger.state().issuers().find(&old.name).unwrap();
    assert_eq!((&found.scope, &found.kinds, found.standing), (&before.scope, &before.kinds, Standing::Active));
    for now in NOW..end {
        if now % 60 != 0 && now + 1 != end {
            continue;
        }
        world.now_ms = now * 1000;
        assert_eq!(started(&mut world, &old, now, None), None, "{now}");
        assert_eq!(started(&mut world, &new, now, None), None, "{now}: the new key has what the old one owned");
    }
    world.now_ms = end * 1000;
    assert_eq!(started(&mut world, &old, end, None), Some(Reason::IssuerRetired));
    assert_eq!(started(&mut world, &old, end - 1, None), None, "what was signed before stays good");
    assert_eq!(started(&mut world, &new, end, None), None);
    assert_eq!(reason(world.act_with(rotated, &proof)), Some(Reason::IssuerRetired));
    world.act(revoke(old.name)).unwrap();
    assert_eq!(started(&mut world, &old, NOW, None), Some(Reason::IssuerRevoked));
}

#[test]
fn a_rotated_key_inherits_no_more_than_the_old_one_had() {
    let mut world = World::bare();
    let (old, new) = (Pair::<Issuer>::seeded("2"), Pair::<Issuer>::seeded("3"));
    let limited = AddIssuer {
        until: Some(at(NOW + 300)),
        ..AddIssuer::vouched(old.name, scope(&["wasi:*"]), BTreeSet::from([Kind::Component]), Some(100))
    };
    let past = AddIssuer { until: Some(at(NOW)), ..limited.clone() };
    assert_eq!(reason(world.act(Operation::AddIssuer(past))), Some(Reason::TimeMalformed));
    world.act(Operation::AddIssuer(limited)).unwrap();
    let proof = world.proof(&new);
    let rotated = rotate(old.name, new.name, NOW + 600, Some(&proof));
    world.act_with(Operation::RotateIssuer(rotated.clone()), &proof).unwrap();
    let issuers = world.ledger.state().issuers();
    let (before, after) = (issuers.find(&old.name).unwrap(), issuers.find(&new.name).unwrap());
    assert_eq!(before.end(), Some(at(NOW + 300)), "an overlap is no longer life for the old key");
    assert_eq!((after.until, after.max_lifetime_s), (Some(at(NOW + 300)), Some(100)));
    assert_eq!(after.succeeds, Some(old.name));
    // Neither a revoked key nor one in use comes in by rotation.
    let third = Pair::<Issuer>::seeded("4");
    world.act(Operation::AddIssuer(prepared(third.name))).unwrap();
    let proof = world.proof(&third);
    world.act(revoke(third.name)).unwrap();
    for (old, new) in [(new.name, third.name), (new.name, old.name), (new.name, new.name)] {
        let again = Operation::RotateIssuer(rotate(old, new, NOW + 60, Some(&proof)));
        assert_eq!(reason(world.act_with(again, &proof)), Some(Reason::AlreadyExists));
    }
    let from_revoked = Operation::RotateIssuer(rotate(third.name, old.name, NOW + 60, Some(&proof)));
    assert_eq!(reason(world.act_with(from_revoked, &proof)), Some(Reason::IssuerRevoked));
}

#[test]
fn an_end_comes_nearer_and_never_goes_further_away() {
    let mut world = World::with_builtin();
    let issuer = Pair::<Issuer>::seeded("1");
    world.act(retire(issuer.name, Some(at(NOW + 500)))).unwrap();
    assert_eq!(started(&mut world, &issuer, NOW, None), None);
    for later in [NOW + 500, NOW + 501] {
        assert_eq!(reason(world.act(retire(issuer.name, Some(at(later))))), Some(Reason::AlreadyExists));
    }
    world.act(retire(issuer.name, Some(at(NOW - 50)))).unwrap();
    assert_eq!(started(&mut world, &issuer, NOW - 49, None), Some(Reason::IssuerRetired));
    assert_eq!(started(&mut world, &issuer, NOW - 51, None), None);
    let narrow = ScopeIssuer { key: issuer.name, scope: scope(&["wasi:*"]) };
    assert_eq!(reason(world.act(Operation::ScopeIssuer(narrow))), Some(Reason::IssuerRetired));
    assert_eq!(reason(world.act(activate(issuer.name, None))), Some(Reason::IssuerRetired));
}

#[test]
fn t13_another_scope_says_whether_it_is_less_or_more() {
    let mut world = World::bare();
    world.trust(&["wasi:*", "acme:shop"]);
    let key = world.issuer.name;
    let mut scoped = |texts: &[&str]| {
        let verdict = world.act(Operation::ScopeIssuer(ScopeIssuer { key, scope: scope(texts) }));
        let row = String::from_utf8(world.rows.last().unwrap().clone()).unwrap();
        verdict.map(|()| if row.contains("\"change\":\"widened\"") { Reach::Widened } else { Reach::Narrowed })
    };
    assert_eq!(scoped(&["wasi:logging", "acme:shop"]), Ok(Reach::Narrowed));
    assert_eq!(scoped(&["wasi:*", "acme:shop"]), Ok(Reach::Widened));
    assert_eq!(scoped(&["wasi:*"]), Ok(Reach::Narrowed));
    assert_eq!(scoped(&["acme:shop"]), Ok(Reach::Widened), "another package is more, whatever was given up for it");
    assert_eq!(scoped(&["acme:*"]), Ok(Reach::Widened));
    assert_eq!(scoped(&["*"]), Ok(Reach::Widened));
    assert_eq!(scoped(&["*"]).unwrap_err().reason, Reason::AlreadyExists);
    assert_eq!(scoped(&[]).unwrap_err().reason, Reason::SchemaMismatch);
    // Judged anew at each decision: what it signed before counts no further than its scope does now.
    assert_eq!(scoped(&["acme:shop"]), Ok(Reach::Narrowed));
    assert_eq!(world.admit_provider("logger").unwrap_err().reason, Reason::IssuerScope);
}

// A command after another one that undid it: as it came, and signed anew on the old basis.
fn replayed(world: &mut World, first: &Command, undo: &Operation, statement: Option<&[u8]>) -> [Option<Reason>; 2] {
    let statements: Vec<Vec<u8>> = statement.into_iter().map(<[u8]>::to_vec).collect();
    world.submit(first.clone(), &statements).unwrap();
    world.act(undo.clone()).unwrap();
    let as_it_came = reason(world.submit(first.clone(), &statements));
    let anew = Command { jti: world.nonce(), ..first.clone() };
    [as_it_came, reason(world.submit(anew, &statements))]
}

#[test]
fn no_act_on_an_issuer_comes_back_after_its_opposite() {
    let mut world = World::bare();
    let (one, two, three) = (Pair::<Issuer>::seeded("1"), Pair::<Issuer>::seeded("2"), Pair::<Issuer>::seeded("3"));
    let expected = [Some(Reason::CommandSeen), Some(Reason::Superseded)];
    let all = BTreeSet::from([Kind::Component]);
    let scoped = |key, texts: &[&str]| Operation::ScopeIssuer(ScopeIssuer { key, scope: scope(texts) });

    let add = world.command(vec![Operation::AddIssuer(AddIssuer::vouched(one.name, scope(&["wasi:*"]), all, None))]);
    let narrow = scoped(one.name, &["wasi:logging"]);
    assert_eq!(replayed(&mut world, &add, &narrow, None), expected);
    let widen = world.command(vec![scoped(one.name, &["*"])]);
    assert_eq!(replayed(&mut world, &widen, &narrow, None), expected);

    world.act(Operation::AddIssuer(prepared(two.name))).unwrap();
    let proof = world.proof(&two);
    let activated = world.command(vec![activate(two.name, Some(&proof))]);
    assert_eq!(replayed(&mut world, &activated, &retire(two.name, None), Some(&proof)), expected);

    let proof = world.proof(&three);
    let rotated = rotate(one.name, three.name, NOW + 600, Some(&proof));
    let rotated = world.command(vec![Operation::RotateIssuer(rotated)]);
    assert_eq!(replayed(&mut world, &rotated, &revoke(three.name), Some(&proof)), expected);

    // Acts that only take away skip the basis; they find that it is so already.
    let retired = world.command(vec![retire(one.name, Some(at(NOW + 300)))]);
    let nearer = retire(one.name, None);
    let found = [Some(Reason::CommandSeen), Some(Reason::AlreadyExists)];
    assert_eq!(replayed(&mut world, &retired, &nearer, None), found);
    let revoked = world.command(vec![revoke(one.name)]);
    world.submit(revoked.clone(), &[]).unwrap();
    let anew = Command { jti: world.nonce(), ..revoked.clone() };
    assert_eq!([reason(world.submit(revoked, &[])), reason(world.submit(anew, &[]))], found);
    assert!(matches!(world.ledger.state().issuers().find(&one.name).unwrap().standing, Standing::Revoked(_)));
}

#[test]
fn a_rotation_touches_both_of_its_keys() {
    let mut world = World::with_builtin();
    let (old, new) = (world.issuer.name, Pair::<Issuer>::seeded("next"));
    world.act(Operation::AddIssuer(prepared(new.name))).unwrap();
    let proof = world.proof(&new);
    let stale = world.command(vec![activate(new.name, Some(&proof))]);
    let rotated = Operation::RotateIssuer(rotate(old, new.name, NOW + 60, Some(&proof)));
    world.act_with(rotated, &proof).unwrap();
    assert_eq!(reason(world.submit(stale, &[proof])), Some(Reason::Superseded));
    assert!(matches!(world.start().decision(), Decision::Permitted(_)));
}
