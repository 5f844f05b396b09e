//! Where old entries lie in segments: each segment is held to the tree, and to what it took out of the log, by the seal that
//! the log's key signed; and it has an entry that says so.

use std::path::Path;

use policy::digest::Digest;
use policy::log::{Body, Checkpoint, Entry, Freezing, Frontier, Ledger, NoteKey, Sealed};
use policy::reason::{Reason, Refusal};
use sha2::{Digest as _, Sha256};
use sqlx::SqliteConnection;

use super::Row;
use crate::error::Error;
use crate::store::sqlite::failed;

/// A file that old entries were moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The index of its first entry.
    pub first: u64,
    /// How many entries the log had at its end.
    pub size: u64,
    /// The digest of the file.
    pub sha256: Digest,
    /// Its signed seal.
    pub seal: Vec<u8>,
}

impl Segment {
    /// Whether the entry of that index lies in it.
    pub const fn holds(&self, index: u64) -> bool {
        self.first <= index && index < self.size
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        name_of(self.first, self.size)
    }
}

/// The name of a segment's file, which sorts as the log does.
pub(crate) fn name_of(first: u64, size: u64) -> String {
    format!("segment-{first:012}-{size:012}.jsonl")
}

/// Holds the segments to the tree, row by row.
pub(super) struct Segments<'a> {
    left: &'a [Segment],
    tree: Frontier,
    // Rows without bytes in the segment that is being passed: how many, and their hashes.
    moved: u64,
    hashes: Sha256,
    // Segments that were passed, and how many rows lie in each, until an entry tells of it.
    passed: Vec<(&'a Segment, u64)>,
}

impl<'a> Segments<'a> {
    pub(super) fn of(segments: &'a [Segment]) -> Self {
        let (tree, hashes) = (Frontier::default(), Sha256::new());
        Self { left: segments, tree, moved: 0, hashes, passed: Vec::new() }
    }

    /// The next row, of which this ledger is the fold, and whether it was moved: its bytes may have been found since. Who
    /// cannot sign for the log cannot say that a row lies elsewhere.
    pub(super) fn step(
        &mut self,
        ledger: Option<&Ledger>,
        (row, moved): (&Row, bool),
        entry: Option<&Entry>,
    ) -> Result<(), Refusal> {
        if let Some(Body::Freeze(freezing)) = entry.map(|entry| &entry.body) {
            self.told(freezing)?;
        }
        let Some((segment, rest)) = self.left.split_first() else {
            let homeless = row.is_frozen().then(|| broken("its bytes are neither here nor in a segment"));
            return homeless.map_or(Ok(()), Err);
        };
        self.tree.append(row.hash);
        if moved {
            self.moved += 1;
            self.hashes.update(row.hash.as_bytes());
        }
        if self.tree.size() < segment.size {
            return Ok(());
        }
        let ledger = ledger.ok_or_else(|| broken("the log does not begin"))?;
        let signed = NoteKey::parse(ledger.state().log_key())?.open_seal(&segment.seal);
        let signed = signed.map_err(|refusal| broken(&format!("the seal of its segment: {refusal}")))?;
        let (head, hashes) = (ledger.head(), std::mem::take(&mut self.hashes));
        let checkpoint = Checkpoint {
            origin: signed.checkpoint.origin.clone(),
            size: self.tree.size(),
            root: self.tree.root(),
            epoch: head.epoch,
            last: head.last,
        };
        let moved = Digest::from_bytes(hashes.finalize().into());
        if signed != (Sealed { checkpoint, first: segment.first, moved, rests: head.rests }) {
            return Err(broken("the seal of its segment is of another log, or other rows lie in it"));
        }
        self.passed.push((segment, std::mem::take(&mut self.moved)));
        self.left = rest;
        Ok(())
    }

    /// Whether the log, which ends here, goes as far as its segments, and tells of each.
    pub(super) fn end(&self) -> Result<(), Refusal> {
        if let Some(segment) = self.left.first() {
            return Err(broken(&format!("it ends before entry {}, where a segment of it does", segment.size)));
        }
        match self.passed.first() {
            Some((segment, _)) => Err(broken(&format!("no entry tells of its segment before entry {}", segment.size))),
            None => Ok(()),
        }
    }

    // What an interrupted freeze told of is no segment.
    fn told(&mut self, freezing: &Freezing) -> Result<(), Refusal> {
        let Freezing { first, size, moved, sha256 } = *freezing;
        let of_it = |(segment, _): &(&Segment, u64)| (segment.first, segment.size) == (first, size);
        let Some(at) = self.passed.iter().position(of_it) else { return Ok(()) };
        let (segment, frozen) = self.passed.remove(at);
        match (frozen == moved, segment.sha256 == sha256) {
            (true, true) => Ok(()),
            (true, false) => Err(broken("the file of its segment is another than it says")),
            (false, _) => Err(broken("other rows lie in its segment than it says: one was hidden there, or put back")),
        }
    }
}

fn broken(detail: &str) -> Refusal {
    Refusal::new(Reason::LogBroken, detail)
}

/// The segments of a log, which follow one another without a gap.
pub(super) async fn segments(connection: &mut SqliteConnection, path: &Path) -> Result<Vec<Segment>, Error> {
    let rows = sqlx::query_as("SELECT first, size, sha256, checkpoint FROM segments ORDER BY size");
    let rows: Vec<(i64, i64, Vec<u8>, Vec<u8>)> =
        rows.fetch_all(&mut *connection).await.map_err(failed("read", path))?;
    let mut next = 0;
    let mut segments = Vec::with_capacity(rows.len());
    for (first, size, sha256, seal) in rows {
        let broken = || Error::refused(Reason::LogBroken, format!("the segment before entry {size} does not follow"));
        let (first, size) = (u64::try_from(first).map_err(|_| broken())?, u64::try_from(size).map_err(|_| broken())?);
        let sha256 = <[u8; 32]>::try_from(sha256).map_err(|_| broken())?;
        if first != next {
            return Err(broken());
        }
        next = size;
        segments.push(Segment { first, size, sha256: Digest::from_bytes(sha256), seal });
    }
    let homeless = sqlx::query_scalar("SELECT idx FROM frozen WHERE idx >= ? LIMIT 1").bind(next.cast_signed());
    let homeless: Option<i64> = homeless.fetch_optional(connection).await.map_err(failed("read", path))?;
    if let Some(index) = homeless {
        return Err(Error::refused(Reason::LogBroken, format!("row {index} is frozen, and in no segment")));
    }
    Ok(segments)
}

/// The rows from an index on, those without bytes among them, by two primary keys.
pub(super) const HASHES: &str = "SELECT hash FROM (SELECT idx, hash FROM entries WHERE idx >= ?1 \
    UNION ALL SELECT idx, hash FROM frozen WHERE idx >= ?1 ORDER BY idx LIMIT ?2)";
pub(super) const PLACES: &str = "SELECT idx, hash, bytes FROM entries WHERE idx >= ?1 \
    UNION ALL SELECT idx, hash, x'' FROM frozen WHERE idx >= ?1 ORDER BY idx LIMIT ?2";
