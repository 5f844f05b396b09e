//! The one owner of the state: each input becomes one entry, in arrival order.
//!
//! The ruling at index i is, by construction, `decide(fold(entries < i), question, facts, now)`. Durability is left to
//! the caller: a step that was not committed must not be answered, and its ledger must be thrown away.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::Command;
use crate::decide::{Decision, Facts, decide};
use crate::digest::Digest;
use crate::envelope::Verified;
use crate::examine::Examined;
use crate::govern::{Ahead, Checked, Event, Handled, Jump, State, Times};
use crate::inventory::HostInventory;
use crate::join::Join;
use crate::log::checkpoint::{Checkpoint, NoteKey};
use crate::log::entry::{Body, Entry, Judged, Lost, Reported, Ruled, leaf_hash};
use crate::log::ruling::Ruling;
use crate::question::{Question, StartRequest};
use crate::reason::{Reason, Refusal};
use crate::relax;
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
}

/// The state and the end of the log that it is the fold of.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) state: State,
    pub(super) head: Head,
    // The hash of the first entry: the lattice's name, which hosts pin.
    pub(super) root: Digest,
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
    /// The evidence that it rests on: the document that it judged, then what came with it.
    pub evidence: Vec<(Digest, Vec<u8>)>,
    /// What came of it.
    pub outcome: T,
}

impl<T> Step<T> {
    /// The same step, its outcome turned into something else.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Step<U> {
        let Self { index, bytes, hash, epoch, at_ms, evidence, outcome } = self;
        Step { index, bytes, hash, epoch, at_ms, evidence, outcome: turn(outcome) }
    }
}

impl Ledger {
    /// Begins a lattice; its name is the hash of this entry.
    ///
    /// # Errors
    /// As [`State::incept`].
    pub fn incept(inception: Inception, at_ms: u64) -> Result<(Self, Step<()>), Refusal> {
        let state = State::incept(inception.clone())?;
        let mut ledger = Self::empty(state);
        let step = ledger.record(Body::Inception(inception), at_ms, Vec::new(), ());
        Ok((ledger, step))
    }

    pub(super) const fn empty(state: State) -> Self {
        let zeros = Digest::from_bytes([0; 32]);
        Self { state, head: Head { size: 0, last: zeros, epoch: 0, at_ms: 0 }, root: zeros }
    }

