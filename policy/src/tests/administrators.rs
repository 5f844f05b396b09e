//! Administrators: who may do what, how many must sign, and that nobody signs twice (T79).

use std::collections::BTreeSet;

use super::world::{NOW, Pair, World, at, component_token_with, file, logging};
use crate::digest::Digest;
use crate::envelope::Unverified;
use crate::govern::{
    AddIssuer, AdminRole, AdmitComponent, BanHost, PutAdministrator, PutDefault, PutThreshold, RejectCommand,
    RemoveAdministrator, ScopeIssuer, Waiver, Weighty,
};
use crate::govern::{Bind, Operation};
use crate::issuer::Kind;
use crate::key::{Administrator, Issuer, Name, Root};
use crate::log::{Entry, Ledger, Rejudge};
use crate::reason::{Reason, Refusal};
use crate::wire::Nonce;

pub(super) fn administrator(seed: &str) -> Name<Administrator> {
    Pair::<Administrator>::seeded(seed).name
}

pub(super) fn put(seed: &str, name: Option<&str>, roles: &[AdminRole]) -> Operation {
    Operation::PutAdministrator(PutAdministrator {
        key: administrator(seed),
        name: name.map(|name| name.parse().unwrap()),
        roles: roles.iter().copied().collect(),
        until: None,
    })
}

pub(super) fn add(seed: &str) -> Operation {
    let scope = BTreeSet::from(["acme:*".parse().unwrap()]);
    let key = Pair::<Issuer>::seeded(seed).name;
    Operation::AddIssuer(AddIssuer::vouched(key, scope, BTreeSet::from([Kind::Component]), None))
}

pub(super) fn threshold(class: Weighty, threshold: u64) -> Operation {
    Operation::PutThreshold(PutThreshold { class, threshold })
}

fn reason(verdict: Result<(), Refusal>) -> Option<Reason> {
    verdict.err().map(|refusal| refusal.reason)
}

fn said(world: &mut World, by: &str, operation: Operation) -> Option<Reason> {
    reason(world.act_as(by, vec![operation], &[]).1)
}

// Alice, who founded the lattice, and bob and carol, operators too.
fn three() -> World {
    let mut world = World::new();
    world.act(put("1", Some("alice"), &AdminRole::ALL)).unwrap();
    for (seed, name) in [("2", "bob"), ("3", "carol")] {
        world.act(put(seed, Some(name), &[AdminRole::Operator])).unwrap();
    }
    world
}

fn of_two(class: Weighty) -> World {
    let mut world = three();
    let (id, verdict) = world.act_as("1", vec![threshold(class, 2)], &[]);
    assert_eq!(reason(verdict), Some(Reason::PendingApproval), "the higher of old and new");
    world.approve_as("2", id).unwrap();
    assert_eq!(world.ledger.state().threshold(class), 2);
    world
}

fn proposed(world: &mut World, by: &str, operation: Operation) -> Nonce {
    let (id, verdict) = world.act_as(by, vec![operation], &[]);
    assert_eq!(reason(verdict), Some(Reason::PendingApproval));
    id
}

// Where one class takes two, administration does, too.
fn both(world: &mut World, by: [&str; 2], operation: Operation) {
    let id = proposed(world, by[0], operation);
    world.approve_as(by[1], id).unwrap();
}

fn trusts(world: &World, seed: &str) -> bool {
    world.ledger.state().issuers().find(&Pair::<Issuer>::seeded(seed).name).is_some()
}

fn replayed(world: &World) {
    for rejudge in [Rejudge::No, Rejudge::Yes(&world.evidence)] {
        let mut ledger = Ledger::begin(&world.rows[0]).unwrap();
        world.rows[1..].iter().for_each(|row| drop(ledger.replay(row, rejudge).unwrap()));
        assert_eq!(ledger.head(), world.ledger.head());
        assert_eq!(format!("{:?}", ledger.state()), format!("{:?}", world.ledger.state()));
    }
}

#[test]
fn t79_each_act_takes_its_role_and_no_other_does() {
    let mut world = World::new();
    let host = world.host.name;
    let acts: [(Operation, AdminRole); 4] = [
        (
            Operation::PutDefault(PutDefault { package: logging().package, bind: Bind::Never, uniform: false }),
            AdminRole::LinkAdmin,
        ),
        (add("7"), AdminRole::IssuerAdmin),
        (Operation::BanHost(BanHost { host, running: None }), AdminRole::Operator),
        (put("9", None, &[AdminRole::Viewer]), AdminRole::Operator),
    ];
    for role in AdminRole::ALL {
        world.act(put("2", None, &[role])).unwrap();
        for (act, takes) in &acts {
            assert_eq!(act.role(), *takes);
            let command = world.command(vec![act.clone()]);
            let pair = Pair::<Administrator>::seeded("2");
            let command = crate::command::Command { iss: pair.name, ..command };
            let bytes = pair.seal(&command, &[]);
            let verified = Unverified::parse(&bytes).unwrap().verify(world.ledger.state().administrators()).unwrap();
            // Judged, and nothing changed: each role meets each act in the same state.
            let judged = world.ledger.state().handle(&crate::examine::command(verified), at(NOW));
            let may = role == *takes || role == AdminRole::Operator;
            let missing = judged.err().is_some_and(|refusal| refusal.reason == Reason::RoleMissing);
            assert_eq!(missing, !may, "{role:?} {act:?}");
        }
    }
    assert_eq!(said(&mut world, "2", add("7")), Some(Reason::RoleMissing), "an auditor changes nothing");
    replayed(&world);
}

