//! Relaxations on whole worlds: what each lifts and records, what none may lift, and standby permits with their ends.

use std::sync::Arc;

use super::rules::{self, Words};
use super::world::{
    Asked, NOW, Pair, World, at, common, component_token, component_token_with, contract, file, logging, offer, put_to,
    unnamed,
};
use crate::contract::Contract;
use crate::decide::Decision;
use crate::digest::Digest;
use crate::govern::{
    AddIssuer, BanHost, Bind, DeleteLink, EndRelaxation, Operation, Pin, PutLink, PutRelaxation, RetireComponent,
    RetireProvider, RevokeIssuer, ScopeIssuer, WithdrawContract,
};
use crate::issuer::Kind;
use crate::key::{Component, Host, Issuer};
use crate::log::{Body, Entry, Ledger, Rejudge};
use crate::name::{Lattice, Track};
use crate::provider::Subject;
use crate::question::Offer;
use crate::reason::Reason;
use crate::relax::{MAX_RELAXATIONS, RELAXABLE, RELAXATION_LIFETIME_S, STANDBY_LIFE_S, Standby, Weakening};

pub(super) const OBSERVE: Weakening = Weakening::Observe { package: None };

fn put(id: &str, kind: Weakening, seconds: u64, world: &World) -> PutRelaxation {
    let until = at(world.now_ms / 1000 + seconds);
    PutRelaxation { id: id.parse().unwrap(), kind, until, reason: "a trial".to_owned() }
}

pub(super) fn relax(world: &mut World, id: &str, kind: Weakening) {
    let operation = put(id, kind, 600, world);
    world.act(Operation::PutRelaxation(operation)).unwrap();
}

pub(super) fn exception(sha256: Digest, allow: Reason) -> Weakening {
    Weakening::Exception { sha256, allow }
}

fn standby(world: &World, life_s: u64) -> Weakening {
    let (components, sha256) = (["cart".parse().unwrap()].into(), [file("cart")].into());
    Weakening::Standby { components, sha256, hosts: [world.host.name].into(), life_s }
}

// The question, as this world's host asks it now.
fn reason_for(world: &mut World, asked: &Asked) -> Option<Reason> {
    decided(world, asked).refusal().map(|refusal| refusal.reason)
}

fn decided(world: &mut World, asked: &Asked) -> Decision {
    let mut asked = asked.clone();
    asked.request.jti = world.nonce();
    asked.request.iat = at(world.now_ms / 1000);
    world.ask(&asked).unwrap().decision().clone()
}

fn lifted(decision: &Decision) -> Vec<Reason> {
    decision.relaxed().iter().map(|relaxed| relaxed.would_refuse).collect()
}

// Each entry, judged anew from the log alone, comes out as it was recorded.
fn replays(world: &World) {
    let mut ledger = Ledger::begin(&world.rows[0]).unwrap().reading_rules(Arc::new(Words));
    for row in &world.rows[1..] {
        ledger.replay(row, Rejudge::Yes(&world.evidence)).unwrap();
    }
}

fn newer(world: &mut World, change: impl FnOnce(&mut Contract)) {
    let mut newer = contract(&world.issuer, 2);
    change(&mut newer);
    world.publish(&newer).unwrap();
}

// `fresh`, which nobody admitted.
fn fresh(world: &mut World, issuer: &Pair<Issuer>) -> Asked {
    let mut asked = world.request().with_claims(component_token(issuer, "fresh", None));
    asked.request.runs.id = "fresh".parse().unwrap();
    asked.request.runs.subject = Subject::Component(Pair::<Component>::seeded("fresh").name);
    asked.request.runs.sha256 = file("fresh");
    asked
}

// Its issuer may promise a thousand seconds, and what was admitted promises less.
fn brief() -> World {
    let mut world = World::bare();
    let kinds = [Kind::Component, Kind::Provider, Kind::Contract].into();
    let issuer = AddIssuer::vouched(world.issuer.name, ["*".parse().unwrap()].into(), kinds, Some(1000));
    world.act(Operation::AddIssuer(issuer)).unwrap();
    world.enrol();
    let mut times = common();
    times.validity.exp = Some(at(NOW + 800));
    let token = component_token_with(&world.issuer, "cart", None, times);
    world.admit("cart", &token, Vec::new()).unwrap();
    let mut contract = contract(&world.issuer, 1);
    contract.exp = Some(at(NOW + 800));
    world.publish(&contract).unwrap();
    world.admit_native("native/logging@0.1.0").unwrap();
    world.default(Bind::Builtin).unwrap();
    world
}

