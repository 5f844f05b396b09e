//! The documents of the wire, from their bytes to what is recorded of them.
//!
//! An input is a token with its attachments, or else the bare payload on its first line and each attachment's on the
//! next: those are given the right header and, once they have a type, the right signer and a genuine signature.

use std::fmt::Debug;

use data_encoding::BASE64URL_NOPAD;
use policy::answer::{Receipt, StartAnswer, View};
use policy::command::Command;
use policy::decide::{Facts, decide};
use policy::digest::Digest;
use policy::envelope::{Afresh, Document, Draft, Unverified};
use policy::examine;
use policy::explain::{explain, fix};
use policy::govern::Operation;
use policy::growth::{Grown, Growth};
use policy::inventory::HostInventory;
use policy::join::{InviteProof, Join, Possession};
use policy::json as reader;
use policy::lineage::{Changes, Lineage};
use policy::log::Observed;
use policy::query::Query;
use policy::question::{Question, StartRequest};
use policy::root::RootChange;
use policy::warrant::{DecisionKeys, Warrant};
use policy::withdrawal::Withdrawals;

use super::court::{
    CONTRACT_HEADER, DELEGATION_HEADER, NOW, POSSESSION_HEADER, WASCAP_HEADER, at, court, issue_bytes, lattice, name,
    recorded, seal, sealed,
};
use super::json::meaning;

/// A host's request, decided.
pub(super) fn question(bytes: &[u8]) {
    let Some((mut request, rest)) = read::<StartRequest>(bytes) else { return };
    request.iss = name();
    let mut attachments = Vec::new();
    if request.runs.claims_sha256.is_some() {
        let claims = rest.first().map_or_else(Vec::new, |line| statement(line));
        request.runs.claims_sha256 = Some(Digest::of(&claims));
        attachments.push(claims);
    }
    attachments.push(rest.last().cloned().unwrap_or_default());
    request.inventory_sha256 = attachments.last().map_or(request.inventory_sha256, |line| Digest::of(line));
    let Ok(request) = Unverified::<StartRequest>::parse(&seal(&request, &attachments)) else { return };
    let mut ledger = court().ledger.clone();
    let request = request.verify(ledger.state().host_keys()).expect("signed by an enrolled host");
    let Ok(examined) = examine::start(request, &Afresh) else { return };
    let asked = Question::signed(&examined);
    let now = at(NOW);
    let first = decide(ledger.state(), &asked, &Facts::default(), now);
    assert_eq!(explain(ledger.state(), &asked, &Facts::default(), now).decision, first);
    let mended = fix(ledger.state(), &asked, now);
    assert!(first.refusal().is_some() || (mended.acts.is_empty() && mended.still.is_none()));
    let step = ledger.rule(examined, Facts::default(), NOW * 1000);
    assert_eq!(*step.outcome.decision(), first);
    recorded(&court().ledger, step);
}

/// An administrator's command, judged.
pub(super) fn command(bytes: &[u8]) {
    let Some((mut command, rest)) = read::<Command>(bytes) else { return };
    command.iss = name();
    let statements: Vec<_> = rest.iter().map(|line| statement(line)).collect();
    command.statements = statements.iter().map(|token| Digest::of(token)).collect();
    // Operations speak of the statements in their order.
    let mut digests = command.statements.clone().into_iter();
    for operation in &mut command.operations {
        match operation {
            Operation::AdmitComponent(admit) => admit.claims_sha256 = digests.next().unwrap_or(admit.claims_sha256),
            Operation::AdmitProvider(admit) if admit.claims_sha256.is_some() => {
                admit.claims_sha256 = digests.next().or(admit.claims_sha256);
            }
            Operation::DelegateIssuer(delegate) => delegate.sha256 = digests.next().unwrap_or(delegate.sha256),
            Operation::ActivateIssuer(activate) => activate.proof_sha256 = digests.next().or(activate.proof_sha256),
            Operation::RotateIssuer(rotate) => rotate.proof_sha256 = digests.next().or(rotate.proof_sha256),
            Operation::PublishContract(publish) => publish.sha256 = digests.next().unwrap_or(publish.sha256),
            _ => {}
        }
    }
    let Ok(command) = Unverified::<Command>::parse(&seal(&command, &statements)) else { return };
    let mut ledger = court().ledger.clone();
    let command = command.verify(ledger.state().administrators()).expect("signed by the administrator");
    let examined = examine::command(command);
    let judged = ledger.state().handle(&examined, at(NOW));
    assert_eq!(judged, ledger.state().handle(&examined, at(NOW)));
    let step = ledger.govern(&examined, NOW * 1000);
    let told = judged.and_then(|handled| handled.lack.map_or(Ok(()), |lack| Err(lack.refusal())));
    assert_eq!(step.outcome, told);
    recorded(&court().ledger, step);
    let replayed = ledger.govern(&examined, NOW * 1000);
    assert!(replayed.outcome.is_err(), "a command is judged once");
}

/// The broker's answer.
pub(super) fn answer(bytes: &[u8]) {
    let Some((mut answer, _)) = read::<StartAnswer>(bytes) else { return };
    let keys = DecisionKeys::of(&court().warrant, at(NOW)).expect("our own warrant holds");
    (answer.iss, answer.lattice, answer.warrant_sha256) = (name(), lattice(), court().warrant.sha256());
    let token = seal(&answer, &[court().warrant.token().to_vec()]);
    if token.len() > StartAnswer::MAX_BYTES {
        return;
    }
    let Some(opened) = sealed::<StartAnswer>(&token) else { return };
    let opened = opened.verify(&keys).expect("signed by a key of the warrant");
    assert_eq!(*opened, answer);
    forged::<StartAnswer>(&token, |forged| forged.verify(&keys).is_err());
}

