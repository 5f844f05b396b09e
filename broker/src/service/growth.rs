//! What a host has proved to it: that the newest checkpoint grew out of the trees that it holds, and has its entry (T65).
//!
//! Nothing of it is recorded, and no start waits for it. What a host makes of it is its own; the arithmetic is the prover's.

use policy::digest::Digest;
use policy::envelope::Verified;
use policy::growth::{Growth, Included, Restored, Tree};
use policy::log::{Checkpoint, Entry, Evidences, NoteKey};
use policy::reason::{Reason, Refusal};

use super::Service;
use crate::door::Reply;
use crate::error::Error;
use crate::store::Claim;

/// What is proved, before it is signed.
pub(crate) struct Growing {
    /// The newest signed checkpoint.
    pub(crate) checkpoint: String,
    pub(crate) trees: Vec<Tree>,
    pub(crate) entry: Option<Included>,
    pub(crate) restored: Vec<Restored>,
    /// What `restored` names, in its order.
    pub(crate) attached: Vec<Vec<u8>>,
}

impl Service {
    /// The signed answer to a host's question whether this log only grew.
    ///
    /// # Errors
    /// [`Error::Refused`] at the door; [`Error::Store`], or `log_broken` when the entries do not lead to what was signed.
    pub async fn growth(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        self.growth_to(bytes, Reply::Here).await
    }

    /// As [`Service::growth`], when the answer goes to an inbox.
    pub(crate) async fn growth_to(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Vec<u8>, Error> {
        let asked = self.door.growth(bytes, reply)?;
        let note = self.epochs.borrow().clone();
        let log_key = self.tip().log_key;
        let end = NoteKey::parse(&log_key)?.open(&note)?;
        let growing = self.grown(&asked, &end, note).await?;
        Ok(self.speech.signer.load().grown(&asked, growing))
    }

    async fn grown(&self, asked: &Verified<Growth>, end: &Checkpoint, note: Vec<u8>) -> Result<Growing, Error> {
        let reader = self.reader().await?;
        let (claim, known) = (Claim { size: end.size, index: None, from: None }, (end.size, end.root));
        let mut trees = Vec::new();
        for size in asked.sizes.iter().copied().filter(|size| *size <= end.size) {
            let shown = reader.prove(Claim { from: Some(size), ..claim }, known).await?;
            trees.extend(shown.from.map(|(root, consistency)| Tree { size, root, consistency }));
        }
        let index = asked.index.filter(|index| *index < end.size);
        let entry = match index {
            Some(index) => reader.prove(Claim { index: Some(index), ..claim }, known).await?.entry,
            None => None,
        };
        let entry =
            entry.zip(index).map(|((entry_sha256, inclusion), index)| Included { index, entry_sha256, inclusion });
        let first = asked.sizes.iter().map(|size| size - 1).chain(asked.index).min().unwrap_or_default();
        let (mut restored, mut attached) = (Vec::new(), Vec::new());
        for at in self.present.restores_after(first).into_iter().filter(|at| *at < end.size) {
            let (told, pieces) = self.restored(at, known).await?;
            restored.push(told);
            attached.extend(pieces);
        }
        let checkpoint = String::from_utf8(note).map_err(|_| missing("a checkpoint"))?;
        Ok(Growing { checkpoint, trees, entry, restored, attached })
    }

    async fn restored(&self, index: u64, known: (u64, Digest)) -> Result<(Restored, Vec<Vec<u8>>), Error> {
        let reader = self.reader().await?;
        let shown = reader.prove(Claim { size: known.0, index: Some(index), from: None }, known).await?;
        let bytes = reader.row(index).await?.ok_or_else(|| missing("a restore"))?.bytes;
        let entry = Entry::read(&bytes)?;
        let kept = reader.kept(&entry).await?;
        let pieces: Option<Vec<_>> = entry.evidence.iter().map(|sha256| kept.find(*sha256)).collect();
        let inclusion = shown.entry.map(|(_, inclusion)| inclusion).unwrap_or_default();
        let told = Restored { index, inclusion, bytes_sha256: Digest::of(&bytes), evidence: entry.evidence };
        let pieces = pieces.ok_or_else(|| missing("what an administrator signed"))?;
        Ok((told, std::iter::once(bytes).chain(pieces).collect()))
    }
}

fn missing(what: &str) -> Refusal {
    Refusal::new(Reason::LogBroken, format!("{what} is missing in the log"))
}
