//! Warrants: who must sign one, how long two keys may overlap, and that no count of serials goes back.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;

use super::world::{NOW, Pair, World, at};
use crate::digest::Digest;
use crate::envelope::{Draft, Verified};
use crate::key::{Decision, Issuer, Key, Name, Root};
use crate::lineage::Lineage;
use crate::log::{Ledger, NoteKey, Rejudge, Step};
use crate::reason::{Reason, Refusal};
use crate::time::{Timestamp, Validity};
use crate::warrant::{DecisionKeys, Inception, Quorum, Rank, Warrant};
use crate::wire::{KEY_OVERLAP_S, WARRANT_LIFETIME_S};

struct Bench {
    world: World,
    inception: Inception,
}

impl Bench {
    fn new() -> Self {
        let world = World::bare();
        let inception = world.ledger.state().inception().clone();
        Self { world, inception }
    }

    /// A lattice whose warrants take two of three roots; nothing was recorded in it.
    fn of_three() -> Self {
        let keys = ["1", "2", "3"].map(|seed| Pair::<Root>::seeded(seed).key()).to_vec();
        let mut bench = Self::new();
        bench.inception.roots = Quorum { threshold: 2, keys };
        bench
    }

    fn warrant(&self, serial: u64, keys: &[&str]) -> Warrant {
        Warrant {
            iss: Pair::<Root>::seeded("1").name,
            lattice: self.inception.lattice.clone(),
            inception_sha256: self.world.ledger.root(),
            reset: 0,
            serial,
            decision_keys: keys.iter().map(|seed| decision(seed)).collect(),
            ends: BTreeMap::new(),
            log_key: self.inception.log_key.clone(),
            validity: Validity { iat: at(NOW), nbf: None, exp: Some(at(NOW + 86_400)) },
            cosigned: BTreeMap::new(),
        }
    }

    fn read(&self, token: &[u8]) -> Result<Verified<Warrant>, Refusal> {
        let roots = Lineage::of(&self.inception, self.world.ledger.root());
        roots.read(token, None)
    }

    fn install(&mut self, warrant: &Warrant) -> Result<(), Refusal> {
        let warrant = self.read(&Pair::<Root>::seeded("1").seal(warrant, &[]))?;
        let step: Step<_> = self.world.ledger.install(&warrant, self.world.now_ms);
        self.world.keep(step)
    }
}

fn decision(seed: &str) -> Key<Decision> {
    Pair::<Decision>::seeded(seed).key()
}

fn ending(warrant: Warrant, seed: &str, end: Timestamp) -> Warrant {
    Warrant { ends: [(Pair::<Decision>::seeded(seed).name, end)].into(), ..warrant }
}

fn cosigned(warrant: &Warrant, by: &str) -> (Name<Root>, String) {
    let root = Pair::<Root>::seeded(by);
    let signature = root.sign(Draft::of(&warrant.alone_by(root.name)).signing_input());
    (root.name, BASE64URL_NOPAD.encode(&signature))
}

fn reason<T>(result: Result<T, Refusal>) -> Option<Reason> {
    result.err().map(|refusal| refusal.reason)
}

#[test]
fn t17_a_warrant_that_too_few_roots_signed_is_refused() {
    let bench = Bench::of_three();
    let (warrant, seal) = (bench.warrant(2, &["1"]), |warrant: &Warrant| Pair::<Root>::seeded("1").seal(warrant, &[]));
    assert_eq!(reason(bench.read(&seal(&warrant))), Some(Reason::BrokerKeyUnknown));
    let with =
        |cosigned: Vec<(Name<Root>, String)>| Warrant { cosigned: cosigned.into_iter().collect(), ..warrant.clone() };
    // Twice by one root, by a stranger, with another's signature, and for another statement.
    for (wrong, expected) in [
        (vec![cosigned(&warrant, "1")], Reason::BrokerKeyUnknown),
        (vec![cosigned(&warrant, "4")], Reason::BrokerKeyUnknown),
        (vec![(Pair::<Root>::seeded("2").name, cosigned(&warrant, "3").1)], Reason::SignatureInvalid),
        (vec![cosigned(&bench.warrant(3, &["1"]), "2")], Reason::SignatureInvalid),
        (vec![cosigned(&warrant, "2"), cosigned(&bench.warrant(2, &["2"]), "3")], Reason::SignatureInvalid),
        (vec![(Pair::<Root>::seeded("2").name, "no signature".to_owned())], Reason::TokenMalformed),
    ] {
        assert_eq!(reason(bench.read(&seal(&with(wrong.clone())))), Some(expected), "{wrong:?}");
    }
    for enough in [vec![cosigned(&warrant, "2")], vec![cosigned(&warrant, "2"), cosigned(&warrant, "3")]] {
        assert_eq!(bench.read(&seal(&with(enough))).unwrap().serial, 2);
    }
    // A cosigner's signature alone is no warrant, whoever puts it into his own.
    let thief = Pair::<Root>::seeded("4");
    let stolen = Warrant { iss: thief.name, ..with(vec![cosigned(&warrant, "2"), cosigned(&warrant, "3")]) };
    assert_eq!(reason(bench.read(&thief.seal(&stolen, &[]))), Some(Reason::BrokerKeyUnknown));
}

