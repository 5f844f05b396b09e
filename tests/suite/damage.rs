//! Files that came back otherwise than they were left: what is wrong is found before anything is granted.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use broker::clock::SystemClock;
use broker::error::Error;
use broker::folder::Folder;
use broker::service::Service;
use harness::acts::{administrator, waits};
use harness::caller::{Administrator, Caller};
use harness::lattice::{Lattice, path};
use harness::program::{countersign_json, program};
use policy::reason::Reason;
use serde_json::{Value, json};

async fn opened(lattice: &Lattice) -> Result<(), Error> {
    opened_at(&lattice.path("lattice")).await
}

async fn opened_at(folder: &Path) -> Result<(), Error> {
    let folder = Folder::open(folder)?;
    Service::open(&folder, Arc::new(SystemClock::default())).await?.close().await
}

// A copy of the folder, in which the log's side file is another: whoever opened one copy may still be closing it.
fn copy_with_side(lattice: &Lattice, name: &str, side: Option<&[u8]>) -> PathBuf {
    let copy = lattice.path(name);
    let copied = Command::new("cp").arg("-a").arg(lattice.path("lattice")).arg(&copy).status().unwrap();
    assert!(copied.success());
    let file = beside(&copy.join("log.db"), "-wal");
    std::fs::remove_file(beside(&copy.join("log.db"), "-shm")).unwrap();
    match side {
        Some(bytes) => std::fs::write(&file, bytes).unwrap(),
        None => std::fs::remove_file(&file).unwrap(),
    }
    copy
}

fn beside(log: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[tokio::test]
async fn t72_t28_without_what_lies_beside_the_log_it_is_older_and_does_not_open() {
    let mut lattice = Lattice::with_cart();
    let (host, administrator) = (Caller::new(&lattice, "host").await, Administrator::new(&lattice).await);
    for _ in 0..3 {
        assert!(host.ask().await.is_yes());
        assert!(administrator.command().await.is_yes());
    }
    // Killed, so that the newest rows lie in the log's side file alone.
    lattice.kill_broker();
    let kept = std::fs::read(beside(&lattice.log(), "-wal")).unwrap();
    assert!(!kept.is_empty());
    let without = copy_with_side(&lattice, "without", None);
    assert_eq!(opened_at(&without).await.unwrap_err().reason(), Some(Reason::StateRollback));
    // Half of it is as good as none.
    let half = copy_with_side(&lattice, "half", Some(&kept[..kept.len() / 2]));
    assert_eq!(opened_at(&half).await.unwrap_err().reason(), Some(Reason::StateRollback));
    opened_at(&copy_with_side(&lattice, "whole", Some(&kept))).await.unwrap();
}

#[test]
fn t72_on_a_medium_that_takes_no_side_files_a_log_is_read_and_never_without_its_newest_rows() {
    let mut lattice = Lattice::with_cart();
    lattice.stop_broker();
    let Some(read) = on_a_read_only_medium(&lattice) else {
        println!("no medium can be mounted here");
        return;
    };
    let said = String::from_utf8_lossy(&read.stdout).into_owned();
    assert!(read.status.success(), "{said} {}", String::from_utf8_lossy(&read.stderr));
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["success"], json!(true));
    // Killed, so that the newest rows lie in the log's side file alone.
    lattice.serve();
    lattice.accepted(&["host", "invite"]);
    lattice.kill_broker();
    std::fs::remove_file(beside(&lattice.log(), "-shm")).unwrap();
    let read = on_a_read_only_medium(&lattice).unwrap();
    assert!(!read.status.success(), "{}", String::from_utf8_lossy(&read.stdout));
}

// `audit verify` of a copy of the folder where nobody can write; nothing where no user may mount.
fn on_a_read_only_medium(lattice: &Lattice) -> Option<std::process::Output> {
    let room = tempfile::TempDir::new().unwrap();
    let script = "mount -t tmpfs -o mode=700 none \"$0\" && cp -a \"$1\" \"$0/copy\" && mount -o remount,ro \"$0\" \
        && exec \"$2\" -o json --dir \"$0/copy\" audit verify";
    let mut verify = Command::new("unshare");
    verify.args(["-rm", "/bin/sh", "-c", script, path(room.path()), path(&lattice.path("lattice"))]);
    let read = verify.arg(program("countersign").get_program()).output().ok()?;
    let errors = String::from_utf8_lossy(&read.stderr).into_owned();
    (!["unshare:", "mount:"].iter().any(|program| errors.starts_with(program))).then_some(read)
}

