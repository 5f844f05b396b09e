//! What hosts say of themselves, newest first, and how far each act has come because of it.
//!
//! It is memory, and is built anew from hosts' next words after a restart. What counts as evidence of it, closings and
//! proofs of a longer log, is recorded by the sequencer; who may say it is left to the door.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use policy::digest::Digest;
use policy::effective::{Effect, Effects};
use policy::govern::{Disorder, State};
use policy::growth::Grown;
use policy::inventory::{Forked, HostInventory, Runs};
use policy::key::{Host, Name};
use policy::log::Head;
use policy::question::Seen;
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::wire::{FRESHNESS_S, Nonce, PERMIT_TTL_MS};
use policy::withdrawal::{Withdrawal, Withdrawn};

use crate::check::Check;
use crate::clock::Clock;
use crate::store::{Act, Recorded, Room};

/// What hosts say, and how far acts have come.
pub struct Present {
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    order: ArcSwap<Order>,
    room: ArcSwap<Room>,
    check: ArcSwap<Check>,
    log_ms: AtomicU64,
}

// What the fold says that inventories are held against.
#[derive(Default)]
struct Order {
    epoch: u64,
    withdrawn: Withdrawn,
    disorder: Disorder,
}

struct Known {
    hosts: BTreeMap<Name<Host>, BTreeMap<Nonce, Process>>,
    effects: Effects,
    // What each host says that it found, and nobody has looked at there; and when it said so or the contrary.
    forks: BTreeMap<Name<Host>, (Timestamp, Option<Forked>)>,
    // Since when a host has a permit, and has said nothing of what it runs.
    unheard: BTreeMap<Name<Host>, u64>,
}

/// What one process of a host said last.
#[derive(Debug, Clone)]
pub struct Process {
    /// The newest of the log that it holds.
    pub seen: Seen,
    /// When it was last heard, by the wall clock.
    pub heard: Timestamp,
    /// How long ago that is.
    pub silent_ms: u64,
    /// SHA-256 of the builtins that it offers.
    pub builtins_sha256: Digest,
    /// What it runs.
    pub running: Vec<Runs>,
    /// What it could start as a provider, once it said so.
    pub at_hand: Option<Vec<Digest>>,
    heard_ms: u64,
    sequence: u64,
    pages: Vec<Option<Vec<Runs>>>,
    noted: u64,
    // What was held against the log, and where it differs from what was permitted.
    compared: BTreeMap<Digest, Option<String>>,
}

impl Present {
    pub(crate) fn since(clock: Arc<dyn Clock>, state: &State) -> Self {
        let (now, now_ms) = (clock.now(), clock.elapsed_ms());
        let over = |(host, until): (&Name<Host>, &Timestamp)| (*host, now_ms + left_ms(*until, now));
        let standing = state.standbys().iter().filter(|(_, until)| left_ms(**until, now) > 0).map(over);
        let effects = Effects::standing_by(now_ms, state.epoch(), standing.collect());
        let (hosts, forks, unheard) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let known = Mutex::new(Known { hosts, effects, forks, unheard });
        let room = ArcSwap::from_pointee(Room::Ample);
        let check = ArcSwap::from_pointee(Check::Whole);
        Self { clock, known, order: ArcSwap::default(), room, check, log_ms: AtomicU64::new(0) }
    }

    /// Takes over what a newer state says.
    pub(crate) fn show(&self, state: &State, head: Head) {
        self.log_ms.store(head.at_ms, Ordering::SeqCst);
        let order = self.order.load();
        // Acts change what is withdrawn, reports change the disorder.
        if order.epoch != head.epoch || order.disorder != *state.disorder() {
            let (withdrawn, disorder) = (state.withdrawn().clone(), state.disorder().clone());
            self.order.store(Arc::new(Order { epoch: head.epoch, withdrawn, disorder }));
        }
    }

    /// There is so much room for the log.
    pub(crate) fn has(&self, room: Room) {
        if self.room() != room {
            self.room.store(Arc::new(room));
        }
    }

    /// How much room there is for the log.
    pub fn room(&self) -> Room {
        **self.room.load()
    }