/// The documents that are left; each input is tried as every one of them.
pub(super) fn join_warrant_receipt_view(bytes: &[u8]) {
    let mut ledger = court().ledger.clone();
    read::<InviteProof>(bytes);
    if let Some((mut join, rest)) = read::<Join>(bytes) {
        join.iss = name();
        let proof = rest.first().and_then(|line| reader::read::<InviteProof>(line).ok());
        let proof = proof.map_or_else(Vec::new, |proof| seal(&InviteProof { iss: name(), ..proof }, &[]));
        join.proof_sha256 = Digest::of(&proof);
        if let Ok(join) = Unverified::<Join>::parse(&seal(&join, &[proof])) {
            let join = join.verify(&Possession).expect("signed by the key it names");
            if let Ok(examined) = examine::join(join) {
                recorded(&court().ledger, ledger.enrol(&examined, NOW * 1000));
            }
        }
    }
    if let Some((mut warrant, _)) = read::<Warrant>(bytes) {
        (warrant.iss, warrant.lattice, warrant.inception_sha256) = (name(), lattice(), court().ledger.root());
        let roots = Lineage::of(ledger.state().inception(), court().ledger.root());
        let warrant = sealed::<Warrant>(&seal(&warrant, &[]));
        if let Some(Ok(warrant)) = warrant.map(|warrant| warrant.verify(roots.today())) {
            recorded(&court().ledger, court().ledger.clone().install(&warrant, NOW * 1000));
        }
    }
    read::<Receipt>(bytes);
    read::<View>(bytes);
}

/// An administrator's look, a change of roots, what a host says it runs, and what it is told to close.
pub(super) fn query_root_inventory_withdrawals(bytes: &[u8]) {
    read::<Query>(bytes);
    read::<RootChange>(bytes);
    read::<Withdrawals>(bytes);
    read::<Growth>(bytes);
    read::<Grown>(bytes);
    if let Ok(changes) = Changes::parse(bytes) {
        assert_eq!(Changes::parse(&changes.to_bytes()).expect("what was written"), changes);
        // No root of this court signed any of them.
        let ledger = &court().ledger;
        let followed = Lineage::of(ledger.state().inception(), ledger.root()).follow_all(&changes);
        assert_eq!(followed.is_ok(), changes.is_empty());
    }
    if let Some((mut inventory, _)) = read::<HostInventory>(bytes) {
        inventory.iss = name();
        let hosts = court().ledger.state().host_keys();
        let inventory = sealed::<HostInventory>(&seal(&inventory, &[]));
        if let Some(Ok(inventory)) = inventory.map(|inventory| inventory.verify(hosts)) {
            let mut ledger = court().ledger.clone();
            recorded(
                &court().ledger,
                ledger.report(&inventory, Observed { forked: true, ..Observed::default() }, NOW * 1000),
            );
        }
    }
}

// Reads an input as a `T` and holds the reader to one reading and one canonical text.
fn read<T>(bytes: &[u8]) -> Option<(T, Vec<Vec<u8>>)>
where
    T: Document + Clone + PartialEq + Debug,
{
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    let first = lines.next().unwrap_or_default();
    let rest: Vec<_> = lines.collect();
    if first.starts_with(b"ey") {
        let parsed = Unverified::<T>::parse(bytes);
        assert_eq!(parsed.as_ref().err(), Unverified::<T>::parse(bytes).as_ref().err());
        let parsed = parsed.ok()?;
        assert_eq!(parsed.attachments(), rest.as_slice());
        let payload = first.split(|byte| *byte == b'.').nth(1)?;
        one_text::<T>(parsed.says(), &BASE64URL_NOPAD.decode(payload).ok()?);
        return Some((parsed.says().clone(), rest));
    }
    let document: T = reader::read(&first).ok()?;
    one_text::<T>(&document, &first);
    Some((document, rest))
}

fn one_text<T: Document + PartialEq + Debug>(document: &T, payload: &[u8]) {
    let written = reader::write(document);
    assert_eq!(reader::read::<T>(&written).expect("what is written reads back"), *document);
    assert_eq!(meaning(&written), meaning(payload), "the reader lost or made up something");
    let token = Draft::of(document).seal(&[0; 64]);
    assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
}

// One character of the token changed: it must not open.
fn forged<T: Document>(sealed: &[u8], shut: impl Fn(Unverified<T>) -> bool) {
    let end = sealed.iter().position(|byte| *byte == b'\n').unwrap_or(sealed.len());
    for at in [end / 3, end / 2, end.saturating_sub(40)] {
        let mut forged = sealed.to_vec();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert!(Unverified::<T>::parse(&forged).map_or(true, &shut), "a forged byte {at} opens the door");
    }
}

// A token as it is; any other line as a payload that the issuer signs.
fn statement(line: &[u8]) -> Vec<u8> {
    if line.starts_with(b"ey") {
        return line.to_vec();
    }
    let holds = |word: &[u8]| line.windows(word.len()).any(|window| window == word);
    let header = match (holds(b"wascap"), holds(b"providers"), holds(b"scope")) {
        (true, ..) => WASCAP_HEADER,
        (false, true, _) => CONTRACT_HEADER,
        (false, false, true) => DELEGATION_HEADER,
        (false, false, false) => POSSESSION_HEADER,
    };
    issue_bytes(header, line)
}
