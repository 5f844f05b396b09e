//! A log of an older schema is upgraded where it is written, and every hash and proof is as it was; one of a newer
//! schema is left alone (F45).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use policy::log::Frontier;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::asker::{Closed, Lattice};
use crate::audit::{self, Against, Sound};
use crate::clock::Clock;
use crate::error::Error;
use crate::service::Service;
use crate::store::LogReader;

const FIRST: &str = include_str!("../../../../migrations/0001_log.sql");
const BACK: &str = "
    INSERT INTO main.entries SELECT idx, hash, bytes, document FROM new.entries ORDER BY idx;
    INSERT INTO main.evidence SELECT sha256, bytes FROM new.evidence;";

// The log as the release of the first schema would have left it.
async fn write_back(lattice: &Closed) {
    let (log, old) = (lattice.folder.log(), lattice.place.path().join("old.db"));
    let options = SqliteConnectOptions::new().filename(&old).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(FIRST).execute(&mut connection).await.unwrap();
    let attach = sqlx::query("ATTACH DATABASE ? AS new").bind(log.to_str().unwrap().to_owned());
    attach.execute(&mut connection).await.unwrap();
    sqlx::raw_sql(BACK).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    fs::rename(&old, &log).unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).unwrap();
}

async fn version(log: &Path) -> i64 {
    count(log, "PRAGMA user_version").await
}

async fn count(log: &Path, sql: &'static str) -> i64 {
    let mut connection = SqliteConnectOptions::new().filename(log).connect().await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

async fn sound(log: &Path) -> Sound {
    let reader = LogReader::open(log).await.unwrap();
    let sound = audit::log(&reader, Against::default(), || ()).await.unwrap().unwrap();
    reader.close().await.unwrap();
    sound
}

#[tokio::test]
async fn f45_a_log_of_the_first_schema_is_upgraded_and_every_proof_is_as_it_was() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    let lattice = lattice.closed().await;
    let log = lattice.folder.log();
    let before = sound(&log).await;
    write_back(&lattice).await;
    // Who only reads it leaves it as it is.
    let read = sound(&log).await;
    assert_eq!((read.tree_root, version(&log).await), (before.tree_root, 1));
    let lattice = lattice.opened().await;
    assert_eq!(version(&log).await, 3);
    // It names what its fold rests on from now on.
    assert!(count(&log, "SELECT count(*) FROM folds").await > 2);
    assert_eq!(sound(&log).await.tree_root, before.tree_root);
    // It goes on, and the tree of before is the beginning of the tree of now.
    lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    let rows = lattice.service.log().await.unwrap().rows(0, 10_000).await.unwrap();
    let mut tree = Frontier::default();
    rows.iter().take(usize::try_from(before.entries).unwrap()).for_each(|row| tree.append(row.hash));
    assert_eq!(Some(tree.root()), before.tree_root);
    let lattice = lattice.closed().await;
    assert_eq!(sound(&log).await.rulings, before.rulings + 1);
    lattice.opened().await;
}

#[tokio::test]
async fn f45_a_log_of_a_newer_schema_is_refused_and_left_alone() {
    let lattice = Lattice::new().await.closed().await;
    let mut connection: SqliteConnection =
        SqliteConnectOptions::new().filename(lattice.folder.log()).connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE of_tomorrow (x); PRAGMA user_version = 1000").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = fs::read(lattice.folder.log()).unwrap();
    let clock = Arc::clone(&lattice.clock) as Arc<dyn Clock>;
    let refused = Service::open(&lattice.folder, clock).await.err().unwrap();
    let Error::Unsafe { what, .. } = &refused else { panic!("{refused}") };
    assert!(what.contains("schema version 1000") && what.contains("a newer release wrote it"), "{what}");
    assert!(LogReader::open(&lattice.folder.log()).await.is_err());
    assert_eq!(fs::read(lattice.folder.log()).unwrap(), before);
}

#[tokio::test]
async fn f45_a_log_that_only_says_it_is_older_is_refused() {
    let lattice = Lattice::new().await.closed().await;
    let mut connection = SqliteConnectOptions::new().filename(lattice.folder.log()).connect().await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 1").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert!(matches!(LogReader::open(&lattice.folder.log()).await, Err(Error::Unsafe { .. })));
}
