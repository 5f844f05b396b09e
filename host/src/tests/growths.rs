//! A log that is longer and of another branch: found by the proof alone, and everything that is no fork (T65).

use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use nkeys::KeyPairType;
use policy::digest::Digest;
use policy::govern::{AdminRole, Disowned, Operation, PutAdministrator, Restore};
use policy::growth::Grown;
use policy::log::{Contradiction, NoteKey};
use policy::reason::Reason;
use policy::warrant::Rank;

use super::broker::{Bench, Broker, admin, id, name, wire};
use super::guests::{self, key};
use crate::ask::Asker;
use crate::error::Error;
use crate::memory::{self, Keep, Memory, Open, Piece, Standing};
use crate::notice::take;
use crate::transport::{Replies, Transport};
use crate::witness;

type Says = Arc<dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync>;

/// A wire on which questions about growth are answered by `says`, all else by the broker.
struct Proving {
    wire: Box<dyn Transport>,
    growth: String,
    says: Says,
}

impl Transport for Proving {
    fn ask(&self, subject: String, payload: Vec<u8>) -> BoxFuture<'_, Result<Replies, Error>> {
        if subject != self.growth {
            return self.wire.ask(subject, payload);
        }
        let said = (self.says)(&payload);
        Box::pin(async move { Ok(futures::stream::iter(said).boxed()) })
    }

    fn listen(&self, subject: String) -> BoxFuture<'_, Result<Replies, Error>> {
        self.wire.listen(subject)
    }

    fn address(&self) -> String {
        self.wire.address()
    }
}

/// A bench whose questions about growth are answered so; and who asks there.
async fn proving(bench: &Bench, says: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static) -> crate::start::Host {
    let growth = policy::wire::Topic::Growth.subject(&bench.broker.lattice());
    bench.host_on(Arc::new(Proving { wire: wire(&bench.broker), growth, says: Arc::new(says) })).await
}

async fn look(asker: &Asker) -> Option<Reason> {
    witness::look(asker, &asker.memory.open_anew()).await.err().map(|error| error.reason().unwrap())
}

/// A host that was proved what one log says, and a copy of that log that goes another way, and further.
async fn two_branches() -> (Bench, Arc<Broker>) {
    let (bench, copy) = put_aside().await;
    for package in ["wasi:random", "wasi:clocks", "wasi:logging"] {
        copy.forget_default(package);
        copy.count();
    }
    (bench, copy)
}

/// A host that was proved what one log says, and a copy of that log as it was a little earlier.
async fn put_aside() -> (Bench, Arc<Broker>) {
    let bench = Bench::new();
    let host = bench.host().await;
    take(&bench.memory, &bench.broker.notice()).unwrap();
    assert_eq!(look(host.asker()).await, None);
    let copy = bench.broker.copy();
    bench.broker.forget_default("wasi:clocks");
    take(&bench.memory, &bench.broker.notice()).unwrap();
    assert_eq!(look(host.asker()).await, None);
    (bench, copy)
}

#[tokio::test]
async fn t65_a_longer_fork_is_found_by_the_proof_alone_and_nothing_is_bound() {
    let (bench, copy) = two_branches().await;
    // Longer, with a newer event: by itself it contradicts nothing.
    take(&bench.memory, &copy.notice()).unwrap();
    assert_eq!(bench.memory.record().forked, None);
    let served = Arc::clone(&copy);
    let host = proving(&bench, move |question| vec![served.grown(question)]).await;
    assert_eq!(look(host.asker()).await, Some(Reason::LogFork));
    let fork = bench.memory.record().forked.unwrap();
    assert_eq!(fork.contradiction, Contradiction::Root);
    assert!(matches!((&fork.held.piece, &fork.met.piece), (Piece::Checkpoint(_), Piece::Growth { .. })));
    let refused = host.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::LogFork));
    // Both are kept, and the warrant that says whose word they are.
    let [kept] = &memory::kept(bench.broker.dir()).unwrap()[..] else { panic!("one fork") };
    assert!(kept["held"]["piece"]["checkpoint"].is_string() && kept["met"]["piece"]["growth"]["question"].is_string());
    assert_eq!(kept["warrant"].as_str().map(str::as_bytes), Some(&*bench.broker.warrant()));
    // Whoever finds that this host had followed the wrong one says so, and it goes on from what it met.
    bench.memory.dismiss(Keep::Met, "this host had followed the other").unwrap();
    assert_eq!(look(host.asker()).await, None);
    assert_eq!(bench.memory.record().proved.unwrap().size, fork.met.place.index + 1);
}

