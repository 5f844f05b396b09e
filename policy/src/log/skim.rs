//! Moves past an entry that changes nothing, having read no more of it than its place in the chain.
//!
//! A long log is nearly all rulings, and a fold rests on hardly any of them. Whether what is passed was recorded right,
//! and whether its bytes are in their canonical form, is for whoever judges it again.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::entry::{Entry, EntryKind};
use super::ledger::{Head, Ledger};
use super::replay::{Link, Rejudge};
use crate::digest::Digest;
use crate::reason::Refusal;

impl Ledger {
    /// Takes the next entry's bytes, which have that hash; comes back with the entry only where the fold rests on it.
    ///
    /// # Errors
    /// `log_broken`, with what does not follow; the ledger is to be thrown away.
    pub fn skim(&mut self, bytes: &[u8], hash: Digest) -> Result<Option<Entry>, Refusal> {
        let Some(skimmed) = serde_json::from_slice::<Skimmed<'_>>(bytes).ok().filter(Skimmed::changes_nothing) else {
            return self.replay(bytes, Rejudge::No).map(Some);
        };
        let Skimmed { at_ms, epoch, index, law, .. } = skimmed;
        self.follows(&skimmed.link())?;
        self.state.advance(index, hash, false);
        self.head = Head { size: index + 1, last: hash, epoch, at_ms, ..self.head };
        self.law = law;
        Ok(None)
    }
}

#[derive(Deserialize)]
struct Skimmed<'a> {
    at_ms: u64,
    body: Body,
    epoch: u64,
    index: u64,
    kind: EntryKind,
    #[serde(borrow)]
    lattice: Cow<'a, str>,
    law: u64,
    prev: Digest,
}

// What of a body says whether the fold rests on it.
#[derive(Deserialize)]
struct Body {
    standby: Option<IgnoredAny>,
    ahead: Option<IgnoredAny>,
    id: Option<IgnoredAny>,
}

impl Skimmed<'_> {
    // As `Entry::changes_nothing` says of the entry.
    const fn changes_nothing(&self) -> bool {
        match self.kind {
            EntryKind::Ruling => self.body.standby.is_none(),
            EntryKind::Report => self.body.ahead.is_none(),
            EntryKind::Door => true,
            EntryKind::Refusal => self.body.id.is_none(),
            EntryKind::Inception | EntryKind::Governance | EntryKind::Clock | EntryKind::Lost | EntryKind::Freeze => {
                false
            }
        }
    }

    fn link(&self) -> Link<'_> {
        let Self { at_ms, epoch, index, law, prev, .. } = *self;
        Link { at_ms, epoch, index, lattice: &self.lattice, law, prev, governs: false, sets_clock: false }
    }
}
