//! That a log only grew: what a host asks to have proved, `countersign.growth.v1`, and what its broker proves of its newest
//! checkpoint, `countersign.grown.v1`.
//!
//! The host asks by sizes alone and holds each proof against what it remembers itself, so nothing is proved by being
//! repeated. What it then makes of it is left to `host`; where the hashes come from, to `broker`.

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::digest::Digest;
use crate::envelope::{Document, Keyring, Unverified, Verified};
use crate::govern::{AdministratorKeys, Event, HostKeys, Operation, Restore};
use crate::key::{Decision, Host, Key, Name};
use crate::log::{
    Body, Checkpoint, Contradiction, Entry, Ledger, Place, contradiction, leaf_hash, prove_consistency, prove_inclusion,
};
use crate::name::Lattice;
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;
use crate::wire::Nonce;

/// A host's question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire")]
pub struct Growth {
    /// The host.
    pub iss: Name<Host>,
    /// The lattice.
    pub aud: Lattice,
    /// When it was signed.
    pub iat: Timestamp,
    /// The nonce: a second question of it is refused.
    pub jti: Nonce,
    /// The sizes of trees that the newest is to have grown out of.
    pub sizes: Vec<u64>,
    /// The index of an entry that is to be in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    iss: Name<Host>,
    aud: Lattice,
    iat: Timestamp,
    jti: Nonce,
    sizes: Vec<u64>,
    index: Option<u64>,
}

/// The broker's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grown {
    /// The broker's decision key.
    pub iss: Name<Decision>,
    /// The host that asked.
    pub aud: Name<Host>,
    /// The lattice.
    pub lattice: Lattice,
    /// SHA-256 of the attached warrant that names `iss`.
    pub warrant_sha256: Digest,
    /// SHA-256 of the question's token.
    pub request_sha256: Digest,
    /// The newest signed checkpoint; everything below leads to its root.
    pub checkpoint: String,
    /// Each tree that was asked for and is not larger than that.
    pub trees: Vec<Tree>,
    /// The entry that was asked for, where it is among those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Included>,
    /// Restores that came after something that was asked for: what they tell to be lost is no longer in this log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restored: Vec<Restored>,
}

/// The tree of so many entries, and that the newest grew out of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// How many.
    pub size: u64,
    /// Its root, in this log.
    pub root: Digest,
    /// The proof (RFC 9162 section 2.1.4).
    pub consistency: Vec<Digest>,
}

/// An entry, and that it is in the newest tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Included {
    /// Its index.
    pub index: u64,
    /// Its hash, in this log.
    pub entry_sha256: Digest,
    /// The proof (RFC 9162 section 2.1.3).
    pub inclusion: Vec<Digest>,
}

/// A governance entry that restored an older log, with the command that an administrator signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// Its index.
    pub index: u64,
    /// The proof that it is in the newest tree.
    pub inclusion: Vec<Digest>,
    /// SHA-256 of its attached bytes.
    pub bytes_sha256: Digest,
    /// SHA-256 of each attached piece of its evidence, in its order.
    pub evidence: Vec<Digest>,
}

/// What a place that a host holds is, in the log that was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// The same.
    Proved,
    /// Further than the newest checkpoint: nothing was proved of it.
    Beyond,
    /// Told to be lost by an administrator who restored an older log.
    Lost,
}

impl Growth {
    /// How many sizes one question has at most.
    pub const MAX_SIZES: usize = 4;
}

impl Grown {
    /// How many restores one answer tells at most, the newest.
    pub const MAX_RESTORED: usize = 4;

    /// What a place is in the log of `end`, which is this answer's checkpoint, opened; `restores` are those that it proves.
    ///
    /// # Errors
    /// How both contradict each other. A proof that does not hold is one, too: this answer says by whose key.
    pub fn stand(&self, end: &Checkpoint, restores: &[Restore], place: &Place) -> Result<Stand, Contradiction> {
        let size = place.index + 1;
        if size > end.size {
            return Ok(Stand::Beyond);
        }
        let held = self.same(end, place);
        if held.is_err() && restores.iter().any(|restore| restore.accounts_for(size, place.entry_sha256)) {
            return Ok(Stand::Lost);
        }
        held.map(|()| Stand::Proved)
    }

