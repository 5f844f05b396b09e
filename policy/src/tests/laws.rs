//! What law 4 closed: each attack done under law 3, where it came through, and under the newest, where it does not; and
//! that what law 3 let through is judged again as it was.

use std::collections::BTreeSet;

use super::administrators::{add, administrator, put, threshold};
use super::examples::root;
use super::histories::replay;
use super::world::{NOW, Pair, World, at, common, component_token_with, file, logging, put_to};
use crate::claims::Common;
use crate::decide::LAW;
use crate::digest::Digest;
use crate::govern::{
    AcceptLink, AdminRole, AdmitComponent, AdmitProvider, Operation, Pin, PutLink, RemoveAdministrator, Restore,
    RetireComponent, RetireProvider, RevokeIssuer, RotateIssuer, Weighty,
};
use crate::key::{Component, Issuer};
use crate::log::Rejudge;
use crate::provider::{Source, Subject};
use crate::reason::{Reason, Refusal};

fn reason(verdict: Result<(), Refusal>) -> Option<Reason> {
    verdict.err().map(|refusal| refusal.reason)
}

/// Alice, who founded the lattice, and bob, both operators; a class takes both.
fn of_two(law: u64, class: Weighty) -> World {
    let mut world = World::with_builtin_under(law);
    world.act(put("1", Some("alice"), &AdminRole::ALL)).unwrap();
    world.act(put("2", Some("bob"), &[AdminRole::Operator])).unwrap();
    let (id, _) = world.act_as("1", vec![threshold(class, 2)], &[]);
    world.approve_as("2", id).unwrap();
    world
}

/// Alice alone makes a second administrator, proposes an issuer, and signs as both.
fn signed_as_both(world: &mut World) -> [Option<Reason>; 2] {
    let made = reason(world.act_as("1", vec![put("4", Some("nobody"), &[AdminRole::Operator])], &[]).1);
    let (id, _) = world.act_as("1", vec![add("7")], &[]);
    [made, reason(world.approve_as("4", id))]
}

/// One operator says that a log is restored which lost nothing.
fn restored_in_health(world: &mut World) -> Option<Reason> {
    let (seen, kept_sha256) = (world.ledger.head().size, Digest::of(b"nothing"));
    reason(world.act(Operation::Restore(Restore { kept: 0, kept_sha256, seen, seen_epoch: 0, disowned: Vec::new() })))
}

fn component(id: &str, bytes: &str, rev: i32) -> (Operation, Vec<u8>) {
    let token = component_token_with(&Pair::seeded("1"), "cart", None, Common { rev: Some(rev), ..common() });
    let operation = AdmitComponent {
        id: id.parse().unwrap(),
        sha256: file(bytes),
        claims_sha256: Digest::of(&token),
        imports: vec![logging()],
        exports: Vec::new(),
        waivers: BTreeSet::new(),
    };
    (Operation::AdmitComponent(operation), token)
}

fn provider(bytes: &str, rev: i32) -> (Operation, Vec<u8>) {
    let token = component_token_with(&Pair::seeded("1"), "logger", None, Common { rev: Some(rev), ..common() });
    let operation = AdmitProvider {
        id: "logger".parse().unwrap(),
        subject: Subject::Component(Pair::<Component>::seeded("logger").name),
        sha256: file(bytes),
        claims_sha256: Some(Digest::of(&token)),
        serves: vec![logging()],
        source: Source::Exports,
        waivers: BTreeSet::new(),
    };
    (Operation::AdmitProvider(operation), token)
}

fn admitted(world: &mut World, (operation, token): (Operation, Vec<u8>)) -> Option<Reason> {
    reason(world.act_as("1", vec![operation], &[token]).1)
}

/// What was retired, admitted again by alice alone: the component, the provider, and the component under another id.
fn readmitted(world: &mut World) -> [Option<Reason>; 3] {
    assert_eq!(admitted(world, provider("logger", 1)), None);
    world.act(Operation::RetireProvider(RetireProvider { sha256: file("logger"), running: None })).unwrap();
    world.act(Operation::RetireComponent(RetireComponent { id: "cart".parse().unwrap(), running: None })).unwrap();
    let other = admitted(world, component("trolley", "cart", 1));
    [other, admitted(world, component("cart", "cart", 1)), admitted(world, provider("logger", 1))]
}

