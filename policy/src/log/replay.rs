//! Replay: fold entries into a ledger, or judge each anew and hold the outcome to the bytes that were recorded.
//!
//! Judging anew makes the entry again, by the functions that made it first, from its evidence and its time; what is
//! not the same byte for byte did not follow from the log before it.

use crate::command::Command;
use crate::decide::{Decision, LAW, judges_again};
use crate::digest::Digest;
use crate::envelope::{Afresh, Unverified};
use crate::examine::{self, Examined, Examiner};
use crate::govern::{HostKeys, State};
use crate::inventory::HostInventory;
use crate::join::{Join, Possession};
use crate::log::entry::{Body, Entry, Judged, Observed, Reported, Ruled, leaf_hash};
use crate::log::ledger::Ledger;
use crate::log::ruling::Ruling;
use crate::question::{Question, StartRequest};
use crate::reason::{Reason, Refusal};
use crate::root::RootChange;
use crate::time::Timestamp;
use crate::warrant::Warrant;
use crate::wire::FRESHNESS_S;

/// Where replay finds the evidence of an entry.
pub trait Evidences {
    /// The bytes of that digest, if they are kept; replay checks the digest itself.
    fn find(&self, sha256: Digest) -> Option<Vec<u8>>;

    /// Who gives verdicts on claims: what many entries share need not be proved for each.
    fn examiner(&self) -> &dyn Examiner {
        &Afresh
    }
}

/// How much of an entry replay checks.
#[derive(Clone, Copy)]
pub enum Rejudge<'a> {
    /// The chain only: its form, its place and its link to the entry before.
    No,
    /// Everything: signatures, evidence and the decision itself.
    Yes(&'a dyn Evidences),
}

/// What ties an entry to those before it.
pub(super) struct Link<'a> {
    pub(super) at_ms: u64,
    pub(super) epoch: u64,
    pub(super) index: u64,
    pub(super) lattice: &'a str,
    pub(super) law: u64,
    pub(super) prev: Digest,
    pub(super) governs: bool,
    // The one kind of entry whose time may be before that of the entry before it (T22).
    pub(super) sets_clock: bool,
}

impl<'a> Link<'a> {
    pub(super) fn of(entry: &'a Entry) -> Self {
        let Entry { at_ms, epoch, index, law, prev, .. } = *entry;
        let (governs, sets_clock) = (matches!(entry.body, Body::Governance(_)), entry.acknowledges_clock());
        Self { at_ms, epoch, index, lattice: entry.lattice.as_str(), law, prev, governs, sets_clock }
    }
}

impl Ledger {
    /// Begins a replay with the first entry's bytes.
    ///
    /// # Errors
    /// `log_broken`.
    pub fn begin(bytes: &[u8]) -> Result<Self, Refusal> {
        let entry = Entry::read(bytes)?;
        let Body::Inception(inception) = &entry.body else {
            return Err(broken("the first entry is no inception"));
        };
        let mut ledger = Self::empty(State::incept(inception.clone())?);
        ledger.follows(&Link::of(&entry))?;
        ledger.fold(&entry, leaf_hash(bytes));
        Ok(ledger)
    }

    /// Takes the next entry's bytes.
    ///
    /// # Errors
    /// `log_broken`, with what does not follow; the ledger is to be thrown away.
    pub fn replay(&mut self, bytes: &[u8], rejudge: Rejudge<'_>) -> Result<Entry, Refusal> {
        let entry = Entry::read(bytes)?;
        self.follows(&Link::of(&entry))?;
        match rejudge {
            Rejudge::No => self.fold(&entry, leaf_hash(bytes)),
            Rejudge::Yes(evidences) if !judges_again(entry.law) => {
                entry.evidence.first().map_or(Ok(Vec::new()), |first| gather(&entry, *first, evidences))?;
                self.fold(&entry, leaf_hash(bytes));
            }
            Rejudge::Yes(evidences) => {
                self.state.put_under(entry.law);
                if self.judge_again(&entry, evidences)? != bytes {
                    return Err(broken("judged again, it does not come out as it was recorded"));
                }
                self.state.put_under(LAW);
            }
        }
        Ok(entry)
    }

    /// Judges from here on by the law of that number, where that is still known: for telling an older entry anew.
    pub fn judge_under(&mut self, law: u64) {
        self.state.put_under(if judges_again(law) { law } else { LAW });
    }

    /// The question of a ruling, rebuilt from its evidence, for telling anew how it was decided.
    ///
    /// This ledger must be the fold of the entries before that one.
    ///
    /// # Errors
    /// `not_found` when the entry is no ruling, `log_broken` when it is not the next one or its evidence does not hold.
    pub fn question_of(&self, entry: &Entry, evidences: &dyn Evidences) -> Result<Question, Refusal> {
        let Body::Ruling(ruled) = &entry.body else {
            return Err(Refusal::new(Reason::NotFound, format!("entry {} is no ruling", entry.index)));
        };
        self.follows(&Link::of(entry))?;
        self.request_of(entry, ruled, evidences).map(|examined| Question::signed(&examined))
    }

