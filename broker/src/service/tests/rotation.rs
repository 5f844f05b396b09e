//! Another key takes the place of the one in use: at once, once, and also when the process ends in the middle of it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use policy::answer::{Receipt, StartAnswer};
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::key::{Decision, Name, Root};
use policy::log::leaf_hash;
use policy::reason::Reason;
use policy::root::RootChange;
use policy::warrant::{Quorum, Warrant};
use sqlx::{Connection, SqliteConnection};

use super::asker::Lattice;
use super::disk::plain;
use crate::clock::Clock;
use crate::keys::SigningKey;
use crate::service::next_key;

fn says(lattice: &Lattice) -> Warrant {
    Unverified::<Warrant>::parse(&lattice.service.papers().0).unwrap().says().clone()
}

/// Makes the next decision key, and a warrant for it and for a while the one in use.
fn prepared(lattice: &Lattice) -> (Name<Decision>, Vec<u8>) {
    let next = SigningKey::<Decision>::generate().unwrap();
    next.save(&lattice.folder.key(&next_key("decision"))).unwrap();
    let mut warrant = says(lattice);
    warrant.serial += 1;
    warrant.ends = [(lattice.report.decision, warrant.validity.iat.plus(60))].into();
    warrant.decision_keys.push(next.public().unwrap());
    let root = SigningKey::<Root>::load(&lattice.folder.key("root")).unwrap();
    (next.name(), root.sign(&warrant, []))
}

/// A change to three new roots, two of whom sign, as the old one does.
async fn agreed(lattice: &Lattice, old: &SigningKey<Root>, new: &[SigningKey<Root>; 3]) -> Vec<u8> {
    let line = lattice.service.snapshot().await.unwrap().state.root_line(leaf_hash(&lattice.service.papers().1));
    let keys: Vec<_> = new.iter().map(|key| key.public().unwrap()).collect();
    let change = |by: &SigningKey<Root>, also: Vec<Digest>| RootChange {
        iss: by.name(),
        lattice: line.lattice.clone(),
        inception_sha256: line.inception_sha256,
        serial: 1,
        roots: Quorum { threshold: 2, keys: keys.clone() },
        iat: lattice.clock.now(),
        also,
    };
    let change: Vec<_> =
        Vec::from([&new[0], &new[1], old]).into_iter().map(|by| (by, change(by, Vec::new()))).collect();
    let others: Vec<Vec<u8>> = change[..2].iter().map(|(by, change)| by.sign(change, [])).collect();
    let also = others.iter().map(|token| Digest::of(token)).collect();
    old.sign(&RootChange { also, ..change[2].1.clone() }, others.iter().map(Vec::as_slice))
}

// Somebody holds a database for longer than a write waits.
async fn busy(database: &Path) -> SqliteConnection {
    let mut other = plain(database).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    other
}

async fn given_back(mut other: SqliteConnection) {
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

// Until it is so, without a restart.
async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn t17_what_was_answered_before_a_rotation_is_told_again_under_the_new_warrant() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let request = lattice.request(&host);
    let says = |bytes: &[u8]| Unverified::<StartAnswer>::parse(bytes).unwrap().says().clone();
    let before = says(&lattice.service.answer_start(&request).await.unwrap());
    let (next, token) = prepared(&lattice);
    let receipt = lattice.service.install(&token).await.unwrap();
    let receipt = Unverified::<Receipt>::parse(&receipt).unwrap().verify(&lattice.decision_keys()).unwrap();
    assert_eq!((receipt.reason, receipt.iss, receipt.index), (None, next, before.index + 1));
    let again = lattice.service.answer_start(&request).await.unwrap();
    Unverified::<StartAnswer>::parse(&again).unwrap().verify(&lattice.decision_keys()).unwrap();
    let again = says(&again);
    assert_eq!((again.iss, again.index, again.entry_sha256), (next, before.index, before.entry_sha256));
    assert_eq!(lattice.size().await, receipt.index + 1);
}

#[tokio::test]
async fn t17_a_warrant_that_is_brought_again_or_late_leaves_no_row() {
    let lattice = Lattice::new().await;
    let first = lattice.service.papers().0;
    let (_, token) = prepared(&lattice);
    lattice.service.install(&token).await.unwrap();
    let size = lattice.size().await;
    for old in [&first, &token] {
        assert_eq!(lattice.service.install(old).await.unwrap_err().reason(), Some(Reason::StateRollback));
    }
    assert_eq!(lattice.size().await, size);
}

#[tokio::test]
async fn t17_a_rotation_that_was_cut_short_is_finished_by_the_next_start() {
    let lattice = Lattice::new().await;
    let (used, waiting) = (lattice.folder.key("decision"), lattice.folder.key(&next_key("decision")));
    let old = fs::read(&used).unwrap();
    let (next, token) = prepared(&lattice);
    lattice.service.install(&token).await.unwrap();
    assert!(!waiting.exists());
    let lattice = lattice.closed().await;
    // As if it had been recorded, and the process had ended before the files were moved.
    fs::rename(&used, &waiting).unwrap();
    crate::folder::write_private(&used, &old).unwrap();
    fs::remove_file(lattice.folder.warrant()).unwrap();
    let lattice = lattice.opened().await;
    assert_eq!(lattice.service.decision_key(), next);
    assert!(!waiting.exists());
    assert_eq!(SigningKey::<Decision>::load(&used).unwrap().name(), next);
    assert_eq!(fs::read(lattice.folder.warrant()).unwrap().trim_ascii_end(), token);
}

