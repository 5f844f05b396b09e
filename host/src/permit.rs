//! From an answer to permits: one for each interface that was asked for, used once, within its few seconds.
//!
//! A permit exists only because a verified answer fits the very question that was sent. What it opens is left to `slot`.

use std::collections::BTreeSet;

use policy::answer::{StartAnswer, Verdict};
use policy::artifact::Import;
use policy::decide::{Grant, Outcome};
use policy::digest::Digest;
use policy::envelope::Verified;
use policy::name::{InterfaceRef, LinkName};
use policy::question::{Runs, StartRequest, What};
use policy::reason::{Reason, Refusal};
use policy::relax::{Relaxed, Standby};
use policy::wire::PERMIT_TTL_MS;

use crate::clock::{Clock, Moment};
use crate::error::Refused;

/// Leave to fill one slot: one import of one component on this host, under its exact import string.
///
/// It cannot be made, copied or kept: only an answer makes one, [`Slot::bind`](crate::slot::Slot::bind) takes it.
///
/// ```
/// fn import(permit: &host::permit::Permit) -> &str {
///     permit.import()
/// }
/// ```
/// ```compile_fail
/// # // T100: a permit rewritten for another import
/// fn import(permit: &mut host::permit::Permit) -> &str {
///     permit.import = "wasi:sockets/tcp@0.2.0".to_owned(); permit.import()
/// }
/// ```
/// No answer, no permit:
///
/// ```
/// use policy::{answer::StartAnswer, envelope::Verified};
/// fn permits(question: host::permit::Asked, answer: Verified<StartAnswer>) -> Option<host::permit::Permits> {
///     match question.answered_by(answer).ok()? {
///         host::permit::Told::Permitted(permits) => Some(permits),
///         host::permit::Told::Refused(_) => None,
///     }
/// }
/// ```
/// ```compile_fail
/// # // T100: an answer that nobody verified
/// use policy::{answer::StartAnswer, envelope::Unverified};
/// fn permits(question: host::permit::Asked, answer: Unverified<StartAnswer>) -> Option<host::permit::Permits> {
///     match question.answered_by(answer).ok()? {
///         host::permit::Told::Permitted(permits) => Some(permits),
///         host::permit::Told::Refused(_) => None,
///     }
/// }
/// ```
/// ```
/// use policy::{answer::StartAnswer, envelope::Verified};
/// fn fits(question: host::permit::Asked, answer: Verified<StartAnswer>) -> bool {
///     question.answered_by(answer).is_ok()
/// }
/// ```
/// ```compile_fail
/// # // T100: a receipt where an answer belongs
/// use policy::{answer::Receipt, envelope::Verified};
/// fn fits(question: host::permit::Asked, answer: Verified<Receipt>) -> bool {
///     question.answered_by(answer).is_ok()
/// }
/// ```
/// One answer, one permit for each import:
///
/// ```
/// fn once(permit: host::permit::Permit) -> host::permit::Permit {
///     permit
/// }
/// ```
/// ```compile_fail
/// # // T100: a permit copied
/// fn twice(permit: host::permit::Permit) -> (host::permit::Permit, host::permit::Permit) {
///     (permit.clone(), permit)
/// }
/// ```
/// ```
/// use host::permit::Permit;
/// fn granted(permit: &Permit) -> (&str, &policy::decide::Grant, u64) {
///     (permit.import(), permit.grant(), permit.index())
/// }
/// ```
/// ```compile_fail
/// # // T100: a permit from nothing
/// use host::permit::Permit;
/// fn forge(permit: Permit, grant: policy::decide::Grant) -> Permit {
///     Permit { grant, ..permit }
/// }
/// ```
#[derive(Debug)]
#[must_use = "a permit that is not used opens nothing"]
pub struct Permit {
    import: String,
    runs: Runs,
    link: LinkName,
    grant: Grant,
    index: u64,
    life: Life,
}

impl Permit {
    /// The exact import string.
    pub fn import(&self) -> &str {
        &self.import
    }

    /// What runs, and under which id.
    pub const fn runs(&self) -> &Runs {
        &self.runs
    }

    /// The link's name.
    pub const fn link(&self) -> &LinkName {
        &self.link
    }

    /// What may answer.
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The log index of the decision.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Whether its few seconds are not over.
    ///
    /// # Errors
    /// `permit_expired`.
    pub fn fresh(&self, clock: &dyn Clock) -> Result<(), Refusal> {
        self.life.holds(clock)
    }
}

/// How long a permit lives: from the sending of the question, not from the arrival of its answer.
#[derive(Debug, Clone, Copy)]
struct Life {
    sent: Moment,
    ttl_ms: u64,
}

