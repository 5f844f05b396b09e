//! The broker's notices: signed checkpoints that raise what this host remembers.
//!
//! They cannot be invented, only repeated or held back; what is older than the memory changes nothing.

use std::sync::Arc;

use futures::StreamExt;
use policy::log::NoteKey;
use policy::reason::{Reason, Refusal};
use policy::wire::Topic;

use crate::error::Error;
use crate::memory::{Head, Memory, Sighting};
use crate::transport::Transport;

/// Listens for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Listening(tokio::task::JoinHandle<()>);

/// Takes in every notice from now on.
pub(crate) async fn listen(memory: Arc<Memory>, transport: &dyn Transport) -> Result<Listening, Error> {
    let mut notices = transport.listen(Topic::Epoch.subject(&memory.record().lattice)).await?;
    let task = async move {
        while let Some(note) = notices.next().await {
            match take(&memory, &note) {
                Err(error) if error.reason() == Some(Reason::StateRollback) => {
                    tracing::error!("a checkpoint contradicts what this host has seen: {error}")
                }
                Err(error) => tracing::warn!("a notice was ignored: {error}"),
                Ok(()) => {}
            }
        }
    };
    Ok(Listening(tokio::spawn(task)))
}

/// Takes in one notice.
pub(crate) fn take(memory: &Memory, note: &[u8]) -> Result<(), Error> {
    let checkpoint = NoteKey::parse(&memory.record().log_key)?.open(note)?;
    let Some(index) = checkpoint.size.checked_sub(1).filter(|index| checkpoint.epoch <= *index) else {
        return Err(Refusal::new(Reason::SchemaMismatch, "the checkpoint's epoch lies after its end").into());
    };
    let head = Head { index, entry_sha256: checkpoint.last };
    let note = String::from_utf8(note.to_vec()).ok();
    memory.raise(&Sighting { epoch: checkpoint.epoch, head, warrant: None, checkpoint: note })
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}
