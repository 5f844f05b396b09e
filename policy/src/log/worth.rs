//! What is recorded while space is short: the one rule, by what an entry lets pass.
//!
//! How much space there is, and when it is short, is left to the broker.

use crate::govern::Event;
use crate::log::entry::Body;

/// What recording an entry is worth, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// Something may pass by it that might not without it: the first to wait.
    Grants,
    /// It lets nothing pass, and many can cause it: refusals, counts, what hosts report.
    Notes,
    /// It only takes away, and administrators alone can cause it; or it is the broker's own alarm. The last to wait.
    Safety,
}

impl Body {
    /// What recording it is worth.
    pub fn worth(&self) -> Worth {
        match self {
            Self::Governance(judged) if judged.events.iter().all(Event::narrows) => Worth::Safety,
            Self::Clock(_) => Worth::Safety,
            Self::Ruling(ruled) if ruled.reason.is_some() => Worth::Notes,
            Self::Refusal(_) | Self::Door(_) | Self::Report(_) | Self::Freeze(_) => Worth::Notes,
            // A lost entry's place is filled while an older log is restored, which lets grants begin again.
            Self::Inception(_) | Self::Governance(_) | Self::Ruling(_) | Self::Lost(_) => Worth::Grants,
        }
    }
}
