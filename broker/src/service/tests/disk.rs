//! What the disk may do, and what it may not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use policy::answer::StartAnswer;
use policy::envelope::Unverified;
use policy::govern::{AcknowledgeClock, Operation};
use policy::key::Host;
use policy::question::Seen;
use policy::reason::Reason;
use policy::wire::PERMIT_TTL_MS;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::asker::{Closed, Lattice, NOW_MS};
use super::starting::tamper;
use crate::clock::Clock;
use crate::error::Error;
use crate::keys::SigningKey;
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
async fn t23_t67_an_act_that_nobody_was_told_of_waits_for_older_permits_like_any_other() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let request = lattice.request_permitted(&host).await;
    // Whatever a process before this one permitted is over.
    lattice.clock.advance(PERMIT_TTL_MS + 1);
    let permit = lattice.service.answer_start(&request).await.unwrap();
    let permit = Unverified::<StartAnswer>::parse(&permit).unwrap();
    assert_eq!(permit.says().reason, None);
    let index = lattice.size().await;
    let mut other = plain(&lattice.folder.lock_file()).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let refused = lattice.service.command(&lattice.unseen_command()).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::AuditUnavailable));
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    while lattice.service.snapshot().await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(lattice.size().await, index + 1);
    let effect = || lattice.service.present().effect(index);
    assert_eq!((effect().after_ms, effect().within_ms), (None, PERMIT_TTL_MS));
    lattice.clock.advance(PERMIT_TTL_MS);
    assert_eq!(effect().after_ms, Some(PERMIT_TTL_MS));
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

// A file beside a database.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

// The log as a file of its own: all of it lies in what is copied.
async fn copied(lattice: &Lattice) -> PathBuf {
    execute(&lattice.folder.log(), "PRAGMA wal_checkpoint(TRUNCATE)").await;
    let copy = lattice.place.path().join("copy.db");
    fs::copy(lattice.folder.log(), &copy).unwrap();
    copy
}

async fn is_refused(lattice: &Lattice, host: &SigningKey<Host>) {
    let start = lattice.service.answer_start(&lattice.request(host)).await.unwrap_err();
    assert_eq!(start.reason(), Some(Reason::AuditUnavailable));
    let command = lattice.service.command(&lattice.unseen_command()).await.unwrap_err();
    assert_eq!(command.reason(), Some(Reason::AuditUnavailable));
}