    pub(super) fn follows(&self, link: &Link<'_>) -> Result<(), Refusal> {
        let epoch = if link.governs { link.index } else { self.head.epoch };
        let wrong = |what: &str| Err(broken(what));
        match link {
            _ if link.index != self.head.size => wrong("its index is not the next one"),
            _ if link.prev != self.head.last => wrong("it does not name the entry before it"),
            _ if link.at_ms < self.head.at_ms && !link.sets_clock => {
                wrong("its time is before that of the entry before it")
            }
            _ if link.epoch != epoch => wrong("its epoch is not that of the newest governance event"),
            _ if link.lattice != self.state.lattice().as_str() => wrong("it is of another lattice"),
            _ if link.law == 0 || link.law > LAW => wrong("it was judged under a law that is not known here"),
            // Or an old law, which asked for less, could be called back by whoever can write a row.
            _ if link.law < self.law => wrong("it was judged under an older law than the entry before it"),
            _ => Ok(()),
        }
    }

    fn judge_again(&mut self, entry: &Entry, evidences: &dyn Evidences) -> Result<Vec<u8>, Refusal> {
        match &entry.body {
            Body::Inception(_) => Err(broken("a lattice begins once")),
            Body::Door(counts) => Ok(self.count(counts.clone(), entry.at_ms).bytes),
            Body::Clock(jump) => Ok(self.jumped(*jump, entry.at_ms).bytes),
            Body::Lost(_) => Ok(self.lose(entry.at_ms).bytes),
            Body::Freeze(freezing) => Ok(self.freeze(*freezing, entry.at_ms).bytes),
            Body::Report(reported) => self.report_again(entry, reported, evidences),
            Body::Ruling(ruled) => self.rule_again(entry, ruled, evidences),
            Body::Governance(judged) | Body::Refusal(judged) => self.govern_again(entry, judged, evidences),
        }
    }

    fn rule_again(&mut self, entry: &Entry, ruled: &Ruled, evidences: &dyn Evidences) -> Result<Vec<u8>, Refusal> {
        let examined = self.request_of(entry, ruled, evidences)?;
        let clock_ms = ruled.facts.clock_ms.unwrap_or(entry.at_ms);
        if !is_timely(examined.document.iat, clock_ms) {
            return Err(broken("its question was asked at another time: it is recorded again, or was never asked"));
        }
        Ok(self.rule(examined, ruled.facts.clone(), clock_ms).bytes)
    }

    fn report_again(
        &mut self,
        entry: &Entry,
        reported: &Reported,
        evidences: &dyn Evidences,
    ) -> Result<Vec<u8>, Refusal> {
        let bytes = gather(entry, reported.request_sha256, evidences)?;
        let inventory = Unverified::<HostInventory>::parse(&bytes).map_err(unfit)?;
        let inventory = inventory.verify(self.state.host_keys()).map_err(unfit)?;
        let held = reported.ahead.and_then(|ahead| ahead.held);
        let observed = Observed { held, forked: reported.forked.is_some() };
        Ok(self.report(&inventory, observed, entry.at_ms).bytes)
    }

    fn request_of(
        &self,
        entry: &Entry,
        ruled: &Ruled,
        evidences: &dyn Evidences,
    ) -> Result<Examined<StartRequest>, Refusal> {
        request_of(&self.state, entry, ruled.request_sha256, evidences, evidences.examiner())
    }

    fn govern_again(&mut self, entry: &Entry, judged: &Judged, evidences: &dyn Evidences) -> Result<Vec<u8>, Refusal> {
        let bytes = gather(entry, judged.token_sha256, evidences)?;
        if judged.by.is_some() {
            let command = Unverified::<Command>::parse(&bytes).map_err(unfit)?;
            let command = command.verify(self.state.administrators()).map_err(unfit)?;
            let clock_ms = judged.clock_ms.unwrap_or(entry.at_ms);
            return Ok(self.govern_knowing(&examine::command(command), judged.checked.clone(), clock_ms).bytes);
        }
        if let Ok(warrant) = Unverified::<Warrant>::parse(&bytes) {
            let warrant = warrant.verify(&self.state.root_line(self.root())).map_err(unfit)?;
            return Ok(self.install(&warrant, entry.at_ms).bytes);
        }
        if Unverified::<RootChange>::parse(&bytes).is_ok() {
            let agreed = self.state.root_line(self.root()).follow(&bytes).map_err(unfit)?;
            return Ok(self.change_roots(&agreed, entry.at_ms).bytes);
        }
        let join = Unverified::<Join>::parse(&bytes).map_err(unfit)?.verify(&Possession).map_err(unfit)?;
        let clock_ms = judged.clock_ms.unwrap_or(entry.at_ms);
        Ok(self.enrol(&examine::join(join).map_err(unfit)?, clock_ms).bytes)
    }
}