#[test]
fn t79_one_administrator_alone_only_proposes_and_a_second_one_decides() {
    let mut world = of_two(Weighty::IssuerAdd);
    let id = proposed(&mut world, "1", add("7"));
    assert!(!trusts(&world, "7"), "nothing is changed by a proposal");
    assert_eq!(reason(world.approve_as("1", id)), Some(Reason::SignedAlready), "the same key twice");
    assert_eq!(reason(world.approve_as("4", id)), Some(Reason::AdministratorUnknown));
    world.approve_as("3", id).unwrap();
    assert!(trusts(&world, "7"));
    assert_eq!(reason(world.approve_as("2", id)), Some(Reason::NotFound), "what is done is over");
    // The operator alone cannot skip it either.
    assert_eq!(said(&mut world, "2", add("8")), Some(Reason::PendingApproval));
    replayed(&world);
}

#[test]
fn t79_a_second_key_of_the_same_person_is_no_second_person() {
    let mut world = of_two(Weighty::IssuerAdd);
    both(&mut world, ["1", "2"], put("4", Some("alice"), &[AdminRole::Operator]));
    let id = proposed(&mut world, "1", add("7"));
    assert_eq!(reason(world.approve_as("4", id)), Some(Reason::SignedAlready), "a rotated key");
    // Renamed after she signed: by the name that she signed under, and by her key.
    both(&mut world, ["1", "2"], put("1", Some("eve"), &AdminRole::ALL));
    assert_eq!(reason(world.approve_as("4", id)), Some(Reason::SignedAlready));
    assert_eq!(reason(world.approve_as("1", id)), Some(Reason::SignedAlready));
    both(&mut world, ["1", "2"], put("3", Some("eve"), &[AdminRole::Operator]));
    assert_eq!(reason(world.approve_as("3", id)), Some(Reason::SignedAlready), "under the name that she has now");
    world.approve_as("2", id).unwrap();
    assert!(trusts(&world, "7"));
    replayed(&world);
}

#[test]
fn t79_what_is_approved_is_judged_as_of_that_moment() {
    // Somebody else did it meanwhile.
    let mut world = of_two(Weighty::IssuerAdd);
    let (first, second) = (proposed(&mut world, "1", add("7")), proposed(&mut world, "2", add("7")));
    world.approve_as("3", second).unwrap();
    assert_eq!(reason(world.approve_as("3", first)), Some(Reason::Superseded));
    // Its author is no administrator any more.
    let third = proposed(&mut world, "2", add("8"));
    let remove = Operation::RemoveAdministrator(RemoveAdministrator { key: administrator("2") });
    both(&mut world, ["1", "3"], remove);
    assert_eq!(reason(world.approve_as("3", third)), Some(Reason::AdministratorUnknown));
    assert!(!trusts(&world, "8"));
    // It came too late.
    let fourth = proposed(&mut world, "1", add("9"));
    world.now_ms += 601 * 1000;
    assert_eq!(reason(world.approve_as("3", fourth)), Some(Reason::NotFound));
    assert!(world.ledger.state().waiting().get(&fourth).is_none(), "what ended is forgotten");
    replayed(&world);
}

#[test]
fn t79_a_proposal_is_rejected_by_who_could_approve_it_and_then_over() {
    let mut world = of_two(Weighty::IssuerAdd);
    both(&mut world, ["1", "2"], put("4", None, &[AdminRole::LinkAdmin]));
    let id = proposed(&mut world, "1", add("7"));
    let reject = Operation::RejectCommand(RejectCommand { id });
    assert_eq!(said(&mut world, "4", reject.clone()), Some(Reason::RoleMissing));
    assert_eq!(reason(world.approve_as("4", id)), Some(Reason::RoleMissing));
    assert_eq!(said(&mut world, "2", reject.clone()), None);
    assert_eq!(reason(world.approve_as("3", id)), Some(Reason::NotFound));
    assert_eq!(said(&mut world, "2", reject), Some(Reason::NotFound));
    let own = proposed(&mut world, "1", add("8"));
    assert_eq!(said(&mut world, "1", Operation::RejectCommand(RejectCommand { id: own })), None, "taken back");
    replayed(&world);
}