// Asks until it is answered, without a restart.
async fn healed(lattice: &Lattice, host: &SigningKey<Host>) -> Seen {
    loop {
        if let Ok(answer) = lattice.service.answer_start(&lattice.request(host)).await {
            let answer = Unverified::<StartAnswer>::parse(&answer).unwrap().says().clone();
            return Seen { epoch: answer.epoch, index: answer.index, entry_sha256: answer.entry_sha256 };
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn t67_a_log_or_a_lock_that_is_deleted_under_a_broker_ends_every_grant() {
    for name in ["log.db", "lock.db"] {
        let lattice = Lattice::new().await;
        let host = lattice.enrolled_host().await;
        fs::remove_file(lattice.folder.path().join(name)).unwrap();
        // Neither at once, nor by files that are opened anew.
        for _ in 0..3 {
            is_refused(&lattice, &host).await;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        assert!(!lattice.folder.path().join(name).exists(), "`{name}` was made anew");
    }
}

#[tokio::test]
async fn t67_what_is_written_beside_a_deleted_side_file_is_acknowledged_to_nobody() {
    for name in ["log.db", "lock.db"] {
        let lattice = Lattice::new().await;
        lattice.enrolled_host().await;
        fs::remove_file(beside(&lattice.folder.path().join(name), "-wal")).unwrap();
        let command = lattice.service.command(&lattice.unseen_command()).await.unwrap_err();
        assert_eq!(command.reason(), Some(Reason::AuditUnavailable), "{name}");
        // What lay in it may be saved when it is closed: then it goes on, and otherwise it does not.
        let mut told = Vec::new();
        for _ in 0..10 {
            if let Ok(receipt) = lattice.service.command(&lattice.unseen_command()).await {
                told.push(lattice.receipt(&receipt));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let closed = lattice.closed().await;
        let log = match open(&closed).await {
            Ok(service) => service.log().await.unwrap(),
            Err(error) => {
                assert!(told.is_empty(), "{name}: {error}");
                continue;
            }
        };
        for receipt in told {
            assert_eq!(log.row(receipt.index).await.unwrap().unwrap().hash, receipt.entry_sha256, "{name}");
        }
    }
}

#[tokio::test]
async fn t67_t64_an_older_log_that_is_put_in_place_under_a_broker_ends_every_grant() {
    let lattice = Lattice::new().await;
    let copy = copied(&lattice).await;
    let host = lattice.enrolled_host().await;
    // All of it lies in the file itself, so that the copy is older, whatever lies beside it.
    execute(&lattice.folder.log(), "PRAGMA wal_checkpoint(TRUNCATE)").await;
    let kept = fs::read(&copy).unwrap();
    fs::rename(&copy, lattice.folder.log()).unwrap();
    is_refused(&lattice, &host).await;
    fs::remove_file(beside(&lattice.folder.log(), "-wal")).unwrap();
    for _ in 0..3 {
        is_refused(&lattice, &host).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(fs::read(lattice.folder.log()).unwrap(), kept, "something was written into an older log");
}

#[tokio::test]
async fn t67_a_log_that_is_moved_away_and_back_heals_without_a_restart() {
    for name in ["log.db", "lock.db"] {
        let lattice = Lattice::new().await;
        let host = lattice.enrolled_host().await;
        let before = healed(&lattice, &host).await;
        let (here, away) = (lattice.folder.path().join(name), lattice.place.path().join("away"));
        fs::rename(&here, &away).unwrap();
        let command = lattice.unseen_command();
        assert_eq!(lattice.service.command(&command).await.unwrap_err().reason(), Some(Reason::AuditUnavailable));
        is_refused(&lattice, &host).await;
        fs::rename(&away, &here).unwrap();
        let after = healed(&lattice, &host).await;
        // What was written meanwhile is on record, and nobody was told of it.
        assert!(after.index > before.index + 1, "{name}");
        let again = lattice.service.command(&command).await.unwrap();
        assert_eq!(lattice.receipt(&again).reason, Some(Reason::CommandSeen), "{name}");
        let lattice = lattice.reopened().await;
        let log = lattice.service.log().await.unwrap();
        for told in [before, after] {
            assert_eq!(log.row(told.index).await.unwrap().unwrap().hash, told.entry_sha256, "{name}");
        }
    }
}

#[tokio::test]
async fn t67_whoever_reads_a_log_goes_with_the_file_that_takes_its_place() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    lattice.service.inventory(&lattice.inventory_with(&host, 1, |_| {})).await.unwrap();
    let shown = lattice.service.current_log();
    let size = shown.now().await.unwrap().size().await.unwrap();
    let copy = copied(&lattice).await;
    fs::rename(&copy, lattice.folder.log()).unwrap();
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(beside(&lattice.folder.log(), suffix)).unwrap();
    }
    let command = lattice.service.command(&lattice.unseen_command()).await.unwrap_err();
    assert_eq!(command.reason(), Some(Reason::AuditUnavailable));
    // It is whole, so it is gone on with; and a host is not told that it has seen what this log does not hold.
    let seen = healed(&lattice, &host).await;
    let inventory = lattice.inventory_with(&host, 2, |inventory| inventory.seen = seen);
    lattice.service.inventory(&inventory).await.unwrap();
    let read = shown.now().await.unwrap();
    assert_eq!(read.size().await.unwrap(), size + 1);
    assert!(Arc::ptr_eq(&read, &shown.now().await.unwrap()), "it was opened again for nothing");
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