impl Life {
    fn holds(&self, clock: &dyn Clock) -> Result<(), Refusal> {
        let age_ms = self.sent.elapsed_ms(clock.moment());
        if age_ms < self.ttl_ms {
            return Ok(());
        }
        let detail =
            format!("the permit was good for {} ms from the sending of its question, {age_ms} ms ago", self.ttl_ms);
        Err(Refusal::new(Reason::PermitExpired, detail))
    }
}

/// The permits of one answer.
#[derive(Debug)]
#[must_use]
pub struct Permits {
    permits: Vec<Permit>,
    decision: Decided,
    life: Life,
    leave: Leave,
}

/// The weakenings that a permit rests on; empty where the law alone gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leave {
    /// What relaxations let through.
    pub relaxed: Vec<Relaxed>,
    /// The standby permit that stood in for a broker.
    pub standby: Option<Standby>,
}

/// Where a decision stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// The index of its entry.
    pub index: u64,
    /// The hash of its entry.
    pub entry_sha256: Digest,
    /// The newest governance event that it knew.
    pub epoch: u64,
    /// The digest of the request that it decided.
    pub request_sha256: Digest,
}

impl Decided {
    pub(crate) const fn by(answer: &StartAnswer) -> Self {
        let StartAnswer { index, entry_sha256, epoch, request_sha256, .. } = *answer;
        Self { index, entry_sha256, epoch, request_sha256 }
    }
}

impl Permits {
    /// Takes the permit of one import string, if there is one.
    pub fn take(&mut self, import: &str) -> Option<Permit> {
        let at = self.permits.iter().position(|permit| permit.import == import)?;
        Some(self.permits.swap_remove(at))
    }

    /// Where the decision stands in the log.
    pub const fn decision(&self) -> Decided {
        self.decision
    }

    /// The weakenings that it rests on.
    pub const fn leave(&self) -> &Leave {
        &self.leave
    }

    pub(crate) fn standing_in(mut self, standby: Standby) -> Self {
        self.leave.standby = Some(standby);
        self
    }

    /// Whether the answer may still be acted on: with no import at all, too, a start needs one.
    ///
    /// # Errors
    /// `permit_expired`.
    pub fn fresh(&self, clock: &dyn Clock) -> Result<(), Refusal> {
        self.life.holds(clock)
    }
}

/// A genuine answer that is none to this question; the question comes back, to be held against the next one.
#[derive(Debug)]
pub struct Misfit {
    /// Why it does not fit.
    pub refusal: Refusal,
    /// The question.
    pub question: Asked,
}

/// What an answer says.
#[derive(Debug)]
pub enum Told {
    /// It may start.
    Permitted(Permits),
    /// It may not.
    Refused(Refused),
}

/// A question as it was sent: what an answer must fit. One answer uses it up, so no answer can be used twice (T51).
#[derive(Debug)]
pub struct Asked {
    pub(crate) request: StartRequest,
    pub(crate) sha256: Digest,
    pub(crate) sent: Moment,
}

impl Asked {
    /// Holds an answer to this question, field by field, and uses the question up if it fits.
    ///
    /// # Errors
    /// `answer_mismatch` when it is genuine but not to this question; `lattice_mismatch`, `state_rollback`.
    pub fn answered_by(self, answer: Verified<StartAnswer>) -> Result<Told, Box<Misfit>> {
        match self.told(&answer) {
            Ok(told) => Ok(told),
            Err(refusal) => Err(Box::new(Misfit { refusal, question: self })),
        }
    }

    fn told(&self, answer: &StartAnswer) -> Result<Told, Refusal> {
        self.fits(answer)?;
        match (answer.verdict, answer.reason) {
            (Verdict::Refused, Some(reason)) => Ok(Told::Refused(self.refused(answer, reason))),
            (Verdict::Permitted, None) => self.permits(answer).map(Told::Permitted),
            (Verdict::Permitted, Some(_)) | (Verdict::Refused, None) => {
                Err(mismatch("its verdict and its reason disagree"))
            }
        }
    }