fn accept(component_sha256: Option<Digest>) -> Operation {
    let PutLink { component, package, name, .. } = put_to("logger");
    let provider_sha256 = file("logger");
    Operation::AcceptLink(AcceptLink { component, package, name, provider_sha256, component_sha256 })
}

/// A link that was agreed with a component's bytes, suspended since other bytes of it were admitted.
fn suspended(law: u64) -> World {
    let mut world = World::with_builtin_under(law);
    assert_eq!(admitted(&mut world, provider("logger", 1)), None);
    world.put(PutLink { component_pin: Some(Pin::Sha256(file("cart"))), ..put_to("logger") }).unwrap();
    assert_eq!(admitted(&mut world, component("cart", "cart 9", 9)), None);
    world
}

fn healthily_restored(law: u64) -> World {
    let mut world = World::with_builtin_under(law);
    let head = world.ledger.head();
    let seen = head.size + 3;
    while world.ledger.head().size < seen {
        let step = world.ledger.lose(world.now_ms);
        world.rows.push(step.bytes);
    }
    let restore =
        Restore { kept: head.size, kept_sha256: head.last, seen, seen_epoch: head.epoch, disowned: Vec::new() };
    world.act(Operation::Restore(restore)).unwrap();
    world
}

/// What law 3 let through, each with the name of its vector.
fn let_through() -> Vec<(&'static str, World)> {
    let mut both = of_two(3, Weighty::IssuerAdd);
    assert_eq!(signed_as_both(&mut both), [None, None]);
    let mut restored = World::with_builtin_under(3);
    assert_eq!(restored_in_health(&mut restored), None);
    let mut retired = of_two(3, Weighty::Weakening);
    assert_eq!(readmitted(&mut retired), [None, None, None]);
    let mut accepted = suspended(3);
    assert_eq!(reason(accepted.act(accept(None))), None);
    vec![
        ("one_person_who_signed_as_two", both),
        ("a_healthy_log_that_was_restored", restored),
        ("a_log_that_was_put_right", healthily_restored(3)),
        ("what_was_retired_and_admitted_by_one", retired),
        ("a_pin_moved_to_what_nobody_named", accepted),
    ]
}

fn replayed(world: &World) {
    for rejudge in [Rejudge::No, Rejudge::Yes(&world.evidence)] {
        let ledger = replay(world, rejudge);
        assert_eq!(ledger.head(), world.ledger.head());
    }
}

#[test]
fn what_law_3_let_through_is_judged_again_as_it_was() {
    for (name, world) in let_through() {
        // Also where an older release wrote all of it: see `owners`.
        assert!(root().join("tests/vectors/law-3").join(format!("{name}.json")).exists(), "{name}");
        replayed(&world);
    }
}

#[test]
fn t79_one_operator_makes_no_second_who_signs_for_the_higher_threshold() {
    let mut world = of_two(LAW, Weighty::IssuerAdd);
    assert_eq!(world.ledger.state().threshold(Weighty::Administration), 1, "as it was put");
    assert_eq!(world.ledger.state().needed(Weighty::Administration), 2, "as many as adding an issuer takes");
    let waits = Some(Reason::PendingApproval);
    assert_eq!(signed_as_both(&mut world), [waits, Some(Reason::AdministratorUnknown)]);
    // Nor does she give the role to somebody, take bob's away, rename a key or lower what is asked for, in one act or two.
    let remove = Operation::RemoveAdministrator(RemoveAdministrator { key: administrator("2") });
    let viewer = put("5", None, &[AdminRole::Viewer]);
    for acts in [
        vec![remove],
        vec![put("1", Some("bob"), &AdminRole::ALL)],
        vec![viewer],
        vec![threshold(Weighty::IssuerAdd, 1)],
        vec![threshold(Weighty::Restore, 2)],
        vec![threshold(Weighty::IssuerAdd, 1), put("4", None, &[AdminRole::Operator])],
    ] {
        let judged = reason(world.act_as("1", acts.clone(), &[]).1);
        assert!([waits, Some(Reason::ThresholdUnmet)].contains(&judged), "{acts:?}: {judged:?}");
    }
    // Both together may, and what both lowered one may again.
    let (id, _) = world.act_as("1", vec![threshold(Weighty::IssuerAdd, 1)], &[]);
    world.approve_as("2", id).unwrap();
    assert_eq!(reason(world.act_as("1", vec![put("4", None, &[AdminRole::Operator])], &[]).1), None);
    replayed(&world);
}

