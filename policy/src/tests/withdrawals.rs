//! What runs already, after an act took its ground away: which acts reach which bindings, and which do not (T26).

use super::world::{Pair, World, file, logging, unnamed};
use crate::govern::{
    BanHost, DeleteLink, Operation, RetireComponent, RetireIssuer, RetireProvider, RevokeIssuer, WithdrawContract,
};
use crate::inventory::{Bound, Runs};
use crate::key::{Component, Issuer};
use crate::log::{Ledger, Rejudge};
use crate::provider::Subject;
use crate::withdrawal::{Lost, Running};

/// `cart` over `logger`, started by the newest entry.
fn runs(world: &World) -> Runs {
    let index = world.ledger.head().size - 1;
    let provider = Subject::Component(Pair::<Component>::seeded("logger").name);
    let bound = Bound { package: logging().package, link: unnamed(), provider, sha256: file("logger"), index };
    Runs {
        component: "cart".parse().unwrap(),
        sha256: file("cart"),
        issuer: Some(world.issuer.name),
        index,
        bindings: vec![bound],
        closing: None,
    }
}

fn linked() -> World {
    let mut world = World::with_builtin();
    world.admit_provider("logger").unwrap();
    world.link("logger", "default").unwrap();
    assert!(world.start().decision().refusal().is_none());
    world
}

fn lost(world: &World, runs: &Runs) -> Option<Lost> {
    world.ledger.state().withdrawn().of(&world.host.name, runs)
}

type Takes = fn(&World, Option<Running>) -> Operation;

const ACTS: [Takes; 7] = [
    |world, running| Operation::RevokeIssuer(RevokeIssuer { key: world.issuer.name, running }),
    |world, running| Operation::RetireIssuer(RetireIssuer { key: world.issuer.name, at: None, running }),
    |_, running| Operation::WithdrawContract(WithdrawContract { package: logging().package, running }),
    |world, running| Operation::BanHost(BanHost { host: world.host.name, running }),
    |_, running| Operation::RetireProvider(RetireProvider { sha256: file("logger"), running }),
    |_, running| Operation::RetireComponent(RetireComponent { id: "cart".parse().unwrap(), running }),
    |_, running| {
        let (component, package) = ("cart".parse().unwrap(), logging().package);
        Operation::DeleteLink(DeleteLink { component, package, name: unnamed(), accept_default: false, running })
    },
];

#[test]
fn t26_each_narrowing_act_reaches_what_runs_on_its_ground_and_replay_says_the_same() {
    for (number, act) in ACTS.iter().enumerate() {
        for running in [Running::Keep, Running::Drain, Running::Stop] {
            let mut world = linked();
            let before = runs(&world);
            assert_eq!(lost(&world, &before), None);
            let operation = act(&world, Some(running));
            world.act(operation).unwrap();
            let since = world.ledger.head().epoch;
            assert_eq!(lost(&world, &before), Some(Lost { running, since }), "act {number}");
            // What was permitted after the act stands on newer ground.
            let after = Runs { index: since + 1, ..before.clone() };
            let after = Runs { bindings: vec![Bound { index: since + 1, ..before.bindings[0].clone() }], ..after };
            assert_eq!(lost(&world, &after), None, "act {number}");
            let mut again = Ledger::begin(&world.rows[0]).unwrap();
            for row in &world.rows[1..] {
                again.replay(row, Rejudge::Yes(&world.evidence)).unwrap();
            }
            let folded = again.state().withdrawn().of(&world.host.name, &before);
            assert_eq!(folded, Some(Lost { running, since }), "act {number}");
        }
    }
}

#[test]
fn t26_an_act_that_says_nothing_of_what_runs_leaves_it_and_one_about_another_does_not_reach_it() {
    for act in ACTS {
        let mut world = linked();
        let before = runs(&world);
        let operation = act(&world, None);
        world.act(operation).unwrap();
        assert_eq!(lost(&world, &before), None);
    }
    let mut world = linked();
    let before = runs(&world);
    let stop = Some(Running::Stop);
    let other = Pair::<Issuer>::seeded("2").name;
    let (scope, kinds) = (["acme:*".parse().unwrap()].into(), [crate::issuer::Kind::Component].into());
    world.act(Operation::AddIssuer(crate::govern::AddIssuer::vouched(other, scope, kinds, None))).unwrap();
    world.act(Operation::RevokeIssuer(RevokeIssuer { key: other, running: stop })).unwrap();
    assert_eq!(lost(&world, &before), None);
}

#[test]
fn t26_the_sternest_act_counts() {
    let mut world = linked();
    let before = runs(&world);
    world.act(ACTS[6](&world, Some(Running::Stop))).unwrap();
    let stopped = world.ledger.head().epoch;
    world.act(ACTS[5](&world, Some(Running::Drain))).unwrap();
    world.act(ACTS[4](&world, Some(Running::Keep))).unwrap();
    assert_eq!(lost(&world, &before), Some(Lost { running: Running::Stop, since: stopped }));
}
