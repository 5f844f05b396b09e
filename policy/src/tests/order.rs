//! The log's own order: clocks that are set back or run ahead, and older logs that were put back (T22, T28).

use super::world::{NOW, Pair, World, at};
use crate::digest::Digest;
use crate::envelope::Unverified;
use crate::govern::{AcknowledgeClock, BanHost, InviteHost, Jump, Operation, Restore};
use crate::inventory::HostInventory;
use crate::key::Invite;
use crate::log::{Checkpoint, Frontier, Ledger, NoteKey, Observed, Rejudge, leaf_hash};
use crate::question::Seen;
use crate::reason::Reason;
use crate::wire::Nonce;

const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
const TEN_YEARS: u64 = 3653 * DAY;

fn told(world: &mut World) -> Option<Reason> {
    world.start().decision().refusal().map(|refusal| refusal.reason)
}

fn invite() -> Operation {
    Operation::InviteHost(InviteHost {
        invite: Pair::<Invite>::seeded("77").name,
        labels: Default::default(),
        not_after: at(NOW + HOUR),
    })
}

fn acknowledge(world: &mut World, says: u64) -> Result<(), Reason> {
    let acknowledged = world.act(Operation::AcknowledgeClock(AcknowledgeClock { now: at(says) }));
    acknowledged.map_err(|refusal| refusal.reason)
}

/// Folds the log again from its bytes, as a broker that starts anew does.
fn restart(world: &mut World) {
    let mut ledger = Ledger::begin(&world.rows[0]).unwrap();
    for row in &world.rows[1..] {
        ledger.replay(row, Rejudge::Yes(&world.evidence)).unwrap();
    }
    assert_eq!(ledger.head(), world.ledger.head());
    assert_eq!(ledger.state().disorder(), world.ledger.state().disorder());
    world.ledger = ledger;
}

#[test]
fn t22_a_clock_set_back_grants_nothing_until_it_returns_also_across_a_restart() {
    for back in [HOUR, DAY] {
        let mut world = World::with_builtin();
        assert_eq!(told(&mut world), None);
        world.now_ms -= back * 1000;
        assert_eq!(told(&mut world), Some(Reason::ClockRollback), "{back}");
        restart(&mut world);
        assert_eq!(told(&mut world), Some(Reason::ClockRollback), "{back}");
        assert_eq!(world.act(invite()).unwrap_err().reason, Reason::ClockRollback);
        // What only takes away is never refused for that.
        let host = Pair::seeded("other").name;
        assert_eq!(
            world.act(Operation::BanHost(BanHost { host, running: None })).unwrap_err().reason,
            Reason::HostUnknown
        );
        world.now_ms += back * 1000;
        assert_eq!(told(&mut world), None, "{back}");
        restart(&mut world);
    }
}

#[test]
fn t22_less_than_a_minute_is_how_clocks_are() {
    let mut world = World::with_builtin();
    world.now_ms -= 60_000;
    assert_eq!(told(&mut world), None);
    world.now_ms -= 1000;
    assert_eq!(told(&mut world), Some(Reason::ClockRollback));
}

#[test]
fn t22_an_entry_from_years_ahead_is_mended_by_an_acknowledgement_alone() {
    let mut world = World::with_builtin();
    world.now_ms += TEN_YEARS * 1000;
    world.ledger.jumped(Jump { from_ms: NOW * 1000, to_ms: world.now_ms, passed_ms: 0 }, world.now_ms);
    let mut world = {
        // The jump is an entry like any other; keep its row for the replay.
        let mut again = World::with_builtin();
        again.now_ms = world.now_ms;
        let jump = Jump { from_ms: NOW * 1000, to_ms: world.now_ms, passed_ms: 0 };
        let step = again.ledger.jumped(jump, again.now_ms);
        again.rows.push(step.bytes);
        again
    };
    assert_eq!(world.ledger.state().disorder().jump.map(|jump| jump.passed_ms), Some(0));
    told(&mut world);
    world.now_ms -= TEN_YEARS * 1000;
    assert_eq!(told(&mut world), Some(Reason::ClockRollback));
    restart(&mut world);
    // Not to another time than the broker's clock says, and by nothing else.
    assert_eq!(acknowledge(&mut world, NOW + HOUR), Err(Reason::ClockRollback));
    assert_eq!(world.act(invite()).unwrap_err().reason, Reason::ClockRollback);
    assert_eq!(acknowledge(&mut world, NOW), Ok(()));
    assert_eq!(world.ledger.head().at_ms, NOW * 1000);
    assert_eq!(world.ledger.state().disorder().jump, None);
    assert_eq!(told(&mut world), None);
    world.act(invite()).unwrap();
    assert_eq!(acknowledge(&mut world, NOW), Err(Reason::AlreadyExists));
    restart(&mut world);
    assert_eq!(told(&mut world), None);
}

