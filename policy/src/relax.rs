//! What may be weakened, how far, and until when: relaxations, which reasons they lift, and standby permits.
//!
//! An end is judged with the `now` of the decision, never by a timer. Relaxations are looked up only where a rule has
//! refused, or where a permitted start may be given a standby permit; how they are put is left to `govern`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::artifact::Import;
use crate::decide::{About, Outcome};
use crate::digest::Digest;
use crate::examine::Evidence;
use crate::govern::State;
use crate::key::{self, Host, Name};
use crate::name::{ComponentId, LinkName, Package, RelaxationId, Version};
use crate::question::{Assurance, Question};
use crate::reason::Reason;
use crate::time::Timestamp;

/// The longest that a relaxation may stand, in seconds.
pub const RELAXATION_LIFETIME_S: u64 = 30 * 86_400;
/// The longest life of a standby permit, in seconds.
pub const STANDBY_LIFE_S: u64 = 86_400;
/// The most relaxations that stand at once.
pub const MAX_RELAXATIONS: usize = 64;
/// The most components, digests or hosts of one standby relaxation.
pub const MAX_NAMED: usize = 64;

/// The reasons that a relaxation may lift; every other one holds whatever stands in state.
///
/// They are those by which nobody has vouched *yet*: an observed lattice comes under enforcement by mending them one by
/// one. What is absent here on purpose: forged or missing evidence; hosts, lattices and clocks; whatever an
/// administrator took away (revoked, retired, withdrawn, banned, removed, older than admitted); what belongs to somebody
/// else; and everything about which candidate answers, so that a relaxation never makes a choice (I5, I6).
pub const RELAXABLE: &[Reason] = &[
    // Nobody trusts the signer yet; whoever was revoked or retired has another reason.
    Reason::IssuerUnknown,
    // The signer speaks for something else.
    Reason::IssuerScope,
    // Its time is over, or was longer than it may be; what has not begun is never lifted, clocks could lie.
    Reason::Expired,
    Reason::LifetimeExceeded,
    // Nobody gave the id to anyone yet; an id that is somebody's has another reason.
    Reason::ComponentUnknown,
    // Older claims list less than the bytes import.
    Reason::UndeclaredImport,
    // The owner's contract is not that far yet.
    Reason::ContractTrack,
    Reason::ContractInterface,
    // The owner lists neither the provider nor its issuer yet.
    Reason::ProviderNotAllowed,
];

impl Reason {
    /// Whether a relaxation may lift it; a reprieve lifts another one, for one file.
    pub fn relaxable(self) -> bool {
        RELAXABLE.contains(&self)
    }

    fn place(self) -> Option<usize> {
        let reprieved = (self == Self::IssuerRevoked).then_some(RELAXABLE.len());
        RELAXABLE.iter().position(|reason| *reason == self).or(reprieved)
    }
}

/// The reasons that one walk of one rule sets aside; a rule goes on behind each, so that none hides another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Aside(u16);

impl Aside {
    pub(crate) fn has(self, reason: Reason) -> bool {
        reason.place().is_some_and(|place| self.0 & (1 << place) != 0)
    }

    pub(crate) fn and(self, reason: Reason) -> Self {
        reason.place().map_or(self, |place| Self(self.0 | (1 << place)))
    }

    /// The verdict, unless its reason is set aside.
    pub(crate) fn past(self, verdict: Result<(), crate::reason::Refusal>) -> Result<(), crate::reason::Refusal> {
        verdict.or_else(|refusal| if self.has(refusal.reason) { Ok(()) } else { Err(refusal) })
    }
}

/// One weakening with an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relaxation {
    /// What it weakens.
    pub kind: Weakening,
    /// Since when it stands.
    pub since: Timestamp,
    /// The first moment at which it no longer counts.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// What is weakened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Weakening {
    /// What would be refused is permitted and recorded: in the whole lattice, or for one package.
    Observe {
        /// The package; the whole lattice where none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        package: Option<Package>,
    },
    /// One reason does not count for one file.
    Exception {
        /// SHA-256 of the component that starts, or of the provider that would answer.
        sha256: Digest,
        /// The reason.
        allow: Reason,
    },
    /// One file counts though the issuer that signed it was revoked since: it was admitted before (T15).
    Reprieve {
        /// SHA-256 of the component that starts, or of the provider that would answer.
        sha256: Digest,
        /// The issuer.
        issuer: Name<key::Issuer>,
    },
    /// A permit that lasts for a while, for restarts while no broker answers.
    Standby {
        /// The ids that may run, those of linked providers too.
        components: BTreeSet<ComponentId>,
        /// The files that may run under them.
        sha256: BTreeSet<Digest>,
        /// The hosts on which they may.
        hosts: BTreeSet<Name<Host>>,
        /// How long one permit lasts, in seconds.
        life_s: u64,
    },
}