    /// The rows of the log are known to hold so far.
    pub(crate) fn checks(&self, check: Check) {
        self.check.store(Arc::new(check));
    }

    /// How far the rows of the log are known to hold.
    pub fn check(&self) -> Arc<Check> {
        self.check.load_full()
    }

    /// Something is on record: a permit that a host may hold, or an act that takes effect.
    pub(crate) fn recorded(&self, recorded: &Recorded<Act>) {
        let now_ms = self.clock.elapsed_ms();
        let mut known = self.known();
        match recorded.outcome() {
            Act::Ruled(ruling) if ruling.decision().refusal().is_none() => {
                let standby = ruling.standby().map(|standby| left_ms(standby.until, self.clock.now()));
                let life_ms = standby.unwrap_or_default().max(PERMIT_TTL_MS);
                known.effects.permitted(ruling.request().iss, now_ms, life_ms);
                known.unheard.entry(ruling.request().iss).or_insert(now_ms);
            }
            Act::Judged(judgement) if judgement.verdict.is_ok() => known.effects.recorded(recorded.index(), now_ms),
            Act::Ruled(_) | Act::Judged(_) | Act::Counted => {}
        }
    }

    /// These entries turned out to be on record, and nobody was told. Whichever of them is an act takes effect from now on:
    /// rather too late than told as effective too early.
    pub(crate) fn found(&self, entries: Range<u64>) {
        let now_ms = self.clock.elapsed_ms();
        let mut known = self.known();
        entries.for_each(|index| known.effects.recorded(index, now_ms));
    }

    /// A host signed that it holds an epoch.
    pub(crate) fn acknowledged(&self, host: Name<Host>, epoch: u64) {
        let now_ms = self.clock.elapsed_ms();
        self.known().effects.acknowledged(host, epoch, now_ms);
    }

    /// Takes in what a host's process says, unless it said something newer.
    pub(crate) fn hear(&self, inventory: &HostInventory) -> Result<(), Refusal> {
        let now_ms = self.clock.elapsed_ms();
        let mut known = self.known();
        let processes = known.hosts.entry(inventory.iss).or_default();
        let process = processes.entry(inventory.process).or_insert_with(|| Process::new(inventory));
        process.take(inventory, now_ms, self.clock.now())?;
        forget(processes, now_ms);
        known.effects.acknowledged(inventory.iss, inventory.seen.epoch, now_ms);
        let _heard = known.unheard.remove(&inventory.iss);
        Ok(())
    }

    /// What an inventory says runs and was not held against the log yet.
    pub(crate) fn uncompared(&self, inventory: &HostInventory) -> Vec<Runs> {
        let known = self.known();
        let process = known.hosts.get(&inventory.iss).and_then(|processes| processes.get(&inventory.process));
        let new = |runs: &&Runs| process.is_some_and(|process| !process.compared.contains_key(&print(runs)));
        inventory.running.iter().filter(new).cloned().collect()
    }

    /// Each of these was held against the log, and differs from it where something is said.
    pub(crate) fn compared(&self, inventory: &HostInventory, found: Vec<(Runs, Option<String>)>) {
        let mut known = self.known();
        let process = known.hosts.get_mut(&inventory.iss).and_then(|processes| processes.get_mut(&inventory.process));
        if let Some(process) = process {
            process.compared.extend(found.into_iter().map(|(runs, differs)| (print(&runs), differs)));
            // What ended makes room.
            let pages = process.pages.iter().flatten().flatten();
            let said: BTreeSet<_> = process.running.iter().chain(pages).map(print).collect();
            process.compared.retain(|print, _| said.contains(print));
        }
    }

    /// How long a host has had a permit without a word of what it runs; or said that something runs, and fell silent.
    pub fn silence(&self, host: &Name<Host>) -> Option<u64> {
        let now_ms = self.clock.elapsed_ms();
        let known = self.known();
        let unheard = known.unheard.get(host).copied();
        let processes = known.hosts.get(host).into_iter().flat_map(BTreeMap::values);
        let running = processes.filter(|process| !process.running.is_empty()).map(|process| process.heard_ms);
        let since = unheard.into_iter().chain(running).min()?;
        Some(now_ms.saturating_sub(since))
    }