#[test]
fn t17_a_rotation_signed_by_the_new_key_alone_is_refused() {
    let bench = Bench::new();
    let next = Pair::<Decision>::seeded("2");
    let warrant = bench.warrant(2, &["2"]);
    // In the root's name, and in its own: a decision key is no root, whatever it signs.
    for iss in [Pair::<Root>::seeded("1").name, Name::from_raw(*next.name.raw())] {
        let draft = Draft::of(&Warrant { iss, ..warrant.clone() });
        let signature = next.sign(draft.signing_input());
        let refused = reason(bench.read(draft.seal(&signature).as_bytes()));
        assert!(matches!(refused, Some(Reason::SignatureInvalid | Reason::BrokerKeyUnknown)), "{refused:?}");
    }
}

#[test]
fn t17_a_warrant_for_another_lattice_or_inception_is_refused() {
    let bench = Bench::new();
    let good = bench.warrant(2, &["1"]);
    let elsewhere = Warrant { lattice: "elsewhere".parse().unwrap(), ..good.clone() };
    let anew = Warrant { inception_sha256: Digest::of(b"another"), ..good };
    for wrong in [elsewhere, anew] {
        let token = Pair::<Root>::seeded("1").seal(&wrong, &[]);
        assert_eq!(reason(bench.read(&token)), Some(Reason::BrokerKeyUnknown));
    }
}

#[test]
fn t17_two_keys_overlap_for_a_day_at_most() {
    let bench = Bench::new();
    let read = |warrant: &Warrant| reason(bench.read(&Pair::<Root>::seeded("1").seal(warrant, &[])));
    let both = bench.warrant(2, &["1", "2"]);
    assert_eq!(read(&both), Some(Reason::SchemaMismatch));
    assert_eq!(read(&ending(both.clone(), "1", at(NOW + KEY_OVERLAP_S))), None);
    assert_eq!(read(&ending(both.clone(), "1", at(NOW + KEY_OVERLAP_S + 1))), Some(Reason::LifetimeExceeded));
    // No key, only keys that end, an end of a key that is not there, one key twice.
    assert_eq!(read(&bench.warrant(2, &[])), Some(Reason::SchemaMismatch));
    assert_eq!(read(&ending(bench.warrant(2, &["1"]), "1", at(NOW + 60))), Some(Reason::SchemaMismatch));
    assert_eq!(read(&ending(both, "3", at(NOW + 60))), Some(Reason::SchemaMismatch));
    assert_eq!(read(&ending(bench.warrant(2, &["1", "1"]), "1", at(NOW + 60))), Some(Reason::SchemaMismatch));
    let long = Validity { iat: at(NOW), nbf: None, exp: Some(at(NOW + WARRANT_LIFETIME_S + 1)) };
    assert_eq!(read(&Warrant { validity: long, ..bench.warrant(2, &["1"]) }), Some(Reason::LifetimeExceeded));
}

#[test]
fn t17_a_key_whose_say_has_ended_answers_no_more() {
    let bench = Bench::new();
    let warrant = ending(bench.warrant(2, &["1", "2"]), "1", at(NOW + 60));
    let warrant = bench.read(&Pair::<Root>::seeded("1").seal(&warrant, &[])).unwrap();
    let (old, new) = (Pair::<Decision>::seeded("1").name, Pair::<Decision>::seeded("2").name);
    for (second, speaks) in [(59, true), (60, false)] {
        let keys = DecisionKeys::of(&warrant, at(NOW + second)).unwrap();
        assert_eq!((keys.contains(&old), keys.contains(&new)), (speaks, true), "{second}");
    }
    assert_eq!(reason(DecisionKeys::of(&warrant, at(NOW + 86_400))), Some(Reason::BrokerKeyUnknown));
}

