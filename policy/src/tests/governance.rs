//! Commands: what is refused, and that a refused one changes nothing but is recorded.

use std::collections::BTreeSet;

use super::world::{NOW, Pair, World, at, common, component_token_with, contract, logging};
use crate::govern::{AddIssuer, Bind, DeleteDefault, InviteHost, Operation, PutDefault, RevokeIssuer};
use crate::issuer::Kind;
use crate::key::{Administrator, Host, Invite, Issuer, Name};
use crate::reason::{Reason, Refusal};

fn add(key: Name<Issuer>) -> Operation {
    let scope = BTreeSet::from(["wasi:*".parse().unwrap()]);
    Operation::AddIssuer(AddIssuer::vouched(key, scope, BTreeSet::from([Kind::Provider]), None))
}

fn reason(verdict: Result<(), Refusal>) -> Reason {
    verdict.unwrap_err().reason
}

#[test]
fn a_command_is_for_one_lattice_one_time_and_one_id() {
    let mut world = World::new();
    let key = Pair::<Issuer>::seeded("2").name;

    let mut foreign = world.command(vec![add(key)]);
    foreign.aud = "other".parse().unwrap();
    assert_eq!(reason(world.submit(foreign, &[])), Reason::LatticeMismatch);

    for not_after in [NOW - 1, NOW + 8 * 86_400] {
        let mut late = world.command(vec![add(key)]);
        late.not_after = at(not_after);
        assert_eq!(reason(world.submit(late, &[])), Reason::CommandExpired);
    }

    let command = world.command(vec![add(key)]);
    world.submit(command.clone(), &[]).unwrap();
    assert_eq!(reason(world.submit(command, &[])), Reason::CommandSeen);

    let mut empty = world.command(vec![]);
    empty.operations.clear();
    assert_eq!(reason(world.submit(empty, &[])), Reason::SchemaMismatch);
}

#[test]
fn a_refused_command_changes_nothing_but_is_recorded() {
    let mut world = World::new();
    let (epoch, rows) = (world.ledger.head().epoch, world.rows.len());
    let unknown = Operation::RevokeIssuer(RevokeIssuer { key: Pair::<Issuer>::seeded("9").name, running: None });
    assert_eq!(reason(world.act(unknown)), Reason::NotFound);
    assert_eq!(world.ledger.head().epoch, epoch);
    assert_eq!(world.rows.len(), rows + 1);
}

#[test]
fn operations_apply_whole_or_not_at_all() {
    let mut world = World::new();
    let (first, second) = (Pair::<Issuer>::seeded("2").name, Pair::<Issuer>::seeded("3").name);
    let command = world.command(vec![add(first), add(second), add(first)]);
    let refusal = world.submit(command, &[]).unwrap_err();
    assert_eq!(refusal.reason, Reason::AlreadyExists);
    assert!(refusal.detail.starts_with("operation 3: "), "{}", refusal.detail);
    assert!(world.ledger.state().issuers().find(&first).is_none());
    let command = world.command(vec![add(first), add(second)]);
    world.submit(command, &[]).unwrap();
    assert!(world.ledger.state().issuers().find(&second).is_some());
}

#[test]
fn two_commands_from_one_look_at_one_subject_cannot_both_pass() {
    let mut world = World::new();
    world.publish(&contract(&world.issuer, 1)).unwrap();
    let put = |bind| Operation::PutDefault(PutDefault { package: logging().package, bind, uniform: false });
    let stale = world.command(vec![put(Bind::Never)]);
    let other = world.command(vec![add(Pair::<Issuer>::seeded("2").name)]);
    world.act(put(Bind::Builtin)).unwrap();
    assert_eq!(reason(world.submit(stale, &[])), Reason::Superseded);
    // Another subject is not touched by it.
    world.submit(other, &[]).unwrap();
    // A narrowing act is never too late.
    let mut narrow = world.command(vec![Operation::DeleteDefault(DeleteDefault { package: logging().package })]);
    narrow.basis = 0;
    world.submit(narrow, &[]).unwrap();
}

