//! Links with pins at both ends: what suspends one, what lifts that, and how one is switched and switched back.

use super::world::{Pair, World, common, component_token_with, file, put_to};
use crate::claims::Common;
use crate::decide::Decision;
use crate::govern::{
    Beside, Checked, LinkKey, LinkRecord, Operation, Pin, PinnedIssuer, PutLink, RetireProvider, Schemas,
};
use crate::key::Issuer;
use crate::reason::Reason;
use crate::resolve::By;

fn linked() -> World {
    let mut world = World::with_builtin();
    world.admit_provider("logger").unwrap();
    world
}

fn pinned(pin: Pin) -> PutLink {
    PutLink { pin: Some(pin), ..put_to("logger") }
}

fn record(world: &World) -> LinkRecord {
    let PutLink { component, package, name, .. } = put_to("logger");
    world.ledger.state().links()[&LinkKey { component, package, name }].record().clone()
}

// What answers, and by which bytes; or why nothing may.
fn answered(world: &mut World) -> Result<(By, crate::digest::Digest), Reason> {
    match world.start().decision().clone() {
        Decision::Permitted(outcomes) => {
            let grant = outcomes[0].grant.clone().unwrap();
            Ok((grant.by, grant.sha256))
        }
        Decision::Relaxed { .. } => panic!("nothing is relaxed here"),
        Decision::Refused { refusal, .. } => Err(refusal.reason),
    }
}

#[test]
fn t29_a_pinned_provider_that_is_admitted_anew_suspends_its_link_and_no_default_answers() {
    let mut world = linked();
    world.put(pinned(Pin::Sha256(file("logger")))).unwrap();
    assert_eq!(answered(&mut world), Ok((By::Link, file("logger"))));
    let new = world.revise("logger", 4).unwrap();
    // The builtin stands ready all the while (I5).
    assert_eq!(answered(&mut world), Err(Reason::LinkSuspended));
    world.accept().unwrap();
    assert_eq!(answered(&mut world), Ok((By::Link, new)));
    assert_eq!((record(&world).pin, record(&world).revision), (Some(Pin::Sha256(new)), 2));
    assert_eq!(world.accept().unwrap_err().reason, Reason::AlreadyExists);
}

#[test]
fn a_link_without_a_pin_keeps_the_bytes_it_names() {
    let mut world = linked();
    world.link("logger", "default").unwrap();
    world.revise("logger", 4).unwrap();
    assert_eq!(answered(&mut world), Ok((By::Link, file("logger"))));
}

#[test]
fn the_old_end_put_back_lifts_the_suspension_too() {
    let mut world = linked();
    world.put(pinned(Pin::Sha256(file("logger")))).unwrap();
    let new = world.revise("logger", 4).unwrap();
    world.act(Operation::RetireProvider(RetireProvider { sha256: new, running: None })).unwrap();
    assert_eq!(answered(&mut world), Ok((By::Link, file("logger"))));
}

#[test]
fn t29_a_range_of_revisions_is_followed_to_its_ends_and_no_further() {
    let mut world = linked();
    let three = world.revise("logger", 3).unwrap();
    let key = world.issuer.name;
    let range = Pin::Issuer(PinnedIssuer { key, from: Some(3), to: Some(7) });
    world.put(PutLink { sha256: three, ..pinned(range) }).unwrap();
    assert_eq!(answered(&mut world), Ok((By::Link, three)));
    for (rev, expected) in [(7, Ok(())), (8, Err(Reason::LinkSuspended))] {
        let bytes = world.revise("logger", rev).unwrap();
        assert_eq!(answered(&mut world), expected.map(|()| (By::Link, bytes)), "revision {rev}");
    }
    world.accept().unwrap();
    assert_eq!(record(&world).pin, Some(Pin::Issuer(PinnedIssuer { key, from: Some(3), to: Some(8) })));
}

#[test]
fn a_pin_that_does_not_hold_what_it_is_put_on_is_refused() {
    let mut world = linked();
    let stranger = Pair::<Issuer>::seeded("stranger").name;
    let pins = [Pin::Sha256(file("archive")), Pin::Issuer(PinnedIssuer { key: stranger, from: None, to: None })];
    for pin in pins {
        assert_eq!(world.put(pinned(pin.clone())).unwrap_err().reason, Reason::LinkSuspended);
        let put = PutLink { component_pin: Some(pin), ..put_to("logger") };
        assert_eq!(world.put(put).unwrap_err().reason, Reason::LinkSuspended);
    }
}

