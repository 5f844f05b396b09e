//! What came of a question, with the question: made by the ledger when it decides, and by replay from what was recorded.

use crate::decide::Decision;
use crate::envelope::Verified;
use crate::question::StartRequest;
use crate::relax::Standby;

/// A question with its decision: it owns what it judged, so it cannot be recorded beside another's.
#[derive(Debug, Clone)]
pub struct Ruling {
    pub(super) request: Verified<StartRequest>,
    pub(super) decision: Decision,
    pub(super) standby: Option<Standby>,
}

impl Ruling {
    /// What was asked.
    pub const fn request(&self) -> &Verified<StartRequest> {
        &self.request
    }

    /// What was decided.
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The standby permit that goes with it.
    pub const fn standby(&self) -> Option<&Standby> {
        self.standby.as_ref()
    }
}
