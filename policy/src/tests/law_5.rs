//! What law 5 closed: each attack done under law 4, where it came through, and under the newest, where it does not; and
//! that what law 4 let through is judged again as it was.

use std::collections::{BTreeMap, BTreeSet};

use super::administrators::{administrator, put, threshold};
use super::histories::replay;
use super::relaxations::{OBSERVE, exception, relax};
use super::world::{NOW, Pair, World, at, component_token, contract, contract_token, file};
use crate::command::Command;
use crate::contract::Contract;
use crate::decide::LAW;
use crate::delegation::Delegation;
use crate::digest::Digest;
use crate::govern::{
    AcknowledgeClock, AddIssuer, AdminRole, BanHost, DelegateIssuer, DeleteLink, LabelHost, Operation, PublishContract,
    PutRules, RejectCommand, RemoveAdministrator, RetireIssuer, Waiver, Weighty, WithdrawContract,
};
use crate::issuer::Kind;
use crate::key::{Component, Host, Issuer, Name};
use crate::log::Rejudge;
use crate::provider::Subject;
use crate::reason::{Reason, Refusal};
use crate::rules::RulesText;
use crate::wire::Nonce;
use crate::withdrawal::Running;

const BEFORE: u64 = 4;

fn reason(verdict: Result<(), Refusal>) -> Option<Reason> {
    verdict.err().map(|refusal| refusal.reason)
}

fn replayed(world: &World) {
    for rejudge in [Rejudge::No, Rejudge::Yes(&world.evidence)] {
        assert_eq!(replay(world, rejudge).head(), world.ledger.head());
    }
}

/// What comes of an attack under the law before, and under the newest.
fn comes_of<T>(attack: impl Fn(&mut World) -> T) -> [T; 2] {
    [BEFORE, LAW].map(|law| {
        let mut world = World::with_builtin_under(law);
        let came = attack(&mut world);
        replayed(&world);
        came
    })
}

/// Alice, bob and eve, all operators; these classes take two.
fn of_three(world: &mut World, classes: &[Weighty]) {
    world.act(put("1", Some("alice"), &AdminRole::ALL)).unwrap();
    world.act(put("2", Some("bob"), &[AdminRole::Operator])).unwrap();
    world.act(put("3", Some("eve"), &[AdminRole::Operator])).unwrap();
    let mut all = classes.to_vec();
    all.sort();
    let put: Vec<_> = all.into_iter().map(|class| threshold(class, 2)).collect();
    let (id, _) = world.act_as("1", put, &[]);
    world.approve_as("2", id).unwrap();
}

fn rejected(world: &mut World, by: &str, id: Nonce) -> Option<Reason> {
    reason(world.act_as(by, vec![Operation::RejectCommand(RejectCommand { id })], &[]).1)
}

fn initech(world: &mut World) -> Pair<Issuer> {
    let (pair, kinds) = (Pair::<Issuer>::seeded("initech"), [Kind::Component, Kind::Provider, Kind::Contract].into());
    let issuer = AddIssuer::vouched(pair.name, ["wasi:*".parse().unwrap()].into(), kinds, None);
    world.act(Operation::AddIssuer(issuer)).unwrap();
    pair
}

fn publishing(owner: &Pair<Issuer>, contract: &Contract, waivers: &[Waiver]) -> (Operation, Vec<u8>) {
    let token = contract_token(owner, contract);
    let (package, waivers) = (contract.sub.clone(), waivers.iter().copied().collect());
    (Operation::PublishContract(PublishContract { package, sha256: Digest::of(&token), waivers }), token)
}

fn published(world: &mut World, owner: &Pair<Issuer>, revision: u64, waivers: &[Waiver]) -> Option<Reason> {
    let (operation, token) = publishing(owner, &contract(owner, revision), waivers);
    reason(world.act_as("1", vec![operation], &[token]).1)
}