#[tokio::test]
async fn t17_after_other_roots_the_next_warrant_is_theirs_and_the_one_in_force_stays() {
    let lattice = Lattice::new().await;
    let (old, first) = (SigningKey::<Root>::load(&lattice.folder.key("root")).unwrap(), lattice.service.papers());
    let new = [(); 3].map(|()| SigningKey::<Root>::generate().unwrap());
    let agreed = agreed(&lattice, &old, &new).await;
    lattice.service.change_roots(&agreed).await.unwrap().outcome().verdict.clone().unwrap();
    // What the old root signs from here on counts for nothing, and so does what one of the new ones signs alone.
    let next = Warrant { serial: 2, ..says(&lattice) };
    for by in [&old, &new[0]] {
        let refused = lattice.service.install(&by.sign(&next.alone_by(by.name()), [])).await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::BrokerKeyUnknown));
    }
    // The one in force stays, also over a restart, until two of the new ones sign another.
    let lattice = lattice.reopened().await;
    assert_eq!(lattice.service.papers(), first);
    let second = new[1].sign(&next.alone_by(new[1].name()), []);
    let second = second.rsplit(|byte| *byte == b'.').next().unwrap().to_vec();
    let cosigned = [(new[1].name(), String::from_utf8(second).unwrap())].into();
    let token = new[0].sign(&Warrant { cosigned, ..next.alone_by(new[0].name()) }, []);
    lattice.service.install(&token).await.unwrap();
    assert_eq!(lattice.service.papers().0, token);
    // As if the process had ended before the file was written: an older warrant stops no start.
    let closed = lattice.closed().await;
    fs::write(closed.folder.warrant(), &first.0).unwrap();
    let lattice = closed.opened().await;
    assert_eq!(lattice.service.papers().0, token);
}

#[tokio::test]
async fn t17_t67_a_warrant_on_record_that_nobody_heard_of_is_what_the_broker_speaks_by_without_a_restart() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let (next, token) = prepared(&lattice);
    let size = lattice.size().await;
    // The row is committed, the lock behind it cannot move.
    let other = busy(&lattice.folder.lock_file()).await;
    for _ in 0..2 {
        let refused = lattice.service.install(&token).await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::AuditUnavailable));
    }
    assert_eq!((lattice.size().await, lattice.service.decision_key()), (size + 1, lattice.report.decision));
    given_back(other).await;
    until(|| lattice.service.decision_key() == next).await;
    let answer = lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    let answer = Unverified::<StartAnswer>::parse(&answer).unwrap().verify(&lattice.decision_keys()).unwrap();
    assert_eq!((answer.iss, lattice.service.papers().0 == token), (next, true));
    assert!(!lattice.folder.key(&next_key("decision")).exists());
    // Whoever brings it again is told that it is in force, and leaves no row.
    let size = lattice.size().await;
    assert_eq!(lattice.service.install(&token).await.unwrap_err().reason(), Some(Reason::StateRollback));
    assert_eq!(lattice.size().await, size);
    lattice.reopened().await;
}

#[tokio::test]
async fn t17_t67_whoever_brings_a_warrant_again_before_that_is_told_that_it_is_in_force() {
    let lattice = Lattice::new().await;
    let (next, token) = prepared(&lattice);
    let other = busy(&lattice.folder.lock_file()).await;
    assert_eq!(lattice.service.install(&token).await.unwrap_err().reason(), Some(Reason::AuditUnavailable));
    given_back(other).await;
    let again = loop {
        let again = lattice.service.install(&token).await.unwrap_err();
        if again.reason() != Some(Reason::AuditUnavailable) {
            break again;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((again.reason(), lattice.service.decision_key()), (Some(Reason::StateRollback), next));
}

#[tokio::test]
async fn t17_t67_a_warrant_that_is_not_on_record_changes_nothing_and_may_be_brought_again() {
    let lattice = Lattice::new().await;
    let (next, token) = prepared(&lattice);
    let other = busy(&lattice.folder.log()).await;
    assert_eq!(lattice.service.install(&token).await.unwrap_err().reason(), Some(Reason::AuditUnavailable));
    given_back(other).await;
    let receipt = loop {
        if let Ok(receipt) = lattice.service.install(&token).await {
            break receipt;
        }
        assert_eq!(lattice.service.decision_key(), lattice.report.decision);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let receipt = Unverified::<Receipt>::parse(&receipt).unwrap().verify(&lattice.decision_keys()).unwrap();
    assert_eq!((receipt.reason, receipt.iss), (None, next));
}

#[tokio::test]
async fn t17_t67_other_roots_on_record_that_nobody_heard_of_are_followed_without_a_restart() {
    let lattice = Lattice::new().await;
    let old = SigningKey::<Root>::load(&lattice.folder.key("root")).unwrap();
    let new = [(); 3].map(|()| SigningKey::<Root>::generate().unwrap());
    let agreed = agreed(&lattice, &old, &new).await;
    let before = lattice.service.notice();
    let other = busy(&lattice.folder.lock_file()).await;
    let refused = lattice.service.change_roots(&agreed).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::AuditUnavailable));
    given_back(other).await;
    // Hosts are told of it.
    until(|| lattice.service.notice() != before).await;
    let next = Warrant { serial: 2, ..says(&lattice) };
    let refused = lattice.service.install(&old.sign(&next.alone_by(old.name()), [])).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::BrokerKeyUnknown));
    let notice = lattice.service.notice();
    assert_eq!(lattice.reopened().await.service.notice(), notice);
}
