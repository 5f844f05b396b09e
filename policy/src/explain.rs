//! Why, and a fix: every rule in order with its verdict and what it read, and the acts that would lift each refusal.
//!
//! Watches the very walk that decides, on the same state or on a copy with the proposed acts applied; what it returns
//! is no ruling, and no door accepts it.

mod dependents;
mod effects;
mod fix;

use serde::Serialize;

use crate::decide::{
    Binding, Decision, Facts, IMPORT_RULES, ImportRule, START_RULES, Start, StartRule, Watch, for_each_import, watched,
};
use crate::govern::State;
use crate::name::RelaxationId;
use crate::question::Question;
use crate::reason::{Reason, Refusal};
use crate::relax::{Aside, Relaxed};
use crate::time::Timestamp;

pub use dependents::{Dependents, Listed, Touched};
pub use effects::{Answered, Change, Changes};
pub use fix::{Act, Fix, Outside, Who, fix};

/// A decision, told rule by rule.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The rules on the start, in order; those after the first refusal were not reached.
    pub start: Vec<Line>,
    /// The rules on each import, in order; those after its first refusal were not reached.
    pub imports: Vec<ImportLines>,
}

/// The rules on one import.
#[derive(Debug, Clone, Serialize)]
pub struct ImportLines {
    /// The package.
    pub package: String,
    /// The version that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The link's name.
    pub link: String,
    /// Rule by rule.
    pub rules: Vec<Line>,
}

/// One rule and its verdict.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// The rule as a sentence.
    pub rule: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// What it read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fact: Option<String>,
    /// The relaxations that lift it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relaxations: Vec<RelaxationId>,
    /// Why it refuses, if it does, or would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The sentence for the administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What came of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It has nothing against it.
    Passed,
    /// It says no.
    Refused,
    /// It would say no, and a relaxation lifts it.
    Relaxed,
    /// A rule before it had said no.
    NotReached,
}

/// Explains what `decide` answers to a question.
pub fn explain(state: &State, question: &Question, facts: &Facts, now: Timestamp) -> Explanation {
    let mut teller = Teller::default();
    let decision = watched(state, question, facts, now, &mut teller);
    let Teller { mut start, mut imports } = teller;
    if start.iter().any(|line| line.verdict == Verdict::Refused) {
        for_each_import(&Start { state, question, facts, now, aside: Aside::default() }, |binding| {
            imports.push(ImportLines::of(binding));
        });
    }
    start.extend(START_RULES.iter().skip(start.len()).map(|rule| Line::not_reached(rule.sentence)));
    for import in &mut imports {
        let rest = IMPORT_RULES.iter().skip(import.rules.len()).map(|rule| Line::not_reached(rule.sentence));
        import.rules.extend(rest);
    }
    Explanation { decision, start, imports }
}

#[derive(Default)]
struct Teller {
    start: Vec<Line>,
    imports: Vec<ImportLines>,
}

impl Watch for Teller {
    fn start(&mut self, rule: &'static StartRule, start: &Start<'_>, verdict: &Result<(), Refusal>) {
        self.start.push(Line::of(rule.sentence, (rule.fact)(start), verdict));
    }

    fn binding(&mut self, binding: &Binding<'_>) {
        self.imports.push(ImportLines::of(binding));
    }

    fn import(&mut self, rule: &'static ImportRule, binding: &Binding<'_>, verdict: &Result<(), Refusal>) {
        if let Some(import) = self.imports.last_mut() {
            import.rules.push(Line::of(rule.sentence, (rule.fact)(binding), verdict));
        }
    }

    fn relaxed(&mut self, relaxed: &Relaxed, would: &Refusal) {
        let line = match self.imports.last_mut() {
            Some(import) => import.rules.last_mut(),
            None => self.start.last_mut(),
        };
        if let Some(line) = line {
            line.relax(relaxed, would);
        }
    }
}

impl Line {
    // The reason and the sentence of the first that was lifted stand for all.
    fn relax(&mut self, relaxed: &Relaxed, would: &Refusal) {
        self.verdict = Verdict::Relaxed;
        self.relaxations.push(relaxed.id.clone());
        if self.reason.is_none() {
            (self.reason, self.detail) = (Some(would.reason), Some(would.sentence()));
        }
    }
}

impl ImportLines {
    fn of(binding: &Binding<'_>) -> Self {
        Self {
            package: binding.import.package.to_string(),
            version: binding.import.version.as_ref().map(ToString::to_string),
            link: binding.link.to_string(),
            rules: Vec::with_capacity(IMPORT_RULES.len()),
        }
    }
}

impl Line {
    fn of(rule: &'static str, fact: String, verdict: &Result<(), Refusal>) -> Self {
        let refusal = verdict.as_ref().err();
        Self {
            rule,
            verdict: if refusal.is_none() { Verdict::Passed } else { Verdict::Refused },
            fact: Some(fact),
            relaxations: Vec::new(),
            reason: refusal.map(|refusal| refusal.reason),
            detail: refusal.map(Refusal::sentence),
        }
    }

    const fn not_reached(rule: &'static str) -> Self {
        Self { rule, verdict: Verdict::NotReached, fact: None, relaxations: Vec::new(), reason: None, detail: None }
    }
}
