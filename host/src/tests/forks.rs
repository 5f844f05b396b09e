//! A log that tells two stories: what the host makes of it, and everything that is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nkeys::KeyPairType;
use policy::digest::Digest;
use policy::log::{Contradiction, NoteKey};
use policy::reason::Reason;
use policy::warrant::Rank;

use super::broker::{Bench, Broker, id, name};
use super::guests::{self, key};
use crate::memory::{self, Keep, Memory, Piece, Standing};
use crate::notice::take;

fn reason(taken: Result<(), crate::error::Error>) -> Option<Reason> {
    taken.err().map(|error| error.reason().unwrap())
}

/// A host that holds what one log says, and a copy of that log that goes another way, with as many entries.
fn two_logs() -> (Bench, Arc<Broker>) {
    let bench = Bench::new();
    let copy = bench.broker.copy();
    bench.broker.forget_default("wasi:clocks");
    copy.forget_default("wasi:random");
    take(&bench.memory, &bench.broker.notice()).unwrap();
    (bench, copy)
}

#[tokio::test]
async fn t65_two_checkpoints_of_one_size_are_kept_and_nothing_is_bound_until_somebody_looked() {
    let (bench, copy) = two_logs();
    let host = bench.host().await;
    assert_eq!(reason(take(&bench.memory, &copy.notice())), Some(Reason::LogFork));
    let asked = bench.broker.asked.lock().unwrap().len();
    let refused = host.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::LogFork));
    assert_eq!(bench.broker.asked.lock().unwrap().len(), asked, "nobody is asked for what would not be bound");
    // In every process of this host, and after a restart.
    let again = Memory::load(bench.broker.dir()).unwrap();
    for memory in [&again, &bench.memory] {
        let epoch = memory.record().epoch;
        let mut bound = false;
        let refused = memory.bind_under(epoch, || {
            bound = true;
            Ok(())
        });
        assert_eq!((reason(refused), bound), (Some(Reason::LogFork), false));
    }
    // What is kept is enough for somebody else: both notes, and the key that signed them.
    let [kept] = &memory::kept(bench.broker.dir()).unwrap()[..] else { panic!("one fork") };
    let log_key = NoteKey::parse(kept["log_key"].as_str().unwrap()).unwrap();
    let opened = ["held", "met"].map(|piece| {
        let note = kept[piece]["piece"]["checkpoint"].as_str().unwrap();
        log_key.open(note.as_bytes()).unwrap()
    });
    assert_eq!(opened[0].size, opened[1].size);
    assert_ne!(opened[0].root, opened[1].root);
    assert_eq!(Digest::parse(kept["root"].as_str().unwrap()).unwrap(), bench.broker.root);
    let fork = again.record().forked.unwrap();
    let bytes = std::fs::read(bench.broker.dir().join("evidence").join(&fork.file)).unwrap();
    assert_eq!((fork.contradiction, Digest::of(&bytes)), (Contradiction::Entry, fork.sha256));
    // It is told to whoever listens, and asked for by nobody else.
    assert_eq!(bench.memory.forked().unwrap().evidence_sha256, fork.sha256);

    again.dismiss(Keep::Held, "the copy was stopped").unwrap();
    assert!(host.start(&guests::signed("cart"), &id("cart")).await.is_ok(), "the other process looks, too");
    let [kept] = &memory::kept(bench.broker.dir()).unwrap()[..] else { panic!("the evidence stays") };
    assert_eq!((&kept["ended"]["by"], &kept["ended"]["reason"]), (&"operator".into(), &"the copy was stopped".into()));
    assert_eq!(reason(again.dismiss(Keep::Held, "again").map(drop)), Some(Reason::NotFound));
    // And whoever goes on with it is found again.
    assert_eq!(reason(take(&bench.memory, &bench.broker.notice())), None);
    assert_eq!(bench.memory.record().forked, None);
}

#[test]
fn t65_each_process_of_a_host_tells_of_the_fork_that_one_of_them_found() {
    let (bench, copy) = two_logs();
    // It has seen what the other has, and hears nothing new: nothing makes it look at the disk.
    let idle = bench.broker.memory();
    assert_eq!(reason(take(&bench.memory, &copy.notice())), Some(Reason::LogFork));
    let told = bench.memory.forked().map(|forked| forked.evidence_sha256);
    assert!(told.is_some());
    assert_eq!(reason(take(&idle, &bench.broker.notice())), None);
    assert_eq!(idle.forked().map(|forked| forked.evidence_sha256), told);

    // What says no by the disk is held from then on, whatever asked.
    bench.broker.count();
    assert_eq!(reason(take(&idle, &bench.broker.notice())), Some(Reason::LogFork));
    assert!(idle.record().forked.is_some());
    bench.memory.dismiss(Keep::Held, "the copy was stopped").unwrap();
    assert_eq!(idle.forked(), None, "nor does it tell of one that somebody has looked at");
    let binding = bench.broker.memory();
    assert_eq!(reason(take(&bench.memory, &copy.notice())), Some(Reason::LogFork));
    let epoch = binding.record().epoch;
    assert_eq!(reason(binding.bind_under(epoch, || Ok(()))), Some(Reason::LogFork));
    assert!(binding.record().forked.is_some());
}

