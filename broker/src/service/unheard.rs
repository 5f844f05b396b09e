//! A change of warrant or roots of which nobody heard whether it is on record: its batch ended in an error, and the row may
//! be durable all the same. Once the log is open again it is known, and then this process speaks as the log says (T17).
//!
//! What a change must be is left to `speech`.

use std::sync::Arc;
use std::time::Duration;

use policy::digest::Digest;
use policy::govern::State;
use policy::lineage::Changes;
use policy::root::RootLine;
use policy::warrant::Rank;

use super::speech::{InForce, Speech};
use super::voice::Voice;
use crate::folder::Folder;
use crate::keys::LogKey;
use crate::sequencer::{Sequencer, Unavailable};

/// What was asked of the log.
pub(super) enum Unheard {
    /// Another warrant.
    Warrant(Box<Coming>),
    /// Other roots, with all changes up to them.
    Roots { after: RootLine, changes: Changes },
}

/// A warrant that may come into force, and the log keys that are held until it does.
pub(super) struct Coming {
    pub(super) rank: Rank,
    pub(super) sha256: Digest,
    pub(super) voice: Voice,
    pub(super) before: Arc<Vec<Arc<LogKey>>>,
}

impl Unheard {
    fn is_on_record(&self, state: &State) -> bool {
        match self {
            Self::Warrant(coming) => state.warrant_sha256() == Some(coming.sha256),
            Self::Roots { after, .. } => state.root_line(after.inception_sha256) == *after,
        }
    }
}

impl Speech {
    /// Finds out what became of the last change, if nobody heard.
    pub(super) async fn settle(
        &self,
        held: &mut InForce,
        sequencer: &Sequencer,
        folder: &Folder,
    ) -> Result<(), Unavailable> {
        let Some(unheard) = &held.unheard else { return Ok(()) };
        let on_record = unheard.is_on_record(&sequencer.look().await?.state);
        tracing::warn!(on_record, "nobody heard whether a change of the broker's keys is on record; now it is known");
        self.conclude(held, on_record, folder);
        Ok(())
    }

    /// Speaks from now on as the change says, where it is on record; else as before.
    pub(super) fn conclude(&self, held: &mut InForce, on_record: bool, folder: &Folder) {
        match held.unheard.take() {
            Some(Unheard::Warrant(coming)) if on_record => {
                coming.voice.settle(folder);
                let Voice { signer, log, held: keys, .. } = coming.voice;
                tracing::info!(key = %signer.name(), "a new warrant is in force");
                self.signer.store(Arc::new(signer));
                self.held.store(Arc::new(keys));
                self.ring.store(Arc::new(vec![log]));
                held.rank = coming.rank;
            }
            Some(Unheard::Warrant(coming)) => self.ring.store(coming.before),
            Some(Unheard::Roots { after, changes }) if on_record => {
                held.roots = after;
                let signer = self.signer.load().after(changes);
                self.signer.store(Arc::new(signer));
            }
            Some(Unheard::Roots { .. }) | None => {}
        }
    }
}

/// Settles whatever nobody heard of as soon as the log is open again, until it is aborted.
pub(super) async fn settle_each(speech: Arc<Speech>, sequencer: Sequencer, folder: Folder) {
    loop {
        speech.silence.notified().await;
        while speech.settle(&mut *speech.in_force.lock().await, &sequencer, &folder).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

const PAUSE: Duration = Duration::from_millis(500);
