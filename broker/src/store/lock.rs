//! The lock beside the log: the newest end that was ever acted on, so that an older log is noticed (T28, T60, T64).

use std::path::{Path, PathBuf};

use policy::digest::Digest;
use policy::log::Head;
use policy::reason::Reason;
use sqlx::{Connection, SqliteConnection};

use super::reader::Row;
use super::schema::LOCK;
use super::sqlite::{create, failed, open};
use crate::error::Error;

/// The lock, and where it stands.
pub(crate) struct Lock {
    connection: SqliteConnection,
    path: PathBuf,
    at: Stand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stand {
    size: u64,
    last: Digest,
    epoch: u64,
}

impl Lock {
    /// Makes a lock that stands at this end; never overwrites.
    pub(crate) async fn create(path: &Path, head: Head) -> Result<(), Error> {
        create(path, &LOCK).await?;
        let mut connection = open(path, &LOCK).await?;
        let insert = sqlx::query("INSERT INTO lock (id, size, last, epoch) VALUES (1, ?, ?, ?)");
        let insert =
            insert.bind(head.size.cast_signed()).bind(head.last.as_bytes().to_vec()).bind(head.epoch.cast_signed());
        insert.execute(&mut connection).await.map_err(failed("write to", path))?;
        connection.close().await.map_err(failed("close", path))
    }

    /// Opens the lock of a log.
    pub(crate) async fn open(path: &Path) -> Result<Self, Error> {
        if !path.exists() {
            let detail = format!("`{}` is missing, so nobody can tell whether the log is the newest", path.display());
            return Err(Error::refused(Reason::StateRollback, detail));
        }
        let mut connection = open(path, &LOCK).await?;
        let found =
            sqlx::query_as("SELECT size, last, epoch FROM lock WHERE id = 1").fetch_optional(&mut connection).await;
        let found: Option<(i64, Vec<u8>, i64)> = found.map_err(failed("read", path))?;
        let at = found.and_then(|(size, last, epoch)| {
            let last = Digest::from_bytes(<[u8; 32]>::try_from(last).ok()?);
            Some(Stand { size: u64::try_from(size).ok()?, last, epoch: u64::try_from(epoch).ok()? })
        });
        let at =
            at.ok_or_else(|| Error::refused(Reason::StateRollback, format!("`{}` says nothing", path.display())))?;
        Ok(Self { connection, path: path.to_owned(), at })
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
        let Stand { size, last, epoch } = self.at;
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
    pub(crate) async fn advance(mut self, head: Head) -> Result<Self, Error> {
        let (before, after) = (self.at, Stand { size: head.size, last: head.last, epoch: head.epoch });
        if before == after {
            return Ok(self);
        }
        let swap = "UPDATE lock SET size = ?, last = ?, epoch = ? WHERE id = 1 AND size = ? AND last = ? AND epoch = ?";
        let mut swap = sqlx::query(swap);
        for stand in [after, before] {
            swap = swap
                .bind(stand.size.cast_signed())
                .bind(stand.last.as_bytes().to_vec())
                .bind(stand.epoch.cast_signed());
        }
        let moved = swap.execute(&mut self.connection).await.map_err(failed("move", &self.path))?;
        if moved.rows_affected() != 1 {
            let detail = format!("somebody else moved `{}`: two brokers work on one log", self.path.display());
            return Err(Error::refused(Reason::StateRollback, detail));
        }
        Ok(Self { at: after, ..self })
    }

    /// Closes the lock.
    pub(crate) async fn close(self) -> Result<(), Error> {
        self.connection.close().await.map_err(failed("close", &self.path))
    }
}