// A world in which nothing but these refuses.
fn refusing(reason: Reason) -> (World, Asked, Vec<Reason>) {
    let mut world = World::with_builtin();
    let asked = match reason {
        Reason::IssuerUnknown => {
            // Nobody admits what a stranger signed, so its id is nobody's either.
            let asked = fresh(&mut world, &Pair::seeded("stranger"));
            return (world, asked, vec![Reason::IssuerUnknown, Reason::ComponentUnknown]);
        }
        Reason::IssuerScope => {
            let (key, scope) = (world.issuer.name, ["wasi:logging".parse().unwrap()].into());
            world.act(Operation::ScopeIssuer(ScopeIssuer { key, scope })).unwrap();
            let token = component_token(&world.issuer, "cart", Some(vec!["wasi:keyvalue", "wasi:logging"]));
            world.request().with_claims(token)
        }
        Reason::Expired => {
            let mut times = common();
            times.validity.exp = Some(at(NOW + 10));
            let token = component_token_with(&world.issuer, "cart", None, times);
            world.now_ms += 20_000;
            world.request().with_claims(token)
        }
        Reason::LifetimeExceeded => {
            world = brief();
            world.request()
        }
        Reason::ComponentUnknown => {
            let issuer = Pair::seeded("1");
            fresh(&mut world, &issuer)
        }
        Reason::UndeclaredImport => {
            let token = component_token(&world.issuer, "cart", Some(vec!["wasi:keyvalue"]));
            world.request().with_claims(token)
        }
        Reason::ContractTrack => {
            newer(&mut world, |contract| contract.tracks = vec![Track::parse("9").unwrap()]);
            world.request()
        }
        Reason::ContractInterface => {
            newer(&mut world, |contract| contract.interfaces = ["other".parse().unwrap()].into());
            world.request()
        }
        Reason::ProviderNotAllowed => {
            newer(&mut world, |contract| contract.providers.subjects.clear());
            world.request()
        }
        other => panic!("`{other}` may be relaxed, and nothing here tries it"),
    };
    (world, asked, vec![reason])
}

#[test]
fn each_relaxable_reason_is_lifted_until_the_end_and_recorded() {
    for reason in RELAXABLE {
        let (mut world, asked, refusals) = refusing(*reason);
        assert_eq!(reason_for(&mut world, &asked), Some(refusals[0]), "{reason}");

        // An exception for another reason, or for another file, lets nothing through.
        let other = RELAXABLE.iter().find(|other| !refusals.contains(other)).unwrap();
        relax(&mut world, "other", exception(asked.request.runs.sha256, *other));
        relax(&mut world, "elsewhere", exception(file("elsewhere"), *reason));
        assert_eq!(reason_for(&mut world, &asked), Some(refusals[0]), "{reason}");
        for (number, refusal) in refusals.iter().enumerate().filter(|(at, it)| !refusals[..*at].contains(it)) {
            relax(&mut world, &format!("e{number}"), exception(asked.request.runs.sha256, *refusal));
        }
        let decision = decided(&mut world, &asked);
        assert_eq!(lifted(&decision), refusals, "{reason}");
        assert!(decision.relaxed()[0].id.as_str() == "e0" && decision.outcomes()[0].grant.is_ok(), "{decision:?}");

        // In time for the last millisecond, and not one later.
        world.now_ms += 599_999;
        assert_eq!(lifted(&decided(&mut world, &asked)), refusals, "{reason}");
        world.now_ms += 1;
        assert_eq!(reason_for(&mut world, &asked), Some(refusals[0]), "{reason}: its end");

        relax(&mut world, "all", OBSERVE);
        let decision = decided(&mut world, &asked);
        assert_eq!(lifted(&decision), refusals, "{reason}");
        let Body::Ruling(ruled) = Entry::read(world.rows.last().unwrap()).unwrap().body else { panic!("a ruling") };
        assert_eq!((ruled.reason, ruled.relaxed.as_slice()), (None, decision.relaxed()));
        let end = EndRelaxation { id: "all".parse().unwrap() };
        world.act(Operation::EndRelaxation(end)).unwrap();
        assert_eq!(reason_for(&mut world, &asked), Some(refusals[0]), "{reason}: ended");
        replays(&world);
    }
}

