//! What the fold rests on, and how it passes everything else: old entries whose bytes lie in a segment, and at a start
//! the many that changed nothing.
//!
//! The fold rests on governance, on what raises an alarm, on what a later decision reads. An entry names the epoch, so
//! that a governance entry which was passed all the same is missed by the next one that is read; and the head holds a
//! digest of all that it rests on, so that whoever remembers a head misses any of them.

use super::entry::{Body, Entry, leaf_hash};
use super::ledger::Ledger;
use super::replay::Link;
use crate::digest::Digest;
use crate::reason::{Reason, Refusal};

impl Entry {
    /// Whether the fold is the same without it: then it may be passed, and its bytes may lie elsewhere.
    pub const fn changes_nothing(&self) -> bool {
        match &self.body {
            Body::Ruling(ruled) => ruled.standby.is_none(),
            Body::Report(reported) => reported.ahead.is_none(),
            Body::Door(_) => true,
            // A command's id is remembered, also when it was refused.
            Body::Refusal(judged) => judged.id.is_none(),
            Body::Inception(_) | Body::Governance(_) | Body::Clock(_) | Body::Lost(_) | Body::Freeze(_) => false,
        }
    }

    /// Whether its time is read from the entry before it, which then must stay: the clock was behind the log.
    pub fn needs_the_one_before(&self) -> bool {
        let behind = match &self.body {
            Body::Ruling(ruled) => ruled.facts.clock_ms.is_some(),
            Body::Governance(judged) | Body::Refusal(judged) => judged.clock_ms.is_some(),
            Body::Inception(_) | Body::Door(_) | Body::Report(_) | Body::Clock(_) | Body::Lost(_) | Body::Freeze(_) => {
                false
            }
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
        self.reach(index + 1, hash)
    }

    /// Moves past all places up to that size, whose last entry has that hash. The time stays that of the last entry that
    /// was read: whoever judges by it reads the one before, too.
    ///
    /// # Errors
    /// `log_broken` when the ledger is further already.
    pub fn reach(&mut self, size: u64, last: Digest) -> Result<(), Refusal> {
        let here = self.head;
        match size.checked_sub(1) {
            Some(index) if size > here.size => {
                self.state.advance(index, last, false);
                (self.head.size, self.head.last) = (size, last);
                Ok(())
            }
            _ if size < here.size => Err(Refusal::new(Reason::LogBroken, "it comes before one that was read")),
            _ if last != here.last => Err(Refusal::new(Reason::LogBroken, "it does not name the entry before it")),
            _ => Ok(()),
        }
    }

    /// Takes the bytes of the entry at a later place, and passes everything before it. Whether it is the one that follows
    /// there is for whoever knows the digest of what the fold rests on.
    ///
    /// # Errors
    /// `log_broken`; the ledger is to be thrown away.
    pub fn leap(&mut self, index: u64, bytes: &[u8]) -> Result<Entry, Refusal> {
        let entry = Entry::read(bytes)?;
        if entry.index != index {
            return Err(Refusal::new(Reason::LogBroken, "it is another entry than its place says"));
        }
        self.reach(index, entry.prev)?;
        self.follows(&Link::of(&entry))?;
        self.fold(&entry, leaf_hash(bytes));
        Ok(entry)
    }
}

/// The digest of what the fold rests on, with one entry more; that of nothing is 32 zeros.
pub fn resting(before: Digest, index: u64, hash: Digest) -> Digest {
    Digest::of_parts(&[before.as_bytes(), &index.to_be_bytes(), hash.as_bytes()])
}
