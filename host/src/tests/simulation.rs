//! A whole lattice in one thread and a random order: hosts ask and bind, an act takes away, and time, loss, repetition,
//! reordering and restarts are drawn from a seed. Nothing is ever bound after the act is effective (T23).
//!
//! The law, the ledger, answers, permits, slots, the host's memory and the two moments are the real ones; only the wire,
//! the disk and the clocks are played. `COUNTERSIGN_INTERLEAVINGS` says how many, `COUNTERSIGN_SEED` which one alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use policy::answer::StartAnswer;
use policy::command::Command;
use policy::decide::Facts;
use policy::digest::Digest;
use policy::effective::Effects;
use policy::envelope::{Afresh, Unverified};
use policy::examine::{self, Examined};
use policy::govern::{InviteHost, Operation, RetireComponent};
use policy::key::{Host, Name};
use policy::log::Ledger;
use policy::native::Native;
use policy::question::{Inventory, Offer, StartRequest, What};
use policy::warrant::DecisionKeys;

use super::broker::{Broker, id, name};
use super::links::random;
use crate::clock::{Clock, Moment, SystemClock};
use crate::component::Component;
use crate::engine;
use crate::identity::{HostKey, nonce};
use crate::memory::{Head, Record, Sighting, may_bind, raised};
use crate::permit::{Asked, Permits, Told};
use crate::slot::{Binding, Slots};

/// What is wrong with the world on purpose, so that it is known to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The host binds whatever its epoch.
    HostIgnoresEpoch,
    /// The host binds whenever its permit was.
    HostIgnoresAge,
    /// The host says that it holds an epoch before it does.
    HostSaysTooEarly,
    /// The broker calls an act effective as soon as it is recorded.
    BrokerDoesNotWait,
}

/// What is made once: signatures cost more than everything else here.
struct Stage {
    broker: Arc<Broker>,
    base: Ledger,
    keys: DecisionKeys,
    hosts: Vec<(Name<Host>, Record)>,
    questions: Vec<Vec<(StartRequest, Digest, Examined<StartRequest>)>>,
    harmless: Vec<Examined<Command>>,
    retire: Examined<Command>,
    component: Component,
    began: Moment,
}

const QUESTIONS: usize = 8;

impl Stage {
    fn new() -> Self {
        let broker = Broker::new();
        let roller = random(&["0.2.0"]);
        broker.admit("roller", &roller);
        let (dir, other, memory) = broker.another_host();
        let hosts = vec![(broker.host_key(), broker.memory().record()), (other, memory.record())];
        drop(dir);
        let component = Component::load(&engine::ticking().unwrap(), &roller).unwrap();
        let invite = || {
            let invite = name(&nkeys::KeyPair::new_server());
            let not_after = SystemClock.now().plus(300);
            broker.signed_command(vec![Operation::InviteHost(InviteHost {
                invite,
                labels: BTreeMap::new(),
                not_after,
            })])
        };
        let harmless = (0..3).map(|_| invite()).collect();
        let retire = RetireComponent { id: id("roller"), running: None };
        let retire = broker.signed_command(vec![Operation::RetireComponent(retire)]);
        let base = broker.ledger();
        let questions = hosts.iter().map(|(key, record)| questions(key, record, &component, &base)).collect();
        let hosts = hosts.into_iter().map(|(key, record)| (*key.name(), record)).collect();
        let (keys, began) = (broker.decision_keys(), SystemClock.moment());
        Self { keys, base, hosts, questions, harmless, retire, component, began, broker }
    }
}

fn questions(
    key: &HostKey,
    record: &Record,
    component: &Component,
    base: &Ledger,
) -> Vec<(StartRequest, Digest, Examined<StartRequest>)> {
    let native = Native::find("native/random@0.2.0")
        .or_else(|| policy::native::NATIVES.iter().find(|native| native.package == "wasi:random"));
    let offer: Offer = native.unwrap().offer().unwrap();
    let inventory = policy::json::write(&Inventory { builtins: vec![offer] });
    let question = |_| {
        let request = StartRequest {
            iss: *key.name(),
            aud: record.lattice.clone(),
            iat: SystemClock.now(),
            jti: nonce().unwrap(),
            what: What::StartComponent,
            runs: component.runs(&id("roller")),
            imports: component.imports().to_vec(),
            inventory_sha256: Digest::of(&inventory),
            seen: policy::question::Seen {
                epoch: record.epoch,
                index: record.head.index,
                entry_sha256: record.head.entry_sha256,
            },
            stood_in: Vec::new(),
        };
        let bytes = key.sign(&request, &[component.token(), &inventory]).unwrap();
        let verified = Unverified::<StartRequest>::parse(&bytes).unwrap().verify(base.state().host_keys()).unwrap();
        let sha256 = verified.sha256();
        (request, sha256, examine::start(verified, &Afresh).unwrap())
    };
    (0..QUESTIONS).map(question).collect()
}

