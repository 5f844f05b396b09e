//! Another root: who signs warrants from now on, signed by as many of the old roots as must and as many of the new.
//!
//! Each signer signs a token of its own that says the same; the first one names the others, which follow it. What is
//! pinned stays the inception: whoever follows the changes from there arrives at the roots of today (T17).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{Document, Keyring, Unverified, Verified, sealed};
use crate::key::{Key, Name, Root};
use crate::name::Lattice;
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;
use crate::warrant::{Quorum, Warrant, under};

/// One root's word for another set of roots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootChange {
    /// Who signs: a root of the old set or of the new.
    pub iss: Name<Root>,
    /// The lattice.
    pub lattice: Lattice,
    /// The entry hash of its inception.
    pub inception_sha256: Digest,
    /// Its number: 1 for the first change, then one more each.
    pub serial: u64,
    /// Who signs warrants from now on.
    pub roots: Quorum<Root>,
    /// When it was agreed.
    pub iat: Timestamp,
    /// SHA-256 of each other signer's token, attached to the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Digest>,
}

impl Document for RootChange {
    const TYPE: &'static str = "root";
    const MAX_BYTES: usize = 256 * 1024;
    type Signer = Root;

    fn signer(&self) -> &Name<Root> {
        &self.iss
    }

    fn attachments(&self) -> Vec<Digest> {
        self.also.clone()
    }
}

/// The roots at one point of a lattice's life: the verifier of warrants and of the next change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootLine {
    /// The lattice.
    pub lattice: Lattice,
    /// The entry hash of its inception.
    pub inception_sha256: Digest,
    /// The number of the last change; 0 after inception.
    pub serial: u64,
    /// Who signs warrants.
    pub roots: Quorum<Root>,
}

/// A change that enough of the old roots and enough of the new signed.
#[derive(Debug, Clone)]
pub struct Agreed(Verified<RootChange>);

impl Agreed {
    /// The change.
    pub const fn change(&self) -> &Verified<RootChange> {
        &self.0
    }
}

impl RootLine {
    /// Reads the next change, and proves that both sets agreed.
    ///
    /// # Errors
    /// `broker_key_unknown` for another lattice's, `state_rollback` out of turn, `threshold_unmet` when too few signed.
    pub fn follow(&self, bytes: &[u8]) -> Result<Agreed, Refusal> {
        let first = Unverified::<RootChange>::parse(bytes)?.verify(self)?;
        let mut signers = BTreeSet::from([*first.iss.raw()]);
        for token in first.attachments() {
            let other = Unverified::<RootChange>::parse(token)?.verify(self)?;
            let same = RootChange { iss: first.iss, also: first.also.clone(), ..RootChange::clone(&other) };
            if same != *first || !other.also.is_empty() {
                let detail = format!("`{}` signed another change than `{}`", other.iss, first.iss);
                return Err(Refusal::new(Reason::SchemaMismatch, detail));
            }
            signers.insert(*other.iss.raw());
        }
        first.roots.sound()?;
        for (which, quorum) in [("old", &self.roots), ("new", &first.roots)] {
            let signed = quorum.keys.iter().filter(|key| signers.contains(key.name().raw())).count() as u64;
            if signed < quorum.threshold {
                let detail = format!("{signed} of the {which} roots signed, {} must", quorum.threshold);
                return Err(Refusal::new(Reason::ThresholdUnmet, detail));
            }
        }
        Ok(Agreed(first))
    }

    /// The line after a change.
    #[must_use]
    pub fn after(self, agreed: &Agreed) -> Self {
        Self { serial: agreed.0.serial, roots: agreed.0.roots.clone(), ..self }
    }
}

impl sealed::Sealed for RootLine {}

impl Keyring<RootChange> for RootLine {
    fn key(&self, change: &RootChange) -> Result<Key<Root>, Refusal> {
        if change.inception_sha256 != self.inception_sha256 || change.lattice != self.lattice {
            let detail = format!(
                "the roots are for the lattice of {}, this is {}",
                change.inception_sha256, self.inception_sha256
            );
            return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
        }
        if change.serial != self.serial + 1 {
            let detail = format!("it is change {} of the roots, {} was the last", change.serial, self.serial);
            return Err(Refusal::new(Reason::StateRollback, detail));
        }
        let found = self.roots.find(&change.iss).or_else(|| change.roots.find(&change.iss));
        found.cloned().ok_or_else(|| {
            Refusal::new(Reason::BrokerKeyUnknown, format!("`{}` is neither an old nor a new root", change.iss))
        })
    }
}

impl Keyring<Warrant> for RootLine {
    fn key(&self, warrant: &Warrant) -> Result<Key<Root>, Refusal> {
        under(warrant, &self.lattice, self.inception_sha256, &self.roots)
    }
}
