//! The one function that decides: state, question, facts, now → permitted whole or refused whole.
//!
//! Rules stand in two ordered tables, one rule per file; the first refusal wins, and what no rule refuses must still
//! have a candidate for each import. Live answers, `explain` and `audit verify` call the same [`decide`].

mod candidate_is_trusted;
mod candidate_serves_it;
mod claims_are_trusted;
mod claims_cover_imports;
mod clock_runs_forward;
mod configuration_fits;
mod contract_allows_provider;
mod contract_covers_import;
mod decision;
mod ends_are_agreed;
mod host_is_enrolled;
mod id_belongs_to_subject;
mod lattice_is_ours;
mod log_is_the_newest;
mod no_rule_forbids_binding;
mod no_rule_forbids_start;
mod nothing_answers_itself;
mod one_candidate_answers;
mod past;
mod supposing;
mod wire;
mod words;

use serde::{Deserialize, Serialize};

use crate::artifact::Import;
use crate::govern::State;
use crate::name::LinkName;
use crate::question::Question;
use crate::reason::{Reason, Refusal};
use crate::relax::{Aside, Relaxed};
use crate::resolve::{Candidate, resolve};
use crate::time::Timestamp;

pub use decision::{Decision, Grant, Outcome};
pub(crate) use ends_are_agreed::runs;
pub(crate) use supposing::supposed_to_answer;
pub(crate) use words::surface;

/// Bumped with any change to what `decide`, `resolve` or `handle` answer.
pub const LAW: u64 = 5;

/// Whether what was judged under that law is judged again when a log is verified: every law whose differences are kept.
pub const fn judges_again(law: u64) -> bool {
    law >= OLDEST_LAW && law <= LAW
}

// Law 2 gave subjects owners, law 3 gave administrators roles. Law 4 made administration take as many as any class, held a
// restore to what is lost, weighs what comes back after it was retired, and accepts only bytes that are named. Law 5
// gave contracts owners, lets nobody turn down what is about themselves, and holds exceptions to the file they name and observed
// starts to ids that are nobody's. What each changed asks for the law that judges.
const OLDEST_LAW: u64 = 1;

/// What the broker asserts and cannot prove; recorded with the ruling, so that replay has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// What its clock said, in milliseconds since 1970, where that was further behind the log's time than clocks are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ms: Option<u64>,
}

/// Nothing asserted.
pub(crate) const NO_FACTS: &Facts = &Facts { clock_ms: None };

