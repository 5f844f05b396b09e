//! Why, and a fix: every rule in order with its verdict, and the acts that would lift each refusal.
//!
//! Calls the same `decide` as the living broker, on the same state or on a copy with the proposed acts applied; what
//! it returns is no ruling, and no door accepts it.

mod fix;

use serde::Serialize;

use crate::decide::{Binding, Decision, Facts, Start, decide, for_each_import, import_rules, start_rules};
use crate::govern::State;
use crate::question::Question;
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;

pub use fix::{Act, Fix, fix};

/// A decision, told rule by rule.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The rules on the start, in order, up to the first refusal.
    pub start: Vec<Line>,
    /// The rules on each import, in order, up to its first refusal.
    pub imports: Vec<ImportLines>,
}

/// The rules on one import.
#[derive(Debug, Clone, Serialize)]
pub struct ImportLines {
    /// The package.
    pub package: String,
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
    /// Why it refuses, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The sentence for the administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Explains what `decide` answers to a question.
pub fn explain(state: &State, question: &Question, facts: &Facts, now: Timestamp) -> Explanation {
    let decision = decide(state, question, facts, now);
    let start = Start { state, question, now };
    let mut lines = Vec::new();
    let mut refused = false;
    for (rule, verdict) in start_rules(&start) {
        refused |= verdict.is_err();
        lines.push(Line::of(rule, verdict));
        if refused {
            break;
        }
    }
    let mut imports = Vec::new();
    if !refused {
        for_each_import(&start, |binding| imports.push(ImportLines::of(binding)));
    }
    Explanation { decision, start: lines, imports }
}

impl ImportLines {
    fn of(binding: &Binding<'_>) -> Self {
        let rules = import_rules(binding).into_iter().map(|(rule, verdict)| Line::of(rule, verdict)).collect();
        Self { package: binding.import.package.to_string(), link: binding.link.to_string(), rules }
    }
}

impl Line {
    fn of(rule: &'static str, verdict: Result<(), Refusal>) -> Self {
        let refusal = verdict.err();
        Self {
            rule,
            reason: refusal.as_ref().map(|refusal| refusal.reason),
            detail: refusal.map(|refusal| refusal.detail),
        }
    }
}