    /// Takes in whether a host says that this log was forked; whether it had not said so before.
    pub(crate) fn forked(&self, inventory: &HostInventory) -> bool {
        let mut known = self.known();
        let before = known.forks.get(&inventory.iss).copied();
        // An older word that somebody repeats takes no newer one's place; of one second, that of a fork counts.
        let older = |(said, _)| inventory.iat < said || (inventory.iat == said && inventory.forked.is_none());
        if before.is_some_and(older) {
            return false;
        }
        known.forks.insert(inventory.iss, (inventory.iat, inventory.forked));
        let before = before.and_then(|(_, forked)| forked);
        inventory.forked.is_some_and(|forked| before != Some(forked))
    }

    /// Refuses an inventory that was heard before, whoever brings it again.
    pub(crate) fn refuse_repeated(&self, inventory: &HostInventory) -> Result<(), Refusal> {
        let known = self.known();
        let process = known.hosts.get(&inventory.iss).and_then(|processes| processes.get(&inventory.process));
        process.map_or(Ok(()), |process| process.refuse_repeated(inventory))
    }

    /// The hosts that found this log forked, each with what it keeps.
    pub fn forks(&self) -> BTreeMap<Name<Host>, Forked> {
        let known = self.known();
        known.forks.iter().filter_map(|(host, (_, forked))| Some((*host, (*forked)?))).collect()
    }

    /// What of this page is to be closed.
    pub(crate) fn withdrawals(&self, inventory: &HostInventory) -> Vec<Withdrawal> {
        let order = self.order.load();
        let withdrawal = |runs: &Runs| {
            let lost = order.withdrawn.of(&inventory.iss, runs)?;
            let (component, index, since) = (runs.component.clone(), runs.index, lost.since);
            Some(Withdrawal { component, index, close: lost.running.close()?, since })
        };
        inventory.running.iter().filter_map(withdrawal).collect()
    }

    /// Up to which number the closings of an inventory's process are on record.
    pub(crate) fn noted(&self, inventory: &HostInventory) -> u64 {
        let known = self.known();
        let process = known.hosts.get(&inventory.iss).and_then(|processes| processes.get(&inventory.process));
        process.map_or(0, |process| process.noted)
    }

    /// The closings of an inventory's process are on record up to that number.
    pub(crate) fn note(&self, inventory: &HostInventory, number: u64) {
        let mut known = self.known();
        let process = known.hosts.get_mut(&inventory.iss).and_then(|processes| processes.get_mut(&inventory.process));
        if let Some(process) = process {
            process.noted = process.noted.max(number);
        }
    }

    /// The time that the log has come to.
    pub(crate) fn log_time(&self) -> Timestamp {
        Timestamp::from_millis(self.log_ms.load(Ordering::SeqCst))
    }

    /// Whether a proof that the log was longer is on record, and the log not restored since.
    pub(crate) fn is_behind(&self) -> bool {
        self.order.load().disorder.ahead.is_some()
    }

    /// Whether an entry in that place is known to be lost.
    pub(crate) fn lost(&self, index: u64) -> bool {
        self.order.load().disorder.lost(index)
    }

    /// The entries that restored an older log after that place, the newest few.
    pub(crate) fn restores_after(&self, index: u64) -> Vec<u64> {
        let order = self.order.load();
        let after = order.disorder.restored.iter().map(|(at, _)| *at).filter(|at| *at > index);
        let mut newest: Vec<u64> = after.rev().take(Grown::MAX_RESTORED).collect();
        newest.reverse();
        newest
    }

    /// What each process of a host said last.
    pub fn processes(&self, host: &Name<Host>) -> Vec<Process> {
        let now_ms = self.clock.elapsed_ms();
        let known = self.known();
        let processes = known.hosts.get(host).into_iter().flat_map(BTreeMap::values).cloned();
        processes.map(|process| Process { silent_ms: now_ms.saturating_sub(process.heard_ms), ..process }).collect()
    }

