//! A memory only rises, lies on the disk before it counts, and forgets only what a stolen key announced.

use policy::warrant::Rank;

use super::*;
use crate::tests::broker::Broker;

fn sighting(index: u64, epoch: u64, text: &str) -> Sighting {
    Sighting { epoch, head: Head { index, entry_sha256: Digest::of(text.as_bytes()) }, warrant: None, shown: None }
}

fn reason(memory: &Memory, sighting: &Sighting) -> Option<Reason> {
    memory.raise(sighting).err().and_then(|error| error.reason())
}

#[test]
fn memory_only_rises_and_is_on_the_disk() {
    let broker = Broker::new();
    let memory = broker.memory();
    memory.raise(&sighting(50, 40, "a")).unwrap();
    memory.raise(&sighting(45, 40, "b")).unwrap();
    assert_eq!(memory.seen().index, 50);
    let read = Memory::load(memory.dir()).unwrap();
    assert_eq!(read.record(), memory.record());
    assert_eq!(read.record().epoch, 40);
}

#[test]
fn t64_a_log_that_was_put_back_or_forked_is_refused() {
    let broker = Broker::new();
    let memory = broker.memory();
    memory.raise(&sighting(50, 40, "a")).unwrap();
    assert_eq!(reason(&memory, &sighting(50, 40, "other")), Some(Reason::StateRollback));
    assert_eq!(reason(&memory, &sighting(60, 39, "c")), Some(Reason::StateRollback));
    assert_eq!(memory.seen().index, 50);
}

#[test]
fn t17_a_warrant_never_goes_back_and_a_reset_counts_once() {
    let broker = Broker::new();
    let memory = broker.memory();
    let standing = |reset: u64, serial: u64, key: &str| {
        let sha256 = Digest::of(format!("{reset} {serial} {key}").as_bytes());
        Standing { rank: Rank { reset, serial }, sha256, log_key: key.into() }
    };
    let with = |warrant: Standing| Sighting { warrant: Some(warrant), ..sighting(60, 40, "x") };
    memory.raise(&with(standing(0, 3, "new"))).unwrap();
    memory.raise(&with(standing(0, 2, "old"))).unwrap();
    assert_eq!((memory.record().warrant_serial, memory.record().log_key.as_str()), (3, "new"));
    let follow = |warrant: &Standing| memory.follow(warrant).err().and_then(|error| error.reason());
    assert_eq!(follow(&standing(0, 2, "old")), Some(Reason::BrokerKeyUnknown));
    assert_eq!(follow(&standing(0, 3, "another")), Some(Reason::BrokerKeyUnknown));
    assert_eq!(follow(&standing(0, 3, "new")), None);
    assert_eq!(follow(&standing(1, 1, "anew")), None);
    let again = Memory::load(memory.dir()).unwrap();
    assert_eq!((again.record().rank(), again.record().log_key), (Rank { reset: 1, serial: 1 }, "anew".into()));
    for older in [standing(0, 3, "new"), standing(0, 1 << 53, "run away")] {
        assert_eq!(again.follow(&older).err().and_then(|error| error.reason()), Some(Reason::BrokerKeyUnknown));
    }
}

#[test]
fn t66_what_a_stolen_log_key_announced_is_forgotten_with_the_key() {
    let broker = Broker::new();
    let memory = broker.memory();
    let key = memory.record().log_key;
    let standing = |serial: u64, log_key: &str| {
        let sha256 = Digest::of(format!("{serial}").as_bytes());
        Standing { rank: Rank { reset: 0, serial }, sha256, log_key: log_key.to_owned() }
    };
    let answered = Sighting { warrant: Some(standing(2, &key)), ..sighting(60, 40, "answered") };
    memory.raise(&answered).unwrap();
    memory.raise(&sighting(61, 41, "announced")).unwrap();
    memory.raise(&sighting(1 << 40, 1 << 39, "invented")).unwrap();
    // The same key again forgets nothing.
    memory.follow(&standing(3, &key)).unwrap();
    assert_eq!((memory.record().epoch, memory.seen().index), (1 << 39, 1 << 40));
    memory.follow(&standing(4, "another")).unwrap();
    assert_eq!((memory.record().epoch, memory.seen().index), (40, 60));
    assert_eq!(reason(&memory, &sighting(60, 40, "other")), Some(Reason::StateRollback));
}

#[test]
fn a_memory_of_another_root_is_refused() {
    let broker = Broker::new();
    let memory = broker.memory();
    let mut record = memory.record();
    record.root = Digest::of(b"another");
    write(memory.dir(), &record).unwrap();
    assert_eq!(Memory::load(memory.dir()).unwrap_err().reason(), Some(Reason::BrokerKeyUnknown));
}