impl Ruling {
    /// A ruling as its entry tells it, so that it can be told again. The entry must be one of the log's own.
    ///
    /// # Errors
    /// `not_found` when the entry is no ruling, `log_broken` when its evidence does not hold.
    pub fn of_entry(entry: &Entry, evidences: &dyn Evidences, hosts: &HostKeys) -> Result<Self, Refusal> {
        let Body::Ruling(ruled) = &entry.body else {
            return Err(Refusal::new(Reason::NotFound, format!("entry {} is no ruling", entry.index)));
        };
        let bytes = gather(entry, ruled.request_sha256, evidences)?;
        let request = Unverified::<StartRequest>::parse(&bytes).map_err(unfit)?.verify(hosts).map_err(unfit)?;
        let outcomes = ruled.outcomes.clone();
        let decision = match ruled.reason {
            None if ruled.relaxed.is_empty() => Decision::Permitted(outcomes),
            None => Decision::Relaxed { relaxed: ruled.relaxed.clone(), outcomes },
            Some(reason) => {
                let refusal = Refusal::new(reason, ruled.detail.clone().unwrap_or_default());
                Decision::Refused { refusal, outcomes }
            }
        };
        Ok(Self { request, decision, standby: ruled.standby.clone() })
    }
}

/// The question of a ruling, as it would be asked of a state: later than its own, or the one before it.
///
/// # Errors
/// `not_found` when the entry is no ruling, `log_broken` when its evidence does not hold.
pub fn question_anew(
    state: &State,
    entry: &Entry,
    evidences: &dyn Evidences,
    examiner: &impl Examiner,
) -> Result<Question, Refusal> {
    let Body::Ruling(ruled) = &entry.body else {
        return Err(Refusal::new(Reason::NotFound, format!("entry {} is no ruling", entry.index)));
    };
    request_of(state, entry, ruled.request_sha256, evidences, examiner).map(|examined| Question::signed(&examined))
}

/// The question of a ruling, in the words in which it stands in the log: who asked is not proved anew.
///
/// # Errors
/// `log_broken` when its evidence does not hold.
pub(crate) fn question_as_asked(
    entry: &Entry,
    ruled: &Ruled,
    evidences: &dyn Evidences,
) -> Result<StartRequest, Refusal> {
    let bytes = gather(entry, ruled.request_sha256, evidences)?;
    Unverified::<StartRequest>::parse(&bytes).map(|request| request.says().clone()).map_err(unfit)
}

fn request_of(
    state: &State,
    entry: &Entry,
    sha256: Digest,
    evidences: &dyn Evidences,
    examiner: &(impl Examiner + ?Sized),
) -> Result<Examined<StartRequest>, Refusal> {
    let bytes = gather(entry, sha256, evidences)?;
    let request = Unverified::<StartRequest>::parse(&bytes).map_err(unfit)?;
    let request = request.verify(state.host_keys()).map_err(unfit)?;
    examine::start(request, examiner).map_err(unfit)
}

/// Whether a question may be decided at that moment of the broker's clock, in milliseconds since 1970: as fresh as the door
/// demands, and a wait in the queue. Who can write a row, and sign nothing, could put an old one there again (T61).
pub const fn is_timely(asked: Timestamp, clock_ms: u64) -> bool {
    asked.distance(Timestamp::from_millis(clock_ms)) <= FRESHNESS_S + QUEUE_S
}

// How long a question may wait until it is decided, in seconds: far longer than any host does.
const QUEUE_S: u64 = 120;

// The document as it came: its token first, then its attachments, in the order in which the entry names them.
pub(super) fn gather(entry: &Entry, first: Digest, evidences: &dyn Evidences) -> Result<Vec<u8>, Refusal> {
    if entry.evidence.first() != Some(&first) {
        return Err(broken("its evidence does not begin with the token it is about"));
    }
    let mut bytes = Vec::new();
    for (index, sha256) in entry.evidence.iter().enumerate() {
        let piece = evidences.find(*sha256).ok_or_else(|| broken(&format!("evidence {sha256} is missing")))?;
        if Digest::of(&piece) != *sha256 {
            return Err(broken(&format!("evidence {sha256} was changed")));
        }
        if index > 0 {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn unfit(refusal: Refusal) -> Refusal {
    broken(&format!("its evidence does not hold: {refusal}"))
}

fn broken(detail: &str) -> Refusal {
    Refusal::new(Reason::LogBroken, detail)
}
