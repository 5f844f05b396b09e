//! The one function that decides: state, question, facts, now → permitted whole or refused whole.
//!
//! Rules stand in two ordered tables, one rule per file; the first refusal wins, and what no rule refuses must still
//! have a candidate for each import. Live answers, `explain` and `audit verify` call the same [`decide`].

mod candidate_is_trusted;
mod candidate_serves_it;
mod claims_are_trusted;
mod claims_cover_imports;
mod configuration_fits;
mod contract_allows_provider;
mod contract_covers_import;
mod host_is_enrolled;
mod id_belongs_to_subject;
mod lattice_is_ours;
mod nothing_answers_itself;

use serde::{Deserialize, Serialize};

use crate::artifact::Import;
use crate::digest::Digest;
use crate::govern::State;
use crate::name::{ComponentId, LinkName, Package, Version};
use crate::provider::Subject;
use crate::question::Question;
use crate::reason::{Reason, Refusal};
use crate::resolve::{By, Candidate, resolve};
use crate::time::Timestamp;

/// Bumped with any change to what `decide`, `resolve` or `handle` answer.
pub const LAW: u64 = 1;

/// What the broker asserts and cannot prove; recorded with the ruling, so that replay has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {}

/// A rule on the start as a whole.
pub struct StartRule {
    /// The rule as a sentence.
    pub sentence: &'static str,
    judge: fn(&Start<'_>) -> Result<(), Refusal>,
}

/// A rule on one import.
pub struct ImportRule {
    /// The rule as a sentence.
    pub sentence: &'static str,
    judge: fn(&Binding<'_>) -> Result<(), Refusal>,
}

/// The rules on a start, in order.
pub const START_RULES: &[StartRule] = &[
    StartRule { sentence: "the lattice is ours", judge: lattice_is_ours::judge },
    StartRule { sentence: "the host is enrolled", judge: host_is_enrolled::judge },
    StartRule { sentence: "the claims are trusted", judge: claims_are_trusted::judge },
    StartRule { sentence: "the id belongs to the subject", judge: id_belongs_to_subject::judge },
    StartRule { sentence: "the claims cover the imports", judge: claims_cover_imports::judge },
];

/// The rules on each import, in order; the candidate is resolved between the contract's rules and its own.
pub const IMPORT_RULES: &[ImportRule] = &[
    ImportRule { sentence: "the contract covers the import", judge: contract_covers_import::judge },
    ImportRule { sentence: "one candidate answers", judge: one_candidate_answers },
    ImportRule { sentence: "nothing answers itself", judge: nothing_answers_itself::judge },
    ImportRule { sentence: "the candidate is trusted", judge: candidate_is_trusted::judge },
    ImportRule { sentence: "the contract allows the provider", judge: contract_allows_provider::judge },
    ImportRule { sentence: "the candidate serves it", judge: candidate_serves_it::judge },
    ImportRule { sentence: "the configuration fits", judge: configuration_fits::judge },
];

/// What a rule on the start reads.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    pub(crate) state: &'a State,
    pub(crate) question: &'a Question,
    pub(crate) now: Timestamp,
}

/// What a rule on an import reads.
pub struct Binding<'a> {
    pub(crate) start: Start<'a>,
    pub(crate) import: &'a Import,
    pub(crate) link: LinkName,
    pub(crate) candidate: Result<Candidate<'a>, Refusal>,
}

impl<'a> Binding<'a> {
    // A rule after `one_candidate_answers` always finds one.
    pub(crate) fn candidate(&self) -> Result<&Candidate<'a>, Refusal> {
        self.candidate.as_ref().map_err(Clone::clone)
    }
}

/// What answers one import under one link name, or why nothing may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Outcome {
    /// The package.
    pub package: Package,
    /// The version that was asked for.
    pub version: Option<Version>,
    /// The link's name.
    pub link: LinkName,
    /// What answers, or why nothing may.
    pub grant: Result<Grant, Reason>,
}

/// What answers one import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// How.
    pub by: By,
    /// The id under which the provider runs.
    pub id: ComponentId,
    /// The provider.
    pub provider: Subject,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// The link's revision.
    pub revision: Option<u64>,
    /// SHA-256 of its configuration.
    pub config_sha256: Option<Digest>,
}

/// Permitted whole, with what answers each import, or refused whole, with why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Every import has an answer.
    Permitted(Vec<Outcome>),
    /// Something must not be.
    Refused {
        /// The first refusal.
        refusal: Refusal,
        /// What became of each import; empty when the start itself was refused.
        outcomes: Vec<Outcome>,
    },
}

impl Decision {
    /// What became of each import.
    pub fn outcomes(&self) -> &[Outcome] {
        match self {
            Self::Permitted(outcomes) | Self::Refused { outcomes, .. } => outcomes,
        }
    }

    /// The first refusal.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Permitted(_) => None,
            Self::Refused { refusal, .. } => Some(refusal),
        }
    }
}