// What must be refused whatever is observed.
fn hopeless() -> Vec<(Reason, World, Asked)> {
    let mut worlds = Vec::new();
    let mut add = |reason: Reason, mut world: World, asked: &dyn Fn(&mut World) -> Asked| {
        let asked = asked(&mut world);
        worlds.push((reason, world, asked));
    };
    let after = |operation: &dyn Fn(&World) -> Operation| {
        let mut world = World::with_builtin();
        let operation = operation(&world);
        world.act(operation).unwrap();
        world
    };
    let linked = || {
        let mut world = World::with_builtin();
        world.admit_provider("logger").unwrap();
        world.link("logger", "default").unwrap();
        world
    };
    let package = || logging().package;
    let same: &dyn Fn(&mut World) -> Asked = &|world| world.request();

    add(Reason::SignatureInvalid, World::with_builtin(), &|world| {
        let mut token = component_token(&world.issuer, "cart", None);
        // A bit of the signature, inside of a character that means something.
        let at = token.len() - 10;
        token[at] = if token[at] == b'A' { b'B' } else { b'A' };
        world.request().with_claims(token)
    });
    add(Reason::ClaimsMissing, World::with_builtin(), &|world| {
        let mut asked = world.request();
        asked.request.runs.claims_sha256 = None;
        asked.attachments.remove(0);
        asked
    });
    add(Reason::LatticeMismatch, World::with_builtin(), &|world| {
        let mut asked = world.request();
        asked.request.aud = Lattice::parse("other").unwrap();
        asked
    });
    add(Reason::HostBanned, after(&|world| Operation::BanHost(BanHost { host: world.host.name, running: None })), same);
    add(
        Reason::IssuerRevoked,
        after(&|world| Operation::RevokeIssuer(RevokeIssuer { key: world.issuer.name, running: None })),
        same,
    );
    add(Reason::SubjectOwned, World::with_builtin(), &|world| {
        let stranger = Pair::<Issuer>::seeded("stranger");
        world.request().with_claims(component_token(&stranger, "cart", None))
    });
    add(Reason::SubjectOwned, World::with_builtin(), &|world| {
        // Under an id that is nobody's, the subject is still somebody's.
        let stranger = Pair::<Issuer>::seeded("stranger");
        let mut asked = world.request().with_claims(component_token(&stranger, "cart", None));
        asked.request.runs.id = "fresh".parse().unwrap();
        asked
    });
    add(Reason::ComponentIdNotYours, World::with_builtin(), &|world| {
        let mut asked = fresh(world, &Pair::seeded("1"));
        asked.request.runs.id = "cart".parse().unwrap();
        asked
    });
    add(
        Reason::ComponentRetired,
        after(&|_| Operation::RetireComponent(RetireComponent { id: "cart".parse().unwrap(), running: None })),
        same,
    );
    add(Reason::Downgrade, World::with_builtin(), &|world| {
        let mut older = common();
        older.rev = Some(0);
        let token = component_token_with(&world.issuer, "cart", None, older);
        let mut asked = world.request().with_claims(token);
        asked.request.runs.sha256 = file("older");
        asked
    });
    add(Reason::IssuedInFuture, World::with_builtin(), &|world| {
        let mut early = common();
        early.validity.iat = at(NOW + 1000);
        let token = component_token_with(&world.issuer, "cart", None, early);
        world.request().with_claims(token)
    });
    add(
        Reason::ContractWithdrawn,
        after(&|_| Operation::WithdrawContract(WithdrawContract { package: package(), running: None })),
        same,
    );
    add(Reason::ContractUnknown, World::new(), same);
    add(Reason::BuiltinAbsent, World::with_builtin(), &|world| world.request().with_offers(Vec::new()));
    add(
        Reason::Ambiguous,
        {
            let mut world = World::with_builtin();
            world.admit_provider("logger").unwrap();
            world
        },
        &|world| {
            let logger = Offer { subject: Subject::Component(Pair::seeded("logger").name), sha256: file("logger") };
            world.request().with_offers(vec![offer("native/logging@0.1.0"), logger])
        },
    );
    let mut unlinked = linked();
    let (component, name) = ("cart".parse().unwrap(), unnamed());
    let delete = DeleteLink { component, package: package(), name, accept_default: false, running: None };
    unlinked.act(Operation::DeleteLink(delete)).unwrap();
    add(Reason::LinkRemoved, unlinked, same);
    let mut retired = linked();
    retired.act(Operation::RetireProvider(RetireProvider { sha256: file("logger"), running: None })).unwrap();
    add(Reason::ProviderRetired, retired, same);
    let mut suspended = linked();
    suspended.put(PutLink { pin: Some(Pin::Sha256(file("logger"))), ..put_to("logger") }).unwrap();
    suspended.revise("logger", 4).unwrap();
    add(Reason::LinkSuspended, suspended, same);
    add(Reason::StateRollback, World::with_builtin(), &|world| {
        let mut asked = world.request();
        asked.request.seen.epoch = 10_000;
        asked
    });
    let mut ruled = rules::world();
    rules::put(&mut ruled, "forbid native/logging").unwrap();
    add(Reason::RuleForbids, ruled, same);
    worlds
}

