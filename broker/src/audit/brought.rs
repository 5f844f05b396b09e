//! Checkpoints that somebody brought: the log must hold each, signed by the key of its day.

use policy::digest::Digest;
use policy::log::{Checkpoint, NoteKey};
use policy::reason::{Reason, Refusal};

/// What was brought.
#[derive(Default)]
pub(super) struct Brought(Vec<Note>);

// A signed note, opened once the key that signed it was met.
struct Note {
    bytes: Vec<u8>,
    checkpoint: Option<Checkpoint>,
}

impl Brought {
    pub(super) fn of(notes: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self(notes.into_iter().map(|bytes| Note { bytes, checkpoint: None }).collect())
    }

    /// From this row on the log is signed for by this key, and by no other (T66).
    pub(super) fn under(&mut self, key: &NoteKey, index: u64) -> Result<(), Refusal> {
        self.0.iter_mut().try_for_each(|note| note.under(key, index))
    }

    /// Holds what was signed for a tree of that size against it.
    pub(super) fn hold(&self, size: u64, root: impl Fn() -> Digest) -> Result<(), Refusal> {
        let Some(signed) = self.opened().find(|signed| signed.size == size && signed.root != root()) else {
            return Ok(());
        };
        let (row, root) = (size - 1, root());
        let detail = format!("row {row}: the tree's root is {root}, signed was {}", signed.root);
        Err(Refusal::new(Reason::LogBroken, detail))
    }

    /// At the end: none may be signed by a stranger, or for more than there is.
    pub(super) fn end(&self, size: u64) -> Result<(), Refusal> {
        if self.0.iter().any(|note| note.checkpoint.is_none()) {
            let detail = "the checkpoint is signed by no key that the log names";
            return Err(Refusal::new(Reason::SignatureInvalid, detail));
        }
        match self.opened().find(|signed| signed.size > size) {
            None => Ok(()),
            Some(signed) => {
                let detail = format!("the log ends at {size}, the checkpoint was signed at {}", signed.size);
                Err(Refusal::new(Reason::StateRollback, detail))
            }
        }
    }

    fn opened(&self) -> impl Iterator<Item = &Checkpoint> {
        self.0.iter().filter_map(|note| note.checkpoint.as_ref())
    }
}

impl Note {
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
}