fn checkpoint(world: &World) -> String {
    let mut frontier = Frontier::default();
    world.rows.iter().for_each(|row| frontier.append(leaf_hash(row)));
    let (head, lattice) = (world.ledger.head(), world.ledger.state().lattice());
    let signing = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let key = NoteKey::of(lattice, signing.verifying_key().as_bytes()).unwrap();
    let origin = format!("countersign/{lattice}");
    let checkpoint = Checkpoint { origin, size: head.size, root: frontier.root(), epoch: head.epoch, last: head.last };
    key.note(&checkpoint.text(), &ed25519_dalek::Signer::sign(&signing, checkpoint.text().as_bytes()).to_bytes())
}

fn witness(world: &mut World, checkpoint: Option<String>) {
    let inventory = HostInventory {
        iss: world.host.name,
        aud: world.ledger.state().lattice().clone(),
        iat: at(NOW),
        process: Nonce::from_random([1; 16]),
        sequence: 1,
        page: 0,
        pages: 1,
        seen: Seen { epoch: 90, index: 99, entry_sha256: Digest::of(b"seen") },
        checkpoint,
        forked: None,
        builtins_sha256: Digest::of(b"none"),
        running: Vec::new(),
        closed: Vec::new(),
        at_hand: None,
    };
    let bytes = world.host.seal(&inventory, &[]);
    let verified = Unverified::<HostInventory>::parse(&bytes).unwrap().verify(world.ledger.state().host_keys());
    let step = world.ledger.report(&verified.unwrap(), Observed::default(), world.now_ms);
    world.rows.push(step.bytes);
    world.evidence.extend(step.evidence);
}

#[test]
fn t28_a_host_that_has_seen_more_is_refused_and_no_other_is_for_its_word_alone() {
    let mut world = World::with_builtin();
    let mut liar = world.request();
    liar.request.seen.index = world.ledger.head().size;
    let refused = world.ask(&liar).unwrap();
    assert_eq!(refused.decision().refusal().unwrap().reason, Reason::StateRollback);
    liar.request.seen = Seen { epoch: 1 << 40, index: 0, ..liar.request.seen };
    liar.request.jti = Nonce::from_random([9; 16]);
    let refused = world.ask(&liar).unwrap();
    assert_eq!(refused.decision().refusal().unwrap().reason, Reason::StateRollback);
    // Neither its word, nor a checkpoint that another log's key signed, stops anybody else.
    witness(&mut world, None);
    witness(&mut world, Some("no note at all".to_owned()));
    assert_eq!(told(&mut world), None);
    restart(&mut world);
}

#[test]
fn t28_t64_a_proof_that_the_log_was_longer_stops_every_grant_until_it_is_restored() {
    let mut world = World::with_builtin();
    // Yesterday's copy of everything, and what happens after it.
    let (ledger, rows) = (world.ledger.clone(), world.rows.clone());
    for _ in 0..3 {
        assert_eq!(told(&mut world), None);
    }
    world.act(invite()).unwrap();
    let (held, seen) = (checkpoint(&world), world.ledger.head());
    (world.ledger, world.rows) = (ledger, rows);
    let kept = world.ledger.head();
    assert_eq!(told(&mut world), None);

    witness(&mut world, Some(held));
    assert_eq!(told(&mut world), Some(Reason::StateRollback));
    restart(&mut world);
    assert_eq!(told(&mut world), Some(Reason::StateRollback));
    // Taking away is still possible, giving is not what stops: starts are.
    let (kept, kept_sha256) = (kept.size, kept.last);
    let restore = Restore { kept, kept_sha256, seen: seen.size + 10, seen_epoch: seen.epoch, disowned: Vec::new() };
    let short = world.act(Operation::Restore(restore.clone())).unwrap_err();
    assert_eq!(short.reason, Reason::StateRollback);
    let kept = world.ledger.head();
    let restore = Restore { kept: kept.size, kept_sha256: kept.last, ..restore };
    while world.ledger.head().size < restore.seen {
        let step = world.ledger.lose(world.now_ms);
        world.rows.push(step.bytes);
    }
    world.act(Operation::Restore(restore.clone())).unwrap();
    assert!(world.ledger.head().epoch > seen.epoch && world.ledger.head().epoch >= restore.seen);
    assert_eq!(world.ledger.state().disorder().restored.last().map(|(_, restored)| restored), Some(&restore));
    assert_eq!(told(&mut world), None);
    restart(&mut world);
}
