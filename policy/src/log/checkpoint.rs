//! Checkpoints: C2SP signed notes (c2sp.org/signed-note, c2sp.org/tlog-checkpoint) of the log's size and root.
//!
//! Two extension lines follow the root: the epoch, and the hash of the newest entry. The log's key is a note key, not
//! an nkey. It signs the seals of segments besides, which are checkpoints with three lines more, and neither is read as the
//! other.

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, VerifyingKey};

use crate::digest::Digest;
use crate::name::Lattice;
use crate::reason::{Reason, Refusal};

/// The size and root of the log at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Digest,
    /// The index of the newest governance event.
    pub epoch: u64,
    /// The hash of the newest entry.
    pub last: Digest,
}

/// What the log's key says of a segment: where it ends, and what it leaves in the log.
///
/// Everybody holds checkpoints, and only who signs for the log holds one of these: who cannot, moves no entry out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The end of the segment.
    pub checkpoint: Checkpoint,
    /// The index of its first entry.
    pub first: u64,
    /// SHA-256 over the hashes of the entries that leave their bytes there, in order.
    pub moved: Digest,
    /// The digest of all that the fold rests on up to its end, as [`crate::log::Head`] has it.
    pub rests: Digest,
}

/// The public half of the log's key: `<origin>+<id>+<key>`, as the inception and the warrant spell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteKey {
    origin: String,
    id: [u8; 4],
    key: VerifyingKey,
}

// The note algorithm number of Ed25519.
const ED25519: u8 = 1;

impl NoteKey {
    /// The key of a lattice's log.
    ///
    /// # Errors
    /// `key_weak` when the bytes are no usable point.
    pub fn of(lattice: &Lattice, raw: &[u8; 32]) -> Result<Self, Refusal> {
        Self::new(format!("countersign/{lattice}"), raw)
    }

    /// Reads a verifier key.
    ///
    /// # Errors
    /// `key_malformed` or `key_weak`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let malformed = || Refusal::new(Reason::KeyMalformed, "not a note verifier key: `<origin>+<id>+<key>`");
        let mut parts = text.splitn(3, '+');
        let (Some(origin), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        let bytes = BASE64.decode(key.as_bytes()).map_err(|_| malformed())?;
        let Some((&ED25519, raw)) = bytes.split_first() else {
            return Err(malformed());
        };
        let note_key = Self::new(origin.to_owned(), &raw.try_into().map_err(|_| malformed())?)?;
        if note_key.to_string() == text { Ok(note_key) } else { Err(malformed()) }
    }

    /// The raw bytes, by which keys are compared over all roles.
    pub fn raw(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// The signed note of a text, that of a checkpoint or of a seal, once it was signed.
    pub fn note(&self, text: &str, signature: &[u8; 64]) -> String {
        let line = BASE64.encode(&[self.id.as_slice(), signature].concat());
        format!("{text}\n\u{2014} {} {line}\n", self.origin)
    }

    /// Opens a signed checkpoint.
    ///
    /// # Errors
    /// `signature_invalid` or `schema_mismatch`.
    pub fn open(&self, note: &[u8]) -> Result<Checkpoint, Refusal> {
        let read = Checkpoint::read(&self.signed(note)?);
        read.filter(|checkpoint| checkpoint.origin == self.origin).ok_or_else(malformed)
    }

    /// Opens the seal of a segment.
    ///
    /// # Errors
    /// As [`NoteKey::open`]; a checkpoint is no seal.
    pub fn open_seal(&self, note: &[u8]) -> Result<Sealed, Refusal> {
        let read = Sealed::read(&self.signed(note)?);
        read.filter(|sealed| sealed.checkpoint.origin == self.origin).ok_or_else(malformed)
    }

    // The text of a note that this key signed.
    fn signed(&self, note: &[u8]) -> Result<String, Refusal> {
        if note.len() > MAX_NOTE {
            return Err(malformed());
        }
        let note = std::str::from_utf8(note).map_err(|_| malformed())?;
        let (text, signatures) = note.rsplit_once("\n\n").ok_or_else(malformed)?;
        let text = format!("{text}\n");
        let prefix = format!("\u{2014} {} ", self.origin);
        let line = signatures.lines().find_map(|line| line.strip_prefix(&prefix)).ok_or_else(malformed)?;
        let bytes = BASE64.decode(line.as_bytes()).map_err(|_| malformed())?;
        let Some((_, signature)) = bytes.split_first_chunk::<4>().filter(|(id, _)| **id == self.id) else {
            return Err(malformed());
        };
        let signature = Signature::from_slice(signature).map_err(|_| malformed())?;
        let verified = self.key.verify_strict(text.as_bytes(), &signature);
        let other = |_| Refusal::new(Reason::SignatureInvalid, format!("the checkpoint is not signed by `{self}`"));
        verified.map(|()| text).map_err(other)
    }

    fn new(origin: String, raw: &[u8; 32]) -> Result<Self, Refusal> {
        let key = *crate::key::Name::<crate::key::Decision>::from_raw(*raw).usable()?.verifying();
        let hash = Digest::of_parts(&[origin.as_bytes(), b"\n", &[ED25519], raw]);
        let [a, b, c, d, ..] = *hash.as_bytes();
        Ok(Self { origin, id: [a, b, c, d], key })
    }
}

impl std::fmt::Display for NoteKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = BASE64.encode(&[&[ED25519], self.key.as_bytes().as_slice()].concat());
        write!(f, "{}+{}+{key}", self.origin, HEXLOWER.encode(&self.id))
    }
}

const MAX_NOTE: usize = 4096;

fn malformed() -> Refusal {
    Refusal::new(Reason::SchemaMismatch, "not a signed checkpoint")
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        let root = BASE64.encode(self.root.as_bytes());
        format!("{}\n{}\n{root}\nepoch {}\nlast {}\n", self.origin, self.size, self.epoch, self.last)
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let origin = lines.next()?.to_owned();
        let size = lines.next()?.parse().ok()?;
        let root = Digest::from_bytes(BASE64.decode(lines.next()?.as_bytes()).ok()?.try_into().ok()?);
        let epoch = lines.next()?.strip_prefix("epoch ")?.parse().ok()?;
        let last = Digest::parse(lines.next()?.strip_prefix("last ")?).ok()?;
        let checkpoint = Self { origin, size, root, epoch, last };
        (checkpoint.text() == text).then_some(checkpoint)
    }
}

impl Sealed {
    /// The text that is signed.
    pub fn text(&self) -> String {
        let Self { checkpoint, first, moved, rests } = self;
        format!("{}first {first}\nmoved {moved}\nrests {rests}\n", checkpoint.text())
    }

    fn read(text: &str) -> Option<Self> {
        let (end, _) = text.match_indices("\nfirst ").next()?;
        let (checkpoint, told) = text.split_at_checked(end + 1)?;
        let mut lines = told.lines();
        let first = lines.next()?.strip_prefix("first ")?.parse().ok()?;
        let moved = Digest::parse(lines.next()?.strip_prefix("moved ")?).ok()?;
        let rests = Digest::parse(lines.next()?.strip_prefix("rests ")?).ok()?;
        let sealed = Self { checkpoint: Checkpoint::read(checkpoint)?, first, moved, rests };
        (sealed.text() == text).then_some(sealed)
    }
}
