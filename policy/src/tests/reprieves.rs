//! Single files of a revoked issuer, permitted again: only what was admitted before, only until an end, nothing beside it.

use std::collections::BTreeSet;

use super::administrators;
use super::world::{
    NOW, Pair, World, at, common, component_token, component_token_with, contract, contract_token, file, logging,
    put_to,
};
use crate::decide::Decision;
use crate::delegation::Delegation;
use crate::digest::Digest;
use crate::govern::{
    AddIssuer, AdminRole, DelegateIssuer, EndRelaxation, Operation, PublishContract, PutRelaxation, RetireComponent,
    RevokeIssuer, ScopeIssuer, Waiver, Weighty,
};
use crate::issuer::Kind;
use crate::key::{Component, Issuer, Name};
use crate::log::{Ledger, Rejudge};
use crate::provider::Subject;
use crate::reason::{Reason, Refusal};
use crate::relax::{Relaxed, Weakening};

// `cart` is signed by `1`, whose key is stolen; the contract and the builtin are not.
fn world() -> World {
    let mut world = World::with_builtin();
    let owner = add(&mut world, "owner");
    publish(&mut world, &owner, 2);
    world
}

fn add(world: &mut World, seed: &str) -> Pair<Issuer> {
    let (pair, kinds) = (Pair::<Issuer>::seeded(seed), [Kind::Component, Kind::Provider, Kind::Contract].into());
    let issuer = AddIssuer::vouched(pair.name, ["*".parse().unwrap()].into(), kinds, None);
    world.act(Operation::AddIssuer(issuer)).unwrap();
    pair
}

fn publish(world: &mut World, owner: &Pair<Issuer>, revision: u64) {
    let mut contract = contract(owner, revision);
    contract.providers.issuers.push(world.issuer.name);
    let (token, package) = (contract_token(owner, &contract), contract.sub.clone());
    let publish = PublishContract { package, sha256: Digest::of(&token), waivers: [Waiver::TakeOver].into() };
    world.act_with(Operation::PublishContract(publish), &token).unwrap();
}

fn revoke(world: &mut World, key: Name<Issuer>) {
    world.act(Operation::RevokeIssuer(RevokeIssuer { key, running: None })).unwrap();
}

fn reprieve(world: &mut World, id: &str, sha256: Digest, issuer: Name<Issuer>) -> Result<(), Refusal> {
    let (until, kind) = (at(world.now_ms / 1000 + 600), Weakening::Reprieve { sha256, issuer });
    let put = PutRelaxation { id: id.parse().unwrap(), kind, until, reason: "known before the theft".to_owned() };
    world.act(Operation::PutRelaxation(put))
}

fn reason(world: &mut World) -> Option<Reason> {
    world.start().decision().refusal().map(|refusal| refusal.reason)
}

fn lifted(decision: &Decision) -> Vec<(&str, Reason)> {
    decision.relaxed().iter().map(|Relaxed { id, would_refuse, .. }| (id.as_str(), *would_refuse)).collect()
}

fn replays(world: &World) {
    let mut ledger = Ledger::begin(&world.rows[0]).unwrap();
    for row in &world.rows[1..] {
        ledger.replay(row, Rejudge::Yes(&world.evidence)).unwrap();
    }
}

#[test]
fn t15_a_file_that_was_admitted_before_its_issuer_was_revoked_is_permitted_again_until_an_end() {
    let mut world = world();
    let thief = world.issuer.name;
    assert_eq!(reprieve(&mut world, "early", file("cart"), thief).unwrap_err().reason, Reason::NotFound, "not revoked");
    revoke(&mut world, thief);
    assert_eq!(reason(&mut world), Some(Reason::IssuerRevoked));
    reprieve(&mut world, "cart", file("cart"), thief).unwrap();
    let ruling = world.start();
    assert_eq!(lifted(ruling.decision()), [("cart", Reason::IssuerRevoked)]);
    assert_eq!((ruling.decision().refusal(), ruling.standby()), (None, None));
    world.now_ms += 600_000;
    assert_eq!(reason(&mut world), Some(Reason::IssuerRevoked), "its end has come");
    reprieve(&mut world, "cart", file("cart"), thief).unwrap();
    assert_eq!(reason(&mut world), None);
    world.act(Operation::EndRelaxation(EndRelaxation { id: "cart".parse().unwrap() })).unwrap();
    assert_eq!(reason(&mut world), Some(Reason::IssuerRevoked));
    replays(&world);
}

