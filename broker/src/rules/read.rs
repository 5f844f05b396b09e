//! Reads a text of rules: parsed, named, forbidding only, and strictly within the schema.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

use cedar_policy::{Authorizer, Decision, Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use policy::digest::Digest;
use policy::reason::{Reason, Refusal};
use policy::rules::{Case, Objection, Rules, RulesText};

use super::{SCHEMA, ask, size};

/// The rules of one text, read once.
pub(super) struct Cedar {
    sha256: Digest,
    policies: PolicySet,
    names: Vec<String>,
}

/// What is wrong with a text, or odd: for people, never recorded.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The rule, where it is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What it is.
    pub message: String,
    /// Whether the text stands in spite of it.
    pub harmless: bool,
}

impl Problem {
    fn with(rule: Option<&str>, message: impl fmt::Display) -> Self {
        Self { rule: rule.map(str::to_owned), message: message.to_string(), harmless: false }
    }
}

// What it would take to stand, and what is wrong: the first for the record, the second for people.
struct Unfit {
    recorded: String,
    problems: Vec<Problem>,
}

/// Reads a text for the record.
pub(super) fn read(text: &RulesText, sha256: Digest) -> Result<Cedar, Refusal> {
    let found = parse(text).and_then(|policies| fits(policies, sha256));
    found.map_err(|unfit| Refusal::new(Reason::RulesMalformed, unfit.recorded))
}

/// Why a text is refused, and everything that is to be said of it.
pub type Malformed = (Refusal, Vec<Problem>);

/// Reads a text for people: the names of its rules, and whatever is to be said of it.
///
/// # Errors
/// `rules_malformed`, with the problems.
pub fn examined(text: &RulesText) -> Result<(Vec<String>, Vec<Problem>), Malformed> {
    let told = |unfit: Unfit| (Refusal::new(Reason::RulesMalformed, unfit.recorded), unfit.problems);
    let rules = parse(text).and_then(|policies| fits(policies, text.sha256())).map_err(told)?;
    let odd = validator().map(|validator| {
        let result = validator.validate(&rules.policies, ValidationMode::Strict);
        let odd = result
            .validation_warnings()
            .map(|odd| Problem { harmless: true, ..Problem::with(Some(AsRef::<str>::as_ref(odd.policy_id())), odd) });
        odd.collect()
    });
    Ok((rules.names, odd.unwrap_or_default()))
}

fn parse(text: &RulesText) -> Result<PolicySet, Unfit> {
    let parts = size::measure(text.as_str()).map_err(|large| Unfit {
        recorded: format!("line {}: {}", large.line, large.what),
        problems: vec![Problem::with(None, format!("line {}: {}", large.line, large.what))],
    })?;
    text.as_str().parse::<PolicySet>().map_err(|errors| {
        // Told rule by rule where that finds it, for then there is a line to name.
        let told = |(line, part): &(usize, std::ops::Range<usize>)| {
            let errors = text.as_str().get(part.clone())?.parse::<PolicySet>().err()?;
            let told = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            Some(Problem::with(None, format!("the rule at line {line}: {told}")))
        };
        let mut problems: Vec<Problem> = parts.iter().filter_map(told).collect();
        if problems.is_empty() {
            problems = errors.iter().map(|error| Problem::with(None, error)).collect();
        }
        Unfit { recorded: "the text does not parse".to_owned(), problems }
    })
}

