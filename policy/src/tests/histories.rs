//! Random histories: what was recorded, replayed and judged again, gives the same bytes and the same state.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;

use super::administrators::{add, administrator, put, threshold};
use super::world::{NOW, Pair, World, at, contract, file, logging, unnamed};
use crate::delegation::Delegation;
use crate::digest::Digest;
use crate::envelope::MAX_ATTACHMENTS;
use crate::govern::{
    ActivateIssuer, AddIssuer, AdminRole, BanHost, Bind, DelegateIssuer, DeleteDefault, DeleteLink, EndRelaxation,
    Event, MAX_NAMES, Operation, PutRelaxation, RejectCommand, RemoveAdministrator, RetireComponent, RetireIssuer,
    RetireProvider, RevokeIssuer, RotateIssuer, ScopeIssuer, Waiver, Weighty, WithdrawContract,
};
use crate::issuer::Kind;
use crate::key::{Administrator, Issuer, Name};
use crate::log::{Body, Entry, Ledger, Rejudge, leaf_hash};
use crate::question::MAX_IMPORTS;
use crate::reason::{Reason, Refusal};
use crate::relax::Weakening;
use crate::wire::Nonce;

/// One thing that can happen to a lattice; most are refused at most moments, which is the point.
#[derive(Debug, Clone)]
enum Act {
    Start,
    StartStranger,
    Publish(u64),
    Withdraw,
    Default(Bind),
    DeleteDefault,
    AdmitNative,
    AdmitLogger(bool),
    RetireLogger,
    Link(bool, bool),
    DeleteLink(bool),
    PinLink(bool, i32),
    Switch(u8),
    Accept,
    Revise(bool, i32),
    AddIssuer(u8),
    RevokeIssuer(u8),
    PrepareIssuer(u8),
    ActivateIssuer(u8, bool),
    RetireIssuer(u8, Option<u64>),
    RotateIssuer(u8, u8, u64),
    ScopeIssuer(u8, bool),
    DelegateIssuer(u8, u8),
    AdmitRevision(u8, i32, bool),
    RetireCart,
    AdmitCart,
    BanHost,
    Relax(u8, u64),
    EndRelaxation(u8),
    Pass(u64),
    Put(u8, Option<u8>, u8),
    Remove(u8),
    Threshold(u8, u64),
    Propose(u8, u8),
    Approve(u8, u8),
    Reject(u8, u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => Just(Act::Start),
        1 => Just(Act::StartStranger),
        2 => (1..4_u64).prop_map(Act::Publish),
        1 => Just(Act::Withdraw),
        2 => prop_oneof![Just(Bind::Never), Just(Bind::Builtin), Just(Bind::SoleProvider)].prop_map(Act::Default),
        1 => Just(Act::DeleteDefault),
        2 => Just(Act::AdmitNative),
        2 => any::<bool>().prop_map(Act::AdmitLogger),
        1 => Just(Act::RetireLogger),
        3 => (any::<bool>(), any::<bool>()).prop_map(|(which, named)| Act::Link(which, named)),
        2 => any::<bool>().prop_map(Act::DeleteLink),
        2 => (any::<bool>(), 0..3_i32).prop_map(|(which, rev)| Act::PinLink(which, rev)),
        4 => (0..5_u8).prop_map(Act::Switch),
        2 => Just(Act::Accept),
        2 => (any::<bool>(), 0..4_i32).prop_map(|(which, rev)| Act::Revise(which, rev)),
        1 => (0..3_u8).prop_map(Act::AddIssuer),
        1 => (0..3_u8).prop_map(Act::RevokeIssuer),
        1 => (0..6_u8).prop_map(Act::PrepareIssuer),
        1 => (0..6_u8, any::<bool>()).prop_map(|(number, proved)| Act::ActivateIssuer(number, proved)),
        1 => (0..6_u8, any::<Option<u8>>()).prop_map(|(number, ahead)| Act::RetireIssuer(number, ahead.map(u64::from))),
        2 => (0..6_u8, 0..6_u8, 0..100_u64).prop_map(|(old, new, overlap)| Act::RotateIssuer(old, new, overlap)),
        1 => (0..6_u8, any::<bool>()).prop_map(|(number, wide)| Act::ScopeIssuer(number, wide)),
        1 => (0..6_u8, 0..6_u8).prop_map(|(from, to)| Act::DelegateIssuer(from, to)),
        3 => (0..6_u8, 0..4_i32, any::<bool>()).prop_map(|(by, rev, waive)| Act::AdmitRevision(by, rev, waive)),
        1 => Just(Act::RetireCart),
        1 => Just(Act::AdmitCart),
        1 => Just(Act::BanHost),
        2 => (0..5_u8, 0..8_u64).prop_map(|(kind, seconds)| Act::Relax(kind, seconds)),
        1 => (0..5_u8).prop_map(Act::EndRelaxation),
        2 => (0..5000_u64).prop_map(Act::Pass),
        2 => (0..4_u8, any::<Option<u8>>(), 0..32_u8).prop_map(|(by, name, roles)| Act::Put(by, name.map(|it| it % 3), roles)),
        1 => (0..4_u8).prop_map(Act::Remove),
        1 => (0..5_u8, 0..4_u64).prop_map(|(class, threshold)| Act::Threshold(class, threshold)),
        3 => (0..4_u8, 10..16_u8).prop_map(|(by, issuer)| Act::Propose(by, issuer)),
        3 => (0..4_u8, any::<u8>()).prop_map(|(by, which)| Act::Approve(by, which)),
        1 => (0..4_u8, any::<u8>()).prop_map(|(by, which)| Act::Reject(by, which)),
    ]
}

