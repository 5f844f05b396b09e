//! What a verification learns on its way through the log: the tree, its tiles, and whether all that was signed fits.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use policy::digest::Digest;
use policy::govern::{Event, LogRestored, WarrantInstalled};
use policy::log::{Body, Checkpoint, Edge, Entry, Frontier, NoteKey, Tile};
use policy::reason::{Reason, Refusal};

use crate::error::Error;
use crate::store::{Note, Row, Shelf};

/// The way so far.
pub(super) struct Walk {
    tree: Frontier,
    edge: Edge,
    shelf: Shelf,
    pinned: Option<Digest>,
    /// How many rulings were decided again.
    pub(super) rulings: u64,
    /// How many commands, joins and warrants were judged again.
    pub(super) judged: u64,
    /// How many entries are of a law that judges no more.
    pub(super) older_law: u64,
    /// How many entries were verified before.
    pub(super) since: u64,
    // Checkpoints that the caller brought: the log must hold them.
    brought: Vec<Brought>,
    // Checkpoints that lie beside the log, the smallest first.
    kept: VecDeque<Note>,
    contradicted: Vec<(u64, Refusal)>,
    // The key that signs for the log at this point.
    log_key: Option<NoteKey>,
    tiles: Count,
    wrong_tile: Option<Refusal>,
    notes: Held,
}

/// How many tiles hold, and how many are not there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) held: u64,
    pub(super) missing: u64,
}

/// How many kept checkpoints hold, and how many are of a log that was lost and restored.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) held: u64,
    pub(super) restored: u64,
}

// A signed note that the log must hold; opened once the key that signed it was met.
struct Brought {
    note: Vec<u8>,
    checkpoint: Option<Checkpoint>,
}

impl Walk {
    /// At the beginning of a log.
    pub(super) fn new(pinned: Option<Digest>, shelf: Shelf, since: u64) -> Self {
        Self {
            tree: Frontier::default(),
            edge: Edge::default(),
            shelf,
            pinned,
            rulings: 0,
            judged: 0,
            older_law: 0,
            since,
            brought: Vec::new(),
            kept: VecDeque::new(),
            contradicted: Vec::new(),
            log_key: None,
            tiles: Count::default(),
            wrong_tile: None,
            notes: Held::default(),
        }
    }

    /// Takes the checkpoints that the log must hold: those that are brought, and those that are kept beside it.
    pub(super) fn expect_all(&mut self, checkpoint: Option<Vec<u8>>, from: Option<Vec<u8>>) -> io::Result<()> {
        let brought = [checkpoint, from].into_iter().flatten();
        self.brought = brought.map(|note| Brought { note, checkpoint: None }).collect();
        self.kept = self.shelf.notes()?.into();
        Ok(())
    }

    /// Takes the next entry, which follows from those before it.
    pub(super) fn step(&mut self, row: &Row, entry: &Entry) -> Result<(), Error> {
        if let Body::Inception(inception) = &entry.body {
            if let Some(pinned) = self.pinned.filter(|pinned| *pinned != row.hash) {
                let detail = format!("row 0: the log is of the lattice {}, pinned is {pinned}", row.hash);
                return Err(Refusal::new(Reason::LogBroken, detail).into());
            }
            self.under(&inception.log_key, row.index)?;
        }
        if let Body::Governance(judged) = &entry.body {
            for event in &judged.events {
                match event {
                    Event::WarrantInstalled(WarrantInstalled { log_key: Some(key), .. }) => {
                        self.under(key, row.index)?
                    }
                    Event::LogRestored(restored) => self.put_right(restored),
                    _ => {}
                }
            }
        }
        self.count(row.index, entry);
        self.grow(row.hash);
        self.hold_brought(row)?;
        self.hold_kept(row, entry);
        Ok(())
    }

    /// How many entries hold.
    pub(super) const fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The tree's root.
    pub(super) fn root(&self) -> Digest {
        self.tree.root()
    }

    /// What became of the tiles.
    pub(super) const fn tiles(&self) -> Count {
        self.tiles
    }

    /// What became of the kept checkpoints.
    pub(super) const fn notes(&self) -> Held {
        self.notes
    }

    /// Refuses what was brought and is signed by no key of this log.
    pub(super) fn all_opened(&self) -> Result<(), Refusal> {
        if self.brought.iter().all(|brought| brought.checkpoint.is_some()) {
            return Ok(());
        }
        Err(Refusal::new(Reason::SignatureInvalid, "the checkpoint is signed by no key that the log names"))
    }