#[tokio::test]
async fn t65_a_note_of_another_branch_is_found_by_the_brokers_own_proof() {
    let (bench, copy) = two_branches().await;
    take(&bench.memory, &copy.notice()).unwrap();
    let met = bench.memory.seen().index;
    let host = proving(&bench, {
        let broker = Arc::clone(&bench.broker);
        move |question| vec![broker.grown(question)]
    });
    let host = host.await;
    // It does not come that far yet: that is no fork, and what was proved stays.
    assert_eq!(look(host.asker()).await, None);
    assert!(bench.memory.record().asked_since_ms.is_some(), "something is still to be proved");
    while bench.broker.ledger().head().size <= met + 1 {
        bench.broker.invitation();
    }
    // Even where its own note has taken the place of the other in the meantime.
    take(&bench.memory, &bench.broker.notice()).unwrap();
    assert_eq!(look(host.asker()).await, Some(Reason::LogFork));
    assert_eq!(bench.memory.record().forked.unwrap().contradiction, Contradiction::Root);
}

#[tokio::test]
async fn t65_an_answer_that_the_longer_log_does_not_hold_is_a_fork() {
    let bench = Bench::new();
    let host = bench.host().await;
    take(&bench.memory, &bench.broker.notice()).unwrap();
    assert_eq!(look(host.asker()).await, None);
    let copy = bench.broker.copy();
    // No checkpoint tells of it: only the answer that was acted on.
    assert!(host.start(&guests::signed("cart"), &id("cart")).await.is_ok());
    for _ in 0..3 {
        copy.invitation();
    }
    take(&bench.memory, &copy.notice()).unwrap();
    let host = proving(&bench, move |question| vec![copy.grown(question)]).await;
    assert_eq!(look(host.asker()).await, Some(Reason::LogFork));
    let fork = bench.memory.record().forked.unwrap();
    assert_eq!(fork.contradiction, Contradiction::Entry);
    assert!(matches!(fork.held.piece, Piece::Answer { .. }));
}

type Change = fn(&mut Grown);

const CHANGES: &[(&str, Contradiction, Change)] = &[
    ("truncated", Contradiction::Growth, |told| truncate(&mut told.trees[0].consistency)),
    ("one hash more", Contradiction::Growth, |told| told.trees[0].consistency.push(Digest::of(b"more"))),
    ("swapped", Contradiction::Growth, |told| told.trees[0].consistency.swap(0, 1)),
    ("another hash", Contradiction::Growth, |told| told.trees[0].consistency[0] = Digest::of(b"another")),
    ("no hashes", Contradiction::Growth, |told| told.trees[0].consistency.clear()),
    ("for another size", Contradiction::Growth, |told| told.trees[0].size += 1),
    ("for the other size", Contradiction::Growth, |told| {
        let [first, second, ..] = &mut told.trees[..] else { panic!("two trees") };
        std::mem::swap(&mut first.consistency, &mut second.consistency);
    }),
    ("another root", Contradiction::Root, |told| told.trees[0].root = Digest::of(b"another")),
    ("no tree", Contradiction::Growth, |told| told.trees.clear()),
    ("no entry", Contradiction::Growth, |told| told.entry = None),
    ("another entry", Contradiction::Entry, |told| told.entry.as_mut().unwrap().entry_sha256 = Digest::of(b"another")),
    ("the entry of another place", Contradiction::Growth, |told| told.entry.as_mut().unwrap().index -= 1),
    ("an entry's proof truncated", Contradiction::Growth, |told| truncate(&mut told.entry.as_mut().unwrap().inclusion)),
];

fn truncate(hashes: &mut Vec<Digest>) {
    hashes.truncate(hashes.len() - 1);
}

// A host that holds an answer and two checkpoints, one of them proved; enough of a log that proofs have several hashes.
async fn with_something_open() -> Bench {
    let bench = Bench::new();
    let host = bench.host().await;
    assert!(host.start(&guests::signed("cart"), &id("cart")).await.is_ok());
    for _ in 0..2 {
        bench.broker.count();
        bench.broker.invitation();
    }
    take(&bench.memory, &bench.broker.notice()).unwrap();
    assert_eq!(look(host.asker()).await, None);
    bench.broker.invitation();
    take(&bench.memory, &bench.broker.notice()).unwrap();
    (0..9).for_each(|_| bench.broker.count());
    bench
}

