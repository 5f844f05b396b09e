//! The lock beside the log: the newest end that was ever acted on, so that an older log is noticed (T28, T60, T64).

use std::path::{Path, PathBuf};

use policy::digest::Digest;
use policy::log::Head;
use policy::reason::Reason;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::held::Held;
use super::reader::Row;
use super::schema::LOCK;
use super::sqlite::{Pages, create, failed, open, open_to_read};
use crate::error::Error;

/// The lock, and where it stands.
pub(crate) struct Lock {
    connection: SqliteConnection,
    path: PathBuf,
    at: Stand,
    // None where there is no file: it has seen nothing, and is made once the log is put right.
    held: Option<Held>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stand {
    size: u64,
    last: Digest,
    epoch: u64,
    // Of a lock of before neither is known.
    rests: Option<Digest>,
    root: Option<Digest>,
}

/// What a lock vouches for: the log up to its size, by the last entry, by all that the fold rests on, by the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vouched {
    pub(crate) size: u64,
    pub(crate) last: Digest,
    pub(crate) rests: Digest,
    pub(crate) root: Digest,
}

// How a stand lies in its row.
type Told = (i64, Vec<u8>, i64, Option<Vec<u8>>, Option<Vec<u8>>);

impl Stand {
    const fn of(head: Head, root: Digest) -> Self {
        let Head { size, last, epoch, rests, .. } = head;
        Self { size, last, epoch, rests: Some(rests), root: Some(root) }
    }

    fn read((size, last, epoch, rests, root): Told) -> Option<Self> {
        let digest = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).map(Digest::from_bytes).ok();
        let (rests, root) = (rests.and_then(digest), root.and_then(digest));
        Some(Self {
            size: u64::try_from(size).ok()?,
            last: digest(last)?,
            epoch: u64::try_from(epoch).ok()?,
            rests,
            root,
        })
    }

    fn told(self) -> Told {
        let bytes = |digest: Digest| digest.as_bytes().to_vec();
        let (size, epoch) = (self.size.cast_signed(), self.epoch.cast_signed());
        (size, bytes(self.last), epoch, self.rests.map(bytes), self.root.map(bytes))
    }

    fn vouched(self) -> Option<Vouched> {
        Some(Vouched { size: self.size, last: self.last, rests: self.rests?, root: self.root? })
    }
}

impl Lock {
    /// Makes a lock that stands at this end; never overwrites.
    pub(crate) async fn create(path: &Path, head: Head, root: Digest) -> Result<(), Error> {
        create(path, &LOCK).await?;
        let (mut connection, _) = open(path, &LOCK, Pages::AtOnce).await?;
        let (size, last, epoch, rests, root) = Stand::of(head, root).told();
        let insert = sqlx::query("INSERT INTO lock (id, size, last, epoch, rests, root) VALUES (1, ?, ?, ?, ?, ?)");
        let insert = insert.bind(size).bind(last).bind(epoch).bind(rests).bind(root);
        insert.execute(&mut connection).await.map_err(failed("write to", path))?;
        connection.close().await.map_err(failed("close", path))
    }

    /// Opens the lock of a log.
    pub(crate) async fn open(path: &Path) -> Result<Self, Error> {
        if !path.exists() {
            let detail = format!(
                "`{}` is missing, so nobody can tell whether the log is the newest; `--lock FILE` names one elsewhere",
                path.display()
            );
            return Err(Error::refused(Reason::StateRollback, detail));
        }
        let (mut connection, held) = open(path, &LOCK, Pages::AtOnce).await?;
        let found: Option<Told> =
            sqlx::query_as(STAND).fetch_optional(&mut connection).await.map_err(failed("read", path))?;
        let at = found.and_then(Stand::read);
        let at =
            at.ok_or_else(|| Error::refused(Reason::StateRollback, format!("`{}` says nothing", path.display())))?;
        Ok(Self { connection, path: path.to_owned(), at, held: Some(held) })
    }

