//! Reads the log beside whoever writes it: rows in order, documents and statements, and replay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use policy::digest::Digest;
use policy::govern::HostKeys;
use policy::log::{Entry, Evidences, Ruling, leaf_hash};
use policy::reason::{Reason, Refusal};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::Mutex;

use super::packed::unpack;
use super::recorded::Recorded;
use super::schema::LOG;
use super::shelf::Shelf;
use super::sqlite::{failed, open_to_read};
use crate::error::Error;
use crate::export::Bulk;

mod chain;
mod fold;
mod frozen;
mod gleaned;
mod shared;

use chain::PAGE;
pub use chain::follow;
pub(crate) use chain::{Chain, Reading};
pub(crate) use fold::{Folded, Opening};
pub use frozen::Segment;
pub(crate) use frozen::name_of;
pub(crate) use gleaned::{Asked, Gleaned};

/// Read-only access to a log; a broker may write it meanwhile.
pub struct LogReader {
    connection: Mutex<SqliteConnection>,
    path: PathBuf,
    // Where old entries lie in segments; a log without any is read without looking for them.
    segments: Vec<Segment>,
    // Whether it names what the fold rests on; one that nobody has opened to write since may not.
    names_folds: bool,
    // Where segments are at hand, for whoever asks for an entry of one.
    at_hand: Option<PathBuf>,
}

/// One row of the log, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its index.
    pub index: u64,
    /// The hash that stands beside its bytes.
    pub hash: Digest,
    /// Its bytes; none where they lie in a segment.
    pub bytes: Vec<u8>,
}

/// Pieces of evidence, fetched ahead for a replay that waits for nothing.
#[derive(Debug, Default)]
pub struct Kept(pub(crate) BTreeMap<Digest, Vec<u8>>);

