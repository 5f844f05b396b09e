//! Plans: a command that is only thought of is judged as it would be, changes nothing, and names who depends on it.

use super::administrators::{add, administrator, put, threshold};
use super::world::{NOW, World, at, logging};
use crate::command::Command;
use crate::explain::Touched;
use crate::govern::{
    AdminRole, DeleteLink, Event, Operation, Planned, PutDefault, RetireProvider, RevokeIssuer, State, Weighty,
    WithdrawContract,
};
use crate::govern::{Bind, Handled};
use crate::reason::{Reason, Refusal};

fn plan(world: &mut World, by: &str, operations: Vec<Operation>) -> Result<Handled, Refusal> {
    let command = Command { iss: administrator(by), ..world.command(operations) };
    world.ledger.state().plan(&Planned::new(command, Vec::new())?, &[], at(NOW))
}

fn after(state: &State, events: &[Event]) -> State {
    let mut after = state.clone();
    events.iter().for_each(|event| after.apply(event, state.next_index()));
    after
}

#[test]
fn a_plan_causes_what_the_command_would_and_takes_the_same_right() {
    let mut world = World::with_builtin();
    world.act(put("2", Some("bob"), &[AdminRole::LinkAdmin])).unwrap();
    let default = Operation::PutDefault(PutDefault { package: logging().package, bind: Bind::Never, uniform: false });
    let size = world.rows.len();
    let planned = plan(&mut world, "2", vec![default.clone()]).unwrap();
    assert_eq!(world.rows.len(), size, "a plan is recorded nowhere");
    assert_eq!(plan(&mut world, "2", vec![add("7")]).unwrap_err().reason, Reason::RoleMissing);
    assert_eq!(plan(&mut world, "9", vec![default.clone()]).unwrap_err().reason, Reason::AdministratorUnknown);
    let operations = vec![default];
    let done = world.command(operations.clone());
    let bytes = super::world::Pair::<crate::key::Administrator>::seeded("1")
        .seal(&Command { iss: administrator("1"), ..done }, &[]);
    let command = crate::envelope::Unverified::parse(&bytes).unwrap();
    let command = command.verify(world.ledger.state().administrators()).unwrap();
    let handled = world.ledger.state().handle(&crate::examine::command(command), at(NOW)).unwrap();
    assert_eq!(planned.events, handled.events);
    assert_eq!(planned.lack, None);
}

#[test]
fn t79_a_plan_of_what_several_must_sign_tells_all_of_it_and_what_it_lacks() {
    let mut world = World::new();
    world.act(put("1", Some("alice"), &AdminRole::ALL)).unwrap();
    world.act(put("2", Some("bob"), &[AdminRole::Operator])).unwrap();
    let (id, _) = world.act_as("1", vec![threshold(Weighty::IssuerAdd, 2)], &[]);
    world.approve_as("2", id).unwrap();
    let planned = plan(&mut world, "1", vec![add("7")]).unwrap();
    assert!(matches!(planned.events.as_slice(), [Event::IssuerAdded(_)]), "{:?}", planned.events);
    assert_eq!(planned.lack.map(|lack| lack.missing), Some(1));
    assert!(matches!(plan(&mut world, "1", Vec::new()), Err(refusal) if refusal.reason == Reason::SchemaMismatch));
}

#[test]
fn who_depends_on_an_act_is_named_kind_by_kind() {
    let mut world = World::with_builtin();
    let sha256 = world.admit_provider("answers").unwrap();
    world.link("answers", "default").unwrap();
    let (issuer, package) = (world.issuer.name, logging().package);
    let counts = |world: &mut World, operation: Operation| {
        let planned = plan(world, "1", vec![operation]).unwrap();
        let state = world.ledger.state();
        let touched = Touched::between(state, &after(state, &planned.events));
        let found = touched.dependents(state);
        [found.components.count, found.providers.count, found.contracts.count, found.defaults.count, found.links.count]
    };
    let delete = DeleteLink {
        component: "cart".parse().unwrap(),
        package: package.clone(),
        name: super::world::unnamed(),
        accept_default: false,
        running: None,
    };
    assert_eq!(counts(&mut world, Operation::DeleteLink(delete)), [0, 0, 0, 0, 1]);
    let withdraw = WithdrawContract { package, running: None };
    assert_eq!(counts(&mut world, Operation::WithdrawContract(withdraw)), [0, 0, 1, 1, 1]);
    let retire = RetireProvider { sha256, running: None };
    assert_eq!(counts(&mut world, Operation::RetireProvider(retire)), [0, 1, 0, 0, 1]);
    // The contract, the component and the provider that it signed, and what stands on those.
    let revoke = RevokeIssuer { key: issuer, running: None };
    assert_eq!(counts(&mut world, Operation::RevokeIssuer(revoke)), [1, 1, 1, 1, 1]);
    assert_eq!(counts(&mut world, add("7")), [0, 0, 0, 0, 0]);
}