#[test]
fn t59_observing_lifts_nothing_that_must_never_pass() {
    for (reason, mut world, asked) in hopeless() {
        assert!(!reason.relaxable());
        assert!(reason_for(&mut world, &asked).is_some(), "{reason}: it is refused before anything is observed");
        relax(&mut world, "all", OBSERVE);
        let files = [asked.request.runs.sha256, file("logger")];
        for (number, (sha256, allow)) in
            files.iter().flat_map(|sha256| RELAXABLE.iter().map(move |allow| (*sha256, *allow))).enumerate()
        {
            relax(&mut world, &format!("e{number}"), exception(sha256, allow));
        }
        assert_eq!(reason_for(&mut world, &asked), Some(reason));
        let named = put("this", exception(asked.request.runs.sha256, reason), 600, &world);
        let refused = world.act(Operation::PutRelaxation(named)).unwrap_err();
        assert_eq!(refused.reason, Reason::NotRelaxable, "{reason}");
        replays(&world);
    }
}

#[test]
fn while_the_clock_is_behind_nothing_is_lifted() {
    let mut world = World::with_builtin();
    relax(&mut world, "all", OBSERVE);
    let asked = fresh(&mut world, &Pair::seeded("1"));
    assert_eq!(reason_for(&mut world, &asked), None);
    world.now_ms -= 3_600_000;
    assert_eq!(reason_for(&mut world, &asked), Some(Reason::ClockRollback));
    replays(&world);
}

#[test]
fn a_rule_is_told_which_relaxations_bear_on_what_it_is_asked() {
    let mut world = rules::world();
    rules::put(&mut world, "forbid first-week").unwrap();
    relax(&mut world, "first-week", exception(file("another"), Reason::Expired));
    assert_eq!(world.start().decision().refusal(), None, "it is about another file");
    world.act(Operation::EndRelaxation(EndRelaxation { id: "first-week".parse().unwrap() })).unwrap();
    relax(&mut world, "first-week", Weakening::Observe { package: Some(logging().package) });
    let refusal = world.start().decision().refusal().cloned().unwrap();
    assert_eq!(refusal.reason, Reason::RuleForbids);
    assert!(refusal.to_string().contains("builtin `logging`"), "the binding, not the start: {refusal}");
    replays(&world);
}

#[test]
fn a_package_is_observed_alone_and_never_the_start() {
    let (mut world, asked, _) = refusing(Reason::ContractTrack);
    relax(&mut world, "logging", Weakening::Observe { package: Some(logging().package) });
    let decision = decided(&mut world, &asked);
    let [relaxed] = decision.relaxed() else { panic!("{decision:?}") };
    assert_eq!(relaxed.package.as_ref(), Some(&logging().package));

    let (mut world, asked, _) = refusing(Reason::ComponentUnknown);
    relax(&mut world, "logging", Weakening::Observe { package: Some(logging().package) });
    assert_eq!(reason_for(&mut world, &asked), Some(Reason::ComponentUnknown));
}

