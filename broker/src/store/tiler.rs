//! Makes the tiles while the log grows: off the way of whoever appends, from what is durable, and anew where they lack.
//!
//! A tile that cannot be written costs nothing but time: whoever proves something reads the entries instead.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use policy::digest::Digest;
use policy::log::{Edge, Tile};

use super::shelf::Shelf;

/// The right edge of the tree, and the thread that puts tiles on their shelf.
pub(crate) struct Tiler {
    edge: Edge,
    sender: Option<SyncSender<(Tile, Vec<Digest>)>>,
    writer: Option<JoinHandle<()>>,
}

impl Tiler {
    /// From that edge on the log grows.
    pub(crate) fn at(shelf: Shelf, edge: Edge) -> Self {
        edge.open().iter().for_each(|(tile, hashes)| mend(&shelf, *tile, hashes));
        let (sender, receiver) = sync_channel::<(Tile, Vec<Digest>)>(WAITING);
        let writer = std::thread::Builder::new().name("tiles".to_owned()).spawn(move || {
            for (tile, hashes) in receiver {
                put(&shelf, tile, &hashes);
            }
        });
        Self { edge, sender: Some(sender), writer: writer.ok() }
    }

    /// Takes the hash of an entry that is durable.
    pub(crate) fn append(&mut self, leaf: Digest) {
        for changed in self.edge.append(leaf) {
            if let Some(Err(TrySendError::Full(_))) = self.sender.as_ref().map(|sender| sender.try_send(changed)) {
                tracing::warn!("the tiles fall behind the log; what lacks is made at the next start");
            }
        }
    }
}

impl Drop for Tiler {
    // What is under way is put there before anybody looks at the folder again.
    fn drop(&mut self) {
        self.sender = None;
        // A writer that panicked has told so; its tiles are made at the next start.
        drop(self.writer.take().map(JoinHandle::join));
    }
}

/// Puts a tile on its shelf where it lacks there, or is not so.
pub(crate) fn mend(shelf: &Shelf, tile: Tile, hashes: &[Digest]) {
    match shelf.fits(tile, hashes) {
        Some(true) => return,
        Some(false) => tracing::warn!(tile = tile.path(), "a tile was not that of its entries, and is made again"),
        None => {}
    }
    put(shelf, tile, hashes);
}

fn put(shelf: &Shelf, tile: Tile, hashes: &[Digest]) {
    if let Err(error) = shelf.put(tile, hashes) {
        tracing::warn!(%error, tile = tile.path(), "a tile could not be written; proofs read the entries instead");
    }
}

// How many tiles may wait for the disk: two MiB.
const WAITING: usize = 256;
