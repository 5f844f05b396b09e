//! Writes the rows of a log as lines, a page at a time; each is held to its hash and to the one before.

use std::collections::BTreeMap;

use policy::digest::Digest;
use policy::log::{Entry, Evidences};
use policy::reason::{Reason, Refusal};

use super::bulk::Bulk;
use super::line::Line;
use crate::error::Error;
use crate::generations::Generations;
use crate::store::{Kept, LogReader, Row};

/// What goes into a line besides its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// Nothing.
    EntriesAlone,
    /// The document that it judged, and the statements that came with it.
    WithEvidence,
}

/// Rows on their way into lines.
pub struct Writing<'a> {
    log: &'a LogReader,
    bulk: Bulk,
    pieces: Pieces,
    // Statements that a line before has; one that was forgotten is said again, which does no harm.
    told: Generations<Digest, ()>,
    last: Option<Digest>,
    bare: u64,
}

impl<'a> Writing<'a> {
    /// Of this log, with the segments at hand.
    pub fn of(log: &'a LogReader, bulk: Bulk, pieces: Pieces) -> Self {
        Self { log, bulk, pieces, told: Generations::weighing(REMEMBERED), last: None, bare: 0 }
    }

    /// How many lines have no entry so far: it lies in a segment that is not at hand.
    pub const fn bare(&self) -> u64 {
        self.bare
    }

    /// The lines of one page of rows, from an index on and before `end`; and the index to go on at.
    ///
    /// # Errors
    /// `log_broken` with the row that does not follow, [`Error::Store`], or as [`Bulk::find`].
    pub async fn page(&mut self, from: u64, end: u64) -> Result<(Vec<u8>, u64), Error> {
        let most = u32::try_from(end.saturating_sub(from)).unwrap_or(u32::MAX).min(PAGE);
        let (mut lines, mut next) = (Vec::new(), from);
        for row in self.log.rows(from, most).await? {
            let within = |refusal: Refusal| Error::from(refusal.within(format!("row {}", row.index)));
            if row.index != next {
                return Err(within(Refusal::new(Reason::LogBroken, format!("row {next} is missing"))));
            }
            self.line(row.clone()).await?.write(&mut lines);
            (self.last, next) = (Some(row.hash), next + 1);
        }
        Ok((lines, next))
    }

    async fn line(&mut self, row: Row) -> Result<Line, Error> {
        let (index, hash) = (row.index, row.hash);
        let within = |refusal: Refusal| Error::from(refusal.within(format!("row {index}")));
        let found = if row.is_frozen() { self.bulk.find(&row, self.log.segments())? } else { None };
        let (row, found) = found.map_or((row, None), |(row, kept)| (row, Some(kept)));
        let Some(entry) = row.entry().map_err(within)? else {
            self.bare += 1;
            return Ok(Line { index, hash, bytes: Vec::new(), document: None, evidence: BTreeMap::new() });
        };
        if entry.index != index || self.last.is_some_and(|last| last != entry.prev) {
            return Err(within(Refusal::new(Reason::LogBroken, "it does not follow from the one before")));
        }
        let kept = match (self.pieces, found) {
            (Pieces::EntriesAlone, _) => Kept::default(),
            (Pieces::WithEvidence, Some(kept)) => kept,
            (Pieces::WithEvidence, None) => self.log.kept(&entry).await?,
        };
        let (document, evidence) = self.fresh(&entry, &kept);
        Ok(Line { index, hash, bytes: row.bytes, document, evidence })
    }

    fn fresh(&mut self, entry: &Entry, kept: &Kept) -> (Option<Vec<u8>>, BTreeMap<Digest, Vec<u8>>) {
        let Some((document, statements)) = entry.evidence.split_first() else {
            return (None, BTreeMap::new());
        };
        let mut fresh = BTreeMap::new();
        for sha256 in statements {
            if self.told.find(sha256).is_none()
                && let Some(bytes) = kept.find(*sha256)
            {
                self.told.put(*sha256, (), 1);
                fresh.insert(*sha256, bytes);
            }
        }
        (kept.find(*document), fresh)
    }
}

const PAGE: u32 = 256;
const REMEMBERED: usize = 65_536;