#[tokio::test]
async fn t65_a_proof_that_does_not_hold_is_a_fork_whoever_it_serves() {
    for (what, expected, change) in CHANGES {
        let bench = with_something_open().await;
        let broker = Arc::clone(&bench.broker);
        let host = proving(&bench, move |question| vec![broker.grown_but(question, change)]).await;
        assert_eq!(look(host.asker()).await, Some(Reason::LogFork), "{what}");
        let fork = bench.memory.record().forked.unwrap();
        assert_eq!(fork.contradiction, *expected, "{what}");
        let refused = host.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
        assert_eq!(refused.reason(), Some(Reason::LogFork), "{what}");
    }
}

#[tokio::test]
async fn t65_what_is_no_answer_of_this_broker_proves_nothing_and_accuses_nobody() {
    let bench = with_something_open().await;
    let before = bench.memory.record();
    let other = Bench::new();
    let strangers = bench.broker.copy();
    let cases: Vec<(&str, Says)> = vec![
        ("silence", Arc::new(|_: &[u8]| Vec::new())),
        ("garbage", Arc::new(|_: &[u8]| vec![b"no document".to_vec(), Vec::new()])),
        ("another lattice's", {
            // Its own host asked it the same, and this is what it said.
            let (other, asker) = (Arc::clone(&other.broker), other.host().await);
            let open = asker.asker().memory.open_anew();
            let theirs = question(asker.asker(), &open);
            Arc::new(move |_: &[u8]| vec![other.grown(&theirs)])
        }),
        ("of another question", {
            let host = bench.host().await;
            let (broker, open) = (Arc::clone(&bench.broker), bench.memory.open_anew());
            let earlier = question(host.asker(), &open);
            Arc::new(move |_: &[u8]| vec![broker.grown(&earlier)])
        }),
        ("of another host", {
            let (broker, stranger) = (Arc::clone(&bench.broker), key(KeyPairType::Server, 78));
            Arc::new(move |question: &[u8]| vec![broker.grown_but(question, |told| told.aud = name(&stranger))])
        }),
        ("altered on the way", {
            let broker = Arc::clone(&bench.broker);
            Arc::new(move |question: &[u8]| {
                let mut told = broker.grown(question);
                let at = told.iter().position(|byte| *byte == b'.').unwrap() + 9;
                told[at] = if told[at] == b'A' { b'B' } else { b'A' };
                vec![told]
            })
        }),
        ("under a stranger's log key", {
            let note = String::from_utf8(strangers.notice_by(&key(KeyPairType::Server, 66))).unwrap();
            let broker = Arc::clone(&bench.broker);
            Arc::new(move |question: &[u8]| vec![broker.grown_but(question, |told| told.checkpoint = note.clone())])
        }),
    ];
    for (what, says) in cases {
        let host = proving(&bench, move |question| says(question)).await;
        assert!(matches!(look(host.asker()).await, Some(Reason::BrokerUnreachable)), "{what}");
        let after = bench.memory.record();
        assert_eq!(
            (&after.proved, &after.forked, &after.checkpoint),
            (&before.proved, &None, &before.checkpoint),
            "{what}"
        );
        // It is no evidence against anybody, and nothing stops by it.
        assert!(host.start(&guests::signed("cart"), &id("cart")).await.is_ok(), "{what}");
    }
    // What is owed for long is told of.
    let record = bench.memory.record();
    let since = record.asked_since_ms.unwrap();
    assert_eq!(record.unproved_since_ms(since + 60_000), None);
    assert_eq!(record.unproved_since_ms(since + 3_600_000), Some(since));
    // The genuine answer ends it, behind whatever else arrives.
    let broker = Arc::clone(&bench.broker);
    let host = proving(&bench, move |question| vec![b"spoofed".to_vec(), broker.grown(question)]).await;
    assert_eq!(look(host.asker()).await, None);
    let record = Memory::load(bench.broker.dir()).unwrap().record();
    assert_eq!((record.asked_since_ms, record.proved.unwrap().size), (None, bench.broker.ledger().head().size));
}

fn question(asker: &Asker, open: &Open) -> Vec<u8> {
    let growth = policy::growth::Growth {
        iss: *asker.key.name(),
        aud: asker.memory.record().lattice,
        iat: asker.clock.now(),
        jti: crate::identity::nonce().unwrap(),
        sizes: open.trees.iter().map(|held| held.place.index + 1).collect(),
        index: open.answer.as_ref().map(|answer| answer.place.index),
    };
    asker.key.sign(&growth, &[]).unwrap()
}

