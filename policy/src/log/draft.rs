//! Judging: what an input would become in the log, and nothing is changed yet.
//!
//! A draft that is dropped never was. Recording it is left to `ledger`, whether there is space for it to the broker.

use crate::command::Command;
use crate::decide::{Decision, Facts, decide};
use crate::digest::Digest;
use crate::envelope::Verified;
use crate::examine::Examined;
use crate::govern::{Checked, Event, Handled, Times};
use crate::join::Join;
use crate::log::entry::{Body, Judged, Ruled};
use crate::log::ledger::Ledger;
use crate::log::ruling::Ruling;
use crate::log::worth::Worth;
use crate::question::{Question, StartRequest};
use crate::reason::Refusal;
use crate::relax;
use crate::root::Agreed;
use crate::rules::RulesRecord;
use crate::time::Timestamp;
use crate::warrant::Warrant;

/// One entry that is judged and not in the log, with what it is the outcome of.
#[derive(Debug)]
#[must_use]
pub struct Draft<T> {
    pub(super) at_ms: u64,
    pub(super) body: Body,
    pub(super) evidence: Vec<(Digest, Vec<u8>)>,
    pub(super) outcome: T,
}

impl<T> Draft<T> {
    /// What recording it is worth, where space is short.
    pub fn worth(&self) -> Worth {
        self.body.worth()
    }

    fn map<U>(self, turn: impl FnOnce(T) -> U) -> Draft<U> {
        let Self { at_ms, body, evidence, outcome } = self;
        Draft { at_ms, body, evidence, outcome: turn(outcome) }
    }
}

impl Draft<()> {
    /// An entry that rests on no document.
    pub(super) const fn alone(body: Body, at_ms: u64) -> Self {
        Self { at_ms, body, evidence: Vec::new(), outcome: () }
    }
}

impl Ledger {
    /// Decides a question.
    pub fn draft_rule(&self, examined: Examined<StartRequest>, mut facts: Facts, at_ms: u64) -> Draft<Ruling> {
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
        Draft { at_ms, body: Body::Ruling(ruled), evidence, outcome: Ruling { request, decision, standby } }
    }

    /// Judges a command, with what the broker found of configurations; refused ones are recorded too.
    pub fn draft_govern(
        &self,
        examined: &Examined<Command>,
        checked: Vec<Checked>,
        at_ms: u64,
    ) -> Draft<Result<(), Refusal>> {
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
            Err(refusal) => draft_of(judged, Err(refusal), at_ms, evidence),
            Ok(Handled { events, subjects, lack }) => {
                let draft = draft_of(Judged { subjects, ..judged }, Ok(events), at_ms, evidence);
                draft.map(|outcome| outcome.and(lack.map_or(Ok(()), |lack| Err(lack.refusal()))))
            }
        }
    }

    /// Judges a join; refused ones are recorded too.
    pub fn draft_enrol(&self, examined: &Examined<Join>, at_ms: u64) -> Draft<Result<(), Refusal>> {
        let clock = at_ms;
        let (at_ms, clock_ms) = self.moment(clock);
        let verdict = Times::of(at_ms, clock).in_order();
        let verdict = verdict.and_then(|()| self.state.handle_join(examined, Timestamp::from_millis(at_ms)));
        let (verdict, judged) =
            (verdict.map(|event| vec![event]), Judged { clock_ms, ..Judged::of(examined.document.sha256()) });
        let evidence = pieces(&examined.document);
        draft_of(judged, verdict, at_ms, evidence)
    }

    /// Installs a warrant that the root signed.
    pub fn draft_install(&self, warrant: &Verified<Warrant>, at_ms: u64) -> Draft<Result<(), Refusal>> {
        let at_ms = self.later(at_ms);
        let verdict = self.state.judge_warrant(warrant).map(|event| vec![event]);
        let judged = Judged::of(warrant.sha256());
        draft_of(judged, verdict, at_ms, pieces(warrant))
    }

    /// Records other roots, to whom the old ones and the new ones agreed.
    pub fn draft_roots(&self, agreed: &Agreed, at_ms: u64) -> Draft<Result<(), Refusal>> {
        let at_ms = self.later(at_ms);
        let verdict = self.state.handle_roots(agreed).map(|event| vec![event]);
        let change = agreed.change();
        draft_of(Judged::of(change.sha256()), verdict, at_ms, pieces(change))
    }

    // Time never runs backwards in the log; order is the index (T71).
    pub(super) fn later(&self, at_ms: u64) -> u64 {
        at_ms.max(self.head.at_ms)
    }

    // The log's time, and the clock's where that is further behind than clocks are (T22).
    fn moment(&self, clock_ms: u64) -> (u64, Option<u64>) {
        let at_ms = self.later(clock_ms);
        (at_ms, Times::of(at_ms, clock_ms).is_behind().then_some(clock_ms))
    }
}

fn draft_of(
    judged: Judged,
    verdict: Result<Vec<Event>, Refusal>,
    at_ms: u64,
    evidence: Vec<(Digest, Vec<u8>)>,
) -> Draft<Result<(), Refusal>> {
    let (body, outcome) = match verdict {
        Ok(events) => (Body::Governance(Judged { events, ..judged }), Ok(())),
        Err(refusal) => {
            let (reason, detail) = (Some(refusal.reason), Some(refusal.brief()));
            (Body::Refusal(Judged { reason, detail, subjects: Vec::new(), ..judged }), Err(refusal))
        }
    };
    Draft { at_ms, body, evidence, outcome }
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
pub(super) fn pieces<T>(document: &Verified<T>) -> Vec<(Digest, Vec<u8>)> {
    let token = std::iter::once((document.sha256(), document.token().to_vec()));
    token.chain(document.attachments().iter().map(|attachment| (Digest::of(attachment), attachment.clone()))).collect()
}
