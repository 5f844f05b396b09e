//! What the disk may do, and what it may not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use policy::govern::{AcknowledgeClock, Operation};
use policy::reason::Reason;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::asker::{Closed, Lattice, NOW_MS};
use super::starting::tamper;
use crate::clock::Clock;
use crate::error::Error;
use crate::service::Service;
use crate::view::{Look, Proposal};

// A connection like anybody's, with none of our settings.
pub(super) async fn plain(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

async fn execute(path: &Path, sql: &'static str) {
    let mut connection = plain(path).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn open(lattice: &Closed) -> Result<Service, Error> {
    Service::open(&lattice.folder, Arc::clone(&lattice.clock) as Arc<dyn Clock>).await
}

#[tokio::test]
async fn rows_are_not_updated_deleted_or_replaced_from_any_connection() {
    let lattice = Lattice::new().await;
    let mut connection = plain(&lattice.folder.log()).await;
    for sql in [
        "UPDATE entries SET bytes = x'00' WHERE idx = 1",
        "DELETE FROM entries WHERE idx = 1",
        "REPLACE INTO entries (idx, hash, bytes) VALUES (1, zeroblob(32), x'00')",
        "INSERT OR REPLACE INTO entries (rowid, hash, bytes) VALUES (1, zeroblob(32), x'00')",
        "INSERT INTO entries VALUES (1, zeroblob(32), x'00', NULL) ON CONFLICT (idx) DO UPDATE SET bytes = excluded.bytes",
        "UPDATE OR REPLACE entries SET idx = 0 WHERE idx = 1",
        "UPDATE evidence SET bytes = x'00'",
        "DELETE FROM evidence",
        "INSERT OR REPLACE INTO evidence SELECT sha256, x'00' FROM evidence LIMIT 1",
    ] {
        let refused = sqlx::query(sql).execute(&mut connection).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{sql}: {refused}");
    }
    connection.close().await.unwrap();
    lattice.reopened().await;
}

#[tokio::test]
async fn t67_without_a_row_there_is_no_answer_and_it_heals() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let size = lattice.size().await;
    let mut other = plain(&lattice.folder.log()).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    for _ in 0..3 {
        let refused = lattice.service.answer_start(&lattice.request(&host)).await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::AuditUnavailable));
        let command = lattice.service.command(&lattice.unseen_command()).await.unwrap_err();
        assert_eq!(command.reason(), Some(Reason::AuditUnavailable));
    }
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    // No restart; the files are opened again by themselves.
    let mut answered = lattice.service.answer_start(&lattice.request(&host)).await;
    while answered.is_err() {
        tokio::task::yield_now().await;
        answered = lattice.service.answer_start(&lattice.request(&host)).await;
    }
    assert_eq!(lattice.size().await, size + 1);
    lattice.reopened().await;
}

#[tokio::test]
async fn t67_what_turns_out_to_be_durable_stays() {
    let lattice = Lattice::new().await;
    let size = lattice.size().await;
    let mut other = plain(&lattice.folder.lock_file()).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    // The row is committed, the lock behind it cannot move: nobody is told of the act.
    let command = lattice.unseen_command();
    assert_eq!(lattice.service.command(&command).await.unwrap_err().reason(), Some(Reason::AuditUnavailable));
    assert_eq!(lattice.size().await, size + 1);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let receipt = loop {
        if let Ok(receipt) = lattice.service.command(&command).await {
            break receipt;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(lattice.receipt(&receipt).reason, Some(Reason::CommandSeen));
    lattice.reopened().await;
}

#[tokio::test]
async fn t67_a_log_that_is_gone_grants_nothing() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    execute(&lattice.folder.log(), "DROP TABLE entries").await;
    for _ in 0..3 {
        let refused = lattice.service.answer_start(&lattice.request(&host)).await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::AuditUnavailable));
    }
}

#[tokio::test]
async fn t60_a_second_broker_on_one_folder_is_refused() {
    let lattice = Lattice::new().await;
    assert!(lattice.folder.is_locked());
    let second = Service::open(&lattice.folder, Arc::clone(&lattice.clock) as Arc<dyn Clock>).await;
    assert!(matches!(second, Err(Error::Locked(_))));
    let (folder, clock) = (lattice.folder.clone(), Arc::clone(&lattice.clock));
    lattice.service.close().await.unwrap();
    assert!(!folder.is_locked());
    Service::open(&folder, clock).await.unwrap();
}

#[tokio::test]
async fn t60_who_finds_the_lock_moved_grants_nothing() {
    let lattice = Lattice::new().await;
    execute(&lattice.folder.lock_file(), "UPDATE lock SET size = size + 1000").await;
    let refused = lattice.service.command(&lattice.unseen_command()).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::AuditUnavailable));
}