/// Decides. Same inputs, same answer, everywhere and always (I8).
pub fn decide(state: &State, question: &Question, _facts: &Facts, now: Timestamp) -> Decision {
    let start = Start { state, question, now };
    if let Err(refusal) = start_rules(&start).find_map(|(_, verdict)| verdict.err()).map_or(Ok(()), Err) {
        return Decision::Refused { refusal, outcomes: Vec::new() };
    }
    let mut outcomes = Vec::with_capacity(question.imports.len());
    let mut first = None;
    for_each_import(&start, |binding| {
        let grant = grant(binding);
        if let Err(refusal) = &grant {
            first.get_or_insert_with(|| refusal.clone().within(format!("`{}`", binding.import.package)));
        }
        outcomes.push(binding.outcome(grant.map_err(|refusal| refusal.reason)));
    });
    match first {
        None => Decision::Permitted(outcomes),
        Some(refusal) => Decision::Refused { refusal, outcomes },
    }
}

/// The verdict of each rule on the start, in order.
pub fn start_rules<'a>(start: &'a Start<'a>) -> impl Iterator<Item = (&'static str, Result<(), Refusal>)> + 'a {
    START_RULES.iter().map(|rule| (rule.sentence, (rule.judge)(start)))
}

/// The verdict of each rule on an import, in order, up to the first refusal.
pub fn import_rules(binding: &Binding<'_>) -> Vec<(&'static str, Result<(), Refusal>)> {
    let mut verdicts = Vec::with_capacity(IMPORT_RULES.len());
    for rule in IMPORT_RULES {
        let verdict = (rule.judge)(binding);
        let refused = verdict.is_err();
        verdicts.push((rule.sentence, verdict));
        if refused {
            break;
        }
    }
    verdicts
}

/// Visits each import under `default` and under every name that a live link gives it.
pub fn for_each_import<'a>(start: &Start<'a>, mut visit: impl FnMut(&Binding<'a>)) {
    let unnamed = LinkName::unnamed();
    let component = &start.question.runs.id;
    for import in &start.question.imports {
        let named = start.state.link_names(component, &import.package).filter(|name| **name != unnamed);
        for link in std::iter::once(&unnamed).chain(named) {
            let candidate = resolve(start.state, component, import, link, &start.question.offers);
            visit(&Binding { start: *start, import, link: link.clone(), candidate });
        }
    }
}

fn grant(binding: &Binding<'_>) -> Result<Grant, Refusal> {
    for rule in IMPORT_RULES {
        (rule.judge)(binding)?;
    }
    let candidate = binding.candidate()?;
    Ok(Grant {
        by: candidate.by,
        id: candidate.provider.id.clone(),
        provider: candidate.provider.subject.clone(),
        sha256: candidate.sha256,
        revision: candidate.link.map(|link| link.revision),
        config_sha256: candidate.link.and_then(|link| link.config_sha256),
    })
}

fn one_candidate_answers(binding: &Binding<'_>) -> Result<(), Refusal> {
    binding.candidate().map(drop)
}

impl Binding<'_> {
    fn outcome(&self, grant: Result<Grant, Reason>) -> Outcome {
        let Import { package, version, .. } = self.import.clone();
        Outcome { package, version, link: self.link.clone(), grant }
    }
}

// The form on the wire: flat, with either `by` and its kin or `reason`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    package: Package,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    link: LinkName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<By>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<ComponentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<Subject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config_sha256: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wire: Option<Held>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

// How the wire of a binding is held.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Held {
    InProcess,
}

impl From<Outcome> for Wire {
    fn from(outcome: Outcome) -> Self {
        let Outcome { package, version, link, grant } = outcome;
        let bare = Self {
            package,
            version,
            link,
            by: None,
            id: None,
            provider: None,
            sha256: None,
            revision: None,
            config_sha256: None,
            wire: None,
            reason: None,
        };
        match grant {
            Ok(Grant { by, id, provider, sha256, revision, config_sha256 }) => Self {
                by: Some(by),
                id: Some(id),
                provider: Some(provider),
                sha256: Some(sha256),
                revision,
                config_sha256,
                wire: Some(Held::InProcess),
                ..bare
            },
            Err(reason) => Self { reason: Some(reason), ..bare },
        }
    }
}

impl TryFrom<Wire> for Outcome {
    type Error = Refusal;
    fn try_from(wire: Wire) -> Result<Self, Refusal> {
        let Wire { package, version, link, by, id, provider, sha256, revision, config_sha256, wire, reason } = wire;
        let grant = match (by, id, provider, sha256, wire, reason) {
            (Some(by), Some(id), Some(provider), Some(sha256), Some(Held::InProcess), None) => {
                Ok(Grant { by, id, provider, sha256, revision, config_sha256 })
            }
            (None, None, None, None, None, Some(reason)) if revision.is_none() && config_sha256.is_none() => {
                Err(reason)
            }
            _ => return Err(Refusal::new(Reason::SchemaMismatch, "an outcome is a grant or a reason, whole")),
        };
        Ok(Self { package, version, link, grant })
    }
}
