//! The proof that each entry follows from those before it: of a log, of a log with its segments, of exports alone.
//!
//! Public keys only; nobody is asked. How it is told is left to the command line.

mod beside;
mod brought;
mod exports;

use std::path::PathBuf;

use policy::digest::Digest;
use policy::govern::{Event, WarrantInstalled};
use policy::log::{Body, Entry, Frontier, Head, NoteKey, leaf_hash};
use policy::name::Lattice;
use policy::reason::{Reason, Refusal};

use crate::error::Error;
use crate::export::Bulk;
use crate::store::{LogReader, Row, Shelf, Vouched, says};

pub use beside::Shelved;
use beside::{Beside, Place};
use brought::Brought;
pub use exports::exports;

/// What the log is held to, besides itself.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// The hash of the first entry.
    pub pinned: Option<Digest>,
    /// A signed checkpoint that it must hold.
    pub note: Option<Vec<u8>>,
    /// Where its segments are.
    pub segments: Option<PathBuf>,
    /// A signed checkpoint of an earlier verification, which it must hold: what it covers is not decided again.
    pub since: Option<Vec<u8>>,
    /// What was derived from it and lies beside it.
    pub shelf: Option<Shelf>,
    /// What its lock vouches for.
    pub(crate) vouched: Option<Vouched>,
}

/// What was found sound.
#[derive(Debug, Clone)]
pub struct Sound {
    /// The end, where the log was read from its beginning.
    pub head: Option<Head>,
    /// How many entries there were.
    pub entries: u64,
    /// The hash of the last.
    pub last: Digest,
    /// The root of the tree, where it was read from its beginning.
    pub tree_root: Option<Digest>,
    /// The lattice, where the first entry was read.
    pub lattice: Option<Lattice>,
    /// The hash of the first entry, where it was read.
    pub root: Option<Digest>,
    /// How many rulings were decided again.
    pub rulings: u64,
    /// How many commands, joins and warrants were judged again.
    pub judged: u64,
    /// How many entries are of a law too old to be judged again.
    pub older_law: u64,
    /// The entries that could not be decided again, as ranges: first, and one after the last.
    pub undecided: Vec<(u64, u64)>,
    /// How many entries were verified before: their chain was checked, their decisions were not.
    pub since: u64,
    /// What came of tiles and kept checkpoints, where they were looked at.
    pub shelved: Option<Shelved>,
    /// The entry that restored the log, where the checkpoint that was brought is of the one that was lost.
    pub restored: Option<u64>,
}

/// What does not follow, and how many entries before it hold.
#[derive(Debug, Clone)]
pub struct Broken {
    /// Why.
    pub refusal: Refusal,
    /// How many hold.
    pub held: u64,
}

/// What came of it.
pub type Verdict = Result<Sound, Broken>;

/// Proves a log, row by row; `progress` is called for each.
///
/// # Errors
/// [`Error::Store`] or [`Error::Io`]; what does not follow is a verdict.
pub async fn log(reader: &LogReader, against: Against, mut progress: impl FnMut()) -> Result<Verdict, Error> {
    let (mut bulk, vouched) = (Bulk::of(against.segments.as_deref()), against.vouched);
    let mut walk = match Walk::against(against) {
        Err(Error::Refused(refusal)) => return Ok(Err(Broken { refusal, held: 0 })),
        begun => begun?,
    };
    let walked = reader.replay_held(&mut bulk, Some(walk.since), vouched, |row, entry| {
        progress();
        Ok(walk.step(row, entry, entry.is_some())?)
    });
    let ledger = match walked.await {
        Ok(ledger) => ledger,
        Err(Error::Refused(refusal)) => return Ok(Err(walk.broken(refusal))),
        Err(error) => return Err(error),
    };
    if let Err(refusal) = evidence(reader).await? {
        return Ok(Err(walk.broken(refusal)));
    }
    let lattice = ledger.state().lattice().clone();
    Ok(walk.end(Some(ledger.head()), Some(lattice), true))
}

// What is learnt on the way through the log.
#[derive(Default)]
struct Walk {
    tree: Frontier,
    last: Option<Digest>,
    entries: u64,
    // That of the newest entry that was read; none that governs is passed.
    epoch: u64,
    rulings: u64,
    judged: u64,
    older_law: u64,
    undecided: Vec<(u64, u64)>,
    brought: Brought,
    pinned: Option<Digest>,
    root: Option<Digest>,
    // How many entries were verified before.
    since: u64,
    // The key that signs for the log at this point.
    log_key: Option<NoteKey>,
    beside: Option<Beside>,
}

