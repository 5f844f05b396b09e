//! Documents over the wire: one type is never another, and what was altered does not verify.

use super::world::{Pair, World};
use crate::command::Command;
use crate::digest::Digest;
use crate::envelope::Unverified;
use crate::key::{Component, Issuer};
use crate::question::StartRequest;
use crate::reason::Reason;

#[test]
fn t09_a_document_of_one_type_is_none_of_another() {
    let mut world = World::new();
    let asked = world.request();
    let start = world.host.seal(&asked.request, &asked.attachments);
    assert_eq!(Unverified::<Command>::parse(&start).unwrap_err().reason, Reason::TokenHeader);
    assert_eq!(
        crate::claims::read_component(start.split(|b| *b == b'\n').next().unwrap()).unwrap_err().reason,
        Reason::TokenHeader
    );
    let claims = super::world::component_token(&world.issuer, "cart", None);
    assert_eq!(Unverified::<StartRequest>::parse(&claims).unwrap_err().reason, Reason::TokenHeader);
}

#[test]
fn attachments_are_exactly_those_that_are_named() {
    let mut world = World::new();
    let asked = world.request();
    let parse = |attachments: &[Vec<u8>]| {
        Unverified::<StartRequest>::parse(&world.host.seal(&asked.request, attachments))
            .err()
            .map(|refusal| refusal.reason)
    };
    assert_eq!(parse(&asked.attachments), None);
    let mut swapped = asked.attachments.clone();
    swapped.reverse();
    let mut extra = asked.attachments.clone();
    extra.push(b"more".to_vec());
    for wrong in [&asked.attachments[..1], &swapped, &extra] {
        assert_eq!(parse(wrong), Some(Reason::EvidenceMissing));
    }
}

#[test]
fn t02_every_flipped_byte_of_a_request_is_refused() {
    let mut world = World::new();
    let asked = world.request();
    let bytes = world.host.seal(&asked.request, &asked.attachments);
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        let verdict = Unverified::<StartRequest>::parse(&altered)
            .and_then(|request| request.verify(world.ledger.state().host_keys()));
        assert!(verdict.is_err(), "byte {index}");
    }
}

#[test]
fn t07_a_document_has_a_size() {
    let big = vec![b'A'; 300 * 1024];
    assert_eq!(Unverified::<StartRequest>::parse(&big).unwrap_err().reason, Reason::TokenOversize);
}

#[test]
fn t14_claims_signed_by_their_own_subject_are_refused() {
    let issuer = Pair::<Issuer>::seeded("self");
    let claims = crate::claims::ComponentClaims {
        common: super::world::common(),
        subject: crate::key::Name::<Component>::from_raw(*issuer.name.raw()),
        hash: Digest::of(b""),
        tags: Vec::new(),
        call_alias: None,
        caps: None,
    };
    let draft = crate::claims::draft_component(&issuer.name, &claims);
    let signature = issuer.sign(draft.signing_input());
    let token = draft.seal(&signature);
    assert_eq!(crate::claims::read_component(token.as_bytes()).unwrap_err().reason, Reason::SelfSigned);
}
