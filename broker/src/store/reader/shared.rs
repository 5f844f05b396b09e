//! What entries share, for a replay that judges them anew: documents are read several at once, statements once, and what
//! was proved of a statement is remembered.
//!
//! A verdict depends on bytes alone, and whatever is found is held to its digest by the replay.

use std::collections::BTreeMap;

use policy::digest::Digest;
use policy::examine::Examiner;
use policy::log::{Entry, Evidences};
use policy::reason::{Reason, Refusal};

use super::{Kept, LogReader, Row, unpack};
use crate::error::Error;
use crate::generations::Generations;
use crate::recall::Recall;

/// What was read and proved so far, within bounds.
pub(super) struct Shared {
    statements: Generations<Digest, Vec<u8>>,
    recall: Recall,
    // Of the rows ahead, as far as they stood there when it was asked: a log grows while it is read.
    documents: BTreeMap<u64, Vec<u8>>,
}

/// The evidence of one entry, and what was proved of it.
pub(super) struct Known<'a> {
    kept: Kept,
    recall: &'a Recall,
}

impl Shared {
    pub(super) fn new() -> Self {
        let statements = Generations::weighing(HEAVIEST);
        Self { statements, recall: Recall::default(), documents: BTreeMap::new() }
    }

    /// The evidence of the entry in that row.
    pub(super) async fn kept(&mut self, log: &LogReader, row: &Row, entry: &Entry) -> Result<Kept, Error> {
        let mut kept = Kept::default();
        if !self.documents.contains_key(&row.index) {
            self.documents = log.documents(row.index, AHEAD).await?;
        }
        let stored = self.documents.remove(&row.index);
        let within = |refusal: Refusal| refusal.within(format!("row {}", row.index));
        let Some((document, statements)) = entry.evidence.split_first() else {
            let nothing = || Refusal::new(Reason::LogBroken, "a document lies beside it, and it rests on none");
            return stored.map_or(Ok(kept), |_| Err(within(nothing()).into()));
        };
        if let Some(stored) = stored {
            kept.0.insert(*document, unpack(stored, &row.bytes).map_err(within)?);
        }
        for sha256 in statements {
            if let Some(bytes) = self.statements.find(sha256) {
                kept.0.insert(*sha256, bytes);
            } else if let Some(bytes) = log.evidence(*sha256).await? {
                self.statements.put(*sha256, bytes.clone(), bytes.len());
                kept.0.insert(*sha256, bytes);
            }
        }
        Ok(kept)
    }

    /// That evidence, with what was proved of it before.
    pub(super) const fn known(&self, kept: Kept) -> Known<'_> {
        Known { kept, recall: &self.recall }
    }
}

impl Evidences for Known<'_> {
    fn find(&self, sha256: Digest) -> Option<Vec<u8>> {
        self.kept.find(sha256)
    }

    fn examiner(&self) -> &dyn Examiner {
        self.recall
    }
}

// How many rows' documents are read at once: the largest command has a mebibyte.
const AHEAD: u64 = 32;
// Bytes of one generation of statements.
const HEAVIEST: usize = 8 * 1024 * 1024;
