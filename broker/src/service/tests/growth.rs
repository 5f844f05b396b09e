//! What a host has proved to it: that the log grew, over restarts and a restore, and to nobody but itself.

use policy::envelope::Unverified;
use policy::growth::{Grown, Growth, Stand};
use policy::key::Host;
use policy::log::{Checkpoint, NoteKey, Place};
use policy::reason::Reason;
use policy::wire::{FRESHNESS_S, inbox_prefix};

use super::super::Service;
use super::asker::Lattice;
use crate::clock::Clock;
use crate::door::Reply;
use crate::keys::{SigningKey, nonce};

fn asked(lattice: &Lattice, host: &SigningKey<Host>, sizes: Vec<u64>, index: Option<u64>) -> Vec<u8> {
    let (aud, iat, jti) = (lattice.report.lattice.clone(), lattice.clock.now(), nonce().unwrap());
    host.sign(&Growth { iss: host.name(), aud, iat, jti, sizes, index }, [])
}

// The newest checkpoint, once it covers the whole log.
async fn newest(lattice: &Lattice) -> Checkpoint {
    let key = NoteKey::parse(&lattice.report.log_key).unwrap();
    let size = lattice.size().await;
    let mut notes = lattice.service.epochs();
    loop {
        let checkpoint = key.open(&notes.borrow_and_update()).unwrap();
        if checkpoint.size == size {
            return checkpoint;
        }
        notes.changed().await.unwrap();
    }
}

async fn stands(lattice: &Lattice, question: &[u8], places: &[Place]) -> Vec<Stand> {
    let told = lattice.service.growth(question).await.unwrap();
    let told = Unverified::<Grown>::parse(&told).unwrap().verify(&lattice.decision_keys()).unwrap();
    let end = NoteKey::parse(&lattice.report.log_key).unwrap().open(told.checkpoint.as_bytes()).unwrap();
    places.iter().map(|place| told.stand(&end, &[], place).unwrap()).collect()
}

fn refused(told: Result<Vec<u8>, crate::error::Error>) -> Option<Reason> {
    told.err().and_then(|error| error.reason())
}

#[tokio::test]
async fn t65_every_checkpoint_of_before_and_every_answer_is_proved_to_be_of_this_log() {
    let mut lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let mut places = vec![Place::pinned(lattice.report.root_sha256)];
    for _ in 0..3 {
        lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
        places.push(Place::of_checkpoint(&newest(&lattice).await).unwrap());
        lattice = lattice.reopened().await;
    }
    let sizes: Vec<u64> = places.iter().map(|place| place.index + 1).collect();
    let last = places[3];
    let beyond = Place { index: last.index + 1000, ..last };
    // Its last entry, as an answer tells it.
    let answer = Place { root: None, ..places[2] };
    let question = asked(&lattice, &host, sizes, Some(answer.index));
    let all = [places.clone(), vec![answer, beyond]].concat();
    let stood = stands(&lattice, &question, &all).await;
    assert_eq!(stood, [vec![Stand::Proved; 5], vec![Stand::Beyond]].concat());
}

#[tokio::test]
async fn t65_growth_is_proved_to_enrolled_hosts_alone_once_and_at_their_own_inbox() {
    let lattice = Lattice::new().await;
    let (host, stranger) = (lattice.enrolled_host().await, SigningKey::<Host>::generate().unwrap());
    let service: &Service = &lattice.service;
    let question = || asked(&lattice, &host, vec![1], None);
    let genuine = question();
    assert_eq!(refused(service.growth(&asked(&lattice, &stranger, vec![1], None)).await), Some(Reason::HostUnknown));
    let elsewhere = Reply::Inbox("_INBOX_elsewhere");
    assert_eq!(refused(service.growth_to(&question(), elsewhere).await), Some(Reason::ReplyElsewhere));
    let inbox = inbox_prefix(&host.name());
    assert_eq!(refused(service.growth_to(&genuine, Reply::Inbox(&inbox)).await), None);
    // Said again by whoever overheard it.
    assert_eq!(refused(service.growth_to(&genuine, Reply::Inbox(&inbox)).await), Some(Reason::QuerySeen));
    let mut forged = question();
    let at = forged.len() - 9;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    assert_eq!(refused(service.growth(&forged).await), Some(Reason::SignatureInvalid));
    for sizes in [vec![], vec![0], vec![1; Growth::MAX_SIZES + 1]] {
        let told = service.growth(&asked(&lattice, &host, sizes, None)).await;
        assert_eq!(refused(told), Some(Reason::SchemaMismatch));
    }
    let late = question();
    lattice.clock.advance((FRESHNESS_S + 1) * 1000);
    assert_eq!(refused(service.growth(&late).await), Some(Reason::RequestStale));
}