impl LogReader {
    /// Opens a log to read.
    ///
    /// # Errors
    /// [`Error::Unsafe`] when the file is no log of ours, [`Error::Store`] when it cannot be read.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let (mut connection, version) = open_to_read(path, &LOG).await?;
        let segments = if version < FREEZES { Vec::new() } else { frozen::segments(&mut connection, path).await? };
        let (connection, names_folds) = (Mutex::new(connection), version >= FOLDS);
        Ok(Self { connection, path: path.to_owned(), segments, names_folds, at_hand: None })
    }

    /// The same, with the segments that lie in that folder at hand for [`LogReader::whole`].
    pub fn with_segments(self, folder: Option<&Path>) -> Self {
        Self { at_hand: folder.map(Path::to_owned), ..self }
    }

    /// Closes it, so that nobody waits for it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn close(self) -> Result<(), Error> {
        self.connection.into_inner().close().await.map_err(failed("close", &self.path))
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn size(&self) -> Result<u64, Error> {
        let mut connection = self.connection.lock().await;
        let last = sqlx::query_scalar("SELECT max(idx) FROM entries").fetch_one(&mut *connection);
        let last: Option<i64> = last.await.map_err(failed("read", &self.path))?;
        Ok(last.map_or(0, |last| last.cast_unsigned().saturating_add(1)))
    }

    /// At most `limit` rows from an index on, in order; those that lie in segments without their bytes.
    ///
    /// # Errors
    /// [`Error::Store`], or `log_broken` for a row of an impossible shape.
    pub async fn rows(&self, from: u64, limit: u32) -> Result<Vec<Row>, Error> {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query_as(if self.segments.is_empty() { WHOLE } else { frozen::PLACES });
        let rows = rows.bind(from).bind(i64::from(limit)).fetch_all(&mut *connection).await;
        let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = rows.map_err(failed("read", &self.path))?;
        rows.into_iter().map(|(index, hash, bytes)| Row::read(index, hash, bytes)).collect()
    }

    /// At most `limit` hashes from an index on, in order, as they stand beside the bytes: whoever uses them proves them.
    ///
    /// # Errors
    /// As [`LogReader::rows`].
    pub async fn hashes(&self, from: u64, limit: u32) -> Result<Vec<Digest>, Error> {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let mut connection = self.connection.lock().await;
        let hashes = sqlx::query_scalar(if self.segments.is_empty() { HASHES } else { frozen::HASHES });
        let hashes = hashes.bind(from).bind(i64::from(limit)).fetch_all(&mut *connection).await;
        let hashes: Vec<Vec<u8>> = hashes.map_err(failed("read", &self.path))?;
        let read = hashes.into_iter().map(|hash| <[u8; 32]>::try_from(hash).map(Digest::from_bytes));
        let read: Result<_, _> = read.collect();
        read.map_err(|_| Error::refused(Reason::LogBroken, "the hash of a row has not 32 bytes"))
    }

    /// What is derived from this log, and lies beside it.
    pub fn shelf(&self) -> Shelf {
        Shelf::beside(&self.path)
    }

    /// The row of an index.
    ///
    /// # Errors
    /// As [`LogReader::rows`].
    pub async fn row(&self, index: u64) -> Result<Option<Row>, Error> {
        Ok(self.rows(index, 1).await?.into_iter().find(|row| row.index == index))
    }

    /// One row with its entry and what that rests on: from its segment, where it lies in one that is at hand.
    ///
    /// # Errors
    /// As [`LogReader::rows`]; `log_broken` when it is missing or does not hold, `segment_missing` when its segment is not
    /// at hand.
    pub async fn whole(&self, index: u64) -> Result<(Row, Entry, Kept), Error> {
        let row = self.row(index).await?;
        let row = row.ok_or_else(|| Error::refused(Reason::LogBroken, format!("row {index} is missing")))?;
        if let Some(entry) = row.entry()? {
            let kept = self.kept(&entry).await?;
            return Ok((row, entry, kept));
        }
        let found = Bulk::of(self.at_hand.as_deref()).find(&row, &self.segments)?;
        let (row, kept) = found.ok_or_else(|| Error::from(self.elsewhere(index)))?;
        let entry = row.entry()?.ok_or_else(|| self.elsewhere(index))?;
        Ok((row, entry, kept))
    }

    /// That the bytes of a row lie in a segment.
    pub fn elsewhere(&self, index: u64) -> Refusal {
        let name = self.segments.iter().find(|segment| segment.holds(index)).map(Segment::file_name);
        let detail = format!("entry {index} lies in `{}`", name.unwrap_or_else(|| "a segment".to_owned()));
        Refusal::new(Reason::SegmentMissing, detail)
    }

    /// The newest rows, at most `limit`, in order.
    ///
    /// # Errors
    /// As [`LogReader::rows`].
    pub async fn tail(&self, limit: u32) -> Result<Vec<Row>, Error> {
        let size = self.size().await?;
        self.rows(size.saturating_sub(u64::from(limit)), limit).await
    }

    /// One statement that came with a document.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn evidence(&self, sha256: Digest) -> Result<Option<Vec<u8>>, Error> {
        let mut connection = self.connection.lock().await;
        let found = sqlx::query_scalar("SELECT bytes FROM evidence WHERE sha256 = ?").bind(sha256.as_bytes().to_vec());
        found.fetch_optional(&mut *connection).await.map_err(failed("read", &self.path))
    }

    /// The pieces of evidence after a digest, in the order of their digests; none at the end.
    ///
    /// # Errors
    /// [`Error::Store`], or `log_broken` for a row of an impossible shape.
    pub async fn evidence_after(&self, after: Option<Digest>) -> Result<Vec<(Digest, Vec<u8>)>, Error> {
        let after = after.map_or_else(Vec::new, |sha256| sha256.as_bytes().to_vec());
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query_as("SELECT sha256, bytes FROM evidence WHERE sha256 > ? ORDER BY sha256 LIMIT ?");
        let rows = rows.bind(after).bind(i64::from(PAGE)).fetch_all(&mut *connection).await;
        let rows: Vec<(Vec<u8>, Vec<u8>)> = rows.map_err(failed("read", &self.path))?;
        let read = rows.into_iter().map(|(sha256, bytes)| {
            let sha256 = <[u8; 32]>::try_from(sha256).map_err(|_| "the digest of a piece of evidence has not 32 bytes");
            Ok((Digest::from_bytes(sha256?), bytes))
        });
        read.collect::<Result<_, &str>>().map_err(|what| Error::refused(Reason::LogBroken, what))
    }

    /// The signed document that an entry judged; none beside an inception or a count.
    ///
    /// # Errors
    /// [`Error::Store`], or `log_broken` when it is not stored as documents are.
    pub async fn document(&self, index: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut connection = self.connection.lock().await;
        let found = sqlx::query_as("SELECT document, bytes FROM entries WHERE idx = ? AND document IS NOT NULL");
        let found = found.bind(index.cast_signed()).fetch_optional(&mut *connection).await;
        let found: Option<(Vec<u8>, Vec<u8>)> = found.map_err(failed("read", &self.path))?;
        let within = |refusal: Refusal| refusal.within(format!("row {index}"));
        Ok(found.map(|(stored, entry)| unpack(stored, &entry)).transpose().map_err(within)?)
    }

    /// The evidence of an entry, for replay; what is missing is left out, and replay says so.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn kept(&self, entry: &Entry) -> Result<Kept, Error> {
        self.kept_knowing(entry, &mut BTreeMap::new()).await
    }

    /// As [`LogReader::kept`], where many entries share their statements: what was read once is in `known`.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn kept_knowing(&self, entry: &Entry, known: &mut BTreeMap<Digest, Vec<u8>>) -> Result<Kept, Error> {
        let mut kept = Kept::default();
        let Some((document, statements)) = entry.evidence.split_first() else {
            return Ok(kept);
        };
        kept.0.extend(self.document(entry.index).await?.map(|bytes| (*document, bytes)));
        for sha256 in statements {
            if let Some(bytes) = known.get(sha256) {
                kept.0.insert(*sha256, bytes.clone());
            } else if let Some(bytes) = self.evidence(*sha256).await? {
                known.insert(*sha256, bytes.clone());
                kept.0.insert(*sha256, bytes);
            }
        }
        Ok(kept)
    }

    // The signed documents from an index on, at most so many rows', as they are stored.
    async fn documents(&self, from: u64, limit: u64) -> Result<BTreeMap<u64, Vec<u8>>, Error> {
        let mut connection = self.connection.lock().await;
        let found =
            sqlx::query_as("SELECT idx, document FROM entries WHERE idx >= ? AND idx < ? AND document IS NOT NULL");
        let found = found.bind(from.cast_signed()).bind(from.saturating_add(limit).cast_signed());
        let found: Vec<(i64, Vec<u8>)> = found.fetch_all(&mut *connection).await.map_err(failed("read", &self.path))?;
        Ok(found.into_iter().map(|(index, stored)| (index.cast_unsigned(), stored)).collect())
    }

    /// A ruling that stands in the log, to be told again.
    ///
    /// # Errors
    /// [`Error::Store`], `not_found` when no ruling has that index, `log_broken` when its row does not hold.
    pub async fn ruling(&self, index: u64, hosts: &HostKeys) -> Result<Recorded<Ruling>, Error> {
        let row = self.row(index).await?;
        let row = row.ok_or_else(|| Error::refused(Reason::NotFound, format!("there is no entry {index}")))?;
        let entry = row.entry()?.ok_or_else(|| self.elsewhere(index))?;
        let ruling = Ruling::of_entry(&entry, &self.kept(&entry).await?, hosts)?;
        Ok(Recorded::read_back(index, row.hash, entry.epoch, ruling))
    }

    /// The segments that old entries were moved to, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl Row {
    fn read(index: i64, hash: Vec<u8>, bytes: Vec<u8>) -> Result<Self, Error> {
        let broken = |what: &str| Error::refused(Reason::LogBroken, format!("row {index}: {what}"));
        let index = u64::try_from(index).map_err(|_| broken("its index is negative"))?;
        let hash = <[u8; 32]>::try_from(hash).map_err(|_| broken("its hash has not 32 bytes"))?;
        Ok(Self { index, hash: Digest::from_bytes(hash), bytes })
    }

    /// Whether its bytes lie in a segment.
    pub fn is_frozen(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its entry, which has the hash that stands beside it; none where its bytes lie in a segment.
    ///
    /// # Errors
    /// `log_broken`.
    pub fn entry(&self) -> Result<Option<Entry>, Refusal> {
        if self.is_frozen() {
            return Ok(None);
        }
        self.fits()?;
        Entry::read(&self.bytes).map(Some)
    }

    // The bytes are the truth, and the hash beside them must be theirs.
    fn fits(&self) -> Result<(), Refusal> {
        if leaf_hash(&self.bytes) == self.hash {
            return Ok(());
        }
        Err(Refusal::new(Reason::LogBroken, "the hash beside the bytes is not theirs"))
    }
}

impl Evidences for Kept {
    fn find(&self, sha256: Digest) -> Option<Vec<u8>> {
        self.0.get(&sha256).cloned()
    }
}

const HASHES: &str = "SELECT hash FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?";
const WHOLE: &str = "SELECT idx, hash, bytes FROM entries WHERE idx >= ?1 ORDER BY idx LIMIT ?2";
// The version of the schema from which on a log may have segments.
const FREEZES: usize = 2;
// The version from which on it names what the fold rests on.
const FOLDS: usize = 3;
