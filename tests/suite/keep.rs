//! Keeping the log: exports that go on, backups that are proved, segments, and logs of older releases; all with the
//! built programs, beside a broker that writes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::clock::{Clock, SystemClock};
use broker::export::{Freeze, Until, freeze};
use broker::folder::Folder;
use harness::caller::Caller;
use harness::embedded::Embedded;
use harness::faults::{EIO, ENOSPC, Fault, Faults};
use harness::lattice::{Lattice, path, wait_for};
use harness::program::{countersign_json, program};
use harness::vectors;
use host::memory::Keep;
use policy::wire::Topic;
use serde_json::{Value, json};

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'\n' || (b' '..=b'~').contains(byte))
}

async fn asked(caller: &Caller, times: usize) {
    for _ in 0..times {
        while !caller.ask().await.is_yes() {}
    }
}

// `countersign` on a folder of its own.
fn alone(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    countersign_json(&[&["--dir", path(folder)], arguments].concat())
}

fn verified(lattice: &Lattice) -> Value {
    lattice.accepted(&["audit", "verify"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_goes_on_where_it_ended_and_proves_itself_without_the_log() {
    let mut lattice = Lattice::with_cart();
    let caller = Caller::new(&lattice, "host").await;
    asked(&caller, 20).await;
    let (file, whole) = (lattice.path("log.jsonl"), lattice.path("whole.jsonl"));
    let export = ["audit", "export", "--evidence", "--out", path(&file)];
    let first = lattice.accepted(&export);
    asked(&caller, 20).await;
    // Torn, as a crash in the middle of a line would leave it.
    let length = std::fs::metadata(&file).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(length - 40).unwrap();
    let second = lattice.accepted(&export);
    assert!(second["added"].as_u64() > Some(20) && second["next"].as_u64() > first["next"].as_u64(), "{second}");
    lattice.stop_broker();
    lattice.accepted(&export);
    let third = lattice.accepted(&export);
    assert_eq!(third["added"], json!(0));
    // Entry by entry what a single export has; and exactly what was recorded.
    lattice.accepted(&["audit", "export", "--out", path(&whole)]);
    let entries = |file: &Path| lines(file).iter().map(|line| line["entry"].to_string()).collect::<Vec<_>>();
    assert_eq!(entries(&file), entries(&whole));
    let log = verified(&lattice);
    let (code, export) = alone(&lattice.path("nowhere"), &["audit", "verify", "--export", path(&file)]);
    assert_eq!(code, 0, "{export}");
    for member in ["entries", "tree_root", "last", "rulings", "judged", "lattice"] {
        assert_eq!(export[member], log[member], "{member}");
    }
    // Without evidence the chain and the tree hold, and it says what it did not decide.
    let (code, bare) = alone(&lattice.path("nowhere"), &["audit", "verify", "--export", path(&whole)]);
    assert_eq!((code, &bare["error"]), (3, &json!("evidence_missing")), "{bare}");
    assert_eq!((&bare["entries"], &bare["tree_root"]), (&log["entries"], &log["tree_root"]));
    // A part of it, and a changed one.
    let part = lattice.path("part.jsonl");
    lattice.accepted(&["audit", "export", "--from", "5", "--to", "9", "--out", path(&part)]);
    assert_eq!(lines(&part).iter().map(|line| line["index"].as_u64().unwrap()).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"host_signed\"", "\"host_sighed\"", 1)).unwrap();
    let (code, broken) = alone(&lattice.path("nowhere"), &["audit", "verify", "--export", path(&file)]);
    assert_eq!((code, &broken["error"]), (3, &json!("log_broken")), "{broken}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_follows_the_log_until_it_is_stopped() {
    let lattice = Lattice::with_cart();
    let caller = Caller::new(&lattice, "host").await;
    let file = lattice.path("followed.jsonl");
    let mut follower = program("countersign");
    follower.args(["--dir", path(&lattice.path("lattice")), "audit", "export", "--follow", "--out", path(&file)]);
    let mut follower = follower.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ends_at = |size: u64| {
        wait_for("the lines", || {
            let text = std::fs::read_to_string(&file).ok()?;
            let last: Value = serde_json::from_str(text.lines().last()?).ok()?;
            (last["index"].as_u64()? + 1 >= size).then_some(())
        });
    };
    for _ in 0..3 {
        asked(&caller, 5).await;
        ends_at(lattice.accepted(&["status"])["size"].as_u64().unwrap());
    }
    // Nobody else writes to it meanwhile.
    let (code, refused) = lattice.json(&["audit", "export", "--out", path(&file)]);
    assert_eq!(code, 1, "{refused}");
    // Where another file takes the log's place it does not go on reading the one that is gone.
    let log = lattice.path("lattice").join("log.db");
    std::fs::copy(&log, log.with_extension("other")).unwrap();
    std::fs::rename(&log, log.with_extension("kept")).unwrap();
    std::fs::rename(log.with_extension("other"), &log).unwrap();
    assert_eq!(wait_for("its end", || follower.try_wait().unwrap()).code(), Some(3));
    std::fs::rename(log.with_extension("kept"), &log).unwrap();
    lattice.accepted(&["audit", "export", "--out", path(&file)]);
}

#[test]
fn files_of_somebody_else_are_refused_and_left_alone() {
    let (lattice, other) = (Lattice::quiet(), Lattice::quiet());
    let file = lattice.path("log.jsonl");
    lattice.accepted(&["audit", "export", "--out", path(&file)]);
    let mine = std::fs::read(&file).unwrap();
    let longer = lattice.path("longer.jsonl");
    for (what, bytes, code) in [
        ("another log's", mine.clone(), "export_mismatch"),
        ("somebody's notes", b"milk, eggs\n".to_vec(), "export_mismatch"),
        ("notes without an end", b"milk, eggs".to_vec(), "export_mismatch"),
        ("a changed line", [&mine[..mine.len() - 3], b"\"}\n"].concat(), "export_mismatch"),
    ] {
        std::fs::write(&longer, &bytes).unwrap();
        let (exit, refused) = other.json(&["audit", "export", "--out", path(&longer)]);
        assert_eq!((exit, &refused["error"]), (3, &json!(code)), "{what}: {refused}");
        assert_eq!(std::fs::read(&longer).unwrap(), bytes, "{what} was touched");
    }
    // The file of a log that went further: this one is an old copy.
    let kept = std::fs::read(lattice.log()).unwrap();
    lattice.accepted(&["host", "invite"]);
    lattice.accepted(&["audit", "export", "--out", path(&file)]);
    std::fs::write(lattice.log(), kept).unwrap();
    for side in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(lattice.path(&format!("lattice/log.db{side}")));
    }
    let (exit, refused) = lattice.json(&["audit", "export", "--out", path(&file)]);
    assert_eq!((exit, &refused["error"]), (3, &json!("state_rollback")), "{refused}");
    // What it begins with is not another beginning.
    let (exit, refused) = other.json(&["audit", "export", "--from", "1", "--out", path(&other.path("new.jsonl"))]);
    assert_eq!(exit, 0, "{refused}");
    let (exit, refused) = other.json(&["audit", "export", "--from", "2", "--out", path(&other.path("new.jsonl"))]);
    assert_eq!(exit, 2, "{refused}");
}

#[test]
fn t68_t69_hostile_text_stays_one_line_and_no_secret_gets_out() {
    let lattice = Lattice::quiet();
    let hostile = "x\r\n{\"hash\":\"0\"}\u{1b}[31m\u{202e}=cmd|'/c calc'!A1 <script>é";
    lattice.accepted(&["host", "invite", "--because", hostile, "--label", "zone=\u{1b}]0;x\u{7}"]);
    let seed = nkeys::KeyPair::new_account().seed().unwrap();
    assert_eq!(lattice.json(&["host", "invite", "--because", &seed]).0, 3);
    let (file, copy) = (lattice.path("log.jsonl"), lattice.path("copy"));
    lattice.accepted(&["audit", "export", "--evidence", "--out", path(&file)]);
    let size = lattice.accepted(&["status"])["size"].as_u64().unwrap();
    let exported = std::fs::read(&file).unwrap();
    assert!(is_plain(&exported));
    assert_eq!(exported.iter().filter(|byte| **byte == b'\n').count() as u64, size, "a line for each entry");
    let said = lines(&file).iter().any(|line| line["entry"]["body"]["because"] == json!(hostile));
    assert!(said, "what was said came through");
    for arguments in [&["audit", "tail", "-n", "100"][..], &["audit", "export"], &["-o", "json", "audit", "tail"]] {
        let mut command = program("countersign");
        let printed = command.arg("--dir").arg(lattice.path("lattice")).args(arguments).output().unwrap();
        assert!(printed.status.success() && is_plain(&printed.stdout), "{arguments:?}");
        let rows = printed.stdout.iter().filter(|byte| **byte == b'\n').count() as u64;
        assert!(rows == size || arguments.contains(&"json"), "{arguments:?}: {rows} lines");
    }
    lattice.accepted(&["audit", "backup", path(&copy)]);
    for file in files(&copy).into_iter().chain([file]) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(seed.len()).any(|window| window == seed.as_bytes()), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t70_a_flood_shows_as_a_count_in_tail_and_export() {
    let mut lattice = Lattice::with_cart();
    let caller = Caller::new(&lattice, "host").await;
    let client = async_nats::connect(lattice.nats.url()).await.unwrap();
    let subject = Topic::StartComponent.subject(&harness::asker::lattice_name());
    for _ in 0..500 {
        let reply = format!("{}.flood", caller.inbox());
        client.publish_with_reply(subject.clone(), reply, "{".into()).await.unwrap();
    }
    client.flush().await.unwrap();
    lattice.accepted(&["host", "invite", "--because", "in the middle of it"]);
    asked(&caller, 1).await;
    lattice.stop_broker();
    let file = lattice.path("log.jsonl");
    lattice.accepted(&["audit", "export", "--out", path(&file)]);
    let rows = lines(&file);
    let doors = rows.iter().filter(|line| line["entry"]["kind"] == "door");
    let counted: u64 = doors
        .map(|line| line["entry"]["body"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>())
        .sum();
    assert!(counted >= 400, "{counted} counted");
    assert!(rows.iter().any(|line| line["entry"]["body"]["because"] == "in the middle of it"));
    let tail = lattice.accepted(&["audit", "tail", "-n", "50"]);
    let told = tail["entries"]
        .as_array()
        .unwrap()
        .iter()
        .any(|row| row["kind"] == "door" && row["summary"].to_string().contains(" x "));
    assert!(told, "{tail}");
}

// Log and lock of a copy in the place of the living ones.
fn put_back(copy: &Path, lattice: &Lattice, names: &[&str]) {
    for name in names {
        let file = lattice.path("lattice").join(name);
        std::fs::remove_file(&file).unwrap();
        std::fs::copy(copy.join(name), &file).unwrap();
        for side in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(lattice.path(&format!("lattice/{name}{side}")));
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t28_t64_a_backup_under_load_is_proved_and_put_back_only_on_purpose() {
    let mut lattice = Lattice::with_cart();
    let caller = Caller::new(&lattice, "host").await;
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (caller, stop) = (caller.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    caller.ask().await;
                }
            })
        })
        .collect();
    let (copy, keyed) = (lattice.path("copy"), lattice.path("keyed"));
    let made = lattice.accepted(&["audit", "backup", path(&copy)]);
    lattice.accepted(&["audit", "backup", path(&keyed), "--with-keys"]);
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    let (code, sound) = alone(&copy, &["audit", "verify"]);
    assert_eq!((code, &sound["tree_root"], &sound["entries"]), (0, &made["tree_root"], &made["entries"]), "{sound}");
    let names = |folder: &Path| -> BTreeSet<String> {
        files(folder).iter().map(|file| file.strip_prefix(folder).unwrap().to_string_lossy().into_owned()).collect()
    };
    assert!(names(&copy).iter().all(|name| !name.contains("keys") && !name.ends_with(".nk")), "{:?}", names(&copy));
    assert!(names(&copy).contains("warrant.jws") && names(&copy).contains("lock.db"), "{:?}", names(&copy));
    assert!(names(&keyed).contains("keys/decision.nk"), "{:?}", names(&keyed));
    // Nothing is overwritten.
    assert_eq!(lattice.json(&["audit", "backup", path(&copy)]).0, 1);

    // An act that the copy knows nothing of, and a host that has seen it.
    lattice.accepted(&["contract", "withdraw", "wasi:logging"]);
    let epoch = lattice.accepted(&["status"])["epoch"].as_u64().unwrap();
    let host = Embedded::new(&lattice, "host", &lattice.nats.url(), Duration::from_secs(20)).await;
    assert!(host.decides().await.is_err());
    wait_for("the host's memory", || (host.memory.record().epoch >= epoch).then_some(()));
    lattice.stop_broker();
    let status = lattice.accepted(&["status"]);
    let (seen, epoch) = (status["size"].to_string(), status["epoch"].to_string());
    // The log alone is behind its lock.
    put_back(&copy, &lattice, &["log.db"]);
    assert!(!lattice.try_serve(), "an older log was served");
    let (code, refused) = lattice.json(&["host", "invite"]);
    assert_eq!((code, &refused["error"]), (3, &json!("state_rollback")), "{refused}");
    // With its lock it opens, and whoever has seen more is refused.
    put_back(&copy, &lattice, &["lock.db"]);
    lattice.serve();
    // Where it has grown to what the host holds, that is two stories of one log.
    let refused = host.decides().await.unwrap_err();
    assert!(["state_rollback", "log_fork"].contains(&refused), "{refused}");
    lattice.stop_broker();
    let restored = lattice.accepted(&["restore", "--seen", &seen, "--epoch", &epoch, "--because", "a drill"]);
    assert!(restored["epoch"].as_u64().unwrap() > status["epoch"].as_u64().unwrap(), "{restored}");
    verified(&lattice);
    lattice.serve();
    wait_for("the host again", || {
        if host.memory.record().forked.is_some() {
            host.memory.dismiss(Keep::Held, "a drill").unwrap();
        }
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(host.decides())).ok()
    });
}

#[test]
fn a_backup_to_a_disk_that_fails_leaves_nothing() {
    let lattice = Lattice::quiet();
    lattice.accepted(&["host", "invite"]);
    let place = lattice.path("full");
    std::fs::create_dir(&place).unwrap();
    let (mut faults, variables) = Faults::elsewhere(lattice.path("backup-faults"), &place);
    let dest = place.join("copy");
    let backup = || {
        let mut command = program("countersign");
        command.arg("--dir").arg(lattice.path("lattice")).args(["audit", "backup", path(&dest)]);
        command.envs(variables.iter().map(|(name, value)| (*name, value))).output().unwrap()
    };
    let mut points = 0;
    for (errno, count) in [(ENOSPC, u32::MAX), (EIO, 1)] {
        for first in (1..).step_by(5) {
            faults.on(Fault { calls: "wst", done: false, first, count, errno });
            let output = backup();
            let (met, said) = (faults.met() >= first, String::from_utf8_lossy(&output.stderr).into_owned());
            faults.off();
            if output.status.success() {
                // SQLite does without some calls; what is there is whole.
                assert_eq!(alone(&dest, &["audit", "verify"]).0, 0, "call {first}");
                std::fs::remove_dir_all(&dest).unwrap();
            } else {
                assert_eq!((output.status.code(), met), (Some(1), true), "call {first}: {said}");
                let left: Vec<_> = std::fs::read_dir(&place).unwrap().flatten().map(|entry| entry.path()).collect();
                assert!(left.is_empty(), "call {first} left {left:?}: {said}");
            }
            if !met {
                break;
            }
            points += 1;
        }
    }
    faults.off();
    println!("{points} faults: no backup and nothing half");
    assert!(points >= 4 && backup().status.success());
    assert_eq!(alone(&dest, &["audit", "verify"]).0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_entries_are_read_from_their_segment_and_the_lattice_goes_on() {
    let mut lattice = Lattice::with_cart();
    let caller = Caller::new(&lattice, "host").await;
    asked(&caller, 30).await;
    lattice.accepted(&["host", "invite"]);
    lattice.stop_broker();
    let (file, again) = (lattice.path("before.jsonl"), lattice.path("after.jsonl"));
    lattice.accepted(&["audit", "export", "--evidence", "--out", path(&file)]);
    let before = verified(&lattice);
    let out = lattice.path("segments");
    std::fs::create_dir(&out).unwrap();
    // Nothing is old enough yet.
    for until in [["--older-than", "90d"], ["--before", "20"]] {
        let (code, refused) = lattice.json(&[&["audit", "freeze", "--out", path(&out)], &until[..]].concat());
        assert_eq!((code, &refused["error"]), (3, &json!("not_found")), "{refused}");
    }
    let now = SystemClock::default().now();
    let (until, as_of) = (Until::OlderThan(90 * 86_400), now.plus(365 * 86_400));
    let in_a_year = Freeze { until, as_of, out: out.clone() };
    let folder = Folder::open(&lattice.path("lattice")).unwrap();
    let done = freeze(&folder, now, &in_a_year).await.unwrap();
    assert!(done.moved >= 30, "{done:?}");
    let (code, bare) = lattice.json(&["audit", "verify"]);
    assert_eq!(
        (code, &bare["error"], &bare["entries"]),
        (3, &json!("segment_missing"), &json!(done.entry + 1)),
        "{bare}"
    );
    // The log is what it was, and one entry that tells what was moved.
    let whole = lattice.accepted(&["audit", "verify", "--segments", path(&out)]);
    assert_eq!((&whole["entries"], &whole["tree_root"]), (&json!(done.entry + 1), &bare["tree_root"]));
    for member in ["rulings", "judged", "undecided"] {
        assert_eq!(whole[member], before[member], "{member}");
    }
    assert_eq!(alone(&lattice.path("nowhere"), &["audit", "verify", "--export", path(&done.file)]).0, 0);
    lattice.accepted(&["audit", "export", "--evidence", "--segments", path(&out), "--out", path(&again)]);
    let (first, all) = (std::fs::read(&file).unwrap(), std::fs::read(&again).unwrap());
    assert!(all.starts_with(&first) && lines(&again).len() == lines(&file).len() + 1);
    assert_eq!(lines(&again).last().unwrap()["entry"]["kind"], "freeze");
    let ruling = lines(&file).iter().find(|line| line["entry"]["kind"] == "ruling").unwrap()["index"].to_string();
    let (code, why) = lattice.json(&["why", &ruling]);
    assert_eq!((code, &why["error"]), (3, &json!("segment_missing")), "{why}");
    let why = lattice.accepted(&["why", &ruling, "--segments", path(&out)]);
    assert_eq!(why["follows"], true, "{why}");
    let proof = lattice.path("frozen.proof");
    lattice.accepted(&["audit", "prove", &ruling, "--segments", path(&out), "--out", path(&proof)]);
    let proven = lattice.accepted(&["audit", "verify", "--proof", path(&proof)]);
    assert_eq!(proven["entry"]["index"].to_string(), ruling, "{proven}");
    // Status, tail, a start, an act, a backup: all as ever.
    lattice.serve();
    asked(&caller, 3).await;
    assert_eq!(lattice.json(&["audit", "freeze", "--older-than", "90d", "--out", path(&out)]).0, 1, "a broker works");
    lattice.accepted(&["contract", "withdraw", "wasi:logging"]);
    lattice.accepted(&["status"]);
    let tail = lattice.accepted(&["audit", "tail", "-n", "1000"]);
    assert!(tail["entries"].as_array().unwrap().iter().any(|row| row["kind"] == "frozen"), "{tail}");
    lattice.accepted(&["audit", "backup", path(&lattice.path("copy"))]);
    assert_eq!(alone(&lattice.path("copy"), &["audit", "verify", "--segments", path(&out)]).0, 0);
    lattice.stop_broker();
    lattice.accepted(&["audit", "verify", "--segments", path(&out)]);
}

#[test]
fn f45_the_log_of_an_older_release_verifies_with_its_own_root() {
    let room = tempfile::tempdir().unwrap();
    let (folder, log) = (room.path().join("old"), room.path().join("old/log.db"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(vectors::folder("log-1").join("log.db"), &log).unwrap();
    std::fs::set_permissions(&log, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (code, sound) = alone(&folder, &["audit", "verify"]);
    assert_eq!(code, 0, "{sound}");
    let readme = std::fs::read_to_string(vectors::folder("log-1").join("README.md")).unwrap();
    for member in ["tree_root", "last"] {
        assert!(readme.contains(vectors::text(&sound, member)), "{member}: {sound}");
    }
    let file = room.path().join("old.jsonl");
    assert_eq!(alone(&folder, &["audit", "export", "--evidence", "--out", path(&file)]).0, 0);
    let (code, export) = alone(&folder, &["audit", "verify", "--export", path(&file)]);
    assert_eq!((code, &export["tree_root"]), (0, &sound["tree_root"]), "{export}");
}

#[test]
fn t90_what_cannot_be_written_is_no_success() {
    let lattice = Lattice::quiet();
    let dir = lattice.path("lattice");
    for what in [&["audit", "export"][..], &["audit", "verify"], &["-o", "json", "issuer", "list"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = harness::program::program("countersign");
        let output = command.args(["--dir", path(&dir)]).args(what).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{what:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
    }
}

#[test]
fn the_end_of_the_log_is_followed_until_nobody_reads() {
    let lattice = Lattice::quiet();
    let dir = lattice.path("lattice");
    let mut command = harness::program::program("countersign");
    let command = command.args(["-o", "json", "--dir", path(&dir), "audit", "tail", "-n", "1", "--follow"]);
    let mut follower = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(follower.stdout.take().unwrap()));
    let mut kinds = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["summary"].clone());
    kinds.next().unwrap();
    lattice.accepted(&["host", "invite"]);
    let next = kinds.next().unwrap();
    assert!(next.as_str().unwrap().contains("invite"), "{next}");
    follower.kill().unwrap();
    follower.wait().unwrap();
}
