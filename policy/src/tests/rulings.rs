//! Ruling vectors: a log, its evidence and a request → the entry that must come out. The file name is the claim.
//!
//! Each file stands alone, so that another implementation of the law can be held to it. Written anew like the documents
//! of `examples.rs`.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::examples::{root, same_or_bless};
use super::world::{
    Asked, NOW, Pair, World, at, common, component_token, component_token_with, contract, file, import, logging,
    unnamed,
};
use crate::decide::Facts;
use crate::digest::Digest;
use crate::envelope::{Afresh, Unverified};
use crate::examine;
use crate::govern::{
    BanHost, Bind, DeleteLink, Operation, PutRelaxation, RetireComponent, RetireProvider, RevokeIssuer,
    WithdrawContract,
};
use crate::key::Issuer;
use crate::log::{Ledger, Rejudge};
use crate::provider::Subject;
use crate::question::{Offer, StartRequest};
use crate::relax::{StoodIn, Weakening};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    log: Vec<String>,
    evidence: BTreeMap<Digest, String>,
    request: String,
    now_ms: u64,
    ruling: String,
}

type Scenario = (&'static str, World, Asked);

fn scenario(name: &'static str, mut world: World, change: impl FnOnce(&mut World, Asked) -> Asked) -> Scenario {
    let asked = world.request();
    let asked = change(&mut world, asked);
    (name, world, asked)
}

fn after(operation: impl FnOnce(&World) -> Operation) -> World {
    let mut world = World::with_builtin();
    let operation = operation(&world);
    world.act(operation).unwrap();
    world
}

fn linked() -> World {
    let mut world = World::with_builtin();
    world.admit_provider("logger").unwrap();
    world.link("logger", "default").unwrap();
    world
}

fn unlinked(accept_default: bool) -> World {
    let mut world = linked();
    let (component, package) = ("cart".parse().unwrap(), logging().package);
    world
        .act(Operation::DeleteLink(DeleteLink { component, package, name: unnamed(), accept_default, running: None }))
        .unwrap();
    world
}

const OBSERVE_ALL: Weakening = Weakening::Observe { package: None };

fn relax(world: &mut World, kind: Weakening) {
    let (id, until) = ("trial".parse().unwrap(), at(NOW + 600));
    let put = PutRelaxation { id, kind, until, reason: "a trial".to_owned() };
    world.act(Operation::PutRelaxation(put)).unwrap();
}

// The owner's newest contract lists nobody who may provide it.
fn observed(kind: Weakening) -> World {
    let mut world = World::with_builtin();
    let mut narrow = contract(&world.issuer, 2);
    narrow.providers.subjects.clear();
    world.publish(&narrow).unwrap();
    relax(&mut world, kind);
    world
}

fn same(_: &mut World, asked: Asked) -> Asked {
    asked
}

fn scenarios() -> Vec<Scenario> {
    let package = || logging().package;
    let stranger = || component_token(&Pair::<Issuer>::seeded("stranger"), "cart", None);
    vec![
        scenario("a_builtin_answers_where_no_link_does", World::with_builtin(), same),
        scenario("a_link_beats_the_builtin", linked(), same),
        scenario("a_deleted_link_is_not_replaced_by_the_builtin", unlinked(false), same),
        scenario("an_accepted_default_answers_again", unlinked(true), same),
        scenario("without_a_contract_nothing_answers", World::new(), same),
        scenario(
            "a_withdrawn_contract_binds_nothing",
            after(|_| Operation::WithdrawContract(WithdrawContract { package: package(), running: None })),
            same,
        ),
        scenario(
            "never_means_never",
            {
                let mut world = World::with_builtin();
                world.default(Bind::Never).unwrap();
                world
            },
            same,
        ),
        scenario(
            "a_default_ends_when_the_contract_takes_it_back",
            {
                let mut world = World::with_builtin();
                let mut strict = contract(&world.issuer, 2);
                strict.defaultable = false;
                world.publish(&strict).unwrap();
                world
            },
            same,
        ),
        scenario("a_builtin_that_the_host_does_not_offer_cannot_answer", World::with_builtin(), |_, asked| {
            asked.with_offers(Vec::new())
        }),
        scenario(
            "two_builtins_are_ambiguous",
            {
                let mut world = World::with_builtin();
                world.admit_provider("logger").unwrap();
                world
            },
            |_, asked| {
                let logger = Offer { subject: Subject::Component(Pair::seeded("logger").name), sha256: file("logger") };
                asked.with_offers(vec![super::world::offer("native/logging@0.1.0"), logger])
            },
        ),
        scenario("an_unknown_issuer_is_refused", World::with_builtin(), |_, asked| asked.with_claims(stranger())),
        scenario("a_forged_signature_is_a_recorded_refusal", World::with_builtin(), |world, asked| {
            let mut token = component_token(&world.issuer, "cart", None);
            let last = token.len() - 3;
            token[last] = if token[last] == b'A' { b'B' } else { b'A' };
            asked.with_claims(token)
        }),
        scenario(
            "a_revoked_issuer_is_refused_whatever_the_date",
            after(|world| Operation::RevokeIssuer(RevokeIssuer { key: world.issuer.name, running: None })),
            same,
        ),
        scenario("expired_claims_are_refused", World::with_builtin(), |world, asked| {
            let mut expired = common();
            expired.validity.exp = Some(at(NOW - 1));
            let token = component_token_with(&world.issuer, "cart", None, expired);
            asked.with_claims(token)
        }),
        scenario("an_import_that_older_claims_do_not_list_is_refused", World::with_builtin(), |world, asked| {
            let token = component_token(&world.issuer, "cart", Some(vec!["wasmcloud:keyvalue"]));
            asked.with_claims(token)
        }),
        scenario("an_id_that_was_never_admitted_is_refused", World::with_builtin(), |_, mut asked| {
            asked.request.runs.id = "till".parse().unwrap();
            asked
        }),
        scenario(
            "an_id_is_not_taken_over_by_another_trusted_issuer",
            {
                let mut world = World::with_builtin();
                world.issuer = Pair::seeded("second");
                world.trust(&["*"]);
                world
            },
            same,
        ),
        scenario(
            "a_retired_id_is_refused",
            after(|_| Operation::RetireComponent(RetireComponent { id: "cart".parse().unwrap(), running: None })),
            same,
        ),
        scenario(
            "a_banned_host_is_refused",
            after(|world| Operation::BanHost(BanHost { host: world.host.name, running: None })),
            same,
        ),
        scenario(
            "a_retired_provider_is_not_replaced_by_the_builtin",
            {
                let mut world = linked();
                world.act(Operation::RetireProvider(RetireProvider { sha256: file("logger"), running: None })).unwrap();
                world
            },
            same,
        ),
        scenario("another_track_is_not_covered", World::with_builtin(), |_, mut asked| {
            asked.request.imports = vec![import("wasi:logging", "0.2.0", &["logging"])];
            asked
        }),
        scenario(
            "a_provider_outside_the_contract_is_refused",
            {
                let mut world = linked();
                let mut narrow = contract(&world.issuer, 2);
                narrow.providers.issuers.clear();
                world.publish(&narrow).unwrap();
                world
            },
            same,
        ),
        scenario("an_observed_refusal_is_a_permit_that_names_it", observed(OBSERVE_ALL), same),
        scenario(
            "an_observed_lattice_still_refuses_what_was_removed",
            {
                let mut world = unlinked(false);
                relax(&mut world, OBSERVE_ALL);
                world
            },
            same,
        ),
        scenario(
            "a_permit_of_what_is_named_has_a_standby_permit",
            {
                let mut world = World::with_builtin();
                let (components, sha256) = (["cart".parse().unwrap()].into(), [file("cart")].into());
                let kind = Weakening::Standby { components, sha256, hosts: [world.host.name].into(), life_s: 3600 };
                relax(&mut world, kind);
                world
            },
            |_, mut asked| {
                let (relaxation, id) = ("nights".parse().unwrap(), "cart".parse().unwrap());
                let used = StoodIn { relaxation, id, sha256: file("cart"), index: 3, at: at(NOW - 60) };
                asked.request.stood_in = vec![used];
                asked
            },
        ),
        scenario("another_lattice_is_refused", World::with_builtin(), |_, mut asked| {
            asked.request.aud = "other".parse().unwrap();
            asked
        }),
    ]
}

fn vector((_, mut world, asked): Scenario) -> Vector {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let log = world.rows.iter().map(|row| text(row)).collect();
    let evidence = world.evidence.iter().map(|(sha256, bytes)| (*sha256, BASE64.encode(bytes))).collect();
    let request = BASE64.encode(&world.host.seal(&asked.request, &asked.attachments));
    world.ask(&asked).unwrap();
    Vector { log, evidence, request, now_ms: world.now_ms, ruling: text(world.rows.last().unwrap()) }
}

#[test]
fn each_scenario_is_the_vector_of_its_name() {
    for scenario in scenarios() {
        let name = format!("{}.json", scenario.0);
        let mut text = serde_json::to_vec_pretty(&vector(scenario)).unwrap();
        text.push(b'\n');
        same_or_bless(&root().join("tests/vectors/rulings").join(name), &text);
    }
}

#[test]
fn each_vector_comes_out_as_it_says() {
    let mut count = 0;
    for file in std::fs::read_dir(root().join("tests/vectors/rulings")).unwrap() {
        let path = file.unwrap().path();
        let vector: Vector = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let evidence: BTreeMap<Digest, Vec<u8>> =
            vector.evidence.iter().map(|(sha256, bytes)| (*sha256, BASE64.decode(bytes.as_bytes()).unwrap())).collect();
        let mut ledger = Ledger::begin(vector.log[0].as_bytes()).unwrap();
        for row in &vector.log[1..] {
            ledger.replay(row.as_bytes(), Rejudge::Yes(&evidence)).unwrap();
        }
        let request = Unverified::<StartRequest>::parse(&BASE64.decode(vector.request.as_bytes()).unwrap()).unwrap();
        let examined = examine::start(request.verify(ledger.state().host_keys()).unwrap(), &Afresh).unwrap();
        let step = ledger.rule(examined, Facts::default(), vector.now_ms);
        assert_eq!(String::from_utf8(step.bytes).unwrap(), vector.ruling, "{}", path.display());
        count += 1;
    }
    assert_eq!(count, scenarios().len());
}
