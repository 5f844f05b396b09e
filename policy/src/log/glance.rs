//! As much of an entry as walking back along the chain takes.

use serde::Deserialize;

use super::entry::{Entry, EntryKind};
use crate::digest::Digest;
use crate::reason::{Reason, Refusal};

/// What an entry says of its time, of the entry before it, and of the question that it decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The hash of the entry before.
    pub prev: Digest,
    /// SHA-256 of the request's token, of a ruling.
    pub asked: Option<Digest>,
}

impl Entry {
    /// Looks at the bytes of an entry whose hash is known already, so that their form needs no proof.
    ///
    /// # Errors
    /// `log_broken` when they are no entry at all.
    pub fn glance(bytes: &[u8]) -> Result<Glance, Refusal> {
        let wire: Wire =
            serde_json::from_slice(bytes).map_err(|error| Refusal::new(Reason::LogBroken, error.to_string()))?;
        let asked = wire.body.request_sha256.filter(|_| wire.kind == EntryKind::Ruling);
        Ok(Glance { at_ms: wire.at_ms, prev: wire.prev, asked })
    }
}

#[derive(Deserialize)]
struct Wire {
    at_ms: u64,
    kind: EntryKind,
    prev: Digest,
    body: Asked,
}

#[derive(Deserialize)]
struct Asked {
    request_sha256: Option<Digest>,
}
