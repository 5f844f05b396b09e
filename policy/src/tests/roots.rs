//! Other roots: both sets must agree, in turn, and what the old ones signed alone changes nothing.

use std::collections::BTreeMap;

use super::world::{NOW, Pair, World, at};
use crate::digest::Digest;
use crate::envelope::{Unverified, Verified};
use crate::key::{Administrator, Decision, Name, Role, Root};
use crate::log::{Ledger, Rejudge};
use crate::reason::Reason;
use crate::root::RootChange;
use crate::time::Validity;
use crate::warrant::{Quorum, Warrant};

fn change(world: &World, roots: &[&str], threshold: u64) -> RootChange {
    let line = world.ledger.state().root_line(world.ledger.root());
    RootChange {
        iss: Pair::<Root>::seeded("1").name,
        lattice: line.lattice,
        inception_sha256: line.inception_sha256,
        serial: line.serial + 1,
        roots: Quorum { threshold, keys: roots.iter().map(|seed| Pair::<Root>::seeded(seed).key()).collect() },
        iat: at(NOW),
        also: Vec::new(),
    }
}

// The change as these roots sign it: the first names the others.
fn signed(change: &RootChange, by: &[&str]) -> Vec<u8> {
    let token = |seed: &str| {
        let pair = Pair::<Root>::seeded(seed);
        pair.seal(&RootChange { iss: pair.name, ..change.clone() }, &[])
    };
    let others: Vec<Vec<u8>> = by[1..].iter().map(|seed| token(seed)).collect();
    let first = Pair::<Root>::seeded(by[0]);
    let also = others.iter().map(|other| Digest::of(other)).collect();
    first.seal(&RootChange { iss: first.name, also, ..change.clone() }, &others)
}

fn recorded(world: &mut World, bytes: &[u8]) -> Result<(), Reason> {
    let line = world.ledger.state().root_line(world.ledger.root());
    let agreed = line.follow(bytes).map_err(|refusal| refusal.reason)?;
    let step = world.ledger.change_roots(&agreed, world.now_ms);
    world.keep(step).map_err(|refusal| refusal.reason)
}

// The warrant as these roots sign it: the first in its own name, the others beside it.
fn warrant(world: &World, by: &[&str], serial: u64) -> Result<Verified<Warrant>, Reason> {
    let root = Pair::<Root>::seeded(by[0]);
    let line = world.ledger.state().root_line(world.ledger.root());
    let mut warrant = Warrant {
        iss: root.name,
        lattice: line.lattice.clone(),
        inception_sha256: line.inception_sha256,
        reset: 0,
        serial,
        decision_keys: vec![Pair::<Decision>::seeded("1").key()],
        ends: BTreeMap::new(),
        log_key: world.ledger.state().inception().log_key.clone(),
        validity: Validity { iat: at(NOW), nbf: None, exp: Some(at(NOW + 86_400)) },
        cosigned: BTreeMap::new(),
    };
    for other in by[1..].iter().map(|seed| Pair::<Root>::seeded(seed)) {
        let token = other.seal(&warrant.alone_by(other.name), &[]);
        let signature = token.rsplit(|byte| *byte == b'.').next().unwrap();
        warrant.cosigned.insert(other.name, String::from_utf8(signature.to_vec()).unwrap());
    }
    let verified = Unverified::<Warrant>::parse(&root.seal(&warrant, &[])).unwrap().verify(&line);
    verified.map_err(|refusal| refusal.reason)
}

fn refused(world: &World, by: &[&str]) -> Option<Reason> {
    warrant(world, by, 2).err()
}

#[test]
fn t17_other_roots_take_the_old_threshold_and_the_new() {
    let mut world = World::with_builtin();
    let next = change(&world, &["2", "3", "4"], 2);
    for (by, expected) in [
        (&["1"][..], Reason::ThresholdUnmet),
        (&["1", "2"], Reason::ThresholdUnmet),
        (&["2", "3", "4"], Reason::ThresholdUnmet),
        (&["1", "2", "2"], Reason::ThresholdUnmet),
        (&["1", "2", "9"], Reason::BrokerKeyUnknown),
    ] {
        assert_eq!(recorded(&mut world, &signed(&next, by)), Err(expected), "{by:?}");
    }
    let agreed = signed(&next, &["1", "2", "4"]);
    for at in 0..agreed.len() {
        let mut altered = agreed.clone();
        altered[at] ^= 1;
        assert!(recorded(&mut world, &altered).is_err(), "byte {at}");
    }
    recorded(&mut world, &agreed).unwrap();
    assert_eq!(recorded(&mut world, &agreed), Err(Reason::StateRollback), "once");
    for by in [&["1"][..], &["2"], &["2", "1"], &["1", "2", "3"]] {
        assert_eq!(refused(&world, by), Some(Reason::BrokerKeyUnknown), "{by:?} are not two of today's three");
    }
    let next = warrant(&world, &["3", "2"], 2).unwrap();
    let step = world.ledger.install(&next, world.now_ms);
    world.keep(step).unwrap();
    assert_eq!(world.ledger.state().warrant_sha256(), Some(next.sha256()));
    // Back to one root, by two of three and the new one.
    let back = change(&world, &["5"], 1);
    assert_eq!(recorded(&mut world, &signed(&back, &["1", "5"])), Err(Reason::BrokerKeyUnknown));
    recorded(&mut world, &signed(&back, &["2", "3", "5"])).unwrap();
    assert_eq!((refused(&world, &["5"]), refused(&world, &["2", "3"])), (None, Some(Reason::BrokerKeyUnknown)));
    for rejudge in [Rejudge::No, Rejudge::Yes(&world.evidence)] {
        let mut ledger = Ledger::begin(&world.rows[0]).unwrap();
        world.rows[1..].iter().for_each(|row| drop(ledger.replay(row, rejudge).unwrap()));
        assert_eq!(ledger.head(), world.ledger.head());
    }
}

#[test]
fn t17_signers_of_different_changes_agree_to_none() {
    let mut world = World::new();
    let (one, other) = (change(&world, &["2"], 1), change(&world, &["2", "3"], 1));
    let second = Pair::<Root>::seeded("2");
    let theirs = second.seal(&RootChange { iss: second.name, ..other }, &[]);
    let first = Pair::<Root>::seeded("1");
    let mixed = first.seal(&RootChange { also: vec![Digest::of(&theirs)], ..one }, &[theirs]);
    assert_eq!(recorded(&mut world, &mixed), Err(Reason::SchemaMismatch));
}

#[test]
fn t09_t79_a_root_is_never_an_administrator() {
    let mut world = World::new();
    let raw = *Pair::<Administrator>::seeded("1").name.raw();
    let mut next = change(&world, &["2"], 1);
    next.roots.keys.push(Name::<Root>::from_raw(raw).usable().unwrap());
    assert_eq!(recorded(&mut world, &signed(&next, &["1", "2"])), Err(Reason::KeyInUse));
    let elsewhere = RootChange { lattice: "other".parse().unwrap(), ..change(&world, &["2"], 1) };
    assert_eq!(recorded(&mut world, &signed(&elsewhere, &["1", "2"])), Err(Reason::BrokerKeyUnknown));
    assert_eq!(Root::WORD, "root");
}
