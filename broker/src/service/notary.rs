//! Signs checkpoints: with each governance event at once, else each second in which the log grew.
//!
//! With the key that the log itself names at that end, so that a warrant which names another changes it in place (T66).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::keys::LogKey;
use crate::sequencer::Tip;

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

/// The signed note of the log's end, if its key is here.
pub(super) fn sign(ring: &Ring, tip: &Tip) -> Option<Vec<u8>> {
    let keys = ring.load();
    let Some(key) = keys.iter().find(|key| key.note().to_string() == *tip.log_key) else {
        tracing::error!(log_key = %tip.log_key, "the log's key is not here: no checkpoint can be signed");
        return None;
    };
    Some(key.sign(&tip.checkpoint))
}