#[test]
fn t79_nobody_turns_down_what_is_about_themselves() {
    let attack = |world: &mut World| {
        of_three(world, &[Weighty::IssuerAdd]);
        let remove = Operation::RemoveAdministrator(RemoveAdministrator { key: administrator("3") });
        let lessen = put("3", None, &[AdminRole::Viewer]);
        [remove, lessen].map(|operation| {
            let (id, _) = world.act_as("1", vec![operation], &[]);
            let turned_down = rejected(world, "3", id);
            // Bob and the author may, whatever it is about.
            assert!(turned_down.is_none() || rejected(world, "2", id).is_none());
            turned_down
        })
    };
    assert_eq!(comes_of(attack), [[None, None], [Some(Reason::RoleMissing); 2]]);
    // Another key of the same person is the same person; what is about others is anybody's to turn down, as ever.
    let mut world = World::with_builtin();
    world.act(put("4", Some("eve"), &[AdminRole::Operator])).unwrap();
    of_three(&mut world, &[Weighty::IssuerAdd]);
    let remove = |seed| Operation::RemoveAdministrator(RemoveAdministrator { key: administrator(seed) });
    let (id, _) = world.act_as("1", vec![remove("3")], &[]);
    assert_eq!(rejected(&mut world, "4", id), Some(Reason::RoleMissing));
    world.approve_as("2", id).unwrap();
    let (id, _) = world.act_as("1", vec![put("2", None, &[AdminRole::Viewer])], &[]);
    assert_eq!(rejected(&mut world, "4", id), None);
    replayed(&world);
}

#[test]
fn t18_an_observed_start_takes_no_id_of_a_provider() {
    let attack = |world: &mut World| {
        world.admit_provider("store").unwrap();
        relax(world, "all", OBSERVE);
        let stranger = Pair::seeded("stranger");
        let mut asked = world.request().with_claims(component_token(&stranger, "fresh", None));
        asked.request.runs.id = "store".parse().unwrap();
        asked.request.runs.subject = Subject::Component(Pair::<Component>::seeded("fresh").name);
        asked.request.runs.sha256 = file("fresh");
        world.ask(&asked).unwrap().decision().refusal().map(|refusal| refusal.reason)
    };
    assert_eq!(comes_of(attack), [None, Some(Reason::ComponentIdNotYours)]);
}

#[test]
fn t18_t29_a_contract_is_its_owners_until_it_is_taken_over() {
    let attack = |world: &mut World| {
        let (acme, initech) = (Pair::<Issuer>::seeded("1"), initech(world));
        let highest = (1 << 53) - 1;
        let burned = published(world, &initech, highest, &[]);
        (burned, published(world, &acme, 2, &[]))
    };
    let burned = (None, Some(Reason::ContractDowngrade));
    assert_eq!(comes_of(attack), [burned, (Some(Reason::SubjectOwned), None)]);
    // What was let pass on purpose is recorded as that, weighs as a weakening, and counts revisions anew.
    let mut world = World::with_builtin();
    let (acme, initech) = (Pair::<Issuer>::seeded("1"), initech(&mut world));
    assert_eq!(published(&mut world, &acme, 9, &[]), None);
    assert_eq!(published(&mut world, &initech, 1, &[Waiver::TakeOver]), None);
    assert_eq!(published(&mut world, &acme, 10, &[]), Some(Reason::SubjectOwned));
    assert_eq!(published(&mut world, &initech, 1, &[]), Some(Reason::ContractDowngrade));
    assert_eq!(published(&mut world, &initech, 1, &[Waiver::Downgrade]), None);
    of_three(&mut world, &[Weighty::Weakening]);
    assert_eq!(published(&mut world, &acme, 1, &[Waiver::TakeOver]), Some(Reason::PendingApproval));
    assert_eq!(published(&mut world, &initech, 2, &[]), None, "its owner's next revision takes one, as ever");
    replayed(&world);
}

#[test]
fn t79_what_was_withdrawn_comes_back_as_a_weakening() {
    let attack = |world: &mut World| {
        of_three(world, &[Weighty::Weakening]);
        let package = contract(&Pair::seeded("1"), 1).sub;
        world.act(Operation::WithdrawContract(WithdrawContract { package, running: None })).unwrap();
        published(world, &Pair::seeded("1"), 2, &[])
    };
    assert_eq!(comes_of(attack), [None, Some(Reason::PendingApproval)]);
}

#[test]
fn t26_an_exception_for_a_file_is_for_no_other_and_for_no_contract() {
    let attack = |world: &mut World| {
        let mut expired = contract(&world.issuer, 2);
        expired.exp = Some(at(NOW + 10));
        world.publish(&expired).unwrap();
        world.now_ms += 20_000;
        let asked = world.request();
        relax(world, "cart", exception(asked.request.runs.sha256, Reason::Expired));
        world.ask(&asked).unwrap().decision().refusal().map(|refusal| refusal.reason)
    };
    assert_eq!(comes_of(attack), [None, Some(Reason::Expired)]);
}

