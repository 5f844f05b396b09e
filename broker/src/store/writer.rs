//! The log's one writer: a batch goes in whole, in one transaction, or the writer is gone.
//!
//! When to write, and what to do after a failure, is left to `sequencer`.

use std::path::{Path, PathBuf};

use policy::log::Step;
use sqlx::{Connection, QueryBuilder, Sqlite, SqliteConnection};

use super::recorded::Recorded;
use super::sqlite::{LOG, failed, open};
use crate::error::Error;

/// The one writer of a log.
pub(crate) struct Writer {
    connection: SqliteConnection,
    path: PathBuf,
}

impl Writer {
    /// Opens the log to write.
    pub(crate) async fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { connection: open(path, &LOG).await?, path: path.to_owned() })
    }

    /// Makes a batch durable.
    ///
    /// Consumes the writer: after an error there is none, so nobody can try again on a handle whose last commit may or
    /// may not have reached the disk.
    pub(crate) async fn commit<T>(mut self, batch: Vec<Step<T>>) -> Result<(Self, Vec<Recorded<T>>), Error> {
        write(&mut self.connection, &batch).await.map_err(failed("write to", &self.path))?;
        Ok((self, batch.into_iter().map(Recorded::committed).collect()))
    }

    /// Closes the log, so that its side files are folded in.
    pub(crate) async fn close(self) -> Result<(), Error> {
        self.connection.close().await.map_err(failed("close", &self.path))
    }
}

async fn write<T>(connection: &mut SqliteConnection, batch: &[Step<T>]) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let evidence: Vec<_> = batch.iter().flat_map(|step| &step.evidence).collect();
    for pieces in evidence.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT OR IGNORE INTO evidence (sha256, bytes) ");
        insert.push_values(pieces, |mut row, (sha256, bytes)| {
            row.push_bind(sha256.as_bytes().to_vec()).push_bind(bytes.clone());
        });
        insert.build().execute(&mut *transaction).await?;
    }
    for steps in batch.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO entries (idx, hash, bytes) ");
        insert.push_values(steps, |mut row, step| {
            // INVARIANT: a log of 2^63 entries is out of reach; should it come, SQLite refuses the negative index.
            row.push_bind(step.index.cast_signed())
                .push_bind(step.hash.as_bytes().to_vec())
                .push_bind(step.bytes.clone());
        });
        insert.build().execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

// Three bound values a row keep well under SQLite's limit.
const ROWS: usize = 512;