#[test]
fn t29_other_bytes_of_a_pinned_component_are_refused_until_they_are_admitted_and_accepted() {
    let mut world = linked();
    let pin = Some(Pin::Sha256(file("cart")));
    world.put(PutLink { component_pin: pin, ..put_to("logger") }).unwrap();
    assert!(answered(&mut world).is_ok());
    // The same subject by its own issuer, in other bytes: it may start, but not by this link.
    let revised = Common { rev: Some(9), ..common() };
    let token = component_token_with(&world.issuer, "cart", None, revised);
    let mut asked = world.request().with_claims(token.clone());
    asked.request.runs.sha256 = file("cart 9");
    let ruling = world.ask(&asked).unwrap();
    assert_eq!(ruling.decision().refusal().unwrap().reason, Reason::LinkSuspended);
    // What nobody admitted cannot be accepted.
    assert_eq!(world.accept().unwrap_err().reason, Reason::AlreadyExists);
}

#[test]
fn a_switch_goes_there_and_back_and_each_stage_is_a_revision() {
    let mut world = linked();
    world.link("logger", "default").unwrap();
    world.admit_provider("archive").unwrap();
    world.switch(0, "archive").unwrap();
    assert_eq!(answered(&mut world), Ok((By::Link, file("logger"))), "prepared answers nothing");
    world.switch(2, "").unwrap();
    assert_eq!(answered(&mut world), Ok((By::Link, file("archive"))));
    assert!(matches!(record(&world).beside.as_deref(), Some(Beside::Kept(end)) if end.sha256 == file("logger")));
    world.switch(3, "").unwrap();
    assert_eq!(answered(&mut world), Ok((By::Link, file("logger"))));
    world.switch(2, "").unwrap();
    world.switch(4, "").unwrap();
    assert_eq!(answered(&mut world), Ok((By::Link, file("archive"))));
    assert_eq!((record(&world).beside, record(&world).revision), (None, 6));
    assert_eq!(world.switch(3, "").unwrap_err().reason, Reason::NotFound, "what was let go does not come back");
}

#[test]
fn nothing_is_prepared_or_cut_over_to_that_a_start_would_refuse() {
    let mut world = linked();
    world.link("logger", "default").unwrap();
    assert_eq!(world.switch(2, "").unwrap_err().reason, Reason::NotFound, "nothing was prepared");
    assert_eq!(world.switch(0, "archive").unwrap_err().reason, Reason::ProviderUnknown);
    assert_eq!(world.switch(0, "logger").unwrap_err().reason, Reason::AlreadyExists);
    world.admit_provider("archive").unwrap();
    world.switch(0, "archive").unwrap();
    // Between the stages the new end goes away.
    world.act(Operation::RetireProvider(RetireProvider { sha256: file("archive"), running: None })).unwrap();
    assert_eq!(world.switch(2, "").unwrap_err().reason, Reason::ProviderRetired);
    assert_eq!(answered(&mut world), Ok((By::Link, file("logger"))));
}

#[test]
fn t48_the_brokers_word_on_a_configuration_is_recorded_and_replayed() {
    let mut world = linked();
    let mut contract = super::world::contract(&world.issuer, 2);
    contract.config = crate::contract::Configuration::Optional;
    contract.config_schema_sha256 = Some(file("schema"));
    world.publish(&contract).unwrap();
    let put = PutLink { config_sha256: Some(file("values")), ..put_to("logger") };
    let bad = |reason| {
        let schemas = Schemas { contract: Some(file("schema")), provider: None };
        Checked { operation: 0, schemas, reason, detail: reason.map(|_| "`/bucket`: type".to_owned()) }
    };
    for (found, expected) in [
        (bad(Some(Reason::ConfigMismatch)), Err(Reason::ConfigMismatch)),
        (Checked { schemas: Schemas::default(), ..bad(None) }, Err(Reason::Superseded)),
        (bad(None), Ok(())),
    ] {
        let command = world.command(vec![Operation::PutLink(put.clone())]);
        let judged = world.submit_knowing(command, &[], vec![found]);
        assert_eq!(judged.map_err(|refusal| refusal.reason), expected);
    }
    super::histories::replay(&world, crate::log::Rejudge::Yes(&world.evidence));
    assert!(answered(&mut world).is_ok());
    // With another schema the old verdict says nothing.
    contract.revision = 3;
    contract.config_schema_sha256 = Some(file("another"));
    world.publish(&contract).unwrap();
    assert_eq!(answered(&mut world), Err(Reason::LinkSuspended));
}
