//! Signs checkpoints: with each governance event at once, else each second in which the log grew; and keeps the newest.
//!
//! With the key that the log itself names at that end, so that a warrant which names another changes it in place (T66).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::keys::LogKey;
use crate::sequencer::Tip;
use crate::store::{Shelf, says};

/// The log keys that this process holds: the one in use, and one that a warrant is about to name.
pub(super) type Ring = Arc<ArcSwap<Vec<Arc<LogKey>>>>;

/// Signs what the sequencer shows, until either side is gone.
pub(super) async fn notarise(ring: Ring, mut tip: watch::Receiver<Tip>, notes: watch::Sender<Vec<u8>>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut signed = tip.borrow_and_update().clone();
    loop {
        let due = tokio::select! {
            changed = tip.changed() => {
                if changed.is_err() {
                    return;
                }
                tip.borrow_and_update().checkpoint.epoch != signed.checkpoint.epoch
            }
            _ = second.tick() => true,
        };
        let newest = tip.borrow().clone();
        if due && newest != signed {
            if let Some(note) = sign(&ring, &newest) {
                notes.send_replace(note);
            }
            signed = newest;
        }
    }
}

/// The checkpoints of one log, kept beside it so that proofs have a signed head while nobody serves.
pub(super) struct Keeper {
    shelf: Shelf,
    // The size of the newest: an older one that comes late is dropped.
    newest: Mutex<u64>,
}

impl Keeper {
    /// For the checkpoints on that shelf.
    pub(super) const fn new(shelf: Shelf) -> Self {
        Self { shelf, newest: Mutex::new(0) }
    }

    /// Keeps a checkpoint. It proves nothing that the log does not, so nobody is refused when it cannot be written.
    pub(super) fn keep(&self, note: &[u8]) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let size = says(note).unwrap_or_default();
        if size < *newest {
            return;
        }
        match self.shelf.keep(note) {
            Ok(()) => *newest = size,
            Err(error) => tracing::warn!(%error, "a signed checkpoint could not be kept"),
        }
    }
}

/// Keeps what is signed, until nobody signs any more.
pub(super) async fn keep(keeper: Arc<Keeper>, mut notes: watch::Receiver<Vec<u8>>) {
    loop {
        let note = notes.borrow_and_update().clone();
        let keeper = Arc::clone(&keeper);
        // The disk may take its time; the next one waits, and those between are not missed by anybody.
        let kept = tokio::task::spawn_blocking(move || keeper.keep(&note)).await;
        if let Some(fall) = kept.err().and_then(|error| error.try_into_panic().ok()) {
            std::panic::resume_unwind(fall);
        }
        if notes.changed().await.is_err() {
            return;
        }
    }
}

/// The signed note of the log's end, if its key is here.
pub(super) fn sign(ring: &Ring, tip: &Tip) -> Option<Vec<u8>> {
    let keys = ring.load();
    let Some(key) = keys.iter().find(|key| key.note().to_string() == *tip.log_key) else {
        tracing::error!(log_key = %tip.log_key, "the log's key is not here: no checkpoint can be signed");
        return None;
    };
    Some(key.sign(&tip.checkpoint))
}
