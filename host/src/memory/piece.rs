//! Signed pieces of the log that a host holds, the fork that two of them prove, and the file in which both are kept (T65).
//!
//! Which pieces count is left to `record`.

use std::fmt;
use std::path::Path;

use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::growth::Grown;
use policy::log::{Contradiction, NoteKey, Place};
use policy::reason::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::record::Record;
use super::{make_folder, put};
use crate::error::Error;

/// A signed piece of the log, as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Piece {
    /// A signed note.
    Checkpoint(String),
    /// An answer with its warrant attached.
    Answer {
        /// The answer.
        answer: String,
        /// The token of the question that it answers.
        question: String,
    },
    /// An answer that should prove that the log only grew, with its warrant attached.
    Growth {
        /// The answer; the signed note of its end stands in it.
        answer: String,
        /// The token of the question that it answers.
        question: String,
    },
    /// The pinned first entry, which every log of the lattice begins with.
    FirstEntry,
}

impl Piece {
    /// The signed note that it is, or brings.
    pub(super) fn note(&self) -> Option<String> {
        match self {
            Self::Checkpoint(note) => Some(note.clone()),
            Self::Growth { answer, .. } => {
                let grown = Unverified::<Grown>::parse(answer.as_bytes()).ok()?;
                Some(grown.says().checkpoint.clone())
            }
            Self::Answer { .. } | Self::FirstEntry => None,
        }
    }

    // The warrant that came along.
    fn warrant(&self) -> Option<&str> {
        match self {
            Self::Answer { answer, .. } | Self::Growth { answer, .. } => answer.split('\n').nth(1),
            Self::Checkpoint(_) | Self::FirstEntry => None,
        }
    }
}

/// A piece, and the place that it tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// The place.
    pub place: Place,
    /// The piece.
    pub piece: Piece,
}

/// Two pieces that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// When they were found, by the host's clock, in milliseconds since 1970.
    pub found_at_ms: u64,
    /// How they contradict each other.
    pub contradiction: Contradiction,
    /// What the host held.
    pub held: Shown,
    /// What it met.
    pub met: Shown,
    /// The file that keeps both, in the folder `evidence`.
    pub file: String,
    /// Its digest.
    pub sha256: Digest,
}

/// Which of two pieces an operator goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// What the host held.
    Held,
    /// What it met.
    Met,
}

impl Shown {
    /// Opens a checkpoint under the log's key.
    ///
    /// # Errors
    /// `signature_invalid`, or `schema_mismatch`.
    pub(crate) fn checkpoint(log_key: &str, note: &[u8]) -> Result<Self, Refusal> {
        let malformed = |what: &str| Refusal::new(Reason::SchemaMismatch, what);
        let checkpoint = NoteKey::parse(log_key)?.open(note)?;
        let place = Place::of_checkpoint(&checkpoint)
            .ok_or_else(|| malformed("the checkpoint is empty, or its epoch lies after its end"))?;
        let note = String::from_utf8(note.to_vec()).map_err(|_| malformed("the checkpoint is no text"))?;
        Ok(Self { place, piece: Piece::Checkpoint(note) })
    }

    const fn is_checkpoint(&self) -> bool {
        matches!(self.piece, Piece::Checkpoint(_))
    }
}

impl Fork {
    pub(super) fn new(
        record: &Record,
        found_at_ms: u64,
        contradiction: Contradiction,
        (held, met): (Shown, Shown),
    ) -> Self {
        let file = format!("{found_at_ms}.json");
        let fork = Self { found_at_ms, contradiction, held, met, file, sha256: Digest::of(b"") };
        Self { sha256: Digest::of(&fork.evidence(record)), ..fork }
    }

    /// Whether one of its pieces is signed by the log's key.
    pub(super) const fn rests_on_log_key(&self) -> bool {
        self.held.is_checkpoint() || self.met.is_checkpoint()
    }

    /// Keeps both pieces, on the disk before it returns.
    pub(super) fn keep(&self, dir: &Path, record: &Record) -> Result<(), Error> {
        let folder = dir.join(EVIDENCE);
        let failed = |source| Error::file("keep evidence in", &folder, source);
        make_folder(&folder).map_err(failed)?;
        put(&folder, &self.file, &self.evidence(record)).map_err(failed)
    }

    /// Notes beside the evidence how it ended, on the disk before it returns.
    pub(super) fn note(&self, dir: &Path, ended: &Value) -> Result<(), Error> {
        let folder = dir.join(EVIDENCE);
        let failed = |source| Error::file("note what was looked at in", &folder, source);
        make_folder(&folder).map_err(failed)?;
        let name = self.file.replace(".json", ENDED);
        put(&folder, &name, ended.to_string().as_bytes()).map_err(failed)
    }

    // All that somebody else needs to judge it: the pinned root, the keys that the roots named, both pieces.
    fn evidence(&self, record: &Record) -> Vec<u8> {
        // The newest that came with anything.
        let warrant = self.met.piece.warrant().or_else(|| record.answer.as_ref()?.piece.warrant());
        let evidence = json!({
            "found_at_ms": self.found_at_ms,
            "contradiction": self.contradiction,
            "says": self.contradiction.to_string(),
            "host": record.host,
            "lattice": record.lattice,
            "root": record.root,
            "inception": record.inception,
            "changes": record.changes,
            "log_key": record.log_key,
            "warrant": warrant,
            "held": self.held,
            "met": self.met,
        });
        let text = serde_json::to_vec_pretty(&evidence).unwrap_or_default();
        [text.as_slice(), b"\n"].concat()
    }
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, met) = (self.held.place.index, self.met.place.index);
        write!(
            f,
            "of two signed pieces, entry {held} that this host held and entry {met} that it met, {}; both are kept in \
             `{EVIDENCE}/{}`",
            self.contradiction, self.file
        )
    }
}

/// What is kept of forks in a host's folder: each with its file, and how it ended where it did.
///
/// # Errors
/// When the folder or a file of it cannot be read.
pub fn kept(dir: &Path) -> Result<Vec<Value>, Error> {
    let folder = dir.join(EVIDENCE);
    let failed = |source| Error::file("read the evidence in", &folder, source);
    let entries = match std::fs::read_dir(&folder) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.retain(|name| name.ends_with(".json") && !name.ends_with(ENDED));
    names.sort();
    let read = |name: &str| {
        let bytes = std::fs::read(folder.join(name)).map_err(failed)?;
        let mut evidence: Value = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!({"altered": true}));
        let ended = std::fs::read(folder.join(name.replace(".json", ENDED))).ok();
        if let Some(members) = evidence.as_object_mut() {
            members.insert("file".to_owned(), json!(folder.join(name)));
            let ended = ended.and_then(|ended| serde_json::from_slice::<Value>(&ended).ok());
            members.extend(ended.map(|ended| ("ended".to_owned(), ended)));
        }
        Ok(evidence)
    };
    names.iter().map(|name| read(name)).collect()
}

const EVIDENCE: &str = "evidence";
const ENDED: &str = ".ended.json";