#[test]
fn only_administrators_command() {
    let mut world = World::new();
    world.administrator = Pair::<Administrator>::seeded("rogue");
    assert_eq!(reason(world.act(add(Pair::<Issuer>::seeded("2").name))), Reason::AdministratorUnknown);
}

#[test]
fn t08_t09_a_key_must_be_sound_and_have_one_purpose() {
    let mut world = World::new();
    let weak = Name::<Issuer>::from_raw([0; 32]);
    assert_eq!(reason(world.act(add(weak))), Reason::KeyWeak);
    for taken in
        [*world.administrator.name.raw(), *world.host.name.raw(), *Pair::<crate::key::Root>::seeded("1").name.raw()]
    {
        assert_eq!(reason(world.act(add(Name::from_raw(taken)))), Reason::KeyInUse);
    }
    let key = world.issuer.name;
    assert_eq!(reason(world.act(add(key))), Reason::AlreadyExists);
    world.act(Operation::RevokeIssuer(RevokeIssuer { key, running: None })).unwrap();
    assert_eq!(reason(world.act(add(key))), Reason::AlreadyExists);
}

#[test]
fn t55_an_invitation_is_used_once_and_in_time() {
    let mut world = World::bare();
    let invite = Pair::<Invite>::seeded("2");
    assert_eq!(reason(world.join(&invite)), Reason::InviteUnknown);
    let not_after = at(NOW + 60);
    let labels = std::collections::BTreeMap::new();
    world.act(Operation::InviteHost(InviteHost { invite: invite.name, labels, not_after })).unwrap();
    world.now_ms += 61_000;
    assert_eq!(reason(world.join(&invite)), Reason::InviteUnknown);
    world.now_ms -= 2_000;
    world.enrol();
    world.host = Pair::<Host>::seeded("2");
    assert_eq!(reason(world.join(&Pair::seeded("1"))), Reason::InviteUnknown);
}

#[test]
fn what_waits_for_inventories_is_refused_when_put() {
    let mut world = World::with_builtin();
    let package = logging().package;
    for (bind, uniform) in [(Bind::SoleProvider, false), (Bind::Builtin, true)] {
        let put = Operation::PutDefault(PutDefault { package: package.clone(), bind, uniform });
        assert_eq!(reason(world.act(put)), Reason::NotSupportedYet);
    }
}

#[test]
fn a_contract_never_goes_back() {
    let mut world = World::new();
    world.publish(&contract(&world.issuer, 2)).unwrap();
    for revision in [1, 2] {
        assert_eq!(reason(world.publish(&contract(&world.issuer, revision))), Reason::ContractDowngrade);
    }
    let mut closed = contract(&world.issuer, 3);
    closed.defaultable = false;
    world.publish(&closed).unwrap();
    assert_eq!(reason(world.default(Bind::Builtin)), Reason::NotDefaultable);
}

#[test]
fn t22_t71_a_clock_set_back_revives_nothing() {
    let mut world = World::with_builtin();
    let mut ending = common();
    ending.validity.exp = Some(at(NOW + 60));
    let token = component_token_with(&world.issuer, "cart", None, ending);
    let mut reason_at = |seconds: u64| {
        world.now_ms = seconds * 1000;
        let asked = world.request().with_claims(token.clone());
        let ruling = world.ask(&asked).unwrap();
        (ruling.decision().refusal().map(|refusal| refusal.reason), world.ledger.head().at_ms)
    };
    assert_eq!(reason_at(NOW + 59), (None, (NOW + 59) * 1000));
    let late = (NOW + 61) * 1000;
    assert_eq!(reason_at(NOW + 61), (Some(Reason::Expired), late));
    assert_eq!(reason_at(NOW + 59), (Some(Reason::Expired), late));
    for back in [NOW - 3600, NOW - 86_400] {
        assert_eq!(reason_at(back), (Some(Reason::ClockRollback), late));
    }
}

#[test]
fn t28_a_signer_who_saw_more_than_this_log_is_not_obeyed() {
    let mut world = World::new();
    let mut ahead = world.command(vec![add(Pair::<Issuer>::seeded("2").name)]);
    ahead.basis = world.ledger.head().epoch + 1;
    assert_eq!(reason(world.submit(ahead, &[])), Reason::StateRollback);
}
