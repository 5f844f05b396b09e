//! Operator rules in Cedar: the language that the law is handed as a value.
//!
//! A text only forbids: it stands on one `permit` of ours and holds none of its own. How a text is read and how large
//! one may be is `read`; how a case becomes a request is `ask`; trying a text on cases is `trial`. When rules are
//! asked, and what a no means, is left to `policy`.

mod ask;
mod read;
mod size;
mod trial;

use std::sync::{Arc, Mutex, PoisonError};

use policy::digest::Digest;
use policy::log::Ledger;
use policy::reason::Refusal;
use policy::rules::{Language, Rules, RulesText};

pub use read::{Malformed, Problem, examined};
pub use trial::{CaseFile, Coverage, Expected, RuleCoverage, Trial, trial};

use read::Cedar;

/// The schema that every text is held to.
pub const SCHEMA: &str = include_str!("rules/schema.cedarschema");

/// Cedar, pinned: what a text means is part of the law.
#[derive(Debug, Default)]
pub struct CedarLanguage {
    // The text that was read last: judging a command and applying it need it one after the other.
    last: Mutex<Option<(Digest, Arc<Cedar>)>>,
}

impl Language for CedarLanguage {
    fn read(&self, text: &RulesText) -> Result<Arc<dyn Rules>, Refusal> {
        let sha256 = text.sha256();
        // Whoever panicked while it held this left it whole.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rules)) = last.as_ref().filter(|(digest, _)| *digest == sha256) {
            return Ok(Arc::clone(rules) as Arc<dyn Rules>);
        }
        let rules = Arc::new(read::read(text, sha256)?);
        *last = Some((sha256, Arc::clone(&rules)));
        Ok(rules)
    }
}

/// The same ledger, whose rules are read in Cedar.
pub fn reading(ledger: Ledger) -> Ledger {
    ledger.reading_rules(Arc::new(CedarLanguage::default()))
}

#[cfg(test)]
mod tests;
