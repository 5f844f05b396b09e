//! Signs checkpoints: with each governance event at once, else each second in which the log grew.

use std::time::Duration;

use policy::log::Checkpoint;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::keys::LogKey;

/// Signs what the sequencer shows, until either side is gone.
pub(super) async fn notarise(key: LogKey, mut tip: watch::Receiver<Checkpoint>, notes: watch::Sender<Vec<u8>>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut signed = tip.borrow_and_update().clone();
    loop {
        let due = tokio::select! {
            changed = tip.changed() => {
                if changed.is_err() {
                    return;
                }
                tip.borrow_and_update().epoch != signed.epoch
            }
            _ = second.tick() => true,
        };
        let newest = tip.borrow().clone();
        if due && newest != signed {
            notes.send_replace(key.sign(&newest));
            signed = newest;
        }
    }
}