#[test]
fn t65_what_one_task_takes_in_does_not_give_way_to_what_another_read_before() {
    let bench = Bench::new();
    let (memory, enough) = (&bench.memory, AtomicBool::new(false));
    let told: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !enough.load(Ordering::SeqCst) {
                assert!(memory.refuse_forked().is_ok());
            }
        });
        let told = (0..100).map(|_| {
            bench.broker.count();
            let taken = reason(take(memory, &bench.broker.notice()));
            // Whoever read before that has its turn.
            std::thread::yield_now();
            (taken, memory.seen().index + 1, bench.broker.ledger().head().size)
        });
        let told = told.collect();
        enough.store(true, Ordering::SeqCst);
        told
    });
    assert!(told.iter().all(|(taken, seen, size)| taken.is_none() && seen == size), "{told:?}");
}

#[tokio::test]
async fn t60_t65_a_host_that_both_answer_finds_the_fork_at_once() {
    let copy: Arc<std::sync::Mutex<Option<Arc<Broker>>>> = Arc::default();
    let (other, by_copy) = (Arc::clone(&copy), Arc::new(AtomicBool::new(false)));
    let asks_copy = Arc::clone(&by_copy);
    let bench = Bench::with(move |_, asked, genuine| {
        if !asks_copy.load(Ordering::SeqCst) {
            return vec![genuine];
        }
        let copy = other.lock().unwrap().clone().unwrap();
        vec![copy.sign(&copy.decide(asked).unwrap())]
    });
    *copy.lock().unwrap() = Some(bench.broker.copy());
    let host = bench.host().await;
    let cart = guests::signed("cart");
    assert!(host.start(&cart, &id("cart")).await.is_ok());
    assert!(host.start(&cart, &id("cart")).await.is_ok());
    by_copy.store(true, Ordering::SeqCst);
    let refused = host.start(&cart, &id("cart")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::LogFork));
    let fork = bench.memory.record().forked.unwrap();
    assert_eq!(fork.contradiction, Contradiction::Order);
    assert!(matches!(fork.held.piece, Piece::Answer { .. }) && matches!(fork.met.piece, Piece::Answer { .. }));
    // The honest one is not believed either, until somebody has looked.
    by_copy.store(false, Ordering::SeqCst);
    assert_eq!(host.start(&cart, &id("cart")).await.err().unwrap().reason(), Some(Reason::LogFork));
    // Whoever finds that this host had followed the wrong one says so, and it goes on with the other.
    bench.memory.dismiss(Keep::Met, "this host had been answered by the copy").unwrap();
    assert_eq!(bench.memory.seen().index, fork.met.place.index);
    by_copy.store(true, Ordering::SeqCst);
    assert!(host.start(&cart, &id("cart")).await.is_ok());
}

#[test]
fn t65_an_epoch_that_falls_while_the_log_grows_is_a_fork() {
    let bench = Bench::new();
    let copy = bench.broker.copy();
    bench.broker.forget_default("wasi:clocks");
    take(&bench.memory, &bench.broker.notice()).unwrap();
    // No event, so that it is longer and knows less.
    for _ in 0..3 {
        copy.count();
    }
    assert_eq!(reason(take(&bench.memory, &copy.notice())), Some(Reason::LogFork));
    assert_eq!(bench.memory.record().forked.unwrap().contradiction, Contradiction::Epoch);
}

#[test]
fn t65_late_repeated_and_reordered_notices_are_no_fork() {
    let bench = Bench::new();
    let mut notices = vec![bench.broker.notice()];
    for package in ["wasi:clocks", "wasi:random", "wasi:logging"] {
        bench.broker.forget_default(package);
        notices.push(bench.broker.notice());
        bench.broker.count();
        notices.push(bench.broker.notice());
    }
    // Every rotation, forwards and backwards, each notice twice, over a restart of the host in the middle.
    for turn in 0..notices.len() {
        let mut order: Vec<_> = notices.iter().cycle().skip(turn).take(notices.len() * 2).collect();
        if turn % 2 == 1 {
            order.reverse();
        }
        let memory = Memory::load(bench.broker.dir()).unwrap();
        for notice in order {
            assert_eq!(reason(take(&memory, notice)), None, "turn {turn}");
        }
    }
    assert_eq!(bench.broker.memory().record().forked, None);
    assert!(memory::kept(bench.broker.dir()).unwrap().is_empty());
}