#[test]
fn t15_what_the_log_did_not_know_before_the_theft_cannot_be_named() {
    let mut world = world();
    let (thief, other) = (world.issuer.name, add(&mut world, "other").name);
    world.admit_provider("logger").unwrap();
    revoke(&mut world, thief);
    // Made with the stolen key, and now brought in with a date from before.
    let mut dated_back = common();
    dated_back.validity.iat = at(1);
    let token = component_token_with(&world.issuer, "trojan", None, dated_back);
    assert_eq!(world.admit("trojan", &token, Vec::new()).unwrap_err().reason, Reason::IssuerRevoked);
    let stranger = Pair::<Issuer>::seeded("stranger").name;
    for (sha256, issuer) in [
        (file("trojan"), thief),
        (Digest::of(&token), thief),
        (file("cart"), other),
        (file("cart"), stranger),
        (file("logger"), other),
    ] {
        let refused = reprieve(&mut world, "trojan", sha256, issuer).unwrap_err();
        assert_eq!(refused.reason, Reason::NotFound, "{sha256} by {issuer}");
    }
    // What was named lets nothing else of that issuer through.
    reprieve(&mut world, "cart", file("cart"), thief).unwrap();
    let mut asked = world.request().with_claims(component_token(&world.issuer, "cart", None));
    asked.request.runs.sha256 = file("another build");
    let decision = world.ask(&asked).unwrap().decision().clone();
    assert_eq!(decision.refusal().map(|refusal| refusal.reason), Some(Reason::IssuerRevoked));
    let mut asked = world.request().with_claims(component_token(&world.issuer, "trojan", None));
    asked.request.runs.subject = Subject::Component(Pair::<Component>::seeded("trojan").name);
    let decision = world.ask(&asked).unwrap().decision().clone();
    assert_eq!(decision.refusal().map(|refusal| refusal.reason), Some(Reason::ComponentIdNotYours));
    assert_eq!(world.admit("trojan", &token, Vec::new()).unwrap_err().reason, Reason::IssuerRevoked);
    replays(&world);
}

// Who signed what starts and what answers; what of them is named; what comes of it.
#[test]
fn t15_t21_the_cells_of_the_truth_table_under_a_reprieve() {
    let revoked = Some(Reason::IssuerRevoked);
    for (named, expected) in [
        (&[][..], revoked),
        (&["cart"], revoked),
        (&["logger"], revoked),
        (&["cart", "logger"], None),
        (&["cart", "logger", "rival"], None),
        (&["rival"], revoked),
    ] {
        let mut world = world();
        let thief = world.issuer.name;
        world.admit_provider("logger").unwrap();
        world.admit_provider("rival").unwrap();
        world.put(put_to("logger")).unwrap();
        assert_eq!(reason(&mut world), None);
        revoke(&mut world, thief);
        for id in named {
            reprieve(&mut world, id, file(id), thief).unwrap();
        }
        let decision = world.start().decision().clone();
        assert_eq!(decision.refusal().map(|refusal| refusal.reason), expected, "{named:?}");
        let [component, provider] = [("cart", Reason::IssuerRevoked), ("logger", Reason::IssuerRevoked)];
        assert!(expected.is_some() || lifted(&decision) == [component, provider], "{decision:?}");
        replays(&world);
    }
}

#[test]
fn t15_a_reprieve_lifts_the_revocation_of_the_signer_and_no_other_reason() {
    type Act = fn(&mut World);
    let acts: [(Reason, Act); 5] = [
        (Reason::ComponentRetired, |world| {
            let retire = RetireComponent { id: "cart".parse().unwrap(), running: None };
            world.act(Operation::RetireComponent(retire)).unwrap();
        }),
        (Reason::IssuerScope, |world| {
            let (key, scope) = (world.issuer.name, ["acme:*".parse().unwrap()].into());
            world.act(Operation::ScopeIssuer(ScopeIssuer { key, scope })).unwrap();
            world.admit_provider("logger").unwrap_err();
        }),
        (Reason::Expired, |_| ()),
        // The contract is a document of the thief's too: its owner signs it anew.
        (Reason::IssuerRevoked, |world| {
            let thief = Pair::<Issuer>::seeded("1");
            publish(world, &thief, 3);
        }),
        (Reason::ComponentIdNotYours, |_| ()),
    ];
    for (expected, act) in acts {
        let mut world = world();
        let thief = world.issuer.name;
        act(&mut world);
        revoke(&mut world, thief);
        reprieve(&mut world, "cart", file("cart"), thief).unwrap();
        let mut asked = world.request();
        if expected == Reason::Expired {
            let mut over = common();
            over.validity.exp = Some(at(NOW));
            asked = asked.with_claims(component_token_with(&world.issuer, "cart", None, over));
        }
        if expected == Reason::IssuerScope {
            asked = asked.with_claims(component_token(&world.issuer, "cart", Some(vec!["wasmcloud:builtin:logging"])));
        }
        if expected == Reason::ComponentIdNotYours {
            asked.request.runs.subject = Subject::Component(Pair::<Component>::seeded("other").name);
        }
        let decision = world.ask(&asked).unwrap().decision().clone();
        assert_eq!(decision.refusal().map(|refusal| refusal.reason), Some(expected));
        replays(&world);
    }
}