#[test]
fn t79_no_lattice_locks_itself_out_by_a_threshold() {
    let mut world = of_two(LAW, Weighty::IssuerAdd);
    let remove = |seed| Operation::RemoveAdministrator(RemoveAdministrator { key: administrator(seed) });
    // As many operators stay as any class takes, so that administration can be signed whatever was signed before.
    assert_eq!(reason(world.act_as("1", vec![remove("2")], &[]).1), Some(Reason::ThresholdUnmet));
    assert_eq!(
        reason(world.act_as("2", vec![put("1", None, &[AdminRole::Viewer])], &[]).1),
        Some(Reason::ThresholdUnmet)
    );
    assert_eq!(reason(world.act_as("1", vec![threshold(Weighty::Restore, 3)], &[]).1), Some(Reason::ThresholdUnmet));
    let (id, _) = world.act_as("1", vec![put("3", Some("carol"), &[AdminRole::Operator])], &[]);
    world.approve_as("2", id).unwrap();
    let (id, _) = world.act_as("1", vec![remove("2")], &[]);
    world.approve_as("3", id).unwrap();
    assert_eq!(world.ledger.state().administrators().lasting_operators(), 2);
    replayed(&world);
}

#[test]
fn t28_a_log_that_lost_nothing_is_not_restored_and_its_hosts_are_still_believed() {
    let mut world = World::with_builtin();
    assert_eq!(restored_in_health(&mut world), Some(Reason::AlreadyExists));
    assert!(world.ledger.state().disorder().restored.is_empty() && !world.ledger.state().disorder().lost(0));
    let mut older = World::with_builtin_under(3);
    assert_eq!(restored_in_health(&mut older), None);
    assert!(older.ledger.state().disorder().lost(0), "under law 3 no host was believed after it");
    replayed(&world);
}

#[test]
fn t28_a_restore_names_the_places_that_are_lost_and_no_others() {
    let mut world = World::with_builtin();
    let head = world.ledger.head();
    for _ in 0..3 {
        let step = world.ledger.lose(world.now_ms);
        world.rows.push(step.bytes);
    }
    let right = Restore {
        kept: head.size,
        kept_sha256: head.last,
        seen: head.size + 3,
        seen_epoch: head.epoch,
        disowned: Vec::new(),
    };
    for wrong in [
        Restore { kept: 0, ..right.clone() },
        Restore { kept: head.size + 1, ..right.clone() },
        Restore { kept_sha256: Digest::of(b"another"), ..right.clone() },
        Restore { seen: head.size + 2, ..right.clone() },
        Restore { seen: head.size, ..right.clone() },
    ] {
        assert_eq!(reason(world.act(Operation::Restore(wrong))), Some(Reason::Superseded));
    }
    // The refusals stand behind the filled places, which are the same.
    world.act(Operation::Restore(right.clone())).unwrap();
    assert_eq!(reason(world.act(Operation::Restore(right))), Some(Reason::AlreadyExists), "once");
    replayed(&world);
}

#[test]
fn t79_what_was_retired_comes_back_as_a_weakening() {
    let mut world = of_two(LAW, Weighty::Weakening);
    let waits = Some(Reason::PendingApproval);
    assert_eq!(readmitted(&mut world), [waits; 3]);
    assert_eq!(admitted(&mut world, component("cart", "cart 2", 2)), waits, "and in other bytes, too");
    assert_eq!(admitted(&mut world, component("trolley", "cart 2", 2)), waits, "under another id, too");
    assert_eq!(admitted(&mut world, provider("logger 2", 2)), waits, "none of its bytes may answer");
    let (operation, token) = component("cart", "cart", 1);
    let (id, _) = world.act_as("1", vec![operation], &[token]);
    world.approve_as("2", id).unwrap();
    assert_eq!(admitted(&mut world, component("cart", "cart 2", 2)), None, "it lives again");
    replayed(&world);
}

