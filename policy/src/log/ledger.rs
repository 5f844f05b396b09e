//! The one owner of the state: each input becomes one entry, in arrival order.
//!
//! The ruling at index i is, by construction, `decide(fold(entries < i), question, facts, now)`. Durability is left to
//! the caller: a step that was not committed must not be answered, and its ledger must be thrown away.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::Command;
use crate::decide::{Decision, Facts, LAW, decide};
use crate::digest::Digest;
use crate::envelope::Verified;
use crate::examine::Examined;
use crate::govern::{Ahead, Checked, Jump, State};
use crate::inventory::HostInventory;
use crate::join::Join;
use crate::log::checkpoint::{Checkpoint, NoteKey};
use crate::log::draft::{Draft, pieces};
use crate::log::entry::{Body, Entry, Freezing, Lost, Observed, Reported, Ruled, leaf_hash};
use crate::log::rests::resting;
use crate::log::ruling::Ruling;
use crate::question::{Question, StartRequest};
use crate::reason::{Reason, Refusal};
use crate::root::Agreed;
use crate::rules::{Language, RulesRecord};
use crate::time::Timestamp;
use crate::warrant::{Inception, Warrant};

/// The newest end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many entries there are.
    pub size: u64,
    /// The hash of the last one.
    pub last: Digest,
    /// The index of the newest governance event.
    pub epoch: u64,
    /// The time of the last one, in milliseconds since 1970.
    pub at_ms: u64,
    /// A digest of all that the fold rests on: each such entry's index and hash, in order.
    pub rests: Digest,
}

/// The state and the end of the log that it is the fold of.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) state: State,
    pub(super) head: Head,
    // The law of the newest entry that was read.
    pub(super) law: u64,
}

/// One entry on its way to the disk, with what it is the outcome of.
#[derive(Debug, Clone)]
pub struct Step<T> {
    /// Its index.
    pub index: u64,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// Its leaf hash.
    pub hash: Digest,
    /// The epoch, this entry included.
    pub epoch: u64,
    /// Its time, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether the fold rests on it.
    pub folds: bool,
    /// The evidence that it rests on: the document that it judged, then what came with it.
    pub evidence: Vec<(Digest, Vec<u8>)>,
    /// What came of it.
    pub outcome: T,
}

impl<T> Step<T> {
    /// The same step, its outcome turned into something else.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Step<U> {
        let Self { index, bytes, hash, epoch, at_ms, folds, evidence, outcome } = self;
        Step { index, bytes, hash, epoch, at_ms, folds, evidence, outcome: turn(outcome) }
    }
}

impl Ledger {
    /// Begins a lattice; its name is the hash of this entry.
    ///
    /// # Errors
    /// As [`State::incept`].
    pub fn incept(inception: Inception, at_ms: u64) -> Result<(Self, Step<()>), Refusal> {
        Self::incept_under(LAW, inception, at_ms)
    }

    // A lattice that began long ago began under the law of its day.
    pub(crate) fn incept_under(law: u64, inception: Inception, at_ms: u64) -> Result<(Self, Step<()>), Refusal> {
        let mut ledger = Self::empty(State::incept(inception.clone())?);
        ledger.judge_under(law);
        let step = ledger.record(Draft::alone(Body::Inception(inception), at_ms));
        Ok((ledger, step))
    }

    pub(super) const fn empty(state: State) -> Self {
        let zeros = Digest::from_bytes([0; 32]);
        Self { state, head: Head { size: 0, last: zeros, epoch: 0, at_ms: 0, rests: zeros }, law: 0 }
    }

    /// The hash of the first entry: the lattice's name, which hosts pin as the root digest.
    pub const fn root(&self) -> Digest {
        self.state.inception_sha256()
    }

    /// The state.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The end of the log.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The same ledger, whose rules are read in that language: to be told before the first text is met.
    #[must_use]
    pub fn reading_rules(mut self, language: Arc<dyn Language>) -> Self {
        self.state.read_rules_by(language);
        self
    }