    /// At the end of the log: nothing may be signed for more than there is, and what is kept beside it must fit.
    pub(super) fn finish(&mut self, end: u64) -> Result<(), Refusal> {
        let opened = self.brought.iter().filter_map(|brought| brought.checkpoint.as_ref());
        if let Some(signed) = opened.map(|checkpoint| checkpoint.size).max().filter(|signed| *signed > end) {
            let detail = format!("the log ends at {end}, the checkpoint was signed at {signed}");
            return Err(Refusal::new(Reason::StateRollback, detail));
        }
        if let Some((_, refusal)) = self.contradicted.first() {
            return Err(refusal.clone());
        }
        if let Some(note) = self.kept.iter().find(|note| note.size > end) {
            // Its signature is the difference between a cut log and a stray file.
            let key = self.log_key.as_ref();
            key.map_or(Ok(()), |key| key.open(&note.bytes).map(drop).map_err(|refusal| stray(&note.path, &refusal)))?;
            let detail = format!("the log ends at {end}, `{}` was signed at {}", note.path.display(), note.size);
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
        self.wrong_tile.take().map_or(Ok(()), Err)
    }

    // From this row on the log is signed for by this key, and by no other (T66).
    fn under(&mut self, key: &str, index: u64) -> Result<(), Refusal> {
        let key = NoteKey::parse(key)?;
        for brought in &mut self.brought {
            if let Some(signed) = brought.checkpoint.as_ref().filter(|signed| signed.size > index) {
                let detail = format!(
                    "the checkpoint of {} entries is signed by a key that was replaced at {index}",
                    signed.size
                );
                return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
            }
            if brought.checkpoint.is_some() {
                continue;
            }
            if let Ok(checkpoint) = key.open(&brought.note) {
                if checkpoint.size <= index {
                    let detail =
                        format!("the checkpoint of {} entries is signed by the key of entry {index}", checkpoint.size);
                    return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
                }
                brought.checkpoint = Some(checkpoint);
            }
        }
        self.log_key = Some(key);
        Ok(())
    }

    fn count(&mut self, index: u64, entry: &Entry) {
        match &entry.body {
            _ if index < self.since => {}
            _ if !policy::decide::judges_again(entry.law) => self.older_law += 1,
            Body::Ruling(_) => self.rulings += 1,
            Body::Governance(_) | Body::Refusal(_) => self.judged += 1,
            Body::Inception(_) | Body::Door(_) | Body::Report(_) | Body::Clock(_) | Body::Lost(_) => {}
        }
    }

    fn grow(&mut self, leaf: Digest) {
        self.tree.append(leaf);
        for (tile, hashes) in self.edge.append(leaf) {
            if tile.width < Tile::FULL {
                continue;
            }
            match self.shelf.fits(tile, &hashes) {
                None => self.tiles.missing += 1,
                Some(true) => self.tiles.held += 1,
                Some(false) => drop(self.wrong_tile.get_or_insert_with(|| wrong(tile))),
            }
        }
    }

    fn hold_brought(&self, row: &Row) -> Result<(), Refusal> {
        let opened = self.brought.iter().filter_map(|brought| brought.checkpoint.as_ref());
        for signed in opened.filter(|signed| signed.size == self.tree.size()) {
            let root = self.tree.root();
            if signed.root != root {
                let detail = format!("row {}: the tree's root is {root}, signed was {}", row.index, signed.root);
                return Err(Refusal::new(Reason::LogBroken, detail));
            }
        }
        Ok(())
    }

    fn hold_kept(&mut self, row: &Row, entry: &Entry) {
        let size = self.tree.size();
        while let Some(note) = self.kept.pop_front_if(|note| note.size == size) {
            let root = self.tree.root();
            let opened = self.log_key.as_ref().map(|key| key.open(&note.bytes));
            match opened {
                Some(Ok(signed)) if (signed.root, signed.last, signed.epoch) == (root, row.hash, entry.epoch) => {
                    self.notes.held += 1;
                }
                Some(Ok(signed)) => {
                    let (index, path) = (row.index, note.path.display());
                    let detail =
                        format!("row {index}: the tree's root is {root}, signed in `{path}` was {}", signed.root);
                    self.contradicted.push((size, Refusal::new(Reason::LogBroken, detail)));
                }
                Some(Err(refusal)) => self.contradicted.push((size, stray(&note.path, &refusal))),
                // INVARIANT: the first entry names a key, and there is an entry.
                None => {}
            }
        }
    }

    // What was signed for entries that are lost is signed for another log, and was told to be (T28).
    fn put_right(&mut self, restored: &LogRestored) {
        let before = self.contradicted.len();
        self.contradicted
            .retain(|(size, refusal)| *size > restored.restore.seen || refusal.reason != Reason::LogBroken);
        self.notes.restored += (before - self.contradicted.len()) as u64;
    }
}

fn wrong(tile: Tile) -> Refusal {
    let detail = format!(
        "`{}` is not the tile of its entries; nothing was proved by it, and the next start makes it again",
        tile.path()
    );
    Refusal::new(Reason::ProofInvalid, detail)
}

fn stray(path: &PathBuf, refusal: &Refusal) -> Refusal {
    Refusal::new(Reason::ProofInvalid, format!("`{}` is no checkpoint of this log: {refusal}", path.display()))
}