#[test]
fn t65_a_strangers_note_proves_nothing() {
    let (bench, copy) = two_logs();
    let note = String::from_utf8(copy.notice()).unwrap();
    let forged = note.replace(&note[note.len() - 20..], "AAAAAAAAAAAAAAAAAA=\n");
    assert!(take(&bench.memory, forged.as_bytes()).is_err());
    let stranger = key(KeyPairType::Server, 66);
    let signed = copy.notice_by(&stranger);
    assert!(take(&bench.memory, &signed).is_err());
    assert_eq!(bench.memory.record().forked, None);
}

#[test]
fn t65_t66_a_fork_that_rests_on_a_stolen_log_key_ends_with_the_key() {
    let (bench, copy) = two_logs();
    assert_eq!(reason(take(&bench.memory, &copy.notice())), Some(Reason::LogFork));
    let standing = |serial: u64, log_key: &str| {
        let sha256 = Digest::of(format!("{serial}").as_bytes());
        Standing { rank: Rank { reset: 0, serial }, sha256, log_key: log_key.to_owned() }
    };
    // Another warrant with the same log key says nothing of it.
    let same = bench.memory.record().log_key;
    bench.memory.follow(&standing(2, &same)).unwrap();
    assert_eq!(reason(bench.memory.refuse_forked()), Some(Reason::LogFork));
    let raw = *name::<policy::key::Host>(&key(KeyPairType::Server, 67)).raw();
    let new = NoteKey::of(&bench.broker.lattice(), &raw).unwrap().to_string();
    bench.memory.follow(&standing(3, &new)).unwrap();
    assert_eq!(reason(bench.memory.refuse_forked()), None);
    let [kept] = &memory::kept(bench.broker.dir()).unwrap()[..] else { panic!("the evidence stays") };
    assert_eq!(kept["ended"]["by"], "warrant");
    // What the old key signs counts for nothing any more.
    for notice in [bench.broker.notice(), copy.notice()] {
        assert!(take(&bench.memory, &notice).is_err());
    }
    assert_eq!(bench.memory.record().forked, None);
}

#[tokio::test]
async fn t67_a_journal_that_cannot_be_written_binds_nothing() {
    let bench = Bench::new();
    let host = bench.host().await;
    let journal = bench.broker.dir().join("journal");
    std::os::unix::fs::symlink("/dev/full", &journal).unwrap();
    let refused = host.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
    assert_eq!(refused.code(), "file_failed", "{refused}");
    std::fs::remove_file(&journal).unwrap();
    assert!(host.start(&guests::signed("cart"), &id("cart")).await.is_ok());
}

#[tokio::test]
async fn what_is_acted_on_is_journaled_and_what_is_lost_is_not() {
    let lost = Arc::new(AtomicUsize::new(0));
    let loses = Arc::clone(&lost);
    let bench = Bench {
        timeout: std::time::Duration::from_millis(200),
        ..Bench::with(move |_, _, genuine| if loses.load(Ordering::SeqCst) > 0 { Vec::new() } else { vec![genuine] })
    };
    let host = bench.host().await;
    let cart = guests::signed("cart");
    let running = host.start(&cart, &id("cart")).await.unwrap();
    assert!(host.start(&cart, &id("nobody")).await.is_err());
    lost.store(1, Ordering::SeqCst);
    assert!(host.start(&cart, &id("cart")).await.is_err());
    lost.store(0, Ordering::SeqCst);
    let again = host.start(&cart, &id("cart")).await.unwrap();
    let lines = policy::journal::read(&crate::journal::read(bench.broker.dir()).unwrap()).unwrap();
    let told: Vec<_> = lines.iter().map(|line| (line.number, line.index, line.reason, line.bound.len())).collect();
    let [first, second, third] = told[..] else { panic!("{told:?}") };
    assert_eq!(first, (1, running.decided().index, None, running.answers().len()));
    assert_eq!((second.0, second.2, second.3), (2, Some(Reason::ComponentUnknown), 0));
    assert_eq!(third, (3, again.decided().index, None, again.answers().len()));
    assert!(lines.iter().all(|line| line.host == bench.memory.record().host));
}