#[tokio::test]
async fn t28_t64_an_older_log_does_not_open() {
    let lattice = Lattice::new().await.closed().await;
    let kept = fs::read(lattice.folder.log()).unwrap();
    let lattice = lattice.opened().await;
    lattice.enrolled_host().await;
    let lattice = lattice.closed().await;
    fs::write(lattice.folder.log(), kept).unwrap();
    assert_eq!(open(&lattice).await.err().unwrap().reason(), Some(Reason::StateRollback));
}

#[tokio::test]
async fn t64_rulings_alone_move_the_lock_too() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let lattice = lattice.closed().await;
    let kept = fs::read(lattice.folder.log()).unwrap();
    let lattice = lattice.opened().await;
    lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    let lattice = lattice.closed().await;
    fs::write(lattice.folder.log(), kept).unwrap();
    assert_eq!(open(&lattice).await.err().unwrap().reason(), Some(Reason::StateRollback));
}

#[tokio::test]
async fn t28_without_its_lock_a_log_does_not_open() {
    let lattice = Lattice::new().await.closed().await;
    fs::remove_file(lattice.folder.lock_file()).unwrap();
    assert_eq!(open(&lattice).await.err().unwrap().reason(), Some(Reason::StateRollback));
}

#[tokio::test]
async fn a_log_that_is_ahead_of_its_lock_opens() {
    let lattice = Lattice::new().await.closed().await;
    let kept = fs::read(lattice.folder.lock_file()).unwrap();
    let lattice = lattice.opened().await;
    lattice.enrolled_host().await;
    let lattice = lattice.closed().await;
    fs::write(lattice.folder.lock_file(), kept).unwrap();
    lattice.opened().await;
}

#[tokio::test]
async fn t72_links_wide_modes_and_strange_schemas_do_not_open() {
    for sql in [
        "CREATE TRIGGER planted AFTER INSERT ON entries BEGIN SELECT 1; END",
        "CREATE VIEW planted AS SELECT 1",
        "CREATE TABLE planted (x)",
        "DROP TRIGGER entries_are_not_deleted",
        "PRAGMA user_version = 1000",
        "PRAGMA application_id = 1",
    ] {
        let lattice = Lattice::new().await.closed().await;
        execute(&lattice.folder.log(), sql).await;
        assert!(matches!(open(&lattice).await, Err(Error::Unsafe { .. })), "{sql}");
    }
    for name in ["log.db", "lock.db", "keys/decision.nk", "keys/log.nk"] {
        let lattice = Lattice::new().await.closed().await;
        let path = lattice.folder.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(open(&lattice).await, Err(Error::Unsafe { .. })), "{name}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let elsewhere = lattice.place.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(matches!(open(&lattice).await, Err(Error::Unsafe { .. })), "{name}");
    }
    let lattice = Lattice::new().await.closed().await;
    fs::set_permissions(lattice.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(crate::folder::Folder::open(lattice.folder.path()), Err(Error::Unsafe { .. })));
}

#[tokio::test]
async fn t63_a_changed_row_is_named() {
    let lattice = Lattice::new().await.closed().await;
    let log = lattice.folder.log();
    let trigger = "SELECT sql FROM sqlite_schema WHERE name = 'entries_are_not_updated'";
    let mut connection = plain(&log).await;
    let trigger: String = sqlx::query_scalar(trigger).fetch_one(&mut connection).await.unwrap();
    // A database administrator takes the guard rail away and puts it back.
    let change =
        "UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), 'default', 'defaulT') AS BLOB) WHERE idx = 1";
    for sql in ["DROP TRIGGER entries_are_not_updated", change, &trigger] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let refused = open(&lattice).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::LogBroken));
    assert!(refused.to_string().contains("row 1"), "{refused}");
}

#[tokio::test]
async fn t63_t67_nothing_is_appended_to_a_log_whose_newest_rows_are_gone() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    let size = lattice.size().await;
    tamper(&lattice.folder.log(), &["DELETE FROM entries WHERE idx = (SELECT max(idx) FROM entries)"]).await;
    // Neither at once, nor by the file that is opened anew: it ends before what was answered.
    for _ in 0..5 {
        let refused = lattice.service.answer_start(&lattice.request(&host)).await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::AuditUnavailable));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(lattice.size().await, size - 1, "something was appended behind a hole");
}

#[tokio::test]
async fn t22_a_clock_that_went_back_is_planned_as_it_would_be_acknowledged() {
    let lattice = Lattice::new().await;
    lattice.clock.advance(86_400_000);
    lattice.enrolled_host().await;
    lattice.clock.set(NOW_MS);
    let administrator = lattice.admin();
    let operations = vec![Operation::AcknowledgeClock(AcknowledgeClock { now: lattice.clock.now() })];
    let proposal =
        Proposal { by: administrator.name(), basis: 4, operations, statements: Vec::new(), beside: Vec::new() };
    let plan = lattice.look(&Look::Plan(Box::new(proposal))).await;
    assert_eq!(plan["events"][0].as_object().unwrap().keys().next().unwrap(), "clock_acknowledged", "{plan}");
}