/// What one relaxation let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relaxed {
    /// The relaxation.
    pub id: RelaxationId,
    /// The reason that would have refused.
    pub would_refuse: Reason,
    /// The package whose import it is about; none where it is about the start itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// The version that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The link's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkName>,
}

/// Leave to start the same thing again on the same host while no broker answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standby {
    /// The relaxation that gives it.
    pub id: RelaxationId,
    /// The first moment at which it no longer counts.
    pub until: Timestamp,
}

/// A start by a standby permit, as its host reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoodIn {
    /// The relaxation that gave the permit.
    pub relaxation: RelaxationId,
    /// What was started.
    pub id: ComponentId,
    /// SHA-256 of its file.
    pub sha256: Digest,
    /// The index of the decision that gave the permit.
    pub index: u64,
    /// When, by the host's clock.
    pub at: Timestamp,
}

impl Relaxation {
    /// Whether it counts at that moment.
    pub fn stands(&self, now: Timestamp) -> bool {
        now < self.until
    }

    // The narrower, the earlier it is named.
    fn width(&self) -> u8 {
        match &self.kind {
            Weakening::Exception { .. } | Weakening::Reprieve { .. } => 0,
            Weakening::Observe { package: Some(_) } => 1,
            Weakening::Observe { package: None } => 2,
            Weakening::Standby { .. } => 3,
        }
    }

    fn lifts(&self, reason: Reason, files: &[Digest], package: Option<&Package>) -> bool {
        let meant = match &self.kind {
            Weakening::Exception { allow, .. } => *allow == reason,
            Weakening::Observe { .. } | Weakening::Standby { .. } => true,
            // What it lifts is no reason that others lift.
            Weakening::Reprieve { .. } => false,
        };
        meant && self.bears(files, package)
    }

    // Whether it could lift some reason of these files and that package.
    fn bears(&self, files: &[Digest], package: Option<&Package>) -> bool {
        match &self.kind {
            Weakening::Observe { package: None } => true,
            Weakening::Observe { package: only } => only.as_ref() == package,
            Weakening::Exception { sha256, .. } | Weakening::Reprieve { sha256, .. } => files.contains(sha256),
            Weakening::Standby { .. } => false,
        }
    }
}

/// The relaxation that lifts a refusal, if one stands: the narrowest, and of those the first by name.
///
/// `place` is the import, the digest of what would answer it, and what the rule is about; none for the start itself.
pub(crate) fn lifted<'s>(
    state: &'s State,
    question: &Question,
    now: Timestamp,
    reason: Reason,
    place: Option<(&Import, Option<Digest>, About)>,
) -> Option<&'s RelaxationId> {
    // Evidence that does not hold excuses nothing, whatever else is wrong with the start.
    if !matches!(question.claims, Some(Ok(_))) {
        return None;
    }
    if reason == Reason::IssuerRevoked {
        return reprieved(state, question, now, place.map(|(_, sha256, _)| sha256));
    }
    if !reason.relaxable() {
        return None;
    }
    let files = named(state, question, reason, place);
    let package = place.map(|(import, ..)| &import.package);
    let lifting = |relaxation: &Relaxation| relaxation.stands(now) && relaxation.lifts(reason, &files, package);
    let lifting = state.relaxations().iter().filter(|(_, relaxation)| lifting(relaxation));
    lifting.min_by_key(|(_, relaxation)| relaxation.width()).map(|(id, _)| id)
}

