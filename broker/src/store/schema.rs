//! What a database of ours is made of: its migrations in order, held to what is found, and applied where some are new.
//!
//! A migration only adds; it never touches a row of the log, so every hash and proof is as it was.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::sqlite::failed;
use crate::error::Error;

/// What a database of ours is made of.
pub(crate) struct Schema {
    application_id: i64,
    // Each sets `user_version` to its own number, counted from 1.
    migrations: &'static [&'static str],
}

/// The log.
pub(crate) const LOG: Schema = Schema {
    application_id: 0x6373_6c67,
    migrations: &[
        include_str!("../../../migrations/0001_log.sql"),
        include_str!("../../../migrations/0002_log.sql"),
        include_str!("../../../migrations/0003_log.sql"),
    ],
};
/// The lock beside it.
pub(crate) const LOCK: Schema = Schema {
    application_id: 0x6373_6c6b,
    migrations: &[include_str!("../../../migrations/0001_lock.sql"), include_str!("../../../migrations/0002_lock.sql")],
};

impl Schema {
    /// Makes everything in an empty database.
    pub(super) async fn make(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        apply(connection, self.migrations).await
    }

    /// Refuses another kind of database, one that a newer release wrote, and one that holds anything else than it should.
    /// The version that it has.
    pub(super) async fn check(&self, connection: &mut SqliteConnection, path: &Path) -> Result<usize, Error> {
        let failed = failed("read the schema of", path);
        let strange = |what: String| Err(Error::Unsafe { path: path.to_owned(), what });
        // As of one moment: whoever writes may be upgrading it.
        let mut seen = connection.begin().await.map_err(&failed)?;
        let application_id: i64 = number(&mut seen, "PRAGMA application_id").await.map_err(&failed)?;
        if application_id != self.application_id {
            return strange("is no database of this kind; put the right file there".to_owned());
        }
        let found: i64 = number(&mut seen, "PRAGMA user_version").await.map_err(&failed)?;
        let version = usize::try_from(found).unwrap_or_default();
        let Some(applied) = self.migrations.get(..version).filter(|applied| !applied.is_empty()) else {
            let newest = self.migrations.len();
            return strange(format!(
                "has schema version {found}, this program knows up to {newest}: a newer release wrote it; use that one, \
                 or a newer one"
            ));
        };
        let mut model = SqliteConnectOptions::new().in_memory(true).connect().await.map_err(&failed)?;
        apply(&mut model, applied).await.map_err(&failed)?;
        if objects(&mut seen).await.map_err(&failed)? != objects(&mut model).await.map_err(&failed)? {
            let what = "holds other tables, triggers or views than it should; keep the file, it is evidence";
            return strange(what.to_owned());
        }
        model.close().await.map_err(&failed)?;
        seen.rollback().await.map_err(&failed)?;
        Ok(version)
    }

    /// Applies what is new since that version: all of it, or nothing.
    pub(super) async fn upgrade(
        &self,
        connection: &mut SqliteConnection,
        path: &Path,
        version: usize,
    ) -> Result<(), Error> {
        let missing = self.migrations.get(version..).unwrap_or_default();
        if missing.is_empty() {
            return Ok(());
        }
        let failed = failed("upgrade", path);
        let mut all = connection.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        apply(&mut all, missing).await.map_err(&failed)?;
        all.commit().await.map_err(&failed)?;
        let (from, to) = (version, self.check(connection, path).await?);
        tracing::info!(path = %path.display(), from, to, "the schema was upgraded; no entry was touched");
        Ok(())
    }
}

/// A number that a statement comes to.
pub(super) async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(sql).fetch_one(connection).await
}

async fn apply(connection: &mut SqliteConnection, migrations: &[&'static str]) -> Result<(), sqlx::Error> {
    for sql in migrations {
        sqlx::raw_sql(*sql).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn objects(connection: &mut SqliteConnection) -> Result<Vec<(String, String, Option<String>)>, sqlx::Error> {
    sqlx::query_as("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetch_all(connection).await
}
