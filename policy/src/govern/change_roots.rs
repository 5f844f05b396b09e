//! The roots are others: the one governing event, beside warrants, that roots sign and no administrator can.

use serde::{Deserialize, Serialize};

use super::{Apply, Event, State};
use crate::digest::Digest;
use crate::key::{Role, Root};
use crate::lineage::Lineage;
use crate::reason::{Reason, Refusal};
use crate::root::{Agreed, RootLine};
use crate::warrant::Quorum;

/// Other roots sign warrants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootsChanged {
    /// SHA-256 of the change's first token.
    pub sha256: Digest,
    /// Its number.
    pub serial: u64,
    /// Who signs warrants from now on.
    pub roots: Quorum<Root>,
}

impl State {
    /// Judges a change of the roots that both sets agreed to.
    ///
    /// # Errors
    /// `state_rollback` out of turn, `key_in_use` or `key_published` for a key that can be no root.
    pub fn handle_roots(&self, agreed: &Agreed) -> Result<Event, Refusal> {
        let change = agreed.change();
        let (serial, last) = (change.serial, self.root_sets.len() as u64 - 1);
        if serial != last + 1 {
            return Err(Refusal::new(
                Reason::StateRollback,
                format!("change {serial} of the roots, {last} was the last"),
            ));
        }
        for key in &change.roots.keys {
            // A root may stay; whatever signs anything else, an administrator's key first of all, is none.
            self.unused(key.name().raw(), Root::WORD)
                .or_else(|refusal| if refusal.reason == Reason::AlreadyExists { Ok(()) } else { Err(refusal) })?;
        }
        Ok(Event::RootsChanged(RootsChanged { sha256: change.sha256(), serial, roots: change.roots.clone() }))
    }

    /// Every set of roots there was, the newest last.
    pub fn root_sets(&self) -> &[Quorum<Root>] {
        &self.root_sets
    }

    /// All sets of roots, where the lattice's first entry has that hash.
    pub fn lineage(&self, inception_sha256: Digest) -> Lineage {
        Lineage::recorded(&self.root_sets, self.root_line(inception_sha256))
    }

    /// The roots of today, where the lattice's first entry has that hash.
    pub fn root_line(&self, inception_sha256: Digest) -> RootLine {
        let roots = self.root_sets.last().unwrap_or(&self.inception().roots).clone();
        let serial = self.root_sets.len().saturating_sub(1) as u64;
        RootLine { lattice: self.lattice().clone(), inception_sha256, serial, roots }
    }
}

impl Apply for RootsChanged {
    fn apply(&self, state: &mut State, _index: u64) {
        for key in &self.roots.keys {
            state.claim_key(*key.name().raw(), Root::WORD);
        }
        state.root_sets.push(self.roots.clone());
    }

    fn told(&self) -> String {
        let keys: Vec<String> = self.roots.keys.iter().map(ToString::to_string).collect();
        format!("roots changed, number {}: {} of {}", self.serial, self.roots.threshold, keys.join(", "))
    }
}
