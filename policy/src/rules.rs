//! Operator rules: what an operator forbids on top of the law, as a text in a language that others read.
//!
//! The law holds the text, asks it last and hears only a no: whatever a text says, it narrows. The language itself is
//! left to whoever hands in a [`Language`]; without one no text can be put, and a text that stands refuses everything.

mod case;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::json::MAX_STRING;
use crate::reason::{Reason, Refusal};

pub use case::{Answerer, Case, CaseBinding, CaseHost, CaseRuns};

/// Reads texts of rules. The same text gives the same rules everywhere and always, and the same refusal.
pub trait Language: fmt::Debug + Send + Sync {
    /// The rules of a text.
    ///
    /// # Errors
    /// `rules_malformed`. Its sentence is recorded, so it holds no word that another version would choose differently.
    fn read(&self, text: &RulesText) -> Result<Arc<dyn Rules>, Refusal>;
}

/// The rules of one text: a pure function of the case.
pub trait Rules: fmt::Debug + Send + Sync {
    /// Judges what the law permits.
    ///
    /// # Errors
    /// What it has against it.
    fn judge(&self, case: &Case) -> Result<(), Objection>;

    /// The names of its rules, in order.
    fn names(&self) -> Vec<String>;
}

/// What a text has against a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// These rules forbid it; in order, each once.
    Forbidden(Vec<String>),
    /// These rules could not be decided, which is a no; in order, each once, or none where it was no single rule.
    Failed(Vec<String>),
}

/// The text of an operator's rules: bounded, and kept line by line as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct RulesText(Arc<str>);

impl RulesText {
    /// Takes a text.
    ///
    /// # Errors
    /// `rules_malformed` for one that is too long, has too many or too long lines, or holds control characters.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let malformed = |detail: String| Err(Refusal::new(Reason::RulesMalformed, detail));
        if text.len() > MAX_TEXT {
            return malformed(format!("{} bytes, a text of rules has at most {MAX_TEXT}", text.len()));
        }
        let lines = text.split('\n').count();
        if lines > MAX_LINES {
            return malformed(format!("{lines} lines, a text of rules has at most {MAX_LINES}"));
        }
        if let Some(line) = text.split('\n').position(|line| line.len() > MAX_STRING) {
            return malformed(format!("line {} is too long, a line has at most {MAX_STRING} bytes", line + 1));
        }
        // A rule must look to its reader like what it is (T40).
        if let Some(found) = text.chars().find(|char| !matches!(char, '\n' | '\t' | ' '..='~')) {
            return malformed(format!("it holds U+{:04X}; rules are printable ASCII", u32::from(found)));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its digest.
    pub fn sha256(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl TryFrom<Vec<String>> for RulesText {
    type Error = Refusal;
    fn try_from(lines: Vec<String>) -> Result<Self, Refusal> {
        if lines.is_empty() || lines.iter().any(|line| line.contains('\n')) {
            return Err(Refusal::new(Reason::RulesMalformed, "a text of rules is a list of its lines"));
        }
        Self::parse(&lines.join("\n"))
    }
}

impl From<RulesText> for Vec<String> {
    fn from(text: RulesText) -> Self {
        text.0.split('\n').map(str::to_owned).collect()
    }
}

/// The rules that stand.
#[derive(Debug, Clone)]
pub struct RulesRecord {
    text: RulesText,
    sha256: Digest,
    since: u64,
    // What could not be read refuses whatever is asked.
    rules: Result<Arc<dyn Rules>, Refusal>,
}

impl RulesRecord {
    /// Reads a text that stands since that entry.
    pub fn read(language: &dyn Language, text: RulesText, since: u64) -> Self {
        Self { rules: language.read(&text), sha256: text.sha256(), text, since }
    }

    /// The text.
    pub const fn text(&self) -> &RulesText {
        &self.text
    }

    /// SHA-256 of the text.
    pub const fn sha256(&self) -> Digest {
        self.sha256
    }

    /// The index of the entry that put it.
    pub const fn since(&self) -> u64 {
        self.since
    }

    /// The names of its rules, in order.
    pub fn names(&self) -> Vec<String> {
        self.rules.as_ref().map(|rules| rules.names()).unwrap_or_default()
    }

    /// Judges what the law permits.
    ///
    /// # Errors
    /// `rule_forbids` or `rule_error`, naming the rules.
    pub fn judge(&self, case: &Case) -> Result<(), Refusal> {
        let failed = |detail: String| Refusal::new(Reason::RuleError, detail);
        let rules = self.rules.as_ref().map_err(|why| failed(format!("the rules cannot be read here: {why}")))?;
        rules.judge(case).map_err(|objection| match objection {
            Objection::Forbidden(names) => {
                let verb = if names.len() == 1 { "rule" } else { "rules" };
                Refusal::new(Reason::RuleForbids, format!("{verb} `{}` forbids {}", names.join("`, `"), case.subject()))
            }
            Objection::Failed(names) if names.is_empty() => failed("the rules could not be asked".to_owned()),
            Objection::Failed(names) => {
                failed(format!("rule `{}` cannot be decided for {}", names.join("`, `"), case.subject()))
            }
        })
    }
}

/// Nobody reads rules: no text can be put.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLanguage;

impl Language for NoLanguage {
    fn read(&self, _: &RulesText) -> Result<Arc<dyn Rules>, Refusal> {
        Err(Refusal::new(Reason::RulesMalformed, "nobody here reads rules"))
    }
}

/// The most bytes of a text of rules.
pub const MAX_TEXT: usize = 32 * 1024;
/// The most lines of it.
pub const MAX_LINES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_from_its_lines_byte_for_byte() {
        for text in ["", "a", "a\n", "\n\na\tb\n", "forbid(principal, action, resource);\n"] {
            let text = RulesText::parse(text).unwrap();
            let bytes = crate::json::write(&text);
            assert_eq!(crate::json::read::<RulesText>(&bytes).unwrap(), text);
        }
    }

    #[test]
    fn a_text_that_is_too_long_or_unprintable_is_refused() {
        let lines = |count: usize| "\n".repeat(count - 1);
        let long = "a".repeat(MAX_STRING);
        let fits = [lines(MAX_LINES), long.clone(), format!("{long}\n").repeat(MAX_TEXT / (MAX_STRING + 1))];
        for text in fits {
            RulesText::parse(&text).unwrap();
        }
        let wrong =
            [lines(MAX_LINES + 1), format!("{long}a"), "\n".repeat(MAX_TEXT + 1), "a\u{430}".into(), "\r".into()];
        for text in wrong {
            assert_eq!(RulesText::parse(&text).unwrap_err().reason, Reason::RulesMalformed);
        }
        assert!(json_of(&[]).is_err() && json_of(&["a\nb"]).is_err());
    }

    fn json_of(lines: &[&str]) -> Result<RulesText, Refusal> {
        RulesText::try_from(lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
    }
}