#[test]
fn t17_a_count_of_serials_is_begun_anew_by_the_roots_alone_and_one_at_a_time() {
    let mut bench = Bench::new();
    let runaway = 1 << 53;
    bench.install(&bench.warrant(runaway, &["1"])).unwrap();
    assert_eq!(reason(bench.install(&bench.warrant(2, &["1"]))), Some(Reason::StateRollback));
    let after = |reset: u64, serial: u64| Warrant { reset, ..Bench::new().warrant(serial, &["1"]) };
    assert_eq!(reason(bench.install(&after(2, 1))), Some(Reason::StateRollback));
    bench.install(&after(1, 1)).unwrap();
    // The reset is for ever: no older count comes back, and it happens once.
    for older in [after(0, runaway), after(0, 3), after(1, 1)] {
        assert_eq!(reason(bench.install(&older)), Some(Reason::StateRollback));
    }
    bench.install(&after(1, 2)).unwrap();
    assert_eq!(bench.world.ledger.state().warrant_rank(), Rank { reset: 1, serial: 2 });
    replayed(&bench.world);
}

#[test]
fn t66_the_log_key_is_replaced_by_a_warrant_and_does_not_come_back() {
    let mut bench = Bench::new();
    let first = bench.inception.log_key.clone();
    let lattice = bench.inception.lattice.clone();
    let note = |seed: u8| NoteKey::of(&lattice, Pair::<Issuer>::seeded(&seed.to_string()).name.raw());
    let with = |serial: u64, log_key: &str| Warrant { log_key: log_key.into(), ..Bench::new().warrant(serial, &["1"]) };
    let second = note(2).unwrap().to_string();
    let elsewhere = NoteKey::of(&"elsewhere".parse().unwrap(), Pair::<Issuer>::seeded("2").name.raw()).unwrap();
    let decisions = NoteKey::of(&lattice, Pair::<Decision>::seeded("1").name.raw()).unwrap();
    assert_eq!(reason(bench.install(&with(2, &elsewhere.to_string()))), Some(Reason::KeyMalformed));
    assert_eq!(reason(bench.install(&with(2, &decisions.to_string()))), Some(Reason::KeyInUse));
    assert_eq!(reason(bench.install(&with(2, "no key"))), Some(Reason::KeyMalformed));
    bench.install(&with(2, &second)).unwrap();
    assert_eq!(bench.world.ledger.state().log_key(), second);
    bench.install(&with(3, &note(3).unwrap().to_string())).unwrap();
    assert_eq!(reason(bench.install(&with(4, &second))), Some(Reason::AlreadyExists));
    assert_ne!(bench.world.ledger.state().log_key(), first);
    replayed(&bench.world);
}

#[test]
fn the_published_warrants_verify() {
    let folder = super::examples::root().join("tests/vectors/documents");
    let [one, two] = ["warrant", "warrant-rotation"].map(|name| std::fs::read(folder.join(name)).unwrap());
    assert_eq!(Bench::new().read(&one).unwrap().rank(), Rank { reset: 0, serial: 1 });
    let several = Bench::of_three();
    let rotation = several.read(&two).unwrap();
    assert_eq!((rotation.rank(), rotation.decision_keys.len()), (Rank { reset: 1, serial: 2 }, 2));
    // One root was enough for the first, and is not where two must sign.
    assert_eq!(reason(several.read(&one)), Some(Reason::BrokerKeyUnknown));
}

fn replayed(world: &World) {
    let mut again = Ledger::begin(&world.rows[0]).unwrap();
    for row in &world.rows[1..] {
        again.replay(row, Rejudge::Yes(&world.evidence)).unwrap();
    }
    assert_eq!(again.head(), world.ledger.head());
    assert_eq!(again.state().warrant_rank(), world.ledger.state().warrant_rank());
    assert_eq!(again.state().log_key(), world.ledger.state().log_key());
}