/// What can happen, to which host.
#[derive(Debug, Clone)]
enum Event {
    Ask(usize),
    Question(usize, usize),
    Answer(usize, usize, Arc<Vec<u8>>),
    Bind(usize),
    Notice(usize, Box<Sighting>),
    Inventory(usize, u64),
    Beat,
    Act(usize),
    HostRestarts(usize),
    BrokerRestarts,
}

struct Guest {
    record: Record,
    clock: PlayedClock,
    next: usize,
    waiting: Option<(usize, Asked)>,
    ready: Option<Permits>,
}

#[derive(Default)]
struct PlayedClock {
    boot_ms: AtomicU64,
    wall_ms: AtomicU64,
}

impl Clock for PlayedClock {
    fn boot_ms(&self) -> u64 {
        self.boot_ms.load(Ordering::SeqCst)
    }

    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::SeqCst)
    }
}

struct World<'a> {
    stage: &'a Stage,
    flaw: Flaw,
    seed: u64,
    now_ms: u64,
    count: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    ledger: Ledger,
    effects: Effects,
    answers: BTreeMap<(usize, usize), Arc<Vec<u8>>>,
    guests: Vec<Guest>,
    // The acts that somebody was told to be effective.
    effective: BTreeSet<u64>,
    acts: Vec<u64>,
    retired: Option<u64>,
    bound: u64,
    violation: Option<String>,
}

impl<'a> World<'a> {
    fn new(stage: &'a Stage, flaw: Flaw, seed: u64) -> Self {
        let guest = |(_, record): &(Name<Host>, Record)| Guest {
            record: record.clone(),
            clock: PlayedClock::default(),
            next: 0,
            waiting: None,
            ready: None,
        };
        let mut world = Self {
            stage,
            flaw,
            seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now_ms: 20_000,
            count: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            ledger: stage.base.clone(),
            // The broker began long ago, or just now.
            effects: Effects::since(0),
            answers: BTreeMap::new(),
            guests: stage.hosts.iter().map(guest).collect(),
            effective: BTreeSet::new(),
            acts: Vec::new(),
            retired: None,
            bound: 0,
            violation: None,
        };
        for host in 0..world.guests.len() {
            for _ in 0..2 {
                let at = world.draw(9000);
                world.after(at, Event::Ask(host));
            }
            if world.draw(6) == 0 {
                let at = world.draw(12_000);
                world.after(at, Event::HostRestarts(host));
            }
        }
        if world.draw(6) == 0 {
            let at = world.draw(12_000);
            world.after(at, Event::BrokerRestarts);
        }
        let harmless = usize::try_from(world.draw(3)).unwrap();
        for number in 0..harmless {
            let at = world.draw(10_000);
            world.after(at, Event::Act(number));
        }
        let at = 1000 + world.draw(8000);
        world.after(at, Event::Act(usize::MAX));
        (0..9).for_each(|beat| world.after(beat * 2000 + 700, Event::Beat));
        world
    }

    // xorshift64*: the same everywhere, and good enough to shuffle.
    fn draw(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.count += 1;
        self.queue.push(Reverse((self.now_ms + ms, self.count)));
        self.events.insert(self.count, event);
    }

    // A wire that loses, repeats and delays, so that what was sent later arrives first.
    fn send(&mut self, event: &Event) {
        let copies = match self.draw(10) {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let slow = self.draw(4) == 0;
            let ms = self.draw(if slow { 5500 } else { 300 });
            self.after(ms, event.clone());
        }
    }