fn fits(parsed: PolicySet, sha256: Digest) -> Result<Cedar, Unfit> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    let mut policies = PolicySet::new();
    if parsed.templates().next().is_some() {
        problems.push(Problem::with(None, "a rule has a slot such as `?principal`; rules are whole"));
    }
    for policy in parsed.policies() {
        match named(policy) {
            Ok(name) if !names.insert(name.to_owned()) => {
                problems.push(Problem::with(Some(name), "two rules have this name"));
            }
            Ok(name) => {
                let added = policies.add(policy.new_id(PolicyId::new(name)));
                problems.extend(added.err().map(|_| Problem::with(Some(name), "it cannot stand beside the others")));
            }
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        problems.sort_by(|a, b| (&a.rule, &a.message).cmp(&(&b.rule, &b.message)));
        return Err(Unfit { recorded: told(&problems), problems });
    }
    let validator = validator().map_err(|why| Unfit { recorded: why.to_owned(), problems: Vec::new() })?;
    let result = validator.validate(&policies, ValidationMode::Strict);
    if !result.validation_passed() {
        let errors = result.validation_errors();
        let mut problems: Vec<Problem> =
            errors.map(|error| Problem::with(Some(AsRef::<str>::as_ref(error.policy_id())), error)).collect();
        problems.sort_by(|a, b| (&a.rule, &a.message).cmp(&(&b.rule, &b.message)));
        let rules: BTreeSet<&str> = problems.iter().filter_map(|problem| problem.rule.as_deref()).collect();
        let rules: Vec<&str> = rules.into_iter().take(8).collect();
        let recorded = format!("rule `{}` does not fit the schema", rules.join("`, `"));
        return Err(Unfit { recorded, problems });
    }
    // The ground that rules stand on: the law has permitted, and they take away from that.
    let ground = Policy::parse(Some(PolicyId::new(GROUND)), "permit(principal, action, resource);");
    let ground = ground.map_err(|_| unfit("the ground of the rules does not parse"))?;
    policies.add(ground).map_err(|_| unfit("a rule takes the place of the ground"))?;
    Ok(Cedar { sha256, policies, names: names.into_iter().collect() })
}

fn unfit(what: &str) -> Unfit {
    Unfit { recorded: what.to_owned(), problems: vec![Problem::with(None, what)] }
}

// The name of a rule that forbids.
fn named(policy: &Policy) -> Result<&str, Problem> {
    let name = policy.annotation("id").unwrap_or_default();
    let shown = (!name.is_empty()).then_some(name);
    if policy.effect() == Effect::Permit {
        return Err(Problem::with(shown, "it permits; rules may only forbid, for they narrow what the law allows"));
    }
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let sound = name.len() <= MAX_NAME && name.starts_with(|char: char| char.is_ascii_lowercase());
    if sound && name.bytes().all(letters) {
        return Ok(name);
    }
    Err(Problem::with(shown, "a rule is named by `@id(\"…\")`: lower-case letters, digits and hyphens, at most 64"))
}

fn told(problems: &[Problem]) -> String {
    let told = problems.iter().take(4).map(|problem| match &problem.rule {
        Some(rule) => format!("rule `{}`: {}", rule.chars().take(MAX_NAME).collect::<String>(), problem.message),
        None => problem.message.clone(),
    });
    told.collect::<Vec<_>>().join("; ")
}

fn validator() -> Result<&'static Validator, &'static str> {
    static VALIDATOR: LazyLock<Option<Validator>> =
        LazyLock::new(|| Schema::from_cedarschema_str(SCHEMA).ok().map(|(schema, _)| Validator::new(schema)));
    VALIDATOR.as_ref().ok_or("the schema of the rules does not parse")
}

impl Rules for Cedar {
    fn judge(&self, case: &Case) -> Result<(), Objection> {
        let Ok(asked) = ask::asked(case) else {
            return Err(Objection::Failed(Vec::new()));
        };
        let response = Authorizer::new().is_authorized(&asked.request, &self.policies, &asked.entities);
        let said = response.diagnostics();
        // Both come unordered, and are recorded.
        let failed: BTreeSet<String> = said
            .errors()
            .map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
            })
            .collect();
        match response.decision() {
            Decision::Deny => {
                let forbidden: BTreeSet<String> = said.reason().map(ToString::to_string).collect();
                Err(Objection::Forbidden(forbidden.into_iter().collect()))
            }
            Decision::Allow if failed.is_empty() => Ok(()),
            // A rule that could not be decided might have forbidden it.
            Decision::Allow => Err(Objection::Failed(failed.into_iter().collect())),
        }
    }

    fn names(&self) -> Vec<String> {
        self.names.clone()
    }
}

impl fmt::Debug for Cedar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cedar({})", self.sha256)
    }
}

// No rule can have this name: it has a letter that names have not.
const GROUND: &str = "countersign.ground";
const MAX_NAME: usize = 64;