    fn fits(&self, answer: &StartAnswer) -> Result<(), Refusal> {
        let request = &self.request;
        if answer.lattice != request.aud {
            let detail = format!("the answer is from lattice `{}`, asked was `{}`", answer.lattice, request.aud);
            return Err(Refusal::new(Reason::LatticeMismatch, detail));
        }
        if answer.aud != request.iss {
            return Err(mismatch(&format!("it is for host `{}`, this is `{}`", answer.aud, request.iss)));
        }
        if answer.request_sha256 != self.sha256 || answer.jti != request.jti {
            return Err(mismatch("it answers another request"));
        }
        let about = match request.what {
            What::StartComponent => (answer.component.as_ref(), answer.provider.as_ref()),
            What::StartProvider => (answer.provider.as_ref(), answer.component.as_ref()),
        };
        let (Some(runs), None) = about else {
            return Err(mismatch("it is about another kind of thing than what would start"));
        };
        if !same(runs, &request.runs) {
            return Err(mismatch(&format!(
                "it is about `{}` with bytes {}, asked was `{}` with bytes {}",
                runs.id, runs.sha256, request.runs.id, request.runs.sha256
            )));
        }
        if answer.epoch > answer.index {
            return Err(mismatch("its epoch lies after its own entry"));
        }
        // Each decision is a new entry: one at or below what was seen before the question was sent cannot be its answer.
        if answer.index <= request.seen.index {
            let detail =
                format!("the answer is entry {}, this host had seen entry {}", answer.index, request.seen.index);
            return Err(Refusal::new(Reason::StateRollback, detail));
        }
        Ok(())
    }

    fn refused(&self, answer: &StartAnswer, reason: Reason) -> Refused {
        let refused = |outcome: &Outcome| outcome.grant.as_ref().err().map(|reason| (named(outcome), *reason));
        let imports: Vec<_> = answer.outcomes.iter().filter_map(refused).collect();
        let detail = format!("the broker refuses `{}`: {}", self.request.runs.id, reason.meaning());
        Refused { refusal: Refusal::new(reason, detail), imports, index: Some(answer.index) }
    }

    // Every outcome once, and for exactly the imports that were asked.
    fn permits(&self, answer: &StartAnswer) -> Result<Permits, Refusal> {
        let life = Life { sent: self.sent, ttl_ms: answer.ttl_ms.min(PERMIT_TTL_MS) };
        let mut told = BTreeSet::new();
        let mut permits = Vec::new();
        for outcome in &answer.outcomes {
            let import =
                self.asked_for(outcome).ok_or_else(|| mismatch(&format!("nobody asked for `{}`", named(outcome))))?;
            if !told.insert((&outcome.package, &outcome.version, &outcome.link)) {
                return Err(mismatch(&format!("it tells `{}` twice", named(outcome))));
            }
            let Ok(grant) = &outcome.grant else {
                return Err(mismatch(&format!("it permits, yet refuses `{}`", named(outcome))));
            };
            // A component whose bytes name no link runs over the unnamed one; no slot here could switch to another.
            if outcome.link == LinkName::unnamed() {
                permits.extend(strings(import).map(|string| self.permit(string, outcome, grant, answer.index, life)));
            }
        }
        let unnamed = LinkName::unnamed();
        if let Some(untold) =
            self.request.imports.iter().find(|import| !told.contains(&(&import.package, &import.version, &unnamed)))
        {
            return Err(mismatch(&format!("it says nothing of `{}`", untold.package)));
        }
        let decision = Decided::by(answer);
        let leave = Leave { relaxed: answer.relaxations.clone(), standby: None };
        Ok(Permits { permits, decision, life, leave })
    }

    fn permit(&self, import: String, outcome: &Outcome, grant: &Grant, index: u64, life: Life) -> Permit {
        Permit {
            import,
            runs: self.request.runs.clone(),
            link: outcome.link.clone(),
            grant: grant.clone(),
            index,
            life,
        }
    }

    fn asked_for(&self, outcome: &Outcome) -> Option<&Import> {
        self.request
            .imports
            .iter()
            .find(|import| import.package == outcome.package && import.version == outcome.version)
    }
}

/// The exact import strings of the interfaces of one package.
pub(crate) fn strings(import: &Import) -> impl Iterator<Item = String> + '_ {
    import.interfaces.iter().map(|interface| {
        let Import { package, version, .. } = import.clone();
        InterfaceRef { package, interface: interface.clone(), version }.to_string()
    })
}

// The claims are named in the question; an answer may leave them out, but never name others.
fn same(told: &Runs, asked: &Runs) -> bool {
    let claims = told.claims_sha256.is_none() || told.claims_sha256 == asked.claims_sha256;
    claims && (&told.id, &told.subject, told.sha256) == (&asked.id, &asked.subject, asked.sha256)
}

fn named(outcome: &Outcome) -> String {
    let version = outcome.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    let link = if outcome.link == LinkName::unnamed() { String::new() } else { format!(" ({})", outcome.link) };
    format!("{}{version}{link}", outcome.package)
}

fn mismatch(what: &str) -> Refusal {
    Refusal::new(Reason::AnswerMismatch, format!("the answer does not fit: {what}"))
}