/// A rule on the start as a whole.
pub struct StartRule {
    /// The rule as a sentence.
    pub sentence: &'static str,
    judge: fn(&Start<'_>) -> Result<(), Refusal>,
    // What it reads, as a sentence: only asked for when a decision is explained.
    pub(crate) fact: fn(&Start<'_>) -> String,
}

/// A rule on one import.
pub struct ImportRule {
    /// The rule as a sentence.
    pub sentence: &'static str,
    /// What it is about.
    pub(crate) about: About,
    judge: fn(&Binding<'_>) -> Result<(), Refusal>,
    pub(crate) fact: fn(&Binding<'_>) -> String,
}

/// What a rule on an import is about: one reason may be that of several rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    Contract,
    Candidate,
    Permission,
    Rules,
}

macro_rules! rules {
    ($kind:ident: $( $sentence:literal => $rule:ident $( about $about:ident )? ),* $(,)?) => {
        &[$( $kind { sentence: $sentence, judge: $rule::judge, fact: $rule::fact, $( about: About::$about )? }, )*]
    };
}

/// The rules on a start, in order.
pub const START_RULES: &[StartRule] = rules! { StartRule:
    "the lattice is ours" => lattice_is_ours,
    "the clock runs forward" => clock_runs_forward,
    "the log is the newest" => log_is_the_newest,
    "the host is enrolled" => host_is_enrolled,
    "the claims are trusted" => claims_are_trusted,
    "the id belongs to the subject" => id_belongs_to_subject,
    "the claims cover the imports" => claims_cover_imports,
    "no rule forbids the start" => no_rule_forbids_start,
};

/// The rules on each import, in order; the candidate is resolved between the contract's rules and its own.
pub const IMPORT_RULES: &[ImportRule] = rules! { ImportRule:
    "the contract covers the import" => contract_covers_import about Contract,
    "one candidate answers" => one_candidate_answers about Candidate,
    "the ends are as agreed" => ends_are_agreed about Candidate,
    "nothing answers itself" => nothing_answers_itself about Candidate,
    "the candidate is trusted" => candidate_is_trusted about Candidate,
    "the contract allows the provider" => contract_allows_provider about Permission,
    "the candidate serves it" => candidate_serves_it about Candidate,
    "the configuration fits" => configuration_fits about Candidate,
    "no rule forbids the binding" => no_rule_forbids_binding about Rules,
};

/// What a rule on the start reads.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    pub(crate) state: &'a State,
    pub(crate) question: &'a Question,
    pub(crate) facts: &'a Facts,
    pub(crate) now: Timestamp,
    // What a rule does not look at this time, because a relaxation lifts it.
    pub(crate) aside: Aside,
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

/// Sees each verdict of a walk over the tables. Deciding needs nobody to watch; explaining does.
pub(crate) trait Watch {
    fn start(&mut self, rule: &'static StartRule, start: &Start<'_>, verdict: &Result<(), Refusal>);
    fn binding(&mut self, binding: &Binding<'_>);
    fn import(&mut self, rule: &'static ImportRule, binding: &Binding<'_>, verdict: &Result<(), Refusal>);
    // The rule that was seen last would have refused, had no relaxation lifted it.
    fn relaxed(&mut self, _relaxed: &Relaxed, _would: &Refusal) {}
}

/// Decides. Same inputs, same answer, everywhere and always (I8).
pub fn decide(state: &State, question: &Question, facts: &Facts, now: Timestamp) -> Decision {
    watched(state, question, facts, now, &mut Nobody)
}

/// As [`decide`], with somebody who watches: the one walk over the tables.
pub(crate) fn watched(
    state: &State,
    question: &Question,
    facts: &Facts,
    now: Timestamp,
    watch: &mut impl Watch,
) -> Decision {
    let start = Start { state, question, facts, now, aside: Aside::default() };
    let mut relaxed = Vec::new();
    if let Err(refusal) = starts(&start, watch, &mut relaxed) {
        return Decision::Refused { refusal, outcomes: Vec::new() };
    }
    let mut outcomes = Vec::with_capacity(question.imports.len());
    let mut first = None;
    for_each_import(&start, |binding| {
        let grant = granted(binding, watch, &mut relaxed);
        if let Err(refusal) = &grant {
            first.get_or_insert_with(|| refusal.clone().within(format!("`{}`", binding.import.package)));
        }
        outcomes.push(binding.outcome(grant.map_err(|refusal| refusal.reason)));
    });
    match first {
        None if relaxed.is_empty() => Decision::Permitted(outcomes),
        None => Decision::Relaxed { relaxed, outcomes },
        Some(refusal) => Decision::Refused { refusal, outcomes },
    }
}

/// Whether the start itself may be, by every rule in order.
pub(crate) fn may_start(start: &Start<'_>, watch: &mut impl Watch) -> Result<(), Refusal> {
    starts(start, watch, &mut Vec::new())
}

/// What answers one import, by every rule in order.
pub(crate) fn grant(binding: &Binding<'_>, watch: &mut impl Watch) -> Result<Grant, Refusal> {
    granted(binding, watch, &mut Vec::new())
}

fn starts(start: &Start<'_>, watch: &mut impl Watch, relaxed: &mut Vec<Relaxed>) -> Result<(), Refusal> {
    for rule in START_RULES {
        let (verdict, lifts) = past::start(rule, start);
        watch.start(rule, start, &verdict);
        verdict?;
        past::tell(lifts, watch, relaxed);
    }
    Ok(())
}

fn granted(binding: &Binding<'_>, watch: &mut impl Watch, relaxed: &mut Vec<Relaxed>) -> Result<Grant, Refusal> {
    watch.binding(binding);
    for rule in IMPORT_RULES {
        let (verdict, lifts) = past::import(rule, binding);
        watch.import(rule, binding, &verdict);
        verdict?;
        past::tell(lifts, watch, relaxed);
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

/// Whether nothing but the owner's permission stands between an import and its candidate.
pub(crate) fn awaits_permission(binding: &Binding<'_>) -> bool {
    let others = IMPORT_RULES.iter().filter(|rule| rule.about != About::Permission);
    others.into_iter().all(|rule| (rule.judge)(binding).is_ok())
}

/// Whether the law would let its candidate answer, whatever the operator's rules say of who asks.
pub(crate) fn lawful(binding: &Binding<'_>) -> Result<(), Refusal> {
    let law = IMPORT_RULES.iter().filter(|rule| rule.about != About::Rules);
    law.into_iter().try_for_each(|rule| (rule.judge)(binding))
}

/// The one who does not look.
pub(crate) struct Nobody;

impl Watch for Nobody {
    fn start(&mut self, _: &'static StartRule, _: &Start<'_>, _: &Result<(), Refusal>) {}
    fn binding(&mut self, _: &Binding<'_>) {}
    fn import(&mut self, _: &'static ImportRule, _: &Binding<'_>, _: &Result<(), Refusal>) {}
}

/// Visits each import under `default` and under every name that a live link gives it.
pub fn for_each_import<'a>(start: &Start<'a>, mut visit: impl FnMut(&Binding<'a>)) {
    let unnamed = LinkName::unnamed();
    let component = &start.question.runs.id;
    for import in &start.question.imports {
        let named = start.state.link_names(component, &import.package).filter(|name| **name != unnamed);
        for link in std::iter::once(&unnamed).chain(named) {
            visit(&start.binding(import, link.clone()));
        }
    }
}

impl<'a> Start<'a> {
    /// One import under one link name, with the candidate that stands for it.
    pub(crate) fn binding(&self, import: &'a Import, link: LinkName) -> Binding<'a> {
        let candidate = resolve(self.state, &self.question.runs.id, import, &link, &self.question.offers);
        Binding { start: *self, import, link, candidate }
    }
}

impl Binding<'_> {
    pub(crate) fn outcome(&self, grant: Result<Grant, Reason>) -> Outcome {
        let Import { package, version, .. } = self.import.clone();
        Outcome { package, version, link: self.link.clone(), grant }
    }
}
