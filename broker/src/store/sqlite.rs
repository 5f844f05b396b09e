//! Opens a database of ours, and only one of ours: a private file, the expected schema and nothing besides (T72).

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use rustix::io::Errno;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::held::{Held, wal};
use super::schema::{Schema, number};
use crate::error::Error;
use crate::folder::{refuse_unless_private, write_private};

/// Makes a new database; never overwrites.
pub(crate) async fn create(path: &Path, schema: &Schema) -> Result<(), Error> {
    // SQLite gives its side files the mode of this one.
    write_private(path, &[])?;
    let failed = failed("make", path);
    let new = options(path).page_size(PAGE_BYTES).journal_mode(SqliteJournalMode::Wal);
    let mut connection = new.connect().await.map_err(&failed)?;
    schema.make(&mut connection).await.map_err(&failed)?;
    connection.close().await.map_err(&failed)
}

/// When the pages of a database are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// All of them, before it is used.
    AtOnce,
    /// By whoever reads every row of it meanwhile: there are too many.
    Later,
}

/// Opens a database to write, an older one is upgraded first; and which files those are.
pub(super) async fn open(path: &Path, schema: &Schema, pages: Pages) -> Result<(SqliteConnection, Held), Error> {
    refuse_strange_files(path)?;
    let held = Held::at(path);
    let options = options(path).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let mut connection = options.connect().await.map_err(failed("open", path))?;
    let version = schema.check(&mut connection, path).await?;
    refuse_weak_settings(&mut connection, path, pages).await?;
    schema.upgrade(&mut connection, path, version).await?;
    // It was read, so its `-wal` is there, and stays as long as this connection does.
    Ok((connection, held.opened()?))
}

/// Opens a database to read, beside whoever writes; and the version of its schema, which may be an older one.
pub(super) async fn open_to_read(path: &Path, schema: &Schema) -> Result<(SqliteConnection, usize), Error> {
    refuse_strange_files(path)?;
    let read_only = || options(path).read_only(true);
    match opened_by(read_only(), path, schema).await {
        // On a medium that takes no side files there is no writer either, whose rows would be passed over.
        Err(error) if lacks_side_files(&error) && lies_alone(path) && is_sealed(path) => {
            opened_by(read_only().immutable(true), path, schema).await
        }
        opened => opened,
    }
}

// Connected, and read for the first time: only then are the side files opened.
async fn opened_by(
    options: SqliteConnectOptions,
    path: &Path,
    schema: &Schema,
) -> Result<(SqliteConnection, usize), Error> {
    let mut connection = options.connect().await.map_err(failed("open", path))?;
    let version = schema.check(&mut connection, path).await?;
    Ok((connection, version))
}

// SQLITE_CANTOPEN or SQLITE_READONLY, also in their extended forms. A lack of file descriptors looks the same.
fn lacks_side_files(error: &Error) -> bool {
    let Error::Store { source: sqlx::Error::Database(error), .. } = error else { return false };
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code % 256, 8 | 14))
}

// Without rows in a side file, which would be newer.
fn lies_alone(path: &Path) -> bool {
    match wal(path).symlink_metadata() {
        Ok(found) => found.len() == 0,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

// Whether nothing can be written beside it: whoever cannot say so leaves it at the error.
fn is_sealed(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(path);
    let medium = statvfs(folder).is_ok_and(|medium| medium.f_flag.contains(StatVfsMountFlags::RDONLY));
    medium || matches!(access(folder, Access::WRITE_OK), Err(Errno::ACCESS | Errno::ROFS))
}

/// The error of a step on a database.
pub(super) fn failed(act: &'static str, path: &Path) -> impl Fn(sqlx::Error) -> Error + use<> {
    let path: PathBuf = path.to_owned();
    move |source| Error::Store { act, path: path.clone(), source }
}

pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(Duration::from_millis(BUSY_MS))
        // Nothing in the file may run code with our rights, and a torn page must not be read as a row.
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("recursive_triggers", "ON")
        // Thirty-two MiB of the log are folded in at once: whoever commits waits for that less often.
        .pragma("wal_autocheckpoint", "4000")
        // Each size of a batch is a statement of its own.
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging()
}

fn refuse_strange_files(path: &Path) -> Result<(), Error> {
    refuse_unless_private(path)?;
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        let beside = PathBuf::from(beside);
        match refuse_unless_private(&beside) {
            // Not there, or taken away this moment by whoever closed the file.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            looked => looked?,
        }
    }
    Ok(())
}

async fn refuse_weak_settings(connection: &mut SqliteConnection, path: &Path, pages: Pages) -> Result<(), Error> {
    let failed = failed("read the settings of", path);
    for (sql, expected) in [
        ("PRAGMA synchronous", 2),
        ("PRAGMA trusted_schema", 0),
        ("PRAGMA cell_size_check", 1),
        ("PRAGMA recursive_triggers", 1),
    ] {
        if number(connection, sql).await.map_err(&failed)? != expected {
            return Err(Error::Unsafe { path: path.to_owned(), what: format!("does not take `{sql} = {expected}`") });
        }
    }
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await.map_err(&failed)?;
    let sound: String = match pages {
        Pages::AtOnce => sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await.map_err(&failed)?,
        Pages::Later => SOUND.to_owned(),
    };
    if mode != "wal" || sound != SOUND {
        return Err(Error::Unsafe {
            path: path.to_owned(),
            what: "is damaged; keep the file, it is evidence".to_owned(),
        });
    }
    Ok(())
}

// Five starts of two imports fit, of which four thousand bytes would hold two.
const PAGE_BYTES: u32 = 8192;
const SOUND: &str = "ok";
const STATEMENTS: usize = 300;
// A lock that somebody else holds longer than this is a failed write.
const BUSY_MS: u64 = 400;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn t72_only_where_nothing_can_be_written_beside_it_and_nothing_newer_lies_there_is_a_log_read_alone() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.db");
        assert!(!is_sealed(&log) && lies_alone(&log));
        std::fs::write(wal(&log), b"").unwrap();
        assert!(lies_alone(&log));
        std::fs::write(wal(&log), b"rows").unwrap();
        assert!(!lies_alone(&log));
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
        // To whoever may do everything no folder is closed by its mode.
        assert_eq!(is_sealed(&log), !rustix::process::geteuid().is_root());
    }
}