    /// What would be decided here if these rules stood, or none; recorded nowhere.
    pub fn suppose(
        &mut self,
        rules: Option<&RulesRecord>,
        question: &Question,
        facts: &Facts,
        now: Timestamp,
    ) -> Decision {
        let standing = self.state.suppose_rules(rules.cloned());
        let decision = decide(&self.state, question, facts, now);
        self.state.suppose_rules(standing);
        decision
    }

    /// Decides a question.
    pub fn rule(&mut self, examined: Examined<StartRequest>, facts: Facts, at_ms: u64) -> Step<Ruling> {
        let draft = self.draft_rule(examined, facts, at_ms);
        self.record(draft)
    }

    /// Judges a command; refused ones are recorded too.
    ///
    /// One that waits for more signatures is recorded as governance, and comes out as `pending_approval`.
    pub fn govern(&mut self, examined: &Examined<Command>, at_ms: u64) -> Step<Result<(), Refusal>> {
        self.govern_knowing(examined, Vec::new(), at_ms)
    }

    /// As [`Ledger::govern`], with what the broker found of configurations.
    pub fn govern_knowing(
        &mut self,
        examined: &Examined<Command>,
        checked: Vec<Checked>,
        at_ms: u64,
    ) -> Step<Result<(), Refusal>> {
        let draft = self.draft_govern(examined, checked, at_ms);
        self.record(draft)
    }

    /// Judges a join; refused ones are recorded too.
    pub fn enrol(&mut self, examined: &Examined<Join>, at_ms: u64) -> Step<Result<(), Refusal>> {
        let draft = self.draft_enrol(examined, at_ms);
        self.record(draft)
    }

    /// Installs a warrant that the root signed.
    pub fn install(&mut self, warrant: &Verified<Warrant>, at_ms: u64) -> Step<Result<(), Refusal>> {
        let draft = self.draft_install(warrant, at_ms);
        self.record(draft)
    }

    /// Records other roots, to whom the old ones and the new ones agreed.
    pub fn change_roots(&mut self, agreed: &Agreed, at_ms: u64) -> Step<Result<(), Refusal>> {
        let draft = self.draft_roots(agreed, at_ms);
        self.record(draft)
    }

    /// Records how many messages were turned away at the door.
    pub fn count(&mut self, turned_away: BTreeMap<Reason, u64>, at_ms: u64) -> Step<()> {
        let draft = self.draft_count(turned_away, at_ms);
        self.record(draft)
    }

    /// As [`Ledger::count`], not recorded yet.
    pub fn draft_count(&self, turned_away: BTreeMap<Reason, u64>, at_ms: u64) -> Draft<()> {
        Draft::alone(Body::Door(turned_away), self.later(at_ms))
    }

    /// Records what a host's inventory adds: what it closed, a checkpoint that this log does not lead to, a fork.
    pub fn report(&mut self, inventory: &Verified<HostInventory>, observed: Observed, at_ms: u64) -> Step<()> {
        let draft = self.draft_report(inventory, observed, at_ms);
        self.record(draft)
    }

    /// As [`Ledger::report`], not recorded yet.
    pub fn draft_report(&self, inventory: &Verified<HostInventory>, observed: Observed, at_ms: u64) -> Draft<()> {
        let at_ms = self.later(at_ms);
        let reported = Reported {
            request_sha256: inventory.sha256(),
            host: inventory.iss,
            closed: inventory.closed.clone(),
            ahead: self.ahead(inventory, observed.held),
            forked: inventory.forked.filter(|_| observed.forked),
        };
        Draft { at_ms, body: Body::Report(reported), evidence: pieces(inventory), outcome: () }
    }