#[tokio::test]
async fn t72_t63_a_damaged_page_is_found_at_the_start_or_by_verify() {
    let lattice = Lattice::quiet();
    lattice.furnish();
    let sound = std::fs::read(lattice.log()).unwrap();
    let pages = sound.len() / PAGE;
    let (mut at_start, mut by_verify) = (0, 0);
    for page in 0..pages {
        let mut damaged = sound.clone();
        damaged[page * PAGE..(page + 1) * PAGE].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(lattice.log(), &damaged).unwrap();
        match opened(&lattice).await {
            Err(_) => at_start += 1,
            Ok(()) => {
                let (code, verified) = lattice.json(&["audit", "verify"]);
                assert_ne!(code, 0, "page {page}: {verified}");
                by_verify += 1;
            }
        }
        for suffix in ["-wal", "-shm"] {
            drop(std::fs::remove_file(beside(&lattice.log(), suffix)));
        }
    }
    std::fs::write(lattice.log(), &sound).unwrap();
    opened(&lattice).await.unwrap();
    println!("{pages} pages: {at_start} damages found at the start, {by_verify} by verify");
}

#[tokio::test]
async fn t72_what_is_no_part_of_the_schema_does_not_open() {
    for (file, sql) in [
        ("log.db", "CREATE TABLE more (x)"),
        ("log.db", "CREATE INDEX more ON entries (hash)"),
        ("log.db", "CREATE TRIGGER more AFTER INSERT ON evidence BEGIN SELECT 1; END"),
        (
            "log.db",
            "DROP TRIGGER evidence_is_not_replaced; CREATE TRIGGER evidence_is_not_replaced \
                    BEFORE INSERT ON evidence BEGIN SELECT 1; END",
        ),
        ("lock.db", "CREATE TABLE more (x)"),
        ("lock.db", "DROP TRIGGER lock_never_goes_back"),
    ] {
        let lattice = Lattice::quiet_with(&["--bare"]);
        execute(&lattice.path("lattice").join(file), sql).await;
        let refused = opened(&lattice).await.unwrap_err();
        assert!(matches!(refused, Error::Unsafe { .. }), "{file}: {sql}: {refused}");
        let (code, said) = lattice.json(&["audit", "verify"]);
        assert_eq!(code == 0, file == "lock.db", "{file}: {sql}: {said}");
    }
}

