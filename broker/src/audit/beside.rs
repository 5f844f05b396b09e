//! What lies beside the log, tiles and kept checkpoints: none of it is trusted, and all of it is held against the log.

use std::collections::VecDeque;
use std::path::Path;

use policy::digest::Digest;
use policy::govern::LogRestored;
use policy::log::{Edge, NoteKey, Tile};
use policy::reason::{Reason, Refusal};

use crate::store::{Note, Shelf};

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shelved {
    /// Tiles that hold.
    pub tiles: u64,
    /// Tiles that are not there; the next start writes them.
    pub tiles_missing: u64,
    /// Kept checkpoints that hold.
    pub notes: u64,
    /// Kept checkpoints of a log that was lost and restored.
    pub notes_restored: u64,
}

/// The shelf, on the way through the log.
pub(super) struct Beside {
    shelf: Shelf,
    edge: Edge,
    // The smallest first.
    kept: VecDeque<Note>,
    contradicted: Vec<Contradicted>,
    wrong_tile: Option<Refusal>,
    found: Shelved,
}

// A kept checkpoint that does not fit: the end that it was signed for, if the log's key of its day signed it.
struct Contradicted {
    end: Option<(u64, Digest)>,
    refusal: Refusal,
}

/// One place of the log: its tree ends with it.
pub(super) struct Place {
    pub(super) size: u64,
    pub(super) leaf: Digest,
    pub(super) root: Digest,
    /// Unknown where the entry lies in a segment.
    pub(super) epoch: Option<u64>,
}

impl Beside {
    /// Reads the kept checkpoints. Before the log is: a broker that runs meanwhile signs for no more than it wrote.
    pub(super) fn of(shelf: Shelf) -> Result<Self, Refusal> {
        let unread = |error: std::io::Error| Refusal::new(Reason::ProofInvalid, error.to_string());
        let kept = shelf.notes().map_err(unread)?.into();
        let (edge, contradicted, wrong_tile) = (Edge::default(), Vec::new(), None);
        Ok(Self { shelf, edge, kept, contradicted, wrong_tile, found: Shelved::default() })
    }

    /// Whether a checkpoint is kept of a tree of that size.
    pub(super) fn awaits(&self, size: u64) -> bool {
        self.kept.front().is_some_and(|note| note.size == size)
    }

    /// Takes the next leaf.
    pub(super) fn grow(&mut self, leaf: Digest) {
        for (tile, hashes) in self.edge.append(leaf) {
            if tile.width < Tile::FULL {
                continue;
            }
            match self.shelf.fits(tile, &hashes) {
                None => self.found.tiles_missing += 1,
                Some(true) => self.found.tiles += 1,
                Some(false) => drop(self.wrong_tile.get_or_insert_with(|| wrong(tile))),
            }
        }
    }

    /// Holds the kept checkpoints of this place against it.
    pub(super) fn hold(&mut self, at: &Place, key: Option<&NoteKey>) {
        while let Some(note) = self.kept.pop_front_if(|note| note.size == at.size) {
            match key.map(|key| key.open(&note.bytes)) {
                Some(Ok(signed))
                    if (signed.root, signed.last) == (at.root, at.leaf)
                        && at.epoch.is_none_or(|epoch| epoch == signed.epoch) =>
                {
                    self.found.notes += 1;
                }
                Some(Ok(signed)) => {
                    let (row, path, root) = (at.size - 1, note.path.display(), at.root);
                    let detail =
                        format!("row {row}: the tree's root is {root}, signed in `{path}` was {}", signed.root);
                    let refusal = Refusal::new(Reason::LogBroken, detail);
                    // One that names this very entry is of this log, and no other's is lost.
                    let end = (signed.last != at.leaf).then_some((signed.size, signed.last));
                    self.contradicted.push(Contradicted { end, refusal });
                }
                Some(Err(refusal)) => {
                    let refusal = stray(&note.path, &refusal);
                    self.contradicted.push(Contradicted { end: None, refusal });
                }
                // INVARIANT: the first entry names a key, and there is an entry.
                None => {}
            }
        }
    }

    /// What was signed for a log that this restore tells to be lost; whatever else contradicts, still does (T28).
    pub(super) fn put_right(&mut self, restored: &LogRestored) {
        let before = self.contradicted.len();
        let accounts = |end: &(u64, Digest)| restored.restore.accounts_for(end.0, end.1);
        self.contradicted.retain(|Contradicted { end, .. }| !end.as_ref().is_some_and(accounts));
        self.found.notes_restored += (before - self.contradicted.len()) as u64;
    }

    /// At the end: all that is kept must fit.
    pub(super) fn end(mut self, size: u64, key: Option<&NoteKey>) -> Result<Shelved, Refusal> {
        if let Some(Contradicted { refusal, .. }) = self.contradicted.first() {
            return Err(refusal.clone());
        }
        if let Some(note) = self.kept.iter().find(|note| note.size > size) {
            // Its signature is the difference between a cut log and a stray file.
            key.map_or(Ok(()), |key| key.open(&note.bytes).map(drop).map_err(|refusal| stray(&note.path, &refusal)))?;
            let detail = format!("the log ends at {size}, `{}` was signed at {}", note.path.display(), note.size);
            return Err(Refusal::new(Reason::StateRollback, detail));
        }
        if let Some(note) = self.kept.front() {
            let detail = format!("`{}` is of no entries", note.path.display());
            return Err(Refusal::new(Reason::ProofInvalid, detail));
        }
        for (tile, hashes) in self.edge.open() {
            if self.shelf.fits(tile, &hashes) == Some(false) {
                self.wrong_tile.get_or_insert_with(|| wrong(tile));
            }
        }
        self.wrong_tile.map_or(Ok(self.found), Err)
    }
}

fn wrong(tile: Tile) -> Refusal {
    let detail = format!(
        "`{}` is not the tile of its entries; nothing was proved by it, and the next start makes it again",
        tile.path()
    );
    Refusal::new(Reason::ProofInvalid, detail)
}

fn stray(path: &Path, refusal: &Refusal) -> Refusal {
    Refusal::new(Reason::ProofInvalid, format!("`{}` is no checkpoint of this log: {refusal}", path.display()))
}
