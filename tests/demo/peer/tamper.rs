//! Who can write the disk can change a row: the triggers are taken away and put back, and one byte is another.

use std::path::Path;

use anyhow::{Context, bail};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

/// Changes one byte in the first row of the log that holds a text, and says which row that was.
pub(crate) fn change(log: &Path, from: &str, to: &str) -> anyhow::Result<()> {
    let changed = from.bytes().zip(to.bytes()).filter(|(before, after)| before != after).count();
    if from.len() != to.len() || changed != 1 {
        bail!("the two texts differ in {changed} bytes, not in one");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut database = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(log)).await?;
        let row = rewrite(&mut database, from, to).await?;
        database.close().await?;
        println!("{row}");
        Ok(())
    })
}

async fn rewrite(database: &mut SqliteConnection, from: &str, to: &str) -> anyhow::Result<i64> {
    let guards = "SELECT 'DROP TRIGGER ' || name, sql FROM sqlite_schema WHERE type = 'trigger'";
    let guards: Vec<(String, String)> = sqlx::query_as(guards).fetch_all(&mut *database).await?;
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT idx, bytes FROM entries ORDER BY idx").fetch_all(&mut *database).await?;
    let found = rows.into_iter().find_map(|(index, bytes)| {
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes())?;
        Some((index, bytes, at))
    });
    let (index, mut bytes, at) = found.with_context(|| format!("no row holds `{from}`"))?;
    bytes.splice(at..at + to.len(), to.bytes());
    for (drop, _) in &guards {
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop.clone())).execute(&mut *database).await?;
    }
    sqlx::query("UPDATE entries SET bytes = ? WHERE idx = ?").bind(bytes).bind(index).execute(&mut *database).await?;
    for (_, sql) in guards {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *database).await?;
    }
    Ok(index)
}
