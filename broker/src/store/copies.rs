//! Copies of a log as new files: one of all of it, beside whoever writes; and one without what a segment holds.

use std::collections::BTreeSet;
use std::path::Path;

use policy::digest::Digest;
use sqlx::{ConnectOptions, Connection, QueryBuilder, Sqlite, SqliteConnection};

use super::reader::Segment;
use super::schema::LOG;
use super::sqlite::{create, failed, open_to_read, options};
use crate::error::Error;
use crate::folder::write_private;

/// Copies a log as of one moment into a new file. Whoever writes goes on writing.
pub(crate) async fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    write_private(to, &[])?;
    let (mut connection, _) = open_to_read(from, &LOG).await?;
    // SQLite's own copy of one snapshot; into an empty file, which so keeps its mode.
    let copied = sqlx::query("VACUUM INTO ?").bind(to.to_string_lossy().into_owned()).execute(&mut connection).await;
    copied.map_err(failed("copy the log to", to))?;
    connection.close().await.map_err(failed("close", from))?;
    sync(to)
}

/// Writes a log anew without the bytes of these entries, and with no more evidence than the others rest on.
pub(crate) async fn thin(
    from: &Path,
    to: &Path,
    frozen: &[(u64, Digest)],
    wanted: &BTreeSet<Digest>,
    segment: &Segment,
) -> Result<(), Error> {
    create(to, &LOG).await?;
    let failed = failed("write the log anew to", to);
    let mut connection = options(to).connect().await.map_err(&failed)?;
    let thinned = fill(&mut connection, from, frozen, wanted, segment).await.map_err(&failed);
    let closed = connection.close().await.map_err(&failed);
    thinned.and(closed)?;
    sync(to)
}

/// Folds the side files of a log into it and takes them away; an error while anybody else has it open.
pub(crate) async fn alone(path: &Path) -> Result<(), Error> {
    let failed = failed("take for this process alone", path);
    let mut connection = options(path).connect().await.map_err(&failed)?;
    let mode = sqlx::query_scalar("PRAGMA journal_mode = DELETE").fetch_one(&mut connection).await;
    let mode: String = mode.map_err(&failed)?;
    connection.close().await.map_err(&failed)?;
    if mode == "delete" {
        return Ok(());
    }
    Err(Error::Unsafe { path: path.to_owned(), what: "is being read; end what reads it, then try again".to_owned() })
}

async fn fill(
    connection: &mut SqliteConnection,
    from: &Path,
    frozen: &[(u64, Digest)],
    wanted: &BTreeSet<Digest>,
    segment: &Segment,
) -> Result<(), sqlx::Error> {
    sqlx::query("ATTACH DATABASE ? AS old").bind(from.to_string_lossy().into_owned()).execute(&mut *connection).await?;
    let mut all = connection.begin().await?;
    sqlx::raw_sql(SETS).execute(&mut *all).await?;
    for part in frozen.chunks(ROWS) {
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO temp.moved (idx) ");
        sql.push_values(part, |mut row, (index, _)| {
            row.push_bind(index.cast_signed());
        });
        sql.build().execute(&mut *all).await?;
    }
    let wanted: Vec<_> = wanted.iter().collect();
    for part in wanted.chunks(ROWS) {
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO temp.wanted (sha256) ");
        sql.push_values(part, |mut row, sha256| {
            row.push_bind(sha256.as_bytes().to_vec());
        });
        sql.build().execute(&mut *all).await?;
    }
    sqlx::raw_sql(COPY).execute(&mut *all).await?;
    let insert = sqlx::query("INSERT INTO main.segments (size, first, sha256, checkpoint) VALUES (?, ?, ?, ?)");
    let insert = insert.bind(segment.size.cast_signed()).bind(segment.first.cast_signed());
    insert.bind(segment.sha256.as_bytes().to_vec()).bind(segment.seal.clone()).execute(&mut *all).await?;
    all.commit().await?;
    sqlx::raw_sql("DETACH DATABASE old").execute(connection).await.map(drop)
}

fn sync(path: &Path) -> Result<(), Error> {
    let synced = std::fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|source| Error::Io { act: "make durable", path: path.to_owned(), source })
}

const SETS: &str = "CREATE TEMP TABLE moved (idx INTEGER PRIMARY KEY);
    CREATE TEMP TABLE wanted (sha256 BLOB PRIMARY KEY) WITHOUT ROWID;";
// Places first: `frozen` refuses a place that an entry has, and an entry that went in twice would be refused.
const COPY: &str = "
    INSERT INTO main.segments SELECT * FROM old.segments ORDER BY size;
    INSERT INTO main.frozen SELECT idx, hash FROM old.frozen ORDER BY idx;
    INSERT INTO main.frozen SELECT idx, hash FROM old.entries WHERE idx IN temp.moved ORDER BY idx;
    INSERT INTO main.entries SELECT idx, hash, bytes, document FROM old.entries
      WHERE idx NOT IN temp.moved ORDER BY idx;
    INSERT INTO main.folds SELECT idx FROM old.folds ORDER BY idx;
    INSERT INTO main.evidence SELECT sha256, bytes FROM old.evidence WHERE sha256 IN temp.wanted;";
const ROWS: usize = 512;