async fn execute(path: &Path, sql: &'static str) {
    use sqlx::{ConnectOptions, Connection};
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

const PAGE: usize = 8192;

#[test]
fn t28_t64_a_folder_put_back_whole_does_not_open_behind_a_lock_that_lies_elsewhere() {
    let room = tempfile::tempdir().unwrap();
    let [dir, lock, copy] = ["lattice", "elsewhere/lock.db", "yesterday"].map(|name| room.path().join(name));
    std::fs::create_dir(room.path().join("elsewhere")).unwrap();
    let run = |dir: &Path, lock: Option<&Path>, arguments: &[&str]| {
        let mut place = vec!["--dir", path(dir)];
        place.extend(lock.into_iter().flat_map(|lock| ["--lock", path(lock)]));
        let (code, told) = countersign_json(&[&place, arguments].concat());
        (code, told["error"].as_str().unwrap_or_default().to_owned(), told)
    };
    let act = ["host", "invite"];
    let refused = |(code, reason, told): (i32, String, Value)| {
        assert_eq!((code, reason.as_str()), (3, "state_rollback"), "{told}");
        told["message"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(run(&dir, Some(&lock), &["init"]).0, 0);
    assert_eq!(run(&dir, Some(&lock), &act).0, 0);
    let (_, _, status) = run(&dir, Some(&lock), &["status"]);
    assert_eq!(status["lock"], json!({"file": path(&lock), "missing": false, "shares_folder": false}));
    assert_eq!(run(&dir, None, &["status"]).2["lock"]["missing"], json!(true));
    // Whoever leaves it out is refused, and told how to name it.
    assert!(refused(run(&dir, None, &act)).contains("`--lock FILE`"));

    assert!(Command::new("cp").arg("-a").args([&dir, &copy]).status().unwrap().success());
    assert_eq!(run(&dir, Some(&lock), &act).0, 0);
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::rename(&copy, &dir).unwrap();
    refused(run(&dir, Some(&lock), &act));
    refused(run(&dir, Some(&lock), &["audit", "backup", path(&room.path().join("backup"))]));
    let (code, _, told) = run(&dir, Some(&lock), &["restore", "--because", "a drill"]);
    assert_eq!((code, &told["lost"]), (0, &json!(1)), "{told}");
    assert_eq!(run(&dir, Some(&lock), &act).0, 0);
    assert_eq!(run(&dir, Some(&lock), &["audit", "backup", path(&room.path().join("backup"))]).0, 0);
    // Another lattice's lock is no lock, is not overwritten, and lies where nobody else can put one.
    let other = room.path().join("other");
    let (code, _, told) = run(&other, Some(&lock), &["init"]);
    assert!(code == 1 && told["message"].as_str().unwrap().contains(path(&lock)), "{told}");
    assert!(!other.exists());
    assert_eq!(run(&other, None, &["init"]).0, 0);
    refused(run(&other, Some(&lock), &act));
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(lock.parent().unwrap(), open).unwrap();
    let (code, _, told) = run(&dir, Some(&lock), &act);
    assert!(code == 1 && told["message"].as_str().unwrap().contains("can be written by others"), "{told}");
}

#[test]
fn t28_t79_a_restore_that_somebody_turned_down_can_be_asked_for_anew() {
    let mut lattice = Lattice::quiet();
    lattice.stop_broker();
    let bob = administrator(&lattice, "bob");
    lattice.accepted(&["admin", "put", &bob, "--role", "operator"]);
    let by_bob = lattice.path("bob.nk");
    let by_bob = ["--key", path(&by_bob)];
    let two = waits(&lattice, &["threshold", "put", "restore", "2"]);
    lattice.accepted(&[&by_bob[..], &["approve", &two]].concat());
    // Nothing is lost, so nothing is restored.
    let (code, told) = lattice.json(&["restore", "--because", "just so"]);
    assert_eq!((code, &told["error"]), (3, &json!("already_exists")), "{told}");

    lattice.copy_folder("yesterday");
    lattice.accepted(&["host", "invite"]);
    for suffix in ["", "-wal", "-shm"] {
        let [old, log] = ["yesterday", "lattice"].map(|at| beside(&lattice.path(at).join("log.db"), suffix));
        // Side files are there or not, as the last one who worked left them.
        let _ = std::fs::remove_file(&log);
        assert!(std::fs::copy(old, log).is_ok() || !suffix.is_empty());
    }
    let lost = lattice.accepted(&["restore", "--plan"]);
    assert_eq!(lost["lost"], json!(1), "{lost}");
    let first = waits(&lattice, &["restore", "--because", "the disk died"]);
    lattice.accepted(&[&by_bob[..], &["reject", &first, "--because", "which disk?"]].concat());
    // It has begun: nothing is granted before it is agreed upon, and what is lost is told as before.
    let again = lattice.accepted(&["restore", "--plan"]);
    assert_eq!((&again["kept"], &again["seen"]), (&lost["kept"], &lost["seen"]), "{again}");
    let second = waits(&lattice, &["restore", "--because", "the second disk"]);
    lattice.accepted(&[&by_bob[..], &["approve", &second]].concat());
    lattice.accepted(&["host", "invite"]);
    assert_eq!(lattice.accepted(&["audit", "verify"])["success"], json!(true));
    let (code, told) = lattice.json(&["restore", "--because", "once more"]);
    assert_eq!((code, &told["error"]), (3, &json!("already_exists")), "{told}");
}

#[test]
fn t28_without_its_lock_a_log_is_restored_on_purpose_and_a_cut_one_is_told_by_whoever_looks() {
    let mut lattice = Lattice::quiet();
    lattice.stop_broker();
    let lock = lattice.path("lattice/lock.db");
    for suffix in ["", "-wal", "-shm"] {
        // Side files are there or not.
        let _ = std::fs::remove_file(beside(&lock, suffix));
    }
    let alarms = || lattice.accepted(&["status"])["alarms"].to_string();
    assert!(alarms().contains("state_rollback"), "{}", alarms());
    let (code, told) = lattice.json(&["host", "invite"]);
    assert_eq!((code, &told["error"]), (3, &json!("state_rollback")), "{told}");
    assert_eq!(lattice.accepted(&["restore", "--plan"])["lost"], json!(1));
    assert!(!lock.exists(), "a plan made a lock");
    lattice.accepted(&["restore", "--because", "the lock is lost"]);
    lattice.accepted(&["host", "invite"]);
    assert_eq!(alarms(), lattice.accepted(&["status"])["alarms"].to_string());
    assert!(!alarms().contains("state_rollback"), "{}", alarms());
    assert!(lattice.accepted(&["audit", "verify"])["lock"].as_str().unwrap().contains("the log leads there"));

    // Put back without its lock, which knows more: nobody who only looks says that all is well.
    lattice.copy_folder("yesterday");
    lattice.accepted(&["host", "invite"]);
    for suffix in ["", "-wal", "-shm"] {
        let [old, log] = ["yesterday", "lattice"].map(|at| beside(&lattice.path(at).join("log.db"), suffix));
        let _ = std::fs::remove_file(&log);
        assert!(std::fs::copy(old, log).is_ok() || !suffix.is_empty());
    }
    assert!(alarms().contains("state_rollback"), "{}", alarms());
    let (code, told) = lattice.json(&["audit", "verify"]);
    assert_eq!((code, &told["error"]), (3, &json!("state_rollback")), "{told}");
}