    fn same(&self, end: &Checkpoint, place: &Place) -> Result<(), Contradiction> {
        let newest = Place::of_checkpoint(end).ok_or(Contradiction::Growth)?;
        contradiction(place, &newest).map_or(Ok(()), Err)?;
        let unproved = |_| Contradiction::Growth;
        let Some(root) = place.root else {
            let entry = self.entry.as_ref().filter(|entry| entry.index == place.index).ok_or(Contradiction::Growth)?;
            equal(entry.entry_sha256, place.entry_sha256, Contradiction::Entry)?;
            return prove_inclusion(entry.entry_sha256, entry.index, end.size, &entry.inclusion, end.root)
                .map_err(unproved);
        };
        let tree = self.trees.iter().find(|tree| tree.size == place.index + 1).ok_or(Contradiction::Growth)?;
        equal(tree.root, root, Contradiction::Root)?;
        prove_consistency((tree.size, tree.root), (end.size, end.root), &tree.consistency).map_err(unproved)
    }
}

impl Verified<Grown> {
    /// The restores that it proves: in the tree of `end`, and signed by administrators whom the inception named.
    ///
    /// Administrators change without a host's knowing, so a restore by a later one proves nothing here; then what it lost
    /// is a contradiction for an operator to look at.
    ///
    /// # Errors
    /// `log_broken` when the inception is none.
    pub fn restores(&self, end: &Checkpoint, inception: &[u8]) -> Result<Vec<Restore>, Refusal> {
        let begun = Ledger::begin(inception)?;
        let by = begun.state().administrators();
        let proved = self.restored.iter().map(|restored| self.restore(restored, end, by));
        // One that does not hold excuses nothing.
        Ok(proved.filter_map(Result::ok).collect())
    }

    fn restore(&self, told: &Restored, end: &Checkpoint, by: &AdministratorKeys) -> Result<Restore, Refusal> {
        let unfit = || Refusal::new(Reason::ProofInvalid, "no restore by an administrator whom this host knows");
        let bytes = self.attachment(told.bytes_sha256)?;
        prove_inclusion(leaf_hash(bytes), told.index, end.size, &told.inclusion, end.root)?;
        let entry = Entry::read(bytes)?;
        let Body::Governance(judged) = entry.body else { return Err(unfit()) };
        let restored = judged.events.iter().find_map(|event| match event {
            Event::LogRestored(restored) => Some(&restored.restore),
            _ => None,
        });
        let restored = restored.ok_or_else(unfit)?;
        let pieces = told.evidence.iter().map(|piece| self.attachment(*piece)).collect::<Result<Vec<_>, _>>()?;
        let command = Unverified::<Command>::parse(&pieces.join(&b'\n'))?.verify(by)?;
        if (entry.index, entry.lattice, judged.token_sha256) != (told.index, self.lattice.clone(), command.sha256()) {
            return Err(unfit());
        }
        let commanded = match command.operations.as_slice() {
            [Operation::Restore(restore)] => restore.clone(),
            // Whoever signed last brought what the first one signed.
            [Operation::ApproveCommand(_)] => {
                let waited = Unverified::<Command>::parse(&command.attachments().join(&b'\n'))?.verify(by)?;
                let [Operation::Restore(restore)] = waited.operations.as_slice() else { return Err(unfit()) };
                restore.clone()
            }
            _ => return Err(unfit()),
        };
        if commanded == *restored { Ok(commanded) } else { Err(unfit()) }
    }
}

fn equal(told: Digest, held: Digest, otherwise: Contradiction) -> Result<(), Contradiction> {
    if told == held { Ok(()) } else { Err(otherwise) }
}

impl TryFrom<Wire> for Growth {
    type Error = Refusal;
    fn try_from(wire: Wire) -> Result<Self, Refusal> {
        let Wire { iss, aud, iat, jti, sizes, index } = wire;
        if sizes.is_empty() || sizes.len() > Self::MAX_SIZES || sizes.contains(&0) {
            let detail = format!("1 to {} trees are asked for, none of no entries", Self::MAX_SIZES);
            return Err(Refusal::new(Reason::SchemaMismatch, detail));
        }
        Ok(Self { iss, aud, iat, jti, sizes, index })
    }
}

impl Document for Growth {
    const TYPE: &'static str = "growth";
    const MAX_BYTES: usize = 4 * 1024;
    type Signer = Host;

    fn signer(&self) -> &Name<Host> {
        &self.iss
    }
}

impl Keyring<Growth> for HostKeys {
    fn key(&self, growth: &Growth) -> Result<Key<Host>, Refusal> {
        self.enrolled(&growth.iss)
    }
}

impl Document for Grown {
    const TYPE: &'static str = "grown";
    const MAX_BYTES: usize = 256 * 1024;
    type Signer = Decision;

    fn signer(&self) -> &Name<Decision> {
        &self.iss
    }

    fn attachments(&self) -> Vec<Digest> {
        let restored = self.restored.iter();
        let restored =
            restored.flat_map(|restored| std::iter::once(restored.bytes_sha256).chain(restored.evidence.clone()));
        std::iter::once(self.warrant_sha256).chain(restored).collect()
    }
}