    /// In place of a lock that is not there any more, while a log is restored.
    pub(crate) async fn lost(path: &Path) -> Result<Self, Error> {
        let connection = SqliteConnectOptions::new().in_memory(true).connect().await.map_err(failed("open", path))?;
        let at = Stand { size: 1, last: Digest::from_bytes([0; 32]), epoch: 0, rests: None, root: None };
        Ok(Self { connection, path: path.to_owned(), at, held: None })
    }

    /// Whether there is none.
    pub(crate) const fn is_lost(&self) -> bool {
        self.held.is_none()
    }

    /// What the lock at that path vouches for, for whoever only looks; nothing where it cannot be read.
    pub(crate) async fn peek(path: &Path) -> Option<Vouched> {
        let (mut connection, version) = open_to_read(path, &LOCK).await.ok()?;
        let found =
            if version < VOUCHES { None } else { sqlx::query_as(STAND).fetch_optional(&mut connection).await.ok()? };
        // Whoever only looks leaves nothing behind, whether or not the closing says so.
        let _ = connection.close().await;
        found.and_then(Stand::read)?.vouched()
    }

    /// What it vouches for; nothing where an older release moved it last.
    pub(crate) fn vouched(&self) -> Option<Vouched> {
        self.at.vouched()
    }

    /// The index of the row that the lock stands behind.
    pub(crate) const fn row(&self) -> u64 {
        self.at.size.saturating_sub(1)
    }

    /// The size and the epoch that it has seen.
    pub(crate) const fn stand(&self) -> (u64, u64) {
        (self.at.size, self.at.epoch)
    }

    /// Refuses a log that is behind the lock, or that went another way.
    pub(crate) fn refuse_older(&self, head: Head, row: Option<&Row>) -> Result<(), Error> {
        let Stand { size, last, epoch, .. } = self.at;
        if head.size < size || head.epoch < epoch {
            let detail = format!(
                "the log ends at {} in epoch {}, the lock has seen {size} in epoch {epoch}",
                head.size, head.epoch
            );
            return Err(Error::refused(Reason::StateRollback, detail));
        }
        if row.is_none_or(|row| row.hash != last) {
            let detail = format!("row {} of the log is not the one that the lock has seen", self.row());
            return Err(Error::refused(Reason::StateRollback, detail));
        }
        Ok(())
    }

    /// Moves the lock ahead, if it still stands where we left it.
    pub(crate) async fn advance(mut self, head: Head, root: Digest) -> Result<Self, Error> {
        if self.is_lost() {
            Self::create(&self.path, head, root).await?;
            return Self::open(&self.path).await;
        }
        let (before, after) = (self.at, Stand::of(head, root));
        if before == after {
            return Ok(self);
        }
        let mut swap = sqlx::query(SWAP);
        for (size, last, epoch, rests, root) in [after.told(), before.told()] {
            swap = swap.bind(size).bind(last).bind(epoch).bind(rests).bind(root);
        }
        let moved = swap.execute(&mut self.connection).await.map_err(failed("move", &self.path))?;
        if moved.rows_affected() != 1 {
            let detail = format!("somebody else moved `{}`: two brokers work on one log", self.path.display());
            return Err(Error::refused(Reason::StateRollback, detail));
        }
        self.still()?;
        Ok(Self { at: after, ..self })
    }

    /// Refuses a lock whose files do not lie there any more.
    pub(crate) fn still(&self) -> Result<(), Error> {
        self.held.as_ref().map_or(Ok(()), Held::still)
    }

    /// Closes the lock.
    pub(crate) async fn close(self) -> Result<(), Error> {
        self.connection.close().await.map_err(failed("close", &self.path))
    }
}

const STAND: &str = "SELECT size, last, epoch, rests, root FROM lock WHERE id = 1";
const SWAP: &str = "UPDATE lock SET size = ?, last = ?, epoch = ?, rests = ?, root = ?
    WHERE id = 1 AND size = ? AND last = ? AND epoch = ? AND rests IS ? AND root IS ?";
// The version of the schema from which on a lock vouches for what the fold rests on.
const VOUCHES: usize = 2;