#[test]
fn what_lives_is_revised_by_one_and_what_its_thief_signed_is_not() {
    let mut world = of_two(LAW, Weighty::Weakening);
    assert_eq!(admitted(&mut world, provider("logger", 1)), None);
    assert_eq!(admitted(&mut world, provider("logger 2", 2)), None);
    world.act(Operation::RetireProvider(RetireProvider { sha256: file("logger"), running: None })).unwrap();
    assert_eq!(admitted(&mut world, provider("logger 3", 3)), None, "an older revision is retired, it lives");
    assert_eq!(admitted(&mut world, component("cart", "cart 2", 2)), None);
    assert_eq!(admitted(&mut world, component("trolley", "cart 2", 2)), None, "a second id of what lives");
    world.act(Operation::RetireComponent(RetireComponent { id: "trolley".parse().unwrap(), running: None })).unwrap();
    assert_eq!(admitted(&mut world, component("cart", "cart 3", 3)), None);
    assert_eq!(
        admitted(&mut world, component("cart", "cart 2", 3)),
        Some(Reason::PendingApproval),
        "retired elsewhere"
    );
    replayed(&world);
}

#[test]
fn t79_what_a_revoked_issuer_signed_comes_back_as_a_weakening() {
    let mut world = of_two(LAW, Weighty::Weakening);
    let (old, new) = (world.issuer.name, Pair::<Issuer>::seeded("new"));
    let proof = world.proof(&new);
    let rotate = RotateIssuer {
        old,
        new: new.name,
        proof_sha256: Some(Digest::of(&proof)),
        overlap_until: at(NOW + 3600),
        until: None,
    };
    world.act_with(Operation::RotateIssuer(rotate), &proof).unwrap();
    let anew = |rev| {
        let token = component_token_with(&new, "cart", None, Common { rev: Some(rev), ..common() });
        let (operation, _) = component("cart", &format!("cart {rev}"), rev);
        let Operation::AdmitComponent(admit) = operation else { panic!("an admission") };
        (Operation::AdmitComponent(AdmitComponent { claims_sha256: Digest::of(&token), ..admit }), token)
    };
    world.act(Operation::RevokeIssuer(RevokeIssuer { key: old, running: None })).unwrap();
    assert_eq!(admitted(&mut world, anew(2)), Some(Reason::PendingApproval));
    replayed(&world);
}

#[test]
fn t29_a_pin_moves_to_no_bytes_that_nobody_named() {
    let mut world = suspended(LAW);
    let before = world.ledger.state().links().clone();
    assert_eq!(reason(world.act(accept(None))), Some(Reason::SchemaMismatch));
    assert_eq!(reason(world.act(accept(Some(file("cart"))))), Some(Reason::Superseded));
    assert_eq!(world.ledger.state().links(), &before);
    assert_eq!(reason(world.act(accept(Some(file("cart 9"))))), None);
    replayed(&world);
}

#[test]
fn t63_no_entry_is_of_an_older_law_than_the_one_before_it() {
    for law in 1..LAW {
        let mut world = World::with_builtin();
        world.ledger.judge_under(law);
        // Under that law it came through, and judged again under it, it would again.
        world.act(put("2", Some("bob"), &[AdminRole::Operator])).unwrap();
        let row = world.rows.pop().unwrap();
        let mut ledger = replay(&world, Rejudge::Yes(&world.evidence));
        for rejudge in [Rejudge::No, Rejudge::Yes(&world.evidence)] {
            let refused = ledger.clone().replay(&row, rejudge).unwrap_err();
            assert_eq!(refused.reason, Reason::LogBroken, "law {law}");
        }
        let hash = crate::log::leaf_hash(&row);
        assert_eq!(ledger.skim(&row, hash).unwrap_err().reason, Reason::LogBroken, "law {law}");
    }
}