    /// The newest epoch that a host signed to hold, while this process listened.
    pub fn held(&self, host: &Name<Host>) -> Option<u64> {
        self.known().effects.held(host)
    }

    /// How far the act at that index has come.
    pub fn effect(&self, index: u64) -> Effect {
        self.known().effects.of(index, self.clock.elapsed_ms())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// How what runs differs from what was permitted.
    pub fn differs(&self, runs: &Runs) -> Option<&str> {
        self.compared.get(&print(runs))?.as_deref()
    }

    fn new(inventory: &HostInventory) -> Self {
        Self {
            seen: inventory.seen,
            heard: inventory.iat,
            silent_ms: 0,
            builtins_sha256: inventory.builtins_sha256,
            running: Vec::new(),
            at_hand: None,
            heard_ms: 0,
            sequence: 0,
            pages: Vec::new(),
            noted: 0,
            compared: BTreeMap::new(),
        }
    }

    // What is lower was overtaken; nothing is told twice.
    fn refuse_repeated(&self, inventory: &HostInventory) -> Result<(), Refusal> {
        let is_same = inventory.sequence == self.sequence;
        if inventory.sequence < self.sequence || (is_same && self.pages.is_empty()) {
            return stale("is not newer than what its host said");
        }
        let page = usize::try_from(inventory.page).ok().and_then(|page| self.pages.get(page));
        if is_same && self.pages.len() as u64 == inventory.pages && matches!(page, Some(Some(_))) {
            return stale("repeats a page");
        }
        Ok(())
    }

    fn take(&mut self, inventory: &HostInventory, now_ms: u64, now: Timestamp) -> Result<(), Refusal> {
        self.refuse_repeated(inventory)?;
        if inventory.sequence > self.sequence || self.pages.len() as u64 != inventory.pages {
            let pages = usize::try_from(inventory.pages).unwrap_or_default();
            (self.sequence, self.pages) = (inventory.sequence, vec![None; pages]);
        }
        let page = usize::try_from(inventory.page).ok().and_then(|page| self.pages.get_mut(page));
        match page {
            Some(page @ None) => *page = Some(inventory.running.clone()),
            Some(Some(_)) | None => return stale("repeats a page"),
        }
        (self.seen, self.builtins_sha256) = (inventory.seen, inventory.builtins_sha256);
        (self.heard, self.heard_ms) = (now, now_ms);
        if inventory.page == 0 {
            self.at_hand.clone_from(&inventory.at_hand);
        }
        if self.pages.iter().all(Option::is_some) {
            self.running = std::mem::take(&mut self.pages).into_iter().flatten().flatten().collect();
        }
        Ok(())
    }
}

fn stale(what: &str) -> Result<(), Refusal> {
    Err(Refusal::new(Reason::RequestStale, format!("the inventory {what}")))
}

// What of it is held against the log.
fn print(runs: &Runs) -> Digest {
    Digest::of(&policy::json::write(&Runs { closing: None, ..runs.clone() }))
}

/// How much longer a host may start by a standby permit: its clock may be that far behind the broker's.
pub(crate) fn left_ms(until: Timestamp, now: Timestamp) -> u64 {
    until.plus(FRESHNESS_S).seconds().saturating_sub(now.seconds()).saturating_mul(1000)
}

// A process that is silent for longer than anything of it could be repeated is forgotten, unless it is the last that its
// host was heard of by: then it is shown for what it said, and since when it is silent.
fn forget(processes: &mut BTreeMap<Nonce, Process>, now_ms: u64) {
    processes.retain(|_, process| now_ms.saturating_sub(process.heard_ms) <= FORGOTTEN_MS);
    while processes.len() > MOST_PROCESSES {
        let oldest = processes.iter().min_by_key(|(_, process)| process.heard_ms).map(|(process, _)| *process);
        let _forgotten = oldest.and_then(|process| processes.remove(&process));
    }
}

const FORGOTTEN_MS: u64 = (2 * FRESHNESS_S + 10) * 1000;
const MOST_PROCESSES: usize = 64;
