//! What a narrowing act says of bindings that lose their ground by it, as an option.

use clap::ValueEnum;
use policy::withdrawal::Running;

/// What becomes of what runs already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RunningName {
    /// It goes on, and `inventory` shows it
    Keep,
    /// Calls under way may finish, no new one begins
    Drain,
    /// It ends at once
    Stop,
}

impl RunningName {
    /// As an operation says it.
    pub(super) const fn running(self) -> Option<Running> {
        Some(match self {
            Self::Keep => Running::Keep,
            Self::Drain => Running::Drain,
            Self::Stop => Running::Stop,
        })
    }
}
