//! A log that was cut, and a lock that was put back: what somebody does who owns the files.

use std::path::{Path, PathBuf};

use broker::store::LogReader;
use policy::digest::Digest;
use policy::log::Frontier;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::Scene;

async fn raw(file: &Path) -> SqliteConnection {
    sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

// A database administrator takes the guard rails away…
pub(super) async fn without_rails(file: &Path) -> (SqliteConnection, Vec<String>) {
    let mut connection = raw(file).await;
    let rails = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'";
    let rails: Vec<(String, String)> = sqlx::query_as(rails).fetch_all(&mut connection).await.unwrap();
    for (name, _) in &rails {
        let sql = ["DROP TRIGGER ", name.as_str()].concat();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    let rails = rails.into_iter().map(|(_, sql)| sql).collect();
    (connection, rails)
}

// …and puts them back.
pub(super) async fn with_rails(mut connection: SqliteConnection, rails: Vec<String>) {
    for sql in rails {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

/// A copy of the lattice's folder whose log ends earlier.
pub(super) struct Older {
    place: tempfile::TempDir,
}

impl Older {
    pub(super) async fn of(scene: &Scene, size: u64) -> Self {
        let older = Self { place: tempfile::tempdir().unwrap() };
        copy(&scene.lattice.path("lattice"), &older.folder());
        let (mut connection, rails) = without_rails(&older.folder().join("log.db")).await;
        let cut = sqlx::query("DELETE FROM entries WHERE idx >= ?").bind(size.cast_signed());
        cut.execute(&mut connection).await.unwrap();
        with_rails(connection, rails).await;
        older
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.place.path().join("lattice")
    }

    // Moves the lock to where the log ends, as if both had been put back together.
    pub(super) async fn with_its_lock(&self) {
        let reader = LogReader::open(&self.folder().join("log.db")).await.unwrap();
        let mut tree = Frontier::default();
        let replayed = reader.replay(None, |row, _| {
            tree.append(row.hash);
            Ok(())
        });
        let head = replayed.await.unwrap().head();
        drop(reader);
        let bytes = |digest: Digest| digest.as_bytes().to_vec();
        let (mut connection, rails) = without_rails(&self.folder().join("lock.db")).await;
        let set = sqlx::query("UPDATE lock SET size = ?, last = ?, epoch = ?, rests = ?, root = ?");
        let set = set.bind(head.size.cast_signed()).bind(bytes(head.last)).bind(head.epoch.cast_signed());
        let set = set.bind(bytes(head.rests)).bind(bytes(tree.root()));
        set.execute(&mut connection).await.unwrap();
        with_rails(connection, rails).await;
    }

    pub(super) fn with_lock_of(&self, scene: &Scene) {
        std::fs::copy(scene.lattice.path("lattice/lock.db"), self.folder().join("lock.db")).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() != "reserve" {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