fn perform(world: &mut World, act: &Act) {
    let provider = |which: bool| if which { "logger" } else { "archive" };
    // Verdicts do not matter here: refused acts are recorded like accepted ones.
    let _ = match act.clone() {
        Act::Start => {
            world.start();
            Ok(())
        }
        Act::StartStranger => {
            let stranger = Pair::<Issuer>::seeded("stranger");
            let asked = world.request().with_claims(super::world::component_token(&stranger, "cart", None));
            world.ask(&asked).map(drop)
        }
        Act::Publish(revision) => world.publish(&contract(&world.issuer, revision)),
        Act::Withdraw => {
            world.act(Operation::WithdrawContract(WithdrawContract { package: logging().package, running: None }))
        }
        Act::Default(bind) => world.default(bind),
        Act::DeleteDefault => world.act(Operation::DeleteDefault(DeleteDefault { package: logging().package })),
        Act::AdmitNative => world.admit_native("native/logging@0.1.0"),
        Act::AdmitLogger(which) => world.admit_provider(provider(which)).map(drop),
        Act::RetireLogger => {
            world.act(Operation::RetireProvider(RetireProvider { sha256: file("logger"), running: None }))
        }
        Act::Link(which, named) => world.link(provider(which), if named { "archive" } else { "default" }),
        Act::DeleteLink(accept_default) => world.act(Operation::DeleteLink(DeleteLink {
            component: "cart".parse().unwrap(),
            package: logging().package,
            name: unnamed(),
            accept_default,
            running: None,
        })),
        Act::PinLink(which, rev) => world.link_pinned(provider(which), rev),
        Act::Switch(step) => world.switch(step, "archive").or_else(|_| world.switch(step, "logger")),
        Act::Accept => world.accept(),
        Act::Revise(which, rev) => world.revise(provider(which), rev).map(drop),
        Act::AddIssuer(number) => {
            let key = Pair::<Issuer>::seeded(&number.to_string()).name;
            let (scope, kinds) = (BTreeSet::from(["*".parse().unwrap()]), BTreeSet::from([Kind::Component]));
            world.act(Operation::AddIssuer(AddIssuer::vouched(key, scope, kinds, None)))
        }
        Act::RevokeIssuer(number) => {
            let key = Pair::<Issuer>::seeded(&number.to_string()).name;
            world.act(Operation::RevokeIssuer(RevokeIssuer { key, running: None }))
        }
        Act::PrepareIssuer(_)
        | Act::ActivateIssuer(..)
        | Act::RetireIssuer(..)
        | Act::RotateIssuer(..)
        | Act::ScopeIssuer(..)
        | Act::DelegateIssuer(..)
        | Act::AdmitRevision(..) => perform_on_issuers(world, act),
        Act::Put(..) | Act::Remove(_) | Act::Threshold(..) | Act::Propose(..) | Act::Approve(..) | Act::Reject(..) => {
            perform_on_administrators(world, act)
        }
        Act::RetireCart => {
            world.act(Operation::RetireComponent(RetireComponent { id: "cart".parse().unwrap(), running: None }))
        }
        Act::AdmitCart => {
            let token = super::world::component_token(&world.issuer, "cart", None);
            world.admit("cart", &token, Vec::new())
        }
        Act::BanHost => {
            let host = world.host.name;
            world.act(Operation::BanHost(BanHost { host, running: None }))
        }
        Act::Relax(..) | Act::EndRelaxation(_) => perform_on_relaxations(world, act),
        Act::Pass(ms) => {
            world.now_ms += ms;
            Ok(())
        }
    };
}