impl Walk {
    fn against(against: Against) -> Result<Self, Error> {
        let Against { pinned, note, since, shelf, .. } = against;
        let says =
            |note: &Vec<u8>| says(note).ok_or_else(|| Refusal::new(Reason::SchemaMismatch, "not a signed checkpoint"));
        let verified = since.as_ref().map(says).transpose()?.unwrap_or_default();
        let brought = Brought::of(note, since);
        let beside = shelf.map(Beside::of).transpose()?;
        Ok(Self { pinned, brought, since: verified, beside, ..Self::default() })
    }

    fn broken(&self, refusal: Refusal) -> Broken {
        Broken { refusal, held: self.entries }
    }

    fn end(mut self, head: Option<Head>, lattice: Option<Lattice>, whole: bool) -> Verdict {
        let size = self.tree.size();
        let restored = self.brought.end(size).map_err(|refusal| self.broken(refusal))?;
        let beside = self.beside.take().map(|beside| beside.end(size, self.log_key.as_ref())).transpose();
        let shelved = beside.map_err(|refusal| self.broken(refusal))?;
        let Self { tree, last, entries, root, rulings, judged, older_law, undecided, since, .. } = self;
        let tree_root = whole.then(|| tree.root());
        let last = last.unwrap_or(Digest::from_bytes([0; 32]));
        Ok(Sound {
            head,
            entries,
            last,
            tree_root,
            lattice,
            root,
            rulings,
            judged,
            older_law,
            undecided,
            since,
            shelved,
            restored,
        })
    }

    fn step(&mut self, row: &Row, entry: Option<&Entry>, decided: bool) -> Result<(), Refusal> {
        match entry {
            Some(entry) => self.read(row, entry, decided)?,
            None if row.is_frozen() && row.index >= self.since => self.undecided(row.index),
            // Verified before, and nothing rests on it but the tree.
            None => {}
        }
        self.epoch = entry.map_or(self.epoch, |entry| entry.epoch);
        self.tree.append(row.hash);
        (self.last, self.entries) = (Some(row.hash), self.entries + 1);
        let (tree, size) = (&self.tree, self.tree.size());
        if let Some(beside) = &mut self.beside {
            beside.grow(row.hash);
            if beside.awaits(size) {
                let epoch = Some(self.epoch).filter(|_| !row.is_frozen());
                beside.hold(&Place { size, leaf: row.hash, root: tree.root(), epoch }, self.log_key.as_ref());
            }
        }
        self.brought.hold(size, row.hash, || tree.root());
        Ok(())
    }

    fn read(&mut self, row: &Row, entry: &Entry, decided: bool) -> Result<(), Refusal> {
        if let Body::Inception(inception) = &entry.body {
            let hash = leaf_hash(&row.bytes);
            if let Some(pinned) = self.pinned.filter(|pinned| *pinned != hash) {
                let detail = format!("row 0: the log is of the lattice {hash}, pinned is {pinned}");
                return Err(Refusal::new(Reason::LogBroken, detail));
            }
            self.root = Some(hash);
            self.under(&inception.log_key, row.index)?;
        }
        if let Body::Governance(judged) = &entry.body {
            for event in &judged.events {
                self.governed(event, row.index)?;
            }
        }
        match &entry.body {
            _ if row.index < self.since => {}
            _ if !decided => self.undecided(row.index),
            _ if !policy::decide::judges_again(entry.law) => self.older_law += 1,
            Body::Ruling(_) => self.rulings += 1,
            Body::Governance(_) | Body::Refusal(_) => self.judged += 1,
            Body::Inception(_) | Body::Door(_) | Body::Report(_) | Body::Clock(_) | Body::Lost(_) | Body::Freeze(_) => {
            }
        }
        Ok(())
    }

    fn governed(&mut self, event: &Event, index: u64) -> Result<(), Refusal> {
        match event {
            Event::WarrantInstalled(WarrantInstalled { log_key: Some(key), .. }) => self.under(key, index),
            Event::LogRestored(restored) => {
                self.brought.put_right(restored, index);
                self.beside.iter_mut().for_each(|beside| beside.put_right(restored));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn undecided(&mut self, index: u64) {
        match self.undecided.last_mut() {
            Some((_, end)) if *end == index => *end += 1,
            _ => self.undecided.push((index, index + 1)),
        }
    }

    fn under(&mut self, key: &str, index: u64) -> Result<(), Refusal> {
        let key = NoteKey::parse(key)?;
        self.brought.under(&key, index)?;
        self.log_key = Some(key);
        Ok(())
    }
}

// Every piece of evidence lies under its own digest, those that no entry names too.
async fn evidence(reader: &LogReader) -> Result<Result<(), Refusal>, Error> {
    let mut after = None;
    loop {
        let page = reader.evidence_after(after).await?;
        for (sha256, bytes) in &page {
            if Digest::of(bytes) != *sha256 {
                return Ok(Err(Refusal::new(Reason::LogBroken, format!("the evidence under {sha256} was changed"))));
            }
        }
        let Some((last, _)) = page.last() else {
            return Ok(Ok(()));
        };
        after = Some(*last);
    }
}