#[test]
fn a_relaxation_has_an_end_a_reason_and_bounds() {
    let mut world = World::with_builtin();
    let host = Pair::<Host>::seeded("nobody").name;
    let named = standby(&world, 60);
    let Weakening::Standby { components, sha256, hosts, .. } = named.clone() else { panic!("a standby") };
    let strange = Weakening::Standby { components, sha256: sha256.clone(), hosts: [host].into(), life_s: 60 };
    let nobody = Weakening::Standby { components: Default::default(), sha256, hosts, life_s: 60 };
    let unwise = |change: &dyn Fn(&mut PutRelaxation)| {
        let mut operation = put("r", OBSERVE, 600, &world);
        change(&mut operation);
        operation
    };
    let unknown = || Weakening::Observe { package: Some("acme:nothing".parse().unwrap()) };
    let tries = [
        (Reason::RelaxationExcessive, unwise(&|it| it.until = at(NOW))),
        (Reason::RelaxationExcessive, unwise(&|it| it.until = at(NOW + RELAXATION_LIFETIME_S + 1))),
        (Reason::RelaxationExcessive, unwise(&|it| it.reason = "  ".to_owned())),
        (Reason::RelaxationExcessive, unwise(&|it| it.reason = "x".repeat(257))),
        (Reason::RelaxationExcessive, unwise(&|it| it.kind = nobody.clone())),
        (Reason::RelaxationExcessive, unwise(&|it| it.kind = standby(&world, 0))),
        (Reason::RelaxationExcessive, unwise(&|it| it.kind = standby(&world, STANDBY_LIFE_S + 1))),
        (Reason::NotFound, unwise(&|it| it.kind = strange.clone())),
        (Reason::NotFound, unwise(&|it| it.kind = unknown())),
    ];
    for (reason, operation) in tries {
        let told = format!("{operation:?}");
        assert_eq!(world.act(Operation::PutRelaxation(operation)).unwrap_err().reason, reason, "{told}");
    }
    relax(&mut world, "r", OBSERVE);
    let again = put("r", OBSERVE, 600, &world);
    assert_eq!(world.act(Operation::PutRelaxation(again)).unwrap_err().reason, Reason::AlreadyExists);
    for number in 1..MAX_RELAXATIONS {
        relax(&mut world, &format!("r{number}"), OBSERVE);
    }
    let more = put("more", OBSERVE, 600, &world);
    assert_eq!(world.act(Operation::PutRelaxation(more)).unwrap_err().reason, Reason::RelaxationExcessive);
    // Those that ended make room, are ended no more, and leave their names.
    world.now_ms += 600_000;
    let end = || Operation::EndRelaxation(EndRelaxation { id: "r".parse().unwrap() });
    assert_eq!(world.act(end()).unwrap_err().reason, Reason::NotFound);
    relax(&mut world, "r", OBSERVE);
    assert_eq!(world.ledger.state().relaxations().len(), 1);
    world.act(end()).unwrap();
    assert!(world.ledger.state().relaxations().is_empty());
    replays(&world);
}

#[test]
fn a_standby_permit_goes_with_a_permit_for_what_is_named() {
    let mut world = World::with_builtin();
    let nights = standby(&world, 60);
    relax(&mut world, "nights", nights);
    let given = |world: &mut World| {
        let ruling = world.start();
        let Body::Ruling(ruled) = Entry::read(world.rows.last().unwrap()).unwrap().body else { panic!("a ruling") };
        assert_eq!(ruled.standby.as_ref(), ruling.standby());
        ruled.standby
    };
    let id: crate::name::RelaxationId = "nights".parse().unwrap();
    assert_eq!(given(&mut world), Some(Standby { id: id.clone(), until: at(NOW + 60) }));
    // The permit never outlives the relaxation, nor what was signed.
    world.now_ms += 570_000;
    assert_eq!(given(&mut world), Some(Standby { id: id.clone(), until: at(NOW + 600) }));
    world.now_ms += 30_000;
    assert_eq!(given(&mut world), None);
    newer(&mut world, |contract| contract.exp = Some(at(NOW + 630)));
    let nights = standby(&world, 60);
    relax(&mut world, "nights", nights);
    assert_eq!(given(&mut world), Some(Standby { id, until: at(NOW + 630) }));
    replays(&world);
}

#[test]
fn t59_no_standby_permit_goes_with_anything_else() {
    let mut world = World::with_builtin();
    let Weakening::Standby { components, sha256, hosts, life_s } = standby(&world, 60) else { panic!("a standby") };
    let others = [
        Weakening::Standby {
            components: ["other".parse().unwrap()].into(),
            sha256: sha256.clone(),
            hosts: hosts.clone(),
            life_s,
        },
        Weakening::Standby {
            components: components.clone(),
            sha256: [file("other")].into(),
            hosts: hosts.clone(),
            life_s,
        },
        OBSERVE,
    ];
    for (number, other) in others.into_iter().enumerate() {
        relax(&mut world, &format!("r{number}"), other);
        assert_eq!(world.start().standby(), None);
    }
    relax(&mut world, "ours", Weakening::Standby { components, sha256, hosts, life_s });
    assert!(world.start().standby().is_some());
    // A refusal has none, and neither has what rests on another weakening.
    newer(&mut world, |contract| contract.providers.subjects.clear());
    let observed = world.start();
    assert_eq!((lifted(observed.decision()), observed.standby()), (vec![Reason::ProviderNotAllowed], None));
    for number in 0..3 {
        let id = format!("r{number}").parse().unwrap();
        world.act(Operation::EndRelaxation(EndRelaxation { id })).unwrap();
    }
    let refused = world.start();
    assert!(refused.decision().refusal().is_some() && refused.standby().is_none());
}