fn perform_on_relaxations(world: &mut World, act: &Act) -> Result<(), Refusal> {
    let id = |number: u8| format!("r{number}").parse().unwrap();
    let (number, seconds) = match act {
        Act::EndRelaxation(number) => return world.act(Operation::EndRelaxation(EndRelaxation { id: id(*number) })),
        Act::Relax(number, seconds) => (*number, *seconds),
        _ => return Ok(()),
    };
    let kind = match number {
        0 => Weakening::Observe { package: None },
        1 => Weakening::Observe { package: Some(logging().package) },
        2 => Weakening::Exception { sha256: file("cart"), allow: Reason::ContractTrack },
        4 => Weakening::Reprieve { sha256: file("cart"), issuer: Pair::<Issuer>::seeded("1").name },
        _ => Weakening::Standby {
            components: ["cart".parse().unwrap()].into(),
            sha256: [file("cart")].into(),
            hosts: [world.host.name].into(),
            life_s: 60,
        },
    };
    let until = at(world.now_ms / 1000 + seconds);
    world.act(Operation::PutRelaxation(PutRelaxation { id: id(number), kind, until, reason: "a trial".to_owned() }))
}

fn perform_on_issuers(world: &mut World, act: &Act) -> Result<(), Refusal> {
    let pair = |number: u8| Pair::<Issuer>::seeded(&number.to_string());
    let (all, kinds) = (BTreeSet::from(["*".parse().unwrap()]), BTreeSet::from([Kind::Component]));
    match *act {
        Act::PrepareIssuer(number) => {
            let add = AddIssuer::vouched(pair(number).name, all, kinds, None);
            world.act(Operation::AddIssuer(AddIssuer { prepared: true, ..add }))
        }
        Act::ActivateIssuer(number, proved) => {
            let proof = world.proof(&pair(number));
            let proof_sha256 = proved.then(|| Digest::of(&proof));
            world.act_with(Operation::ActivateIssuer(ActivateIssuer { key: pair(number).name, proof_sha256 }), &proof)
        }
        Act::RetireIssuer(number, ahead) => {
            let at = ahead.map(|ahead| at(world.now_ms / 1000 + ahead));
            world.act(Operation::RetireIssuer(RetireIssuer { key: pair(number).name, at, running: None }))
        }
        Act::RotateIssuer(old, new, overlap) => {
            let proof = world.proof(&pair(new));
            let (overlap_until, proof_sha256) = (at(world.now_ms / 1000 + overlap), Some(Digest::of(&proof)));
            let (old, new) = (pair(old).name, pair(new).name);
            world.act_with(
                Operation::RotateIssuer(RotateIssuer { old, new, overlap_until, until: None, proof_sha256 }),
                &proof,
            )
        }
        Act::ScopeIssuer(number, wide) => {
            let scope = if wide { all } else { BTreeSet::from(["wasi:*".parse().unwrap()]) };
            world.act(Operation::ScopeIssuer(ScopeIssuer { key: pair(number).name, scope }))
        }
        Act::DelegateIssuer(from, to) => {
            let (iss, sub, aud) = (pair(from).name, pair(to).name, world.ledger.state().lattice().clone());
            let (iat, exp) = (at(NOW), at(NOW + 1000));
            let lent = Delegation { iss, sub, aud, inception_sha256: None, iat, exp, scope: all, kinds };
            let token = pair(from).state(lent.draft());
            let sha256 = Digest::of(&token);
            world.act_with(Operation::DelegateIssuer(DelegateIssuer { key: sub, sha256 }), &token)
        }
        Act::AdmitRevision(by, rev, waive) => {
            let revised = crate::claims::Common { rev: Some(rev), ..super::world::common() };
            let token = super::world::component_token_with(&pair(by), "cart", None, revised);
            let waivers: &[Waiver] = if waive { &[Waiver::TakeOver, Waiver::Downgrade] } else { &[] };
            world.admit_despite("till", &token, Vec::new(), waivers)
        }
        _ => Ok(()),
    }
}