// The files for which an exception may be: of what an issuer signed of a file, that file alone; of all else, what starts and
// what would answer it.
fn named(
    state: &State,
    question: &Question,
    reason: Reason,
    place: Option<(&Import, Option<Digest>, About)>,
) -> Vec<Digest> {
    let signed =
        matches!(reason, Reason::Expired | Reason::LifetimeExceeded | Reason::IssuerScope | Reason::IssuerUnknown);
    let runs = Some(question.runs.sha256);
    match place {
        Some((_, answers, About::Candidate)) if signed && state.law() >= NAMED_SINCE => answers.into_iter().collect(),
        // The contract is no file.
        Some(_) if signed && state.law() >= NAMED_SINCE => Vec::new(),
        Some((_, answers, _)) => runs.into_iter().chain(answers).collect(),
        None => runs.into_iter().collect(),
    }
}

// The one file that is judged, what starts or what would answer, signed by the very issuer that the reprieve names.
fn reprieved<'s>(
    state: &'s State,
    question: &Question,
    now: Timestamp,
    answers: Option<Option<Digest>>,
) -> Option<&'s RelaxationId> {
    let (file, signer) = match answers {
        None => (question.runs.sha256, *question.claims.as_ref()?.as_ref().ok()?.issuer()),
        Some(answers) => (answers?, state.providers().get(&answers?)?.signed.as_ref()?.0),
    };
    let named = |kind: &Weakening| matches!(kind, Weakening::Reprieve { sha256, issuer } if *sha256 == file && *issuer == signer);
    let mut reprieves = state.relaxations().iter().filter(|(_, it)| it.stands(now) && named(&it.kind));
    reprieves.next().map(|(id, _)| id)
}

/// The relaxations that stand and could lift something of a start, or of that import of it; by name.
pub(crate) fn bearing<'s>(
    state: &'s State,
    question: &Question,
    now: Timestamp,
    place: Option<(&Package, Digest)>,
) -> impl Iterator<Item = &'s RelaxationId> {
    let files: Vec<Digest> = std::iter::once(question.runs.sha256).chain(place.map(|(_, sha256)| sha256)).collect();
    let package = place.map(|(package, _)| package.clone());
    let bears = move |relaxation: &Relaxation| relaxation.stands(now) && relaxation.bears(&files, package.as_ref());
    state.relaxations().iter().filter(move |(_, relaxation)| bears(relaxation)).map(|(id, _)| id)
}

/// The standby permit that goes with a permit, if a relaxation gives one: the one that lasts longest.
///
/// It ends with the relaxation, and before anything signed that the permit rests on.
pub(crate) fn standby(state: &State, question: &Question, outcomes: &[Outcome], now: Timestamp) -> Option<Standby> {
    if state.relaxations().is_empty() || question.assurance != Assurance::HostSigned {
        return None;
    }
    let given = state.relaxations().iter().filter_map(|(id, relaxation)| {
        let Weakening::Standby { components, sha256, hosts, life_s } = &relaxation.kind else {
            return None;
        };
        let runs = &question.runs;
        let named = components.contains(&runs.id) && sha256.contains(&runs.sha256) && hosts.contains(&question.host);
        let until = relaxation.until.min(now.plus(*life_s));
        (named && relaxation.stands(now)).then(|| Standby { id: id.clone(), until })
    });
    let Standby { id, until } = given.max_by_key(|standby| standby.until)?;
    let until = ends(state, question, outcomes).fold(until, Timestamp::min);
    (now < until).then_some(Standby { id, until })
}

// When what the permit rests on stops to hold by itself.
fn ends<'a>(state: &'a State, question: &'a Question, outcomes: &'a [Outcome]) -> impl Iterator<Item = Timestamp> + 'a {
    let claims = question.claims.iter().filter_map(|claims| match claims.as_ref().ok()? {
        Evidence::Component(claimed) => claimed.common.validity.exp,
        Evidence::Provider(claimed) => claimed.common.validity.exp,
        Evidence::Contract(_) | Evidence::KeyProof(_) | Evidence::Delegation(_) => None,
    });
    let contracts = outcomes.iter().filter_map(|outcome| state.contracts().get(&outcome.package)?.contract.exp);
    let providers = outcomes.iter().filter_map(|outcome| {
        let record = state.providers().get(&outcome.grant.as_ref().ok()?.sha256)?;
        record.signed.as_ref()?.1.exp
    });
    claims.chain(contracts).chain(providers)
}

// An exception is for the file that it names.
const NAMED_SINCE: u64 = 5;