    fn run(mut self) -> Result<u64, String> {
        while let Some(Reverse((at, number))) = self.queue.pop() {
            self.now_ms = at;
            for guest in &self.guests {
                guest.clock.boot_ms.store(at, Ordering::SeqCst);
                guest.clock.wall_ms.store(self.stage.began.wall_ms + at, Ordering::SeqCst);
            }
            self.tell_what_is_effective();
            let event = self.events.remove(&number).unwrap();
            self.happen(event);
            if let Some(violation) = self.violation {
                return Err(violation);
            }
        }
        Ok(self.bound)
    }

    fn tell_what_is_effective(&mut self) {
        for act in &self.acts {
            let told = self.effects.of(*act, self.now_ms).after_ms.is_some();
            if told || self.flaw == Flaw::BrokerDoesNotWait {
                self.effective.insert(*act);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ask(host) => self.ask(host),
            Event::Question(host, number) => self.decide(host, number),
            Event::Answer(host, number, bytes) => self.answered(host, number, &bytes),
            Event::Bind(host) => self.bind(host),
            Event::Notice(host, sighting) => self.noticed(host, &sighting),
            Event::Inventory(host, epoch) => {
                self.effects.acknowledged(self.stage.hosts[host].0, epoch, self.now_ms);
            }
            Event::Beat => self.announce(),
            Event::Act(number) => self.act(number),
            Event::HostRestarts(host) => {
                let guest = &mut self.guests[host];
                (guest.waiting, guest.ready) = (None, None);
                self.after(100, Event::Ask(host));
            }
            Event::BrokerRestarts => self.effects = Effects::since(self.now_ms),
        }
    }

    fn ask(&mut self, host: usize) {
        let guest = &mut self.guests[host];
        if guest.next >= QUESTIONS {
            return;
        }
        let number = guest.next;
        guest.next += 1;
        let (request, sha256, _) = &self.stage.questions[host][number];
        let asked = Asked { request: request.clone(), sha256: *sha256, sent: guest.clock.moment() };
        guest.waiting = Some((number, asked));
        self.send(&Event::Question(host, number));
    }

    // A repetition gets the same answer and makes no second entry.
    fn decide(&mut self, host: usize, number: usize) {
        if !self.answers.contains_key(&(host, number)) {
            let (request, sha256, examined) = &self.stage.questions[host][number];
            let at_ms = self.stage.began.wall_ms + self.now_ms;
            let step = self.ledger.rule(examined.clone(), Facts::default(), at_ms);
            if step.outcome.decision().refusal().is_none() {
                self.effects.permitted(request.iss, self.now_ms, policy::wire::PERMIT_TTL_MS);
            }
            let about = (request.iss, request.jti, *sha256);
            let lattice = request.aud.clone();
            let answer = self.stage.broker.answer(&step, request.what, request.runs.clone(), about, lattice);
            self.answers.insert((host, number), Arc::new(self.stage.broker.sign(&answer)));
        }
        let answer = Arc::clone(&self.answers[&(host, number)]);
        self.send(&Event::Answer(host, number, answer));
    }

    fn answered(&mut self, host: usize, number: usize, bytes: &[u8]) {
        let answer = Unverified::<StartAnswer>::parse(bytes).unwrap().verify(&self.stage.keys).unwrap();
        let head = Head { index: answer.index, entry_sha256: answer.entry_sha256 };
        let sighting = Sighting { epoch: answer.epoch, head, warrant: None, shown: None };
        let guest = &mut self.guests[host];
        // An answer to what nobody waits for is ignored.
        let Some((_, asked)) = guest.waiting.take_if(|(waiting, _)| *waiting == number) else { return };
        let Ok(told) = asked.answered_by(answer) else { return };
        let Ok(after) = raised(&guest.record, &sighting) else { return };
        guest.record = after;
        match told {
            Told::Permitted(permits)
                if permits.decision().epoch >= guest.record.epoch || self.flaw == Flaw::HostIgnoresEpoch =>
            {
                guest.ready = Some(permits);
                let slow = self.draw(3) == 0;
                let compiling = self.draw(if slow { 7000 } else { 800 });
                self.after(compiling, Event::Bind(host));
            }
            Told::Permitted(_) => self.after(1, Event::Ask(host)),
            Told::Refused(_) => {}
        }
    }

    fn bind(&mut self, host: usize) {
        let (clock, flaw) = (PlayedClock::default(), self.flaw);
        let guest = &mut self.guests[host];
        let Some(mut permits) = guest.ready.take() else { return };
        let decided = permits.decision();
        let clock: &dyn Clock = if flaw == Flaw::HostIgnoresAge { &clock } else { &guest.clock };
        if flaw != Flaw::HostIgnoresEpoch && may_bind(&guest.record, decided.epoch).is_err() {
            self.after(1, Event::Ask(host));
            return;
        }
        let slots: Slots = self.stage.component.slots(&id("roller"));
        let fresh = permits.fresh(clock).is_ok();
        let bound = fresh
            && slots.iter().all(|slot| {
                let permit = permits.take(slot.import()).unwrap();
                let native = policy::native::NATIVES.iter().find(|native| native.package == "wasi:random").unwrap();
                slot.bind(permit, Binding::Native(native), clock).is_ok()
            });
        if !bound {
            self.after(1, Event::Ask(host));
            return;
        }
        self.bound += 1;
        let over = self.effective.iter().find(|act| decided.epoch < **act);
        if let Some(act) = over {
            let (entry, epoch, now_ms) = (decided.index, decided.epoch, self.now_ms);
            let retired = if self.retired == Some(*act) { "the retirement" } else { "an act" };
            self.violation = Some(format!(
                "at {now_ms} ms host {host} bound by entry {entry} of epoch {epoch}; {retired} {act} was effective"
            ));
        }
    }

    fn noticed(&mut self, host: usize, sighting: &Sighting) {
        let guest = &mut self.guests[host];
        // What contradicts is ignored, what is older changes nothing.
        if let Ok(after) = raised(&guest.record, sighting) {
            // A host that says so before it is on its disk.
            let early = self.flaw == Flaw::HostSaysTooEarly && guest.ready.is_some();
            let epoch = after.epoch;
            if !early {
                guest.record = after;
            }
            self.send(&Event::Inventory(host, epoch));
        }
    }

    fn act(&mut self, number: usize) {
        let at_ms = self.stage.began.wall_ms + self.now_ms;
        let command = self.stage.harmless.get(number).unwrap_or(&self.stage.retire);
        let step = self.ledger.govern(command, at_ms);
        assert_eq!(step.outcome, Ok(()));
        self.effects.recorded(step.index, self.now_ms);
        self.acts.push(step.index);
        if number == usize::MAX {
            self.retired = Some(step.index);
        }
        self.announce();
    }

    fn announce(&mut self) {
        let head = self.ledger.head();
        let newest = Head { index: head.size - 1, entry_sha256: head.last };
        let sighting = Sighting { epoch: head.epoch, head: newest, warrant: None, shown: None };
        for host in 0..self.guests.len() {
            self.send(&Event::Notice(host, Box::new(sighting.clone())));
        }
    }
}

fn interleavings() -> u64 {
    std::env::var("COUNTERSIGN_INTERLEAVINGS").ok().and_then(|told| told.parse().ok()).unwrap_or(10_000)
}

#[test]
fn t23_t24_no_bind_after_effective_in_ten_thousand_interleavings() {
    let stage = Stage::new();
    if let Some(seed) = std::env::var("COUNTERSIGN_SEED").ok().and_then(|seed| seed.parse().ok()) {
        assert_eq!(World::new(&stage, Flaw::None, seed).run().err(), None);
        return;
    }
    let bound: u64 = std::thread::scope(|scope| {
        let half = |first: u64| {
            let stage = &stage;
            scope.spawn(move || {
                let mut bound = 0;
                for seed in (first..interleavings()).step_by(2) {
                    let run = World::new(stage, Flaw::None, seed).run();
                    bound += run.unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
                }
                bound
            })
        };
        [half(0), half(1)].map(|half| half.join().unwrap()).iter().sum()
    });
    // A world in which nothing is bound proves nothing.
    assert!(bound > interleavings() / 2, "{bound} binds in {} interleavings", interleavings());
    println!("{bound} binds in {} interleavings, none after an act was effective", interleavings());
}

#[test]
fn t23_t24_each_planted_flaw_is_found_by_the_simulation() {
    let stage = Stage::new();
    let flaws = [Flaw::HostIgnoresEpoch, Flaw::HostIgnoresAge, Flaw::HostSaysTooEarly, Flaw::BrokerDoesNotWait];
    for flaw in flaws {
        let found = (0..interleavings()).find(|seed| World::new(&stage, flaw, *seed).run().is_err());
        println!("{flaw:?}: found by seed {found:?}");
        assert!(found.is_some(), "{flaw:?} was not found");
    }
}