#[test]
fn t79_each_weighty_class_waits_and_its_light_twin_does_not() {
    let issuer = Pair::<Issuer>::seeded("1").name;
    let scope = |scope: &str| {
        Operation::ScopeIssuer(ScopeIssuer { key: issuer, scope: BTreeSet::from([scope.parse().unwrap()]) })
    };
    let mut world = of_two(Weighty::ScopeWidening);
    assert_eq!(said(&mut world, "1", scope("wasi:*")), None, "narrower");
    assert_eq!(said(&mut world, "1", scope("*")), Some(Reason::PendingApproval), "wider");

    let mut world = of_two(Weighty::Weakening);
    let revised = |rev| crate::claims::Common { rev: Some(rev), ..super::world::common() };
    let mut admit = |rev, waivers: &[Waiver]| {
        let token = component_token_with(&Pair::seeded("1"), "till", None, revised(rev));
        let operation = Operation::AdmitComponent(AdmitComponent {
            id: "till".parse().unwrap(),
            sha256: file(&format!("till {rev}")),
            claims_sha256: Digest::of(&token),
            imports: vec![logging()],
            exports: Vec::new(),
            waivers: waivers.iter().copied().collect(),
        });
        reason(world.act_as("1", vec![operation], &[token]).1)
    };
    assert_eq!(admit(5, &[]), None);
    assert_eq!(admit(4, &[Waiver::Downgrade]), Some(Reason::PendingApproval));
    assert_eq!(admit(6, &[Waiver::TakeOver]), Some(Reason::PendingApproval));

    let mut world = of_two(Weighty::Administration);
    for act in [
        put("9", None, &[AdminRole::Viewer]),
        Operation::RemoveAdministrator(RemoveAdministrator { key: administrator("3") }),
        threshold(Weighty::Administration, 1),
        threshold(Weighty::Restore, 2),
    ] {
        assert_eq!(said(&mut world, "1", act), Some(Reason::PendingApproval));
    }
    assert_eq!(said(&mut world, "1", add("7")), None, "another class");
}

#[test]
fn t79_a_command_cannot_lower_what_it_needs_on_its_way() {
    let mut world = of_two(Weighty::IssuerAdd);
    let whole = vec![threshold(Weighty::IssuerAdd, 1), add("7")];
    let (id, verdict) = world.act_as("1", whole, &[]);
    assert_eq!(reason(verdict), Some(Reason::PendingApproval));
    let own_helper = vec![put("5", None, &[AdminRole::Operator]), add("7")];
    assert_eq!(reason(world.act_as("1", own_helper, &[]).1), Some(Reason::PendingApproval));
    world.approve_as("2", id).unwrap();
    assert!(trusts(&world, "7") && world.ledger.state().threshold(Weighty::IssuerAdd) == 1);
    replayed(&world);
}

#[test]
fn t79_three_of_three_need_three() {
    let mut world = three();
    let (id, _) = world.act_as("1", vec![threshold(Weighty::IssuerAdd, 3)], &[]);
    assert_eq!(reason(world.approve_as("2", id)), Some(Reason::PendingApproval));
    assert_eq!(reason(world.approve_as("2", id)), Some(Reason::SignedAlready));
    world.approve_as("3", id).unwrap();
    // Nobody can be removed below it, and no approval waits in an approval's company.
    let remove = Operation::RemoveAdministrator(RemoveAdministrator { key: administrator("3") });
    assert_eq!(said(&mut world, "1", remove), Some(Reason::ThresholdUnmet));
    assert_eq!(said(&mut world, "1", put("3", None, &[AdminRole::Viewer])), Some(Reason::ThresholdUnmet));
    assert_eq!(said(&mut world, "1", threshold(Weighty::Restore, 4)), Some(Reason::ThresholdUnmet));
    assert_eq!(said(&mut world, "1", threshold(Weighty::Restore, 0)), Some(Reason::ThresholdUnmet));
    replayed(&world);
}

