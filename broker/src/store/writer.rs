//! The log's one writer: a batch goes in whole, in one transaction, or the writer is gone.
//!
//! When to write, and what to do after a failure, is left to `sequencer`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use policy::digest::Digest;
use policy::log::{Head, Step};
use sqlx::{Connection, QueryBuilder, Sqlite, SqliteConnection};

use super::held::Held;
use super::packed::pack;
use super::recorded::Recorded;
use super::schema::LOG;
use super::sqlite::{Pages, failed, open};
use crate::error::Error;
use crate::generations::Generations;

/// The one writer of a log.
pub(crate) struct Writer {
    connection: SqliteConnection,
    path: PathBuf,
    held: Held,
    // The newest row that must be there, where it is known: nothing is appended to a log with a hole (T63).
    tip: Option<(u64, Digest)>,
    // Statements that are stored already: the claims and the inventory of a host come with each of its questions.
    stored: Generations<Digest, ()>,
}

impl Writer {
    /// Opens the log to write.
    pub(crate) async fn open(path: &Path, pages: Pages) -> Result<Self, Error> {
        let stored = Generations::weighing(REMEMBERED);
        let (connection, held) = open(path, &LOG, pages).await?;
        Ok(Self { connection, path: path.to_owned(), held, tip: None, stored })
    }

    /// The same, for a log that ends as this head says.
    pub(crate) fn behind(self, head: Head) -> Self {
        Self { tip: head.size.checked_sub(1).map(|index| (index, head.last)), ..self }
    }

    /// Names what the fold rests on where a row of it lacks, as whoever read the whole log found it; how many lacked.
    pub(crate) async fn name_folds(&mut self, resting: &[u64]) -> Result<usize, Error> {
        let failed = failed("write to", &self.path);
        let named = sqlx::query_scalar("SELECT idx FROM folds").fetch_all(&mut self.connection).await;
        let named: BTreeSet<i64> = named.map_err(&failed)?.into_iter().collect();
        let lacking = resting.iter().copied().filter(|index| !named.contains(&index.cast_signed()));
        let lacking: Vec<u64> = lacking.collect();
        if lacking.is_empty() {
            return Ok(0);
        }
        let mut all = self.connection.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        for part in lacking.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new("");
            folds(&mut sql, part.iter().copied());
            sql.build().execute(&mut *all).await.map_err(&failed)?;
        }
        all.commit().await.map_err(&failed)?;
        Ok(lacking.len())
    }

    /// Makes a batch durable.
    ///
    /// Consumes the writer: after an error there is none, so nobody can try again on a handle whose last commit may or
    /// may not have reached the disk.
    pub(crate) async fn commit<T>(mut self, batch: Vec<Step<T>>) -> Result<(Self, Vec<Recorded<T>>), Error> {
        let fresh = self.fresh(&batch);
        write(&mut self.connection, self.tip, &fresh, &batch).await.map_err(failed("write to", &self.path))?;
        // What was written into a file that lies there no more is on record nowhere.
        self.held.still()?;
        // Only now is it durable.
        fresh.into_iter().for_each(|(sha256, _)| self.stored.put(*sha256, (), 1));
        self.tip = batch.last().map(|step| (step.index, step.hash)).or(self.tip);
        Ok((self, batch.into_iter().map(Recorded::committed).collect()))
    }

    /// While space is short, little of it is used beside the log: what is appended is folded in soon.
    pub(crate) async fn spare(&mut self, short: bool) -> Result<(), Error> {
        let folded = if short { "PRAGMA wal_autocheckpoint = 32" } else { "PRAGMA wal_autocheckpoint = 4000" };
        let set = sqlx::raw_sql(folded).execute(&mut self.connection).await;
        set.map(drop).map_err(failed("set up", &self.path))
    }

    fn fresh<'a, T>(&mut self, batch: &'a [Step<T>]) -> BTreeMap<&'a Digest, &'a Vec<u8>> {
        // The first piece of each is its document, which lies beside the entry.
        let statements =
            batch.iter().flat_map(|step| step.evidence.iter().skip(1)).map(|(sha256, bytes)| (sha256, bytes));
        statements.filter(|(sha256, _)| self.stored.find(sha256).is_none()).collect()
    }

    /// Closes the log, so that its side files are folded in.
    pub(crate) async fn close(self) -> Result<(), Error> {
        self.connection.close().await.map_err(failed("close", &self.path))
    }
}

// One way to the disk and back. Where nothing is new but entries that change nothing, their INSERT is a transaction of its
// own; an error in between leaves a transaction open, and the connection is given up with it.
async fn write<T>(
    connection: &mut SqliteConnection,
    tip: Option<(u64, Digest)>,
    fresh: &BTreeMap<&Digest, &Vec<u8>>,
    batch: &[Step<T>],
) -> Result<(), sqlx::Error> {
    let alone = fresh.is_empty() && batch.len() <= ROWS && !batch.iter().any(|step| step.folds);
    let mut sql = QueryBuilder::<Sqlite>::new(if alone { "" } else { "BEGIN IMMEDIATE; " });
    if let Some((index, hash)) = tip {
        // Puts nothing where that row is, and fails where it is not: no row may have such an index.
        sql.push("INSERT INTO entries (idx, hash, bytes) SELECT -1, x'', x'' WHERE NOT EXISTS (SELECT 1 FROM entries WHERE idx = ");
        sql.push_bind(index.cast_signed()).push(" AND hash = ").push_bind(hash.as_bytes().to_vec()).push("); ");
    }
    let statements: Vec<_> = fresh.iter().collect();
    for statements in statements.chunks(ROWS) {
        sql.push("INSERT OR IGNORE INTO evidence (sha256, bytes) ");
        sql.push_values(statements, |mut row, (sha256, bytes)| {
            row.push_bind(sha256.as_bytes().to_vec()).push_bind(bytes.to_vec());
        });
        sql.push("; ");
    }
    for steps in batch.chunks(ROWS) {
        sql.push("INSERT INTO entries (idx, hash, bytes, document) ");
        sql.push_values(steps, |mut row, step| {
            // INVARIANT: a log of 2^63 entries is out of reach; should it come, SQLite refuses the negative index.
            row.push_bind(step.index.cast_signed())
                .push_bind(step.hash.as_bytes().to_vec())
                .push_bind(step.bytes.clone())
                .push_bind(step.evidence.first().map(|(_, document)| pack(document, &step.bytes)));
        });
        sql.push("; ");
        if steps.iter().any(|step| step.folds) {
            folds(&mut sql, steps.iter().filter(|step| step.folds).map(|step| step.index));
            sql.push("; ");
        }
    }
    sql.push(if alone { "" } else { "COMMIT" });
    sql.build().execute(connection).await.map(drop)
}

fn folds(sql: &mut QueryBuilder<Sqlite>, indices: impl Iterator<Item = u64>) {
    sql.push("INSERT OR IGNORE INTO folds (idx) ");
    sql.push_values(indices, |mut row, index| {
        row.push_bind(index.cast_signed());
    });
}

// How many statements one generation remembers.
const REMEMBERED: usize = 4096;
// Four bound values a row keep well under SQLite's limit.
const ROWS: usize = 512;