#[tokio::test]
async fn t65_growth_is_proved_from_the_pinned_entry_on_without_being_asked_for() {
    let bench = Bench::new();
    let _host = bench.host().await;
    for _ in 0..500 {
        if bench.memory.record().proved.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let record = bench.memory.record();
    assert_eq!(record.proved.map(|proved| proved.size), Some(bench.broker.ledger().head().size));
    // Another log that somebody calls this one does not begin with that entry.
    let (bench, other) = (Bench::new(), Broker::new());
    let told = Arc::clone(&bench.broker);
    let elsewhere = other.leaves.lock().unwrap().root();
    let host = proving(&bench, move |question| {
        vec![told.grown_but(question, |told| told.trees.iter_mut().for_each(|tree| tree.root = elsewhere))]
    });
    let host = host.await;
    assert_eq!(look(host.asker()).await, Some(Reason::LogFork));
    assert_eq!(bench.memory.record().forked.unwrap().held.piece, Piece::FirstEntry);
}

#[tokio::test]
async fn t65_t66_another_log_key_begins_the_proof_anew() {
    let bench = with_something_open().await;
    assert!(bench.memory.record().proved.is_some());
    let raw = *name::<policy::key::Host>(&key(KeyPairType::Server, 67)).raw();
    let log_key = NoteKey::of(&bench.broker.lattice(), &raw).unwrap().to_string();
    let standing = Standing { rank: Rank { reset: 0, serial: 9 }, sha256: Digest::of(b"9"), log_key };
    bench.memory.follow(&standing).unwrap();
    assert_eq!(bench.memory.record().proved, None);
    assert_eq!(bench.memory.open_anew().trees[0].piece, Piece::FirstEntry);
}

/// An older log that is put back, grows as far as is told, and is restored by a command of `by`.
fn put_back(bench: &Bench, older: &Broker, by: &nkeys::KeyPair, disowned: Vec<Disowned>, grows: u64) {
    let seen = bench.memory.seen();
    (0..grows).for_each(|_| older.count());
    let head = older.ledger().head();
    let restore = Restore {
        kept: head.size,
        kept_sha256: head.last,
        // One place is filled where it has grown past what is lost, as the broker does.
        seen: (head.size + 1).max(seen.index + 1),
        seen_epoch: seen.epoch,
        disowned,
    };
    older.restore_by(by, restore);
}

#[tokio::test]
async fn t28_t65_what_an_administrator_told_to_be_lost_is_no_fork() {
    for (what, by_name, grows) in [("it was shorter", false, 0), ("it had grown further", true, 40)] {
        let (bench, older) = put_aside().await;
        let place = bench.memory.seen();
        let disowned = Disowned { size: place.index + 1, last: place.entry_sha256 };
        put_back(&bench, &older, &admin(), if by_name { vec![disowned] } else { Vec::new() }, grows);
        let size = older.ledger().head().size;
        let host = proving(&bench, move |question| vec![older.grown(question)]).await;
        assert_eq!(look(host.asker()).await, None, "{what}");
        let record = bench.memory.record();
        assert_eq!((record.forked, record.proved.map(|proved| proved.size)), (None, Some(size)), "{what}");
    }
}

#[tokio::test]
async fn t65_a_restore_that_does_not_account_for_it_excuses_nothing() {
    // It names nothing of what this host holds.
    let (bench, older) = put_aside().await;
    put_back(&bench, &older, &admin(), Vec::new(), 40);
    let host = proving(&bench, move |question| vec![older.grown(question)]).await;
    assert_eq!(look(host.asker()).await, Some(Reason::LogFork));

    // Its administrator is one whom the first entry does not name: whoever has the broker's keys could write that.
    let ((bench, older), another) = (put_aside().await, key(KeyPairType::Operator, 79));
    let put = PutAdministrator { key: name(&another), name: None, roles: [AdminRole::Operator].into(), until: None };
    older.command(vec![Operation::PutAdministrator(put)], &[]);
    put_back(&bench, &older, &another, Vec::new(), 0);
    let host = proving(&bench, move |question| vec![older.grown(question)]).await;
    assert_eq!(look(host.asker()).await, Some(Reason::LogFork));

    // A genuine one of which the proof was left out, or is another's.
    let drops: [fn(&mut Grown); 2] = [|told| told.restored[0].inclusion.clear(), |told| told.restored[0].index += 1];
    for change in drops {
        let (bench, older) = put_aside().await;
        put_back(&bench, &older, &admin(), Vec::new(), 0);
        let host = proving(&bench, move |question| vec![older.grown_but(question, change)]).await;
        assert_eq!(look(host.asker()).await, Some(Reason::LogFork));
    }
}