    /// The checkpoint in an inventory, if this very log signed it and does not lead to it.
    pub fn ahead(&self, inventory: &HostInventory, held: Option<Digest>) -> Option<Ahead> {
        let note = inventory.checkpoint.as_ref()?;
        let Checkpoint { size, epoch, last, .. } =
            NoteKey::parse(self.state.log_key()).ok()?.open(note.as_bytes()).ok()?;
        let known = |place: u64| self.state.disorder.lost(place);
        let held = held.filter(|held| *held != last && size <= self.head.size);
        let held = held.filter(|_| !size.checked_sub(1).is_some_and(known));
        (size > self.head.size || held.is_some()).then_some(Ahead { size, epoch, last, held })
    }

    /// Records that the broker's clock jumped ahead.
    pub fn jumped(&mut self, jump: Jump, at_ms: u64) -> Step<()> {
        let at_ms = self.later(at_ms);
        self.record(Draft::alone(Body::Clock(jump), at_ms))
    }

    /// Fills the place of an entry that is lost.
    pub fn lose(&mut self, at_ms: u64) -> Step<()> {
        let at_ms = self.later(at_ms);
        self.record(Draft::alone(Body::Lost(Lost {}), at_ms))
    }

    /// Records that the bytes of old entries are moved to a segment; the fold is the same without them.
    pub fn freeze(&mut self, freezing: Freezing, at_ms: u64) -> Step<()> {
        let at_ms = self.later(at_ms);
        self.record(Draft::alone(Body::Freeze(freezing), at_ms))
    }

    /// Puts a draft into the log: its place, its link to the entry before, and what it changes.
    pub fn record<T>(&mut self, draft: Draft<T>) -> Step<T> {
        let Draft { at_ms, body, evidence, outcome } = draft;
        let index = self.head.size;
        let governs = matches!(body, Body::Governance(_));
        let entry = Entry {
            at_ms,
            body,
            epoch: if governs { index } else { self.head.epoch },
            evidence: evidence.iter().map(|(sha256, _)| *sha256).collect(),
            index,
            lattice: self.state.lattice().clone(),
            law: self.state.law(),
            prev: self.head.last,
        };
        let bytes = entry.to_bytes();
        let hash = leaf_hash(&bytes);
        self.fold(&entry, hash);
        let (epoch, folds) = (entry.epoch, !entry.changes_nothing());
        Step { index, bytes, hash, epoch, at_ms, folds, evidence, outcome }
    }

    // Moves state and head past an entry; shared by the living and by replay.
    pub(super) fn fold(&mut self, entry: &Entry, hash: Digest) {
        if let Body::Governance(judged) = &entry.body {
            for event in &judged.events {
                self.state.apply(event, entry.index);
            }
            for subject in &judged.subjects {
                self.state.touch(subject.clone(), entry.index);
            }
        }
        if let Body::Governance(judged) | Body::Refusal(judged) = &entry.body
            && let (Some(id), Some(not_after)) = (judged.id, judged.not_after)
        {
            self.state.remember(id, not_after, Timestamp::from_millis(entry.at_ms));
        }
        match &entry.body {
            Body::Ruling(Ruled { host, standby: Some(standby), .. }) => self.state.stand_by(*host, standby.until),
            Body::Report(Reported { ahead: Some(ahead), .. }) => self.state.disorder.ahead = Some(*ahead),
            Body::Clock(jump) => self.state.disorder.jump = Some(*jump),
            Body::Lost(_) => self.state.disorder.fill(entry.index, entry.prev),
            _ => {}
        }
        if entry.index == 0 {
            self.state.begin_as(hash);
        }
        self.state.advance(entry.index, hash, matches!(entry.body, Body::Governance(_)));
        let before = self.head.rests;
        let rests = if entry.changes_nothing() { before } else { resting(before, entry.index, hash) };
        self.head = Head { size: entry.index + 1, last: hash, epoch: entry.epoch, at_ms: entry.at_ms, rests };
        self.law = entry.law;
    }
}
