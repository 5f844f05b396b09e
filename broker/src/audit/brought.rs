//! Checkpoints that somebody brought: the log must hold each, signed by the key of its day. One of a log that was lost is held
//! by the restore that says so, as what lies beside the log is.

use policy::digest::Digest;
use policy::govern::LogRestored;
use policy::log::{Checkpoint, NoteKey};
use policy::reason::{Reason, Refusal};

/// What was brought.
#[derive(Default)]
pub(super) struct Brought(Vec<Note>);

// A signed note, opened once the key that signed it was met.
struct Note {
    bytes: Vec<u8>,
    // What it covers is not decided again, so it must be of this very log.
    trusted: bool,
    checkpoint: Option<Checkpoint>,
    contradicts: Option<Refusal>,
    restored: Option<u64>,
}

impl Brought {
    /// One that the log must hold, and one of an earlier verification.
    pub(super) fn of(note: Option<Vec<u8>>, since: Option<Vec<u8>>) -> Self {
        let note = note.into_iter().map(|bytes| Note::of(bytes, false));
        Self(note.chain(since.into_iter().map(|bytes| Note::of(bytes, true))).collect())
    }

    /// Whether there is any.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From this row on the log is signed for by this key, and by no other (T66).
    pub(super) fn under(&mut self, key: &NoteKey, index: u64) -> Result<(), Refusal> {
        self.0.iter_mut().try_for_each(|note| note.under(key, index))
    }

    /// Holds what was signed for a tree of that size, which ends with that leaf, against it.
    pub(super) fn hold(&mut self, size: u64, leaf: Digest, root: impl Fn() -> Digest) {
        self.0.iter_mut().for_each(|note| note.hold(size, leaf, &root));
    }

    /// What was signed for a log that this restore tells to be lost.
    pub(super) fn put_right(&mut self, restored: &LogRestored, index: u64) {
        let lost = |signed: &Checkpoint| restored.restore.accounts_for(signed.size, signed.last);
        for note in &mut self.0 {
            if note.contradicts.is_some() && note.checkpoint.as_ref().is_some_and(lost) {
                (note.contradicts, note.restored) = (None, Some(index));
            }
        }
    }

    /// At the end: none may be signed by a stranger, for another log, or for more than there is. The entry that restored the
    /// log, where one is of the log that was lost.
    pub(super) fn end(&mut self, size: u64) -> Result<Option<u64>, Refusal> {
        let ended = self.0.iter_mut().map(|note| note.end(size)).collect::<Result<Vec<_>, _>>()?;
        Ok(ended.into_iter().flatten().max())
    }
}

impl Note {
    const fn of(bytes: Vec<u8>, trusted: bool) -> Self {
        Self { bytes, trusted, checkpoint: None, contradicts: None, restored: None }
    }

    fn under(&mut self, key: &NoteKey, index: u64) -> Result<(), Refusal> {
        let unknown = |detail: String| Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
        match &self.checkpoint {
            Some(signed) if signed.size > index => unknown(format!(
                "the checkpoint of {} entries is signed by a key that was replaced at {index}",
                signed.size
            )),
            Some(_) => Ok(()),
            None => match key.open(&self.bytes) {
                Ok(signed) if signed.size <= index => {
                    unknown(format!("the checkpoint of {} entries is signed by the key of entry {index}", signed.size))
                }
                Ok(signed) => {
                    self.checkpoint = Some(signed);
                    Ok(())
                }
                Err(_) => Ok(()),
            },
        }
    }

    fn hold(&mut self, size: u64, leaf: Digest, root: &impl Fn() -> Digest) {
        let Some(signed) = self.checkpoint.as_ref().filter(|signed| signed.size == size) else { return };
        if signed.root == root() && signed.last == leaf {
            return;
        }
        let detail = format!("row {}: the tree's root is {}, signed was {}", size - 1, root(), signed.root);
        self.contradicts = Some(Refusal::new(Reason::LogBroken, detail));
    }

    fn end(&mut self, size: u64) -> Result<Option<u64>, Refusal> {
        let Some(signed) = &self.checkpoint else {
            let detail = "the checkpoint is signed by no key that the log names";
            return Err(Refusal::new(Reason::SignatureInvalid, detail));
        };
        if let Some(refusal) = self.contradicts.take() {
            return Err(refusal);
        }
        if signed.size > size {
            let detail = format!("the log ends at {size}, the checkpoint was signed at {}", signed.size);
            return Err(Refusal::new(Reason::StateRollback, detail));
        }
        match self.restored {
            Some(index) if self.trusted => {
                let detail = format!(
                    "the checkpoint of {} entries is of the log that entry {index} restored: verify once without `--from`",
                    signed.size
                );
                Err(Refusal::new(Reason::BrokerKeyUnknown, detail))
            }
            restored => Ok(restored),
        }
    }
}
