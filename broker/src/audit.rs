//! The proof that each entry follows from those before it: of a log, of a log with its segments, of exports alone.
//!
//! Public keys only; nobody is asked. How it is told is left to the command line.

mod exports;

use std::path::PathBuf;

use policy::digest::Digest;
use policy::govern::{Event, WarrantInstalled};
use policy::log::{Body, Checkpoint, Entry, Frontier, Head, NoteKey, leaf_hash};
use policy::name::Lattice;
use policy::reason::{Reason, Refusal};

use crate::error::Error;
use crate::export::Bulk;
use crate::store::{LogReader, Row};

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
    /// How many rulings were decided again.
    pub rulings: u64,
    /// How many commands, joins and warrants were judged again.
    pub judged: u64,
    /// How many entries are of a law too old to be judged again.
    pub older_law: u64,
    /// The entries that could not be decided again, as ranges: first, and one after the last.
    pub undecided: Vec<(u64, u64)>,
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
    let mut bulk = Bulk::of(against.segments.as_deref());
    let mut walk = Walk::against(against);
    let walked = reader.replay_with(&mut bulk, true, |row, entry| {
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
    rulings: u64,
    judged: u64,
    older_law: u64,
    undecided: Vec<(u64, u64)>,
    checkpoint: Option<Checkpoint>,
    // The signed note that the log must hold, until the key that signed it was met.
    note: Option<Vec<u8>>,
    pinned: Option<Digest>,
}

impl Walk {
    fn against(against: Against) -> Self {
        Self { pinned: against.pinned, note: against.note, ..Self::default() }
    }

    fn broken(&self, refusal: Refusal) -> Broken {
        Broken { refusal, held: self.entries }
    }

    fn end(self, head: Option<Head>, lattice: Option<Lattice>, whole: bool) -> Verdict {
        if self.note.is_some() {
            let detail = "the checkpoint is signed by no key that the log names";
            return Err(self.broken(Refusal::new(Reason::SignatureInvalid, detail)));
        }
        let size = self.tree.size();
        if let Some(checkpoint) = self.checkpoint.as_ref().filter(|checkpoint| checkpoint.size > size) {
            let detail = format!("the log ends at {size}, the checkpoint was signed at {}", checkpoint.size);
            return Err(self.broken(Refusal::new(Reason::StateRollback, detail)));
        }
        let Self { tree, last, entries, rulings, judged, older_law, undecided, .. } = self;
        let tree_root = whole.then(|| tree.root());
        let last = last.unwrap_or(Digest::from_bytes([0; 32]));
        Ok(Sound { head, entries, last, tree_root, lattice, rulings, judged, older_law, undecided })
    }

    fn step(&mut self, row: &Row, entry: Option<&Entry>, decided: bool) -> Result<(), Refusal> {
        match entry {
            Some(entry) => self.read(row, entry, decided)?,
            None => self.undecided(row.index),
        }
        self.tree.append(row.hash);
        (self.last, self.entries) = (Some(row.hash), self.entries + 1);
        match &self.checkpoint {
            Some(signed) if signed.size == self.tree.size() && signed.root != self.tree.root() => {
                let detail =
                    format!("row {}: the tree's root is {}, signed was {}", row.index, self.tree.root(), signed.root);
                Err(Refusal::new(Reason::LogBroken, detail))
            }
            _ => Ok(()),
        }
    }

    fn read(&mut self, row: &Row, entry: &Entry, decided: bool) -> Result<(), Refusal> {
        if let Body::Inception(inception) = &entry.body {
            let hash = leaf_hash(&row.bytes);
            if let Some(pinned) = self.pinned.filter(|pinned| *pinned != hash) {
                let detail = format!("row 0: the log is of the lattice {hash}, pinned is {pinned}");
                return Err(Refusal::new(Reason::LogBroken, detail));
            }
            self.under(&inception.log_key, row.index)?;
        }
        if let Body::Governance(judged) = &entry.body {
            for event in &judged.events {
                if let Event::WarrantInstalled(WarrantInstalled { log_key: Some(key), .. }) = event {
                    self.under(key, row.index)?;
                }
            }
        }
        match &entry.body {
            _ if !decided => self.undecided(row.index),
            _ if !policy::decide::judges_again(entry.law) => self.older_law += 1,
            Body::Ruling(_) => self.rulings += 1,
            Body::Governance(_) | Body::Refusal(_) => self.judged += 1,
            Body::Inception(_) | Body::Door(_) | Body::Report(_) | Body::Clock(_) | Body::Lost(_) => {}
        }
        Ok(())
    }

    fn undecided(&mut self, index: u64) {
        match self.undecided.last_mut() {
            Some((_, end)) if *end == index => *end += 1,
            _ => self.undecided.push((index, index + 1)),
        }
    }

    // From this row on the log is signed for by this key, and by no other (T66).
    fn under(&mut self, key: &str, index: u64) -> Result<(), Refusal> {
        if let Some(signed) = self.checkpoint.as_ref().filter(|signed| signed.size > index) {
            let detail =
                format!("the checkpoint of {} entries is signed by a key that was replaced at {index}", signed.size);
            return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
        }
        let Some(note) = &self.note else { return Ok(()) };
        if let Ok(checkpoint) = NoteKey::parse(key)?.open(note) {
            if checkpoint.size <= index {
                let detail =
                    format!("the checkpoint of {} entries is signed by the key of entry {index}", checkpoint.size);
                return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
            }
            (self.checkpoint, self.note) = (Some(checkpoint), None);
        }
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