    /// The hash of the first entry: the lattice's name, which hosts pin as the root digest.
    pub const fn root(&self) -> Digest {
        self.root
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
    pub fn rule(&mut self, examined: Examined<StartRequest>, mut facts: Facts, at_ms: u64) -> Step<Ruling> {
        let (at_ms, clock_ms) = self.moment(at_ms);
        facts.clock_ms = clock_ms;
        let question = Question::signed(&examined);
        let now = Timestamp::from_millis(at_ms);
        let decision = decide(&self.state, &question, &facts, now);
        // What rests on one weakening gets no other.
        let standby = match &decision {
            Decision::Permitted(outcomes) => relax::standby(&self.state, &question, outcomes, now),
            Decision::Relaxed { .. } | Decision::Refused { .. } => None,
        };
        let request = examined.document;
        let ruled = Ruled {
            request_sha256: request.sha256(),
            what: request.what,
            id: request.runs.id.clone(),
            host: request.iss,
            assurance: question.assurance,
            facts,
            rules_sha256: self.state.rules().map(RulesRecord::sha256),
            reason: decision.refusal().map(|refusal| refusal.reason),
            detail: decision.refusal().map(Refusal::brief),
            outcomes: decision.outcomes().to_vec(),
            relaxed: decision.relaxed().to_vec(),
            standby: standby.clone(),
            stood_in: request.stood_in.clone(),
        };
        let evidence = pieces(&request);
        self.record(Body::Ruling(ruled), at_ms, evidence, Ruling { request, decision, standby })
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
        let clock = at_ms;
        let (at_ms, clock_ms) = self.moment(clock);
        let handled = self.state.handle_knowing(examined, &checked, Times::of(at_ms, clock));
        // The one entry whose time may be before that of the entry before it.
        let acknowledged = handled.as_ref().is_ok_and(|handled| acknowledges(&handled.events));
        let at_ms = if acknowledged { clock } else { at_ms };
        let command = &examined.document;
        let judged = Judged {
            clock_ms,
            by: Some(command.iss),
            id: Some(command.jti),
            not_after: Some(command.not_after),
            because: command.because.clone(),
            checked,
            ..Judged::of(command.sha256())
        };
        let evidence = pieces(command);
        match handled {
            Err(refusal) => self.judged(judged, Err(refusal), at_ms, evidence),
            Ok(Handled { events, subjects, lack }) => {
                let step = self.judged(Judged { subjects, ..judged }, Ok(events), at_ms, evidence);
                step.map(|outcome| outcome.and(lack.map_or(Ok(()), |lack| Err(lack.refusal()))))
            }
        }
    }

    /// Judges a join; refused ones are recorded too.
    pub fn enrol(&mut self, examined: &Examined<Join>, at_ms: u64) -> Step<Result<(), Refusal>> {
        let clock = at_ms;
        let (at_ms, clock_ms) = self.moment(clock);
        let verdict = Times::of(at_ms, clock).in_order();
        let verdict = verdict.and_then(|()| self.state.handle_join(examined, Timestamp::from_millis(at_ms)));
        let (verdict, judged) =
            (verdict.map(|event| vec![event]), Judged { clock_ms, ..Judged::of(examined.document.sha256()) });
        let evidence = pieces(&examined.document);
        self.judged(judged, verdict, at_ms, evidence)
    }

    /// Installs a warrant that the root signed.
    pub fn install(&mut self, warrant: &Verified<Warrant>, at_ms: u64) -> Step<Result<(), Refusal>> {
        let at_ms = self.later(at_ms);
        let verdict = self.state.judge_warrant(warrant).map(|event| vec![event]);
        let judged = Judged::of(warrant.sha256());
        self.judged(judged, verdict, at_ms, pieces(warrant))
    }

    /// Records other roots, to whom the old ones and the new ones agreed.
    pub fn change_roots(&mut self, agreed: &Agreed, at_ms: u64) -> Step<Result<(), Refusal>> {
        let at_ms = self.later(at_ms);
        let verdict = self.state.handle_roots(agreed).map(|event| vec![event]);
        let change = agreed.change();
        self.judged(Judged::of(change.sha256()), verdict, at_ms, pieces(change))
    }

    /// Records how many messages were turned away at the door.
    pub fn count(&mut self, turned_away: BTreeMap<Reason, u64>, at_ms: u64) -> Step<()> {
        let at_ms = self.later(at_ms);
        self.record(Body::Door(turned_away), at_ms, Vec::new(), ())
    }

    /// Records what a host's inventory adds: what it closed, and a checkpoint that this log does not lead to.
    ///
    /// `held` is the hash of this log's own entry in the place of that checkpoint's last, which the broker asserts.
    pub fn report(&mut self, inventory: &Verified<HostInventory>, held: Option<Digest>, at_ms: u64) -> Step<()> {
        let at_ms = self.later(at_ms);
        let reported = Reported {
            request_sha256: inventory.sha256(),
            host: inventory.iss,
            closed: inventory.closed.clone(),
            ahead: self.ahead(inventory, held),
        };
        self.record(Body::Report(reported), at_ms, pieces(inventory), ())
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
        self.record(Body::Clock(jump), at_ms, Vec::new(), ())
    }

    /// Fills the place of an entry that is lost.
    pub fn lose(&mut self, at_ms: u64) -> Step<()> {
        let at_ms = self.later(at_ms);
        self.record(Body::Lost(Lost {}), at_ms, Vec::new(), ())
    }

    fn judged(
        &mut self,
        judged: Judged,
        verdict: Result<Vec<Event>, Refusal>,
        at_ms: u64,
        evidence: Vec<(Digest, Vec<u8>)>,
    ) -> Step<Result<(), Refusal>> {
        let (body, outcome) = match verdict {
            Ok(events) => (Body::Governance(Judged { events, ..judged }), Ok(())),
            Err(refusal) => {
                let (reason, detail) = (Some(refusal.reason), Some(refusal.brief()));
                (Body::Refusal(Judged { reason, detail, subjects: Vec::new(), ..judged }), Err(refusal))
            }
        };
        self.record(body, at_ms, evidence, outcome)
    }

    fn record<T>(&mut self, body: Body, at_ms: u64, evidence: Vec<(Digest, Vec<u8>)>, outcome: T) -> Step<T> {
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
        Step { index, bytes, hash, epoch: entry.epoch, at_ms, evidence, outcome }
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
            Body::Lost(_) => self.state.disorder.filling = true,
            _ => {}
        }
        if entry.index == 0 {
            self.root = hash;
        }
        self.state.advance(entry.index, matches!(entry.body, Body::Governance(_)));
        self.head = Head { size: entry.index + 1, last: hash, epoch: entry.epoch, at_ms: entry.at_ms };
    }

    // Time never runs backwards in the log; order is the index (T71).
    fn later(&self, at_ms: u64) -> u64 {
        at_ms.max(self.head.at_ms)
    }

    // The log's time, and the clock's where that is further behind than clocks are (T22).
    fn moment(&self, clock_ms: u64) -> (u64, Option<u64>) {
        let at_ms = self.later(clock_ms);
        (at_ms, Times::of(at_ms, clock_ms).is_behind().then_some(clock_ms))
    }
}

impl Judged {
    const fn of(token_sha256: Digest) -> Self {
        Self {
            token_sha256,
            by: None,
            id: None,
            not_after: None,
            because: None,
            subjects: Vec::new(),
            events: Vec::new(),
            checked: Vec::new(),
            reason: None,
            detail: None,
            clock_ms: None,
        }
    }
}

fn acknowledges(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::ClockAcknowledged(_)))
}

// A document's token and its attachments, each by its own digest.
fn pieces<T>(document: &Verified<T>) -> Vec<(Digest, Vec<u8>)> {
    let token = std::iter::once((document.sha256(), document.token().to_vec()));
    token.chain(document.attachments().iter().map(|attachment| (Digest::of(attachment), attachment.clone()))).collect()
}