#[test]
fn t15_who_was_lent_a_say_by_a_stolen_key_is_not_reprieved() {
    for (stolen, expected) in [("below", None), ("above", Some(Reason::IssuerRevoked))] {
        let mut world = world();
        let (above, below) = (add(&mut world, "above"), Pair::<Issuer>::seeded("below"));
        let lent = Delegation {
            iss: above.name,
            sub: below.name,
            aud: world.ledger.state().lattice().clone(),
            inception_sha256: None,
            iat: at(NOW - 200),
            exp: at(NOW + 3600),
            scope: BTreeSet::from(["wasi:*".parse().unwrap()]),
            kinds: BTreeSet::from([Kind::Component]),
        };
        let token = above.state(lent.draft());
        let delegate = DelegateIssuer { key: below.name, sha256: Digest::of(&token) };
        world.act_with(Operation::DelegateIssuer(delegate), &token).unwrap();
        let claims = component_token(&below, "till", None);
        world.admit("till", &claims, Vec::new()).unwrap();
        let mut asked = world.request().with_claims(claims);
        asked.request.runs.id = "till".parse().unwrap();
        asked.request.runs.subject = Subject::Component(Pair::<Component>::seeded("till").name);
        asked.request.runs.sha256 = file("till");
        revoke(&mut world, Pair::<Issuer>::seeded(stolen).name);
        let named = reprieve(&mut world, "till", file("till"), below.name);
        assert_eq!(named.is_ok(), stolen == "below", "the lender is no signer of it");
        asked.request.jti = world.nonce();
        let decision = world.ask(&asked).unwrap().decision().clone();
        assert_eq!(decision.refusal().map(|refusal| refusal.reason), expected, "{stolen}");
        // Both, and the lender's revocation stands.
        if stolen == "below" {
            revoke(&mut world, above.name);
            asked.request.jti = world.nonce();
            let decision = world.ask(&asked).unwrap().decision().clone();
            assert_eq!(decision.refusal().map(|refusal| refusal.reason), Some(Reason::IssuerRevoked));
        }
        replays(&world);
    }
}

#[test]
fn t15_observing_is_no_reprieve_and_a_reprieve_weighs_as_a_weakening() {
    let mut world = world();
    let thief = world.issuer.name;
    revoke(&mut world, thief);
    let until = at(NOW + 600);
    for (id, kind) in [
        ("all", Weakening::Observe { package: None }),
        ("one", Weakening::Observe { package: Some(logging().package) }),
    ] {
        let put = PutRelaxation { id: id.parse().unwrap(), kind, until, reason: "a trial".to_owned() };
        world.act(Operation::PutRelaxation(put)).unwrap();
    }
    assert_eq!(reason(&mut world), Some(Reason::IssuerRevoked));
    let allow = Reason::IssuerRevoked;
    let kind = Weakening::Exception { sha256: file("cart"), allow };
    let put = PutRelaxation { id: "exception".parse().unwrap(), kind, until, reason: "a trial".to_owned() };
    assert_eq!(world.act(Operation::PutRelaxation(put)).unwrap_err().reason, Reason::NotRelaxable);
    // Where weakenings take two persons, so does this one.
    world.act(administrators::put("bob", Some("bob"), &[AdminRole::Operator])).unwrap();
    let (id, _) = world.act_as("1", vec![administrators::threshold(Weighty::Weakening, 2)], &[]);
    world.approve_as("bob", id).unwrap();
    let waits = reprieve(&mut world, "cart", file("cart"), thief).unwrap_err();
    assert_eq!(waits.reason, Reason::PendingApproval);
    assert_eq!(reason(&mut world), Some(Reason::IssuerRevoked));
    replays(&world);
}
