//! What a host can say no with: refused by the law, or failed for reasons outside it.
//!
//! Both, and silence, leave the door shut. How they are printed is left to `command`.

use std::path::Path;

use policy::reason::{Reason, Refusal};

/// Why nothing was started, or why what was started ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The law, or this host on its behalf, said no.
    #[error(transparent)]
    Refused(Box<Refused>),
    /// What runs took more than it may.
    #[error("{0}")]
    Exceeded(Refusal),
    /// What runs stopped by itself.
    #[error("{0}")]
    Guest(String),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file could not be read or written.
    #[error("{doing}")]
    File {
        /// What was tried, with the path.
        doing: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The broker's wire could not be used.
    #[error("{doing}")]
    Wire {
        /// What was tried, with the address.
        doing: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A refusal with what the broker said of each import.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct Refused {
    /// The first reason, and its sentence.
    pub refusal: Refusal,
    /// The imports that were refused, each with its own reason.
    pub imports: Vec<(String, Reason)>,
    /// The log index of the decision, where a broker made one.
    pub index: Option<u64>,
}

impl Error {
    /// The stable code: a reason's, or the word for a failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.refusal.reason.code(),
            Self::Exceeded(refusal) => refusal.reason.code(),
            Self::Guest(_) => "guest_failed",
            Self::Usage(_) => "usage",
            Self::File { .. } => "file_failed",
            Self::Wire { .. } => Reason::BrokerUnreachable.code(),
        }
    }

    /// The reason, where the law has one for it.
    pub fn reason(&self) -> Option<Reason> {
        Reason::from_code(self.code())
    }

    pub(crate) fn file(doing: &str, path: &Path, source: std::io::Error) -> Self {
        Self::File { doing: format!("cannot {doing} `{}`", path.display()), source }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(Refused { refusal, imports: Vec::new(), index: None }))
    }
}

/// The text with everything that could steer a terminal escaped, and cut to a bearable length.
pub fn shown(text: &str) -> String {
    let escape = |char: char| {
        if char.is_control() || is_format(char) { char.escape_default().to_string() } else { char.to_string() }
    };
    text.chars().take(MAX_SHOWN).map(escape).collect()
}

// Marks that reorder or hide what stands around them.
fn is_format(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

const MAX_SHOWN: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_never_obeyed() {
        assert_eq!(shown("a\x1b[31m\u{202e}b\né"), "a\\u{1b}[31m\\u{202e}b\\né");
        assert_eq!(shown(&"x".repeat(MAX_SHOWN + 1)).len(), MAX_SHOWN);
    }
}