#[test]
fn t79_rules_are_not_escaped_by_another_label_that_one_signed() {
    let attack = |world: &mut World| {
        let text = RulesText::parse("forbid nothing").unwrap();
        world.ledger = world.ledger.clone().reading_rules(std::sync::Arc::new(super::rules::Words));
        world.act(Operation::PutRules(PutRules { text })).unwrap();
        of_three(world, &[Weighty::Weakening]);
        let labels = BTreeMap::from([("environment".to_owned(), "staging".to_owned())]);
        let label = LabelHost { host: world.host.name, labels };
        reason(world.act_as("1", vec![Operation::LabelHost(label)], &[]).1)
    };
    let came = [BEFORE, LAW].map(|law| attack(&mut World::with_builtin_under(law)));
    assert_eq!(came, [None, Some(Reason::PendingApproval)]);
}

#[test]
fn t79_lending_a_say_takes_as_many_as_adding_an_issuer() {
    let attack = |world: &mut World| {
        of_three(world, &[Weighty::IssuerAdd]);
        let from = Pair::<Issuer>::seeded("1");
        let lent = Delegation {
            iss: from.name,
            aud: world.ledger.state().lattice().clone(),
            inception_sha256: None,
            sub: Pair::<Issuer>::seeded("delegate").name,
            scope: BTreeSet::from(["*".parse().unwrap()]),
            kinds: BTreeSet::from([Kind::Component]),
            iat: at(NOW),
            exp: at(NOW + 3600),
        };
        let token = from.state(lent.draft());
        let publish = DelegateIssuer { key: lent.sub, sha256: Digest::of(&token) };
        reason(world.act_as("1", vec![Operation::DelegateIssuer(publish)], &[token]).1)
    };
    assert_eq!(comes_of(attack), [None, Some(Reason::PendingApproval)]);
}

#[test]
fn t26_what_retires_later_closes_nothing_now() {
    let attack = |world: &mut World| {
        let retire = |at| RetireIssuer { key: Pair::<Issuer>::seeded("1").name, at, running: Some(Running::Stop) };
        let later = reason(world.act(Operation::RetireIssuer(retire(Some(at(NOW + 86_400))))));
        (later, reason(world.act(Operation::RetireIssuer(retire(None)))))
    };
    assert_eq!(comes_of(attack), [(None, None), (Some(Reason::SchemaMismatch), None)]);
}

#[test]
fn t22_what_was_signed_before_the_clock_was_acknowledged_is_not_done_twice() {
    let attack = |world: &mut World| {
        let host = world.host.name;
        let labelled = |world: &mut World, zone: &str| {
            let labels = BTreeMap::from([("zone".to_owned(), zone.to_owned())]);
            world.act(Operation::LabelHost(LabelHost { host, labels })).unwrap();
        };
        // Somebody hears a command that only takes away, which its signer left open for days.
        world.admit_provider("store").unwrap();
        world.link("store", "default").unwrap();
        let link = super::world::put_to("store");
        let delete = DeleteLink {
            component: link.component,
            package: link.package,
            name: link.name,
            accept_default: false,
            running: None,
        };
        let command = world.command(vec![Operation::DeleteLink(delete)]);
        let heard = Command { not_after: command.iat.plus(6 * 86_400), ..command };
        let heard = world.administrator.seal(&heard, &[]);
        assert_eq!(reason(world.govern(&heard)), None);
        // The clock runs years ahead, something is recorded, and it is set right.
        world.now_ms += 3_600_000_000_000;
        labelled(world, "b");
        world.now_ms -= 3_600_000_000_000 - 60_000;
        let now = at(world.now_ms / 1000);
        world.act(Operation::AcknowledgeClock(AcknowledgeClock { now })).unwrap();
        world.link("store", "default").unwrap();
        reason(world.govern(&heard))
    };
    assert_eq!(comes_of(attack), [None, Some(Reason::Superseded)]);
}

#[test]
fn t25_a_plan_is_carried_out_at_its_own_epoch_or_not_at_all() {
    let mut world = World::with_builtin();
    let ban = |host: Name<Host>| Operation::BanHost(BanHost { host, running: None });
    let host = world.host.name;
    let planned = |world: &mut World, planned| Command { planned: Some(planned), ..world.command(vec![ban(host)]) };
    let epoch = world.ledger.head().epoch;
    for stale in [0, epoch - 1, epoch + 1] {
        let command = planned(&mut world, stale);
        assert_eq!(reason(world.submit(command, &[])), Some(Reason::Superseded), "{stale} of {epoch}");
    }
    let command = planned(&mut world, epoch);
    assert_eq!(reason(world.submit(command, &[])), None);
    replayed(&world);
}