#[test]
fn t79_an_approval_is_of_these_very_bytes_alone_and_once() {
    let mut world = of_two(Weighty::IssuerAdd);
    let (id, other) = (proposed(&mut world, "1", add("7")), proposed(&mut world, "1", add("8")));
    let waiting = world.ledger.state().waiting()[&id].clone();
    let theirs = world.ledger.state().waiting()[&other].clone();
    let token = world.evidence[&waiting.sha256].clone();
    let swapped = world.evidence[&theirs.sha256].clone();
    let approve = |sha256| Operation::ApproveCommand(crate::govern::ApproveCommand { id, sha256 });
    for (operations, statements, expected) in [
        (vec![approve(waiting.sha256)], vec![], Reason::EvidenceMissing),
        (vec![approve(waiting.sha256)], vec![swapped.clone()], Reason::EvidenceMissing),
        (vec![approve(theirs.sha256)], vec![swapped], Reason::HashMismatch),
        (vec![approve(waiting.sha256), add("9")], vec![token.clone()], Reason::SchemaMismatch),
        (vec![approve(waiting.sha256)], vec![token, b"more".to_vec()], Reason::EvidenceMissing),
    ] {
        assert_eq!(reason(world.act_as("2", operations, &statements).1), Some(expected));
    }
    world.approve_as("2", id).unwrap();
    let last = Entry::read(world.rows.last().unwrap()).unwrap();
    let bytes: Vec<Vec<u8>> = last.evidence.iter().map(|sha256| world.evidence[sha256].clone()).collect();
    assert_eq!(reason(world.govern(&bytes.join(&b'\n'))), Some(Reason::CommandSeen), "a replayed approval");
    replayed(&world);
}

#[test]
fn t79_an_administrators_key_is_for_that_alone() {
    let mut world = World::new();
    let roles = BTreeSet::from([AdminRole::Viewer]);
    let mut with = |key: Name<Administrator>| {
        world.act(Operation::PutAdministrator(PutAdministrator { key, name: None, roles: roles.clone(), until: None }))
    };
    let raws = [
        *Pair::<Root>::seeded("1").name.raw(),
        *Pair::<Issuer>::seeded("1").name.raw(),
        *Pair::<crate::key::Host>::seeded("1").name.raw(),
    ];
    for raw in raws {
        assert_eq!(reason(with(Name::from_raw(raw))), Some(Reason::KeyInUse));
    }
    let published = "ODKUH2GBC6VSYVTYLYNRCKJCUWOZVPZYIWGQNMUJXCRPGMIWMOLSDIQT";
    assert!(Name::<Administrator>::parse(published).is_err() || with(published.parse().unwrap()).is_err());
    assert_eq!(reason(with(Name::from_raw([0; 32]))), Some(Reason::KeyWeak));
    with(administrator("2")).unwrap();
    assert_eq!(reason(with(administrator("2"))), Some(Reason::AlreadyExists));
    world.act(Operation::RemoveAdministrator(RemoveAdministrator { key: administrator("2") })).unwrap();
    assert_eq!(said(&mut world, "1", put("2", None, &[AdminRole::Viewer])), Some(Reason::KeyInUse), "removed for good");
    let issuer = Operation::AddIssuer(AddIssuer::vouched(
        Name::from_raw(*administrator("2").raw()),
        BTreeSet::from(["acme:*".parse().unwrap()]),
        BTreeSet::from([Kind::Component]),
        None,
    ));
    assert_eq!(said(&mut world, "1", issuer), Some(Reason::KeyInUse));
}

#[test]
fn t79_the_last_operator_stays_and_an_end_takes_the_say_away() {
    let mut world = World::new();
    let remove = Operation::RemoveAdministrator(RemoveAdministrator { key: administrator("1") });
    assert_eq!(said(&mut world, "1", remove.clone()), Some(Reason::LastOperator));
    assert_eq!(said(&mut world, "1", put("1", None, &[AdminRole::Auditor])), Some(Reason::LastOperator));
    let until = PutAdministrator {
        key: administrator("2"),
        name: None,
        roles: BTreeSet::from([AdminRole::Operator]),
        until: Some(at(NOW + 100)),
    };
    assert_eq!(said(&mut world, "1", Operation::PutAdministrator(until)), None);
    assert_eq!(said(&mut world, "1", remove.clone()), Some(Reason::LastOperator), "whoever ends is no last one");
    assert_eq!(said(&mut world, "2", add("7")), None);
    world.now_ms += 100 * 1000;
    assert_eq!(said(&mut world, "2", add("8")), Some(Reason::AdministratorUnknown));
    world.act(put("3", None, &[AdminRole::Operator])).unwrap();
    assert_eq!(said(&mut world, "3", remove), None);
    assert_eq!(said(&mut world, "1", add("8")), Some(Reason::AdministratorUnknown), "removed, and recorded as refused");
    replayed(&world);
}

#[test]
fn t79_waiting_commands_are_bounded() {
    let mut world = of_two(Weighty::IssuerAdd);
    for number in 0..crate::govern::MAX_WAITING {
        proposed(&mut world, "1", add(&format!("w{number}")));
    }
    assert_eq!(said(&mut world, "1", add("more")), Some(Reason::WaitingLimit));
    assert_eq!(said(&mut world, "2", add("more")), Some(Reason::PendingApproval), "each has places of their own");
}