fn perform_on_administrators(world: &mut World, act: &Act) -> Result<(), Refusal> {
    let seed = |number: u8| (number + 1).to_string();
    let waiting = |world: &World, which: u8| {
        let ids: Vec<_> = world.ledger.state().waiting().keys().copied().collect();
        ids.get(usize::from(which) % ids.len().max(1)).copied().unwrap_or(Nonce::from_random([0; 16]))
    };
    match *act {
        Act::Put(number, name, roles) => {
            let chosen = AdminRole::ALL.into_iter().enumerate().filter(|(bit, _)| roles & (1 << bit) != 0);
            let chosen: Vec<_> = chosen.map(|(_, role)| role).collect();
            world.act(put(&seed(number), name.map(|name| ["ann", "ben", "cid"][usize::from(name)]), &chosen))
        }
        Act::Remove(number) => {
            let key = administrator(&seed(number));
            world.act(Operation::RemoveAdministrator(RemoveAdministrator { key }))
        }
        Act::Threshold(class, wanted) => world.act(threshold(Weighty::ALL[usize::from(class)], wanted)),
        Act::Propose(by, issuer) => world.act_as(&seed(by), vec![add(&format!("p{issuer}"))], &[]).1,
        Act::Approve(by, which) => {
            let id = waiting(world, which);
            world.approve_as(&seed(by), id)
        }
        Act::Reject(by, which) => {
            let id = waiting(world, which);
            world.act_as(&seed(by), vec![Operation::RejectCommand(RejectCommand { id })], &[]).1
        }
        _ => Ok(()),
    }
}

pub(super) fn replay(world: &World, rejudge: Rejudge<'_>) -> Ledger {
    let mut rows = world.rows.iter();
    let mut ledger = Ledger::begin(rows.next().unwrap()).unwrap();
    for row in rows {
        ledger.replay(row, rejudge).unwrap();
    }
    ledger
}

// Histories of administrators alone, so that proposals meet approvals.
fn signing() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..4_u8, any::<Option<u8>>(), prop_oneof![Just(8_u8), Just(12), 0..32_u8])
            .prop_map(|(by, name, roles)| Act::Put(by, name.map(|it| it % 3), roles)),
        1 => (0..4_u8).prop_map(Act::Remove),
        3 => (0..5_u8, 0..4_u64).prop_map(|(class, threshold)| Act::Threshold(class, threshold)),
        4 => (0..4_u8, 10..24_u8).prop_map(|(by, issuer)| Act::Propose(by, issuer)),
        8 => (0..4_u8, any::<u8>()).prop_map(|(by, which)| Act::Approve(by, which)),
        1 => (0..4_u8, any::<u8>()).prop_map(|(by, which)| Act::Reject(by, which)),
        1 => (0..200_000_u64).prop_map(Act::Pass),
    ]
}

// What an auditor with a pencil would keep: names, roles and thresholds, read from the log's own entries alone.
#[derive(Default)]
struct Naive {
    people: BTreeMap<Name<Administrator>, (Option<String>, BTreeSet<AdminRole>)>,
    thresholds: BTreeMap<Weighty, u64>,
    signed: BTreeMap<Nonce, BTreeSet<Name<Administrator>>>,
    operators: u64,
}

