//! The proof of exports and segments without the database: one after the other, as one log.
//!
//! From the first entry on they are a log, and what has its evidence is decided again. Those that begin later are held
//! to their own chain; then nobody here knows the key that a seal must be signed by.

use std::path::PathBuf;

use policy::digest::Digest;
use policy::log::{Entry, Frontier, Ledger, NoteKey, Rejudge, Sealed};
use policy::reason::{Reason, Refusal};

use super::{Against, Verdict, Walk};
use crate::error::Error;
use crate::export::{Item, Line, Lines, Seal};
use crate::store::Row;

/// Proves exports, in their order; `progress` is called for each line.
///
/// # Errors
/// [`Error::Io`]; what does not follow is a verdict.
pub async fn exports(files: &[PathBuf], against: Against, mut progress: impl FnMut()) -> Result<Verdict, Error> {
    let mut proof =
        Proof { walk: Walk::against(against)?, ledger: None, first: None, next: 0, hashes: Vec::new(), file: None };
    for path in files {
        let mut lines = Lines::open(path)?;
        proof.file = None;
        loop {
            let stepped = match lines.next_item() {
                Ok(None) => break,
                Ok(Some(Item::Line(line))) => proof.line(line, &lines),
                Ok(Some(Item::Seal(seal))) => proof.seal(&seal),
                Err(Error::Refused(refusal)) => return Ok(Err(proof.walk.broken(refusal))),
                Err(error) => return Err(error),
            };
            progress();
            if let Err(refusal) = stepped {
                return Ok(Err(proof.walk.broken(lines.named(refusal))));
            }
        }
    }
    let lattice = proof.ledger.as_ref().map(|ledger| ledger.state().lattice().clone());
    let head = proof.ledger.as_ref().map(Ledger::head);
    if proof.first.is_none() {
        return Ok(Err(proof.walk.broken(Refusal::new(Reason::ExportMismatch, "there is no line"))));
    }
    if let (None, Some(first)) = (head, proof.first)
        && (proof.walk.pinned.is_some() || !proof.walk.brought.is_empty())
    {
        // Both are held against the tree from its first leaf on.
        let detail =
            format!("it begins with entry {first}: `--root` and `--checkpoint` prove what begins with entry 0");
        return Ok(Err(proof.walk.broken(Refusal::new(Reason::ExportMismatch, detail))));
    }
    Ok(proof.walk.end(head, lattice, head.is_some()))
}

struct Proof {
    walk: Walk,
    ledger: Option<Ledger>,
    first: Option<u64>,
    next: u64,
    // The hashes since the last seal, where the tree before them is not known: a seal tells it.
    hashes: Vec<Digest>,
    // What the seal that is to come says its entries begin with: the first of them, and the tree over those before it.
    file: Option<(u64, Vec<Digest>)>,
}

impl Proof {
    fn line(&mut self, line: Line, lines: &Lines) -> Result<(), Refusal> {
        let first = *self.first.get_or_insert(line.index);
        self.file.get_or_insert_with(|| (line.index, self.walk.tree.peaks().to_vec()));
        if self.walk.entries > 0 && line.index != self.next {
            return Err(broken(format!("it is entry {}, the next is {}", line.index, self.next)));
        }
        let row = Row { index: line.index, hash: line.hash, bytes: line.bytes.clone() };
        let entry = row.entry()?;
        let decided = match &entry {
            Some(entry) if first == 0 => self.fold(&row, entry, &line, lines)?,
            Some(entry) => self.follows(entry, line.index)?,
            None => {
                self.ledger.as_mut().map_or(Ok(()), |ledger| ledger.pass(row.index, row.hash))?;
                false
            }
        };
        self.walk.step(&row, entry.as_ref(), decided)?;
        self.next = line.index + 1;
        if first > 0 {
            self.hashes.push(row.hash);
        }
        Ok(())
    }

    fn fold(&mut self, row: &Row, entry: &Entry, line: &Line, lines: &Lines) -> Result<bool, Refusal> {
        let Some(ledger) = &mut self.ledger else {
            self.ledger = Some(crate::rules::reading(Ledger::begin(&row.bytes)?));
            return Ok(true);
        };
        let complete = entry.evidence.is_empty() || line.document.is_some();
        let kept = lines.kept(line, entry);
        ledger.replay(&row.bytes, if complete { Rejudge::Yes(&kept) } else { Rejudge::No })?;
        Ok(complete)
    }

    fn follows(&self, entry: &Entry, index: u64) -> Result<bool, Refusal> {
        if entry.index != index || self.walk.last.is_some_and(|last| last != entry.prev) {
            return Err(broken("it does not follow from the one before"));
        }
        Ok(false)
    }

    fn seal(&mut self, seal: &Seal) -> Result<(), Refusal> {
        let ((first, before), next) = (self.file.take().unwrap_or_default(), self.next);
        if (seal.first, seal.size) != (first, next) {
            let detail = format!("the seal is for entries {} to {}, here are {first} to {next}", seal.first, seal.size);
            return Err(broken(detail));
        }
        let Some(ledger) = &self.ledger else {
            // Only the arithmetic: the tree before, with these entries, is the tree after.
            let mut tree = Frontier::of_peaks(seal.first, seal.peaks_before.clone()).ok_or_else(unfit)?;
            std::mem::take(&mut self.hashes).into_iter().for_each(|hash| tree.append(hash));
            return if tree.peaks() == seal.peaks { Ok(()) } else { Err(unfit()) };
        };
        let signed = NoteKey::parse(ledger.state().log_key())?.open_seal(seal.checkpoint.as_bytes());
        let Sealed { checkpoint: end, first, rests, .. } =
            signed.map_err(|refusal| broken(format!("the seal: {refusal}")))?;
        let (head, tree) = (ledger.head(), &self.walk.tree);
        let found = (tree.size(), tree.root(), head.last, head.epoch, head.rests, seal.first);
        let signed = (end.size, end.root, end.last, end.epoch, rests, first);
        let fits = signed == found && before == seal.peaks_before && tree.peaks() == seal.peaks;
        if fits { Ok(()) } else { Err(unfit()) }
    }
}

fn unfit() -> Refusal {
    broken("the seal is of another log")
}

fn broken(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::LogBroken, detail)
}
