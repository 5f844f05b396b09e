//! The one owner of the state: each input becomes one entry, in arrival order.
//!
//! The ruling at index i is, by construction, `decide(fold(entries < i), question, facts, now)`. Durability is left to
//! the caller: a step that was not committed must not be answered, and its ledger must be thrown away.

use std::collections::BTreeMap;

use crate::command::Command;
use crate::decide::{Decision, Facts, decide};
use crate::digest::Digest;
use crate::envelope::Verified;
use crate::examine::Examined;
use crate::govern::{Event, State, WarrantInstalled};
use crate::join::Join;
use crate::log::entry::{Body, Entry, Judged, Ruled, leaf_hash};
use crate::question::{Question, StartRequest};
use crate::reason::{Reason, Refusal};
use crate::relax::{self, Standby};
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

/// A question with its decision: it owns what it judged, so it cannot be recorded beside another's.
#[derive(Debug, Clone)]
pub struct Ruling {
    pub(super) request: Verified<StartRequest>,
    pub(super) decision: Decision,
    pub(super) standby: Option<Standby>,
}

impl Ruling {
    /// What was asked.
    pub const fn request(&self) -> &Verified<StartRequest> {
        &self.request
    }

    /// What was decided.
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The standby permit that goes with it.
    pub const fn standby(&self) -> Option<&Standby> {
        self.standby.as_ref()
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

    /// Decides a question.
    pub fn rule(&mut self, examined: Examined<StartRequest>, facts: Facts, at_ms: u64) -> Step<Ruling> {
        let at_ms = self.later(at_ms);
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
    pub fn govern(&mut self, examined: &Examined<Command>, at_ms: u64) -> Step<Result<(), Refusal>> {
        let at_ms = self.later(at_ms);
        let verdict = self.state.handle(examined, Timestamp::from_millis(at_ms));
        let command = &examined.document;
        let judged = Judged {
            by: Some(command.iss),
            id: Some(command.jti),
            not_after: Some(command.not_after),
            because: command.because.clone(),
            subjects: command.operations.iter().flat_map(crate::govern::Operation::subjects).collect(),
            ..Judged::of(command.sha256())
        };
        let evidence = pieces(command);
        self.judged(judged, verdict, at_ms, evidence)
    }

    /// Judges a join; refused ones are recorded too.
    pub fn enrol(&mut self, examined: &Examined<Join>, at_ms: u64) -> Step<Result<(), Refusal>> {
        let at_ms = self.later(at_ms);
        let verdict = self.state.handle_join(examined, Timestamp::from_millis(at_ms)).map(|event| vec![event]);
        let judged = Judged::of(examined.document.sha256());
        let evidence = pieces(&examined.document);
        self.judged(judged, verdict, at_ms, evidence)
    }

    /// Installs a warrant that the root signed.
    pub fn install(&mut self, warrant: &Verified<Warrant>, at_ms: u64) -> Step<Result<(), Refusal>> {
        let at_ms = self.later(at_ms);
        let verdict = self.judge_warrant(warrant).map(|event| vec![event]);
        let judged = Judged::of(warrant.sha256());
        self.judged(judged, verdict, at_ms, pieces(warrant))
    }

    /// Records how many messages were turned away at the door.
    pub fn count(&mut self, turned_away: BTreeMap<Reason, u64>, at_ms: u64) -> Step<()> {
        let at_ms = self.later(at_ms);
        self.record(Body::Door(turned_away), at_ms, Vec::new(), ())
    }

    fn judge_warrant(&self, warrant: &Verified<Warrant>) -> Result<Event, Refusal> {
        let (old, serial) = (self.state.warrant_serial(), warrant.serial);
        if serial <= old {
            return Err(Refusal::new(Reason::StateRollback, format!("warrant serial {serial}, {old} is in force")));
        }
        for key in &warrant.decision_keys {
            self.state.unused(key.name().raw(), <crate::key::Decision as crate::key::Role>::WORD).or_else(
                |refusal| {
                    if refusal.reason == Reason::AlreadyExists { Ok(()) } else { Err(refusal) }
                },
            )?;
        }
        let decision_keys = warrant.decision_keys.iter().map(|key| *key.name()).collect();
        Ok(Event::WarrantInstalled(WarrantInstalled { sha256: warrant.sha256(), serial, decision_keys }))
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
            reason: None,
            detail: None,
        }
    }
}

// A document's token and its attachments, each by its own digest.
fn pieces<T>(document: &Verified<T>) -> Vec<(Digest, Vec<u8>)> {
    let token = std::iter::once((document.sha256(), document.token().to_vec()));
    token.chain(document.attachments().iter().map(|attachment| (Digest::of(attachment), attachment.clone()))).collect()
}