impl Naive {
    fn of(world: &World) -> Self {
        let mut naive = Self::default();
        naive.people.insert(administrator("1"), (None, AdminRole::ALL.into_iter().collect()));
        for row in &world.rows {
            if let Body::Governance(judged) = Entry::read(row).unwrap().body
                && let Some(by) = judged.by
            {
                naive.follow(by, judged.id.unwrap(), &judged.events);
            }
        }
        naive
    }

    fn follow(&mut self, by: Name<Administrator>, id: Nonce, events: &[Event]) {
        let mut signers = BTreeSet::from([by]);
        match &events[0] {
            Event::CommandProposed(_) => drop(self.signed.insert(id, signers.clone())),
            Event::CommandApproved(approved) => {
                let before = self.signed.get_mut(&approved.id).expect("what waits was proposed");
                assert!(before.insert(by), "one key signed twice");
                signers.extend(before.iter().copied());
            }
            _ => {}
        }
        for event in events {
            let class = match event {
                Event::IssuerAdded(_) => Weighty::IssuerAdd,
                Event::AdministratorPut(_) | Event::AdministratorRemoved(_) | Event::ThresholdPut(_) => {
                    Weighty::Administration
                }
                _ => continue,
            };
            let role = if class == Weighty::IssuerAdd { AdminRole::IssuerAdmin } else { AdminRole::Operator };
            let needed = match event {
                Event::ThresholdPut(put) => put.after.max(put.before).max(self.threshold(class)),
                _ => self.threshold(class),
            };
            let highest = Weighty::ALL.into_iter().map(|class| self.threshold(class)).max().unwrap();
            let needed = if class == Weighty::Administration { needed.max(highest) } else { needed };
            assert!(self.persons(&signers, role) >= needed, "{event:?} by {signers:?}, {needed} must");
        }
        events.iter().for_each(|event| self.apply(event));
        self.operators = self.persons(&self.people.keys().copied().collect(), AdminRole::Operator);
        assert!(self.operators >= Weighty::ALL.into_iter().map(|class| self.threshold(class)).max().unwrap());
    }

    fn threshold(&self, class: Weighty) -> u64 {
        self.thresholds.get(&class).copied().unwrap_or(1)
    }

