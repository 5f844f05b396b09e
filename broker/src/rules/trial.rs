//! Tries a text of rules on written cases: what was expected, what came, and which rules and reasons were ever met.

use std::collections::BTreeMap;

use policy::reason::{Reason, Refusal};
use policy::rules::{Case, Language, Objection, RulesText};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::CedarLanguage;

/// A file of cases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// What each case has unless it says otherwise.
    #[serde(default)]
    given: Map<String, Value>,
    cases: Vec<Written>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    case: Map<String, Value>,
    expect: Expected,
    #[serde(default)]
    by: Vec<String>,
}

/// What the rules answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// They have nothing against it.
    Permitted,
    /// One of them forbids it.
    RuleForbids,
    /// One of them could not be decided.
    RuleError,
}

/// One case and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    /// The case.
    pub name: String,
    /// What its writer expected.
    pub expected: Expected,
    /// What came.
    pub met: Expected,
    /// The rules that said so.
    pub by: Vec<String>,
    /// Whether it is as expected.
    pub holds: bool,
}

/// Which rules and reasons the cases met.
#[derive(Debug, Clone, Serialize)]
pub struct Coverage {
    /// Rule by rule.
    pub rules: Vec<RuleCoverage>,
    /// How often each answer came.
    pub reasons: BTreeMap<Expected, u64>,
}

/// How often a rule spoke.
#[derive(Debug, Clone, Serialize)]
pub struct RuleCoverage {
    /// The rule.
    pub rule: String,
    /// In so many cases it forbade.
    pub forbids: u64,
    /// In so many cases it had nothing to say.
    pub passes: u64,
}

impl Coverage {
    /// The rules that no case shows from both sides.
    pub fn gaps(&self) -> impl Iterator<Item = &RuleCoverage> {
        self.rules.iter().filter(|rule| rule.forbids == 0 || rule.passes == 0)
    }
}

/// Tries a text on a file of cases.
///
/// # Errors
/// `rules_malformed` for the text, `schema_mismatch` for a case.
pub fn trial(text: &RulesText, file: &CaseFile) -> Result<(Vec<Trial>, Coverage), Refusal> {
    let rules = CedarLanguage::default().read(text)?;
    let spoken = |rule| RuleCoverage { rule, forbids: 0, passes: 0 };
    let mut coverage = Coverage { rules: rules.names().into_iter().map(spoken).collect(), reasons: BTreeMap::new() };
    let mut trials = Vec::with_capacity(file.cases.len());
    for written in &file.cases {
        let case = written.case(&file.given).map_err(|refusal| refusal.within(format!("case `{}`", written.name)))?;
        let (met, by) = match rules.judge(&case) {
            Ok(()) => (Expected::Permitted, Vec::new()),
            Err(Objection::Forbidden(by)) => (Expected::RuleForbids, by),
            Err(Objection::Failed(by)) => (Expected::RuleError, by),
        };
        *coverage.reasons.entry(met).or_default() += 1;
        for rule in &mut coverage.rules {
            let forbids = met == Expected::RuleForbids && by.contains(&rule.rule);
            *if forbids { &mut rule.forbids } else { &mut rule.passes } += 1;
        }
        let named = written.by.is_empty() || written.by == by;
        let (name, expected) = (written.name.clone(), written.expect);
        trials.push(Trial { name, expected, met, by, holds: expected == met && named });
    }
    Ok((trials, coverage))
}

impl Written {
    fn case(&self, given: &Map<String, Value>) -> Result<Case, Refusal> {
        let whole = merged(given, &self.case);
        serde_json::from_value(Value::Object(whole))
            .map_err(|error| Refusal::new(Reason::SchemaMismatch, error.to_string()))
    }
}

// The members of both; where both have an object, the members of both again.
fn merged(given: &Map<String, Value>, case: &Map<String, Value>) -> Map<String, Value> {
    let mut whole = given.clone();
    for (name, value) in case {
        let value = match (whole.get(name), value) {
            (Some(Value::Object(given)), Value::Object(case)) => Value::Object(merged(given, case)),
            // A null takes away what was given.
            (_, Value::Null) => {
                whole.remove(name);
                continue;
            }
            (_, value) => value.clone(),
        };
        whole.insert(name.clone(), value);
    }
    whole
}
