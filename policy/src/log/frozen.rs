//! Entries whose bytes were moved to a segment: which may be, and how the fold passes the places that they leave.
//!
//! What the fold rests on stays with the log: governance, what raises an alarm, what a later decision reads. An entry
//! names the epoch, so that a governance entry which was moved all the same is missed by the next one that is read.

use super::entry::{Body, Entry};
use super::ledger::Ledger;
use crate::digest::Digest;
use crate::reason::{Reason, Refusal};

impl Entry {
    /// Whether its bytes may lie elsewhere, because the fold is the same without them.
    pub const fn may_be_frozen(&self) -> bool {
        match &self.body {
            Body::Ruling(ruled) => ruled.standby.is_none(),
            Body::Report(reported) => reported.ahead.is_none(),
            Body::Door(_) => true,
            // A command's id is remembered, also when it was refused.
            Body::Refusal(judged) => judged.id.is_none(),
            Body::Inception(_) | Body::Governance(_) | Body::Clock(_) | Body::Lost(_) => false,
        }
    }

    /// Whether its time is read from the entry before it, which then must stay: the clock was behind the log.
    pub fn needs_the_one_before(&self) -> bool {
        let behind = match &self.body {
            Body::Ruling(ruled) => ruled.facts.clock_ms.is_some(),
            Body::Governance(judged) | Body::Refusal(judged) => judged.clock_ms.is_some(),
            Body::Inception(_) | Body::Door(_) | Body::Report(_) | Body::Clock(_) | Body::Lost(_) => false,
        };
        behind || self.acknowledges_clock()
    }
}

impl Ledger {
    /// Moves past the place of an entry whose bytes lie in a segment.
    ///
    /// # Errors
    /// `log_broken` when it is not the next place.
    pub fn pass(&mut self, index: u64, hash: Digest) -> Result<(), Refusal> {
        if index != self.head.size {
            return Err(Refusal::new(Reason::LogBroken, "its index is not the next one"));
        }
        self.state.advance(index, false);
        (self.head.size, self.head.last) = (index + 1, hash);
        Ok(())
    }
}