    fn persons(&self, signers: &BTreeSet<Name<Administrator>>, role: AdminRole) -> u64 {
        let may = |roles: &BTreeSet<AdminRole>| roles.contains(&role) || roles.contains(&AdminRole::Operator);
        let people = signers.iter().filter_map(|key| Some((key, self.people.get(key)?)));
        let people = people.filter(|(_, (_, roles))| may(roles));
        let named: BTreeSet<String> =
            people.map(|(key, (name, _))| name.clone().unwrap_or_else(|| key.to_string())).collect();
        named.len() as u64
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::AdministratorPut(put) => {
                let name = put.name.as_ref().map(ToString::to_string);
                self.people.insert(put.key, (name, put.roles.clone()));
            }
            Event::AdministratorRemoved(removed) => drop(self.people.remove(&removed.key)),
            Event::ThresholdPut(put) => drop(self.thresholds.insert(put.class, put.after)),
            _ => {}
        }
    }

    fn check(&self, world: &World) {
        let state = world.ledger.state();
        let held = state.administrators().iter().filter(|(_, record)| !record.removed);
        let held: BTreeMap<_, _> = held
            .map(|(key, record)| (*key, (record.name.as_ref().map(ToString::to_string), record.roles.clone())))
            .collect();
        assert_eq!(held, self.people);
        Weighty::ALL.into_iter().for_each(|class| assert_eq!(state.threshold(class), self.threshold(class)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn t101_replay_equals_what_was_recorded(acts in proptest::collection::vec(act(), 0..30)) {
        let mut world = World::new();
        for act in &acts {
            perform(&mut world, act);
        }
        let folded = replay(&world, Rejudge::No);
        let judged = replay(&world, Rejudge::Yes(&world.evidence));
        prop_assert_eq!(folded.head(), world.ledger.head());
        prop_assert_eq!(judged.head(), world.ledger.head());
        // The state has no equality of its own: what it says of everything is what counts.
        prop_assert_eq!(format!("{:?}", folded.state()), format!("{:?}", world.ledger.state()));
        prop_assert_eq!(format!("{:?}", judged.state()), format!("{:?}", world.ledger.state()));
    }

    #[test]
    fn skimmed_a_log_comes_to_the_same_and_only_what_changes_nothing_is_not_read(
        acts in proptest::collection::vec(act(), 0..30)
    ) {
        let mut world = World::new();
        for act in &acts {
            perform(&mut world, act);
        }
        let mut ledger = Ledger::begin(&world.rows[0]).unwrap();
        for row in &world.rows[1..] {
            let entry = Entry::read(row).unwrap();
            let read = ledger.skim(row, leaf_hash(row)).unwrap();
            prop_assert_eq!(read, Some(entry.clone()).filter(|entry| !entry.changes_nothing()));
            // The same entry once more does not follow, read or not.
            prop_assert_eq!(ledger.clone().skim(row, leaf_hash(row)).unwrap_err().reason, Reason::LogBroken);
        }
        prop_assert_eq!(ledger.head(), world.ledger.head());
        prop_assert_eq!(format!("{:?}", ledger.state()), format!("{:?}", world.ledger.state()));
    }

    #[test]
    fn what_changes_nothing_changes_no_state_and_no_later_decision(acts in proptest::collection::vec(act(), 0..30)) {
        let mut world = World::new();
        for act in &acts {
            perform(&mut world, act);
        }
        let entries: Vec<_> = world.rows.iter().map(|row| Entry::read(row).unwrap()).collect();
        let mut ledger = Ledger::begin(&world.rows[0]).unwrap();
        for (at, row) in world.rows.iter().enumerate().skip(1) {
            let needed = entries.get(at + 1).is_none_or(Entry::needs_the_one_before);
            if entries[at].changes_nothing() && !needed {
                ledger.pass(entries[at].index, leaf_hash(row)).unwrap();
            } else {
                ledger.replay(row, Rejudge::Yes(&world.evidence)).unwrap();
            }
        }
        prop_assert_eq!(ledger.head(), world.ledger.head());
        prop_assert_eq!(format!("{:?}", ledger.state()), format!("{:?}", world.ledger.state()));
    }

    #[test]
    fn what_the_fold_rests_on_gives_the_same_state_and_head(acts in proptest::collection::vec(act(), 0..30), left in any::<prop::sample::Index>()) {
        let mut world = World::new();
        for act in &acts {
            perform(&mut world, act);
        }
        let entries: Vec<_> = world.rows.iter().map(|row| Entry::read(row).unwrap()).collect();
        let last = entries.len() - 1;
        let rests: Vec<usize> = (1..last).filter(|at| !entries[*at].changes_nothing()).collect();
        let quick = |without: Option<usize>| {
            let mut ledger = Ledger::begin(&world.rows[0]).unwrap();
            for at in rests.iter().copied().filter(|at| Some(*at) != without).chain((last > 0).then_some(last)) {
                ledger.leap(entries[at].index, &world.rows[at])?;
            }
            Ok::<_, Refusal>(ledger)
        };
        let ledger = quick(None).unwrap();
        prop_assert_eq!(ledger.head(), world.ledger.head());
        prop_assert_eq!(format!("{:?}", ledger.state()), format!("{:?}", world.ledger.state()));
        // Whoever remembers the head misses each that is left out.
        if !rests.is_empty() {
            let lacking = quick(Some(rests[left.index(rests.len())]));
            prop_assert!(lacking.is_err() || lacking.unwrap().head().rests != world.ledger.head().rests);
        }
    }

    #[test]
    fn t79_no_history_lets_too_few_persons_add_an_issuer(acts in proptest::collection::vec(signing(), 0..60)) {
        let mut world = World::new();
        for act in &acts {
            perform(&mut world, act);
        }
        Naive::of(&world).check(&world);
        replay(&world, Rejudge::Yes(&world.evidence));
    }

    #[test]
    fn a_changed_byte_in_any_row_is_named(acts in proptest::collection::vec(act(), 4..12), row in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>()) {
        let mut world = World::new();
        for act in &acts {
            perform(&mut world, act);
        }
        let row = row.index(world.rows.len());
        let length = world.rows[row].len();
        world.rows[row][byte.index(length)] ^= 1;
        let mut rows = world.rows.iter();
        let verdict = Ledger::begin(rows.next().unwrap()).and_then(|mut ledger| {
            rows.try_for_each(|row| ledger.replay(row, Rejudge::Yes(&world.evidence)).map(drop))?;
            Ok(ledger.head())
        });
        let skimmed = Ledger::begin(&world.rows[0]).and_then(|mut ledger| {
            world.rows[1..].iter().try_for_each(|row| ledger.skim(row, leaf_hash(row)).map(drop))?;
            Ok(ledger.head())
        });
        prop_assert!(skimmed.is_err() || skimmed.unwrap() != world.ledger.head());
        // A changed last row gives another head, which every answer and checkpoint contradicts.
        prop_assert!(verdict.is_err() || verdict.unwrap() != world.ledger.head());
    }
}

#[test]
fn evidence_that_was_changed_or_lost_is_named() {
    let mut world = World::with_builtin();
    world.start();
    let sha256 = *world.evidence.keys().next().unwrap();
    for tamper in [None, Some(b"other".to_vec())] {
        let mut evidence = world.evidence.clone();
        match tamper {
            None => drop(evidence.remove(&sha256)),
            Some(bytes) => drop(evidence.insert(sha256, bytes)),
        }
        let mut ledger = Ledger::begin(&world.rows[0]).unwrap();
        let broken = world.rows[1..].iter().find_map(|row| ledger.replay(row, Rejudge::Yes(&evidence)).err());
        assert_eq!(broken.unwrap().reason, Reason::LogBroken);
    }
}

#[test]
fn a_sentence_in_a_strangers_letters_does_not_break_the_log() {
    let mut world = World::with_builtin();
    // Serde repeats an unknown member's name: 256 letters of four bytes are as long as a string of the log may be.
    let token = super::world::component_token(&world.issuer, "cart", None);
    let mut segments = token.split(|byte| *byte == b'.');
    let (header, payload) = (segments.next().unwrap(), segments.next().unwrap());
    let payload = String::from_utf8(BASE64URL_NOPAD.decode(payload).unwrap()).unwrap();
    let payload = payload.replacen('{', &format!("{{\"{}\":1,", "\u{1f600}".repeat(256)), 1);
    let forged = [header, BASE64URL_NOPAD.encode(payload.as_bytes()).as_bytes(), b"AA"].join(&b'.');
    let asked = world.request().with_claims(forged);
    let ruling = world.ask(&asked).unwrap();
    assert_eq!(ruling.decision().refusal().unwrap().reason, Reason::SchemaMismatch);
    replay(&world, Rejudge::Yes(&world.evidence));
}

#[test]
fn as_many_outcomes_as_there_can_be_do_not_break_the_log() {
    let mut world = World::with_builtin();
    world.admit_provider("logger").unwrap();
    for number in 0..MAX_NAMES {
        world.link("logger", &format!("n{number}")).unwrap();
    }
    assert_eq!(world.link("logger", "more").unwrap_err().reason, Reason::SchemaMismatch);
    world.link("logger", "default").unwrap();
    let mut asked = world.request();
    let import = |patch| super::world::import("wasi:logging", &format!("0.1.{patch}"), &["logging"]);
    asked.request.imports = (0..MAX_IMPORTS).map(import).collect();
    let ruling = world.ask(&asked).unwrap();
    assert_eq!(ruling.decision().outcomes().len(), MAX_IMPORTS * (MAX_NAMES + 1));
    replay(&world, Rejudge::Yes(&world.evidence));
}

#[test]
fn as_much_evidence_as_there_can_be_does_not_break_the_log() {
    let mut world = World::new();
    let operation = Operation::BanHost(BanHost { host: world.host.name, running: None });
    let command = world.command(vec![operation.clone()]);
    let more = vec![Vec::new(); MAX_ATTACHMENTS + 1];
    assert_eq!(world.submit(command, &more).unwrap_err().reason, Reason::TokenOversize);
    let command = world.command(vec![operation]);
    world.submit(command, &more[1..]).unwrap();
    replay(&world, Rejudge::Yes(&world.evidence));
}
