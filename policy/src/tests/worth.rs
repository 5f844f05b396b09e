//! What is recorded while space is short: whatever takes away, to the last; whatever grants, first to wait (T90).

use super::administrators::{add, administrator, put, threshold};
use super::world::{Pair, World, file, logging, unnamed};
use crate::decide::Facts;
use crate::envelope::{Afresh, Unverified};
use crate::examine;
use crate::govern::{
    AdminRole, BanHost, Bind, DeleteDefault, DeleteLink, Operation, RemoveAdministrator, RetireComponent, RetireIssuer,
    RetireProvider, RevokeIssuer, Weighty, WithdrawContract,
};
use crate::key::Host;
use crate::log::{Entry, Worth};
use crate::question::StartRequest;

fn newest(world: &World) -> Worth {
    Entry::read(world.rows.last().unwrap()).unwrap().body.worth()
}

fn linked() -> World {
    let mut world = World::with_builtin();
    world.admit_provider("logger").unwrap();
    world.link("logger", "default").unwrap();
    world
}

#[test]
fn t90_each_act_that_only_takes_away_is_recorded_to_the_last() {
    let (id, package) = ("cart".parse().unwrap(), logging().package);
    let link = |accept_default| {
        let (component, package) = ("cart".parse().unwrap(), logging().package);
        Operation::DeleteLink(DeleteLink { component, package, name: unnamed(), accept_default, running: None })
    };
    let world = linked();
    let acts = [
        Operation::RevokeIssuer(RevokeIssuer { key: world.issuer.name, running: None }),
        Operation::RetireIssuer(RetireIssuer { key: world.issuer.name, at: None, running: None }),
        Operation::WithdrawContract(WithdrawContract { package: package.clone(), running: None }),
        Operation::BanHost(BanHost { host: world.host.name, running: None }),
        Operation::RetireProvider(RetireProvider { sha256: file("logger"), running: None }),
        Operation::RetireComponent(RetireComponent { id, running: None }),
        Operation::DeleteDefault(DeleteDefault { package }),
        link(false),
    ];
    for act in acts {
        let mut world = linked();
        assert!(act.narrows(), "{act:?}");
        world.act(act.clone()).unwrap();
        assert_eq!(newest(&world), Worth::Safety, "{act:?}");
    }
    let mut world = linked();
    world.act(link(true)).unwrap();
    assert_eq!(newest(&world), Worth::Grants);
}

#[test]
fn t90_what_gives_waits_and_what_is_refused_is_noted() {
    let mut world = linked();
    assert_eq!(newest(&world), Worth::Grants);
    assert!(world.start().decision().refusal().is_none());
    assert_eq!(newest(&world), Worth::Grants);
    world.default(Bind::Never).unwrap();
    assert_eq!(newest(&world), Worth::Grants);
    let nobody = Pair::<Host>::seeded("nobody").name;
    world.act(Operation::BanHost(BanHost { host: nobody, running: None })).unwrap_err();
    assert_eq!(newest(&world), Worth::Notes);
    world.act(Operation::BanHost(BanHost { host: world.host.name, running: None })).unwrap();
    assert!(world.start().decision().refusal().is_some());
    assert_eq!(newest(&world), Worth::Notes);
    // One act that gives makes the whole command one that gives.
    let mut world = linked();
    let ban = Operation::BanHost(BanHost { host: world.host.name, running: None });
    let default = crate::govern::PutDefault { package: logging().package, bind: Bind::Never, uniform: false };
    let command = world.command(vec![ban, Operation::PutDefault(default)]);
    world.submit(command, &[]).unwrap();
    assert_eq!(newest(&world), Worth::Grants);
}

#[test]
fn t90_what_is_judged_and_not_recorded_never_was() {
    let mut world = linked();
    let asked = world.request();
    let bytes = world.host.seal(&asked.request, &asked.attachments);
    let verified = Unverified::<StartRequest>::parse(&bytes).unwrap().verify(world.ledger.state().host_keys()).unwrap();
    let examined = examine::start(verified, &Afresh).unwrap();
    let before = (world.ledger.head(), world.ledger.state().epoch());
    let draft = world.ledger.draft_rule(examined, Facts::default(), world.now_ms);
    assert_eq!(draft.worth(), Worth::Grants);
    drop(draft);
    assert_eq!((world.ledger.head(), world.ledger.state().epoch()), before);
}

#[test]
fn t90_what_several_must_sign_is_recorded_by_what_it_does_in_the_end() {
    let mut world = World::new();
    for (seed, name) in [("1", "alice"), ("2", "bob"), ("3", "carol")] {
        world.act(put(seed, Some(name), &AdminRole::ALL)).unwrap();
    }
    for class in [Weighty::IssuerAdd, Weighty::Administration] {
        let (id, _) = world.act_as("1", vec![threshold(class, 2)], &[]);
        world.approve_as("2", id).unwrap();
        assert_eq!(newest(&world), Worth::Grants);
    }
    let removal = Operation::RemoveAdministrator(RemoveAdministrator { key: administrator("3") });
    for (operation, worth) in [(removal, Worth::Safety), (add("9"), Worth::Grants)] {
        let (id, verdict) = world.act_as("1", vec![operation], &[]);
        verdict.unwrap_err();
        assert_eq!(newest(&world), Worth::Safety, "what waits gives nothing");
        world.approve_as("2", id).unwrap();
        assert_eq!(newest(&world), worth);
    }
}
