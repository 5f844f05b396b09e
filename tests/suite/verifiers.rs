//! Both verifiers on what is rare in a log: older logs that were put back, old entries in segments, roots that changed,
//! warrants that several signed, other log keys; whatever is changed there is refused by both. And what a long log costs.

use std::path::{Path, PathBuf};
use std::process::Command;

use broker::clock::{Clock, SystemClock};
use broker::export::{Freeze, Until, freeze};
use broker::folder::Folder;
use harness::caller::{Caller, Said};
use harness::lattice::{Lattice, path};
use harness::longer::Longer;
use harness::program::folder as programs;
use harness::verifiers::{both_on_log, edit};
use serde_json::json;
use tempfile::TempDir;

const HOLDS: (Option<String>, bool) = (None, true);

fn both(lattice: &Lattice, root: &str) -> (Option<String>, bool) {
    both_on_log(&lattice.path("lattice"), root, None)
}

fn root(lattice: &Lattice) -> String {
    lattice.accepted(&["status"])["root"].as_str().unwrap().to_owned()
}

fn grow(lattice: &Lattice, acts: usize) {
    (0..acts).for_each(|_| drop(lattice.accepted(&["host", "invite"])));
}

// Keeps the newest checkpoint as one of an hour, elsewhere for now.
fn keep(lattice: &Lattice) -> (PathBuf, Vec<u8>) {
    let note = std::fs::read(lattice.path("lattice/tree/checkpoint")).unwrap();
    let size = broker::store::says(&note).unwrap();
    (lattice.path("lattice/tree/checkpoints").join(format!("{size:020}")), note)
}

fn databases(lattice: &Lattice) -> Vec<(PathBuf, Vec<u8>)> {
    ["log.db", "lock.db"]
        .map(|name| lattice.path("lattice").join(name))
        .map(|file| {
            let bytes = std::fs::read(&file).unwrap();
            (file, bytes)
        })
        .into()
}

fn put_back(copies: &[(PathBuf, Vec<u8>)]) {
    for (file, bytes) in copies {
        std::fs::write(file, bytes).unwrap();
        for side in ["-wal", "-shm"] {
            let side = PathBuf::from(format!("{}{side}", file.display()));
            assert!(!side.exists() || std::fs::remove_file(side).is_ok());
        }
    }
}

fn write(notes: &[&(PathBuf, Vec<u8>)]) {
    notes.iter().for_each(|(file, note)| std::fs::write(file, note).unwrap());
}

#[test]
fn t28_t63_a_restore_accounts_for_the_checkpoints_that_it_names_and_for_no_others() {
    let lattice = Lattice::quiet();
    let root = root(&lattice);
    grow(&lattice, 2);
    let older = databases(&lattice);
    let lost: Vec<_> = (0..3)
        .map(|_| {
            grow(&lattice, 1);
            keep(&lattice)
        })
        .collect();
    put_back(&older);
    // The copy goes on, further than what is lost, before anybody notices.
    grow(&lattice, 8);
    // The newest that was lost is kept of itself; nothing is written over that is of a longer log.
    assert!(lost[2].0.exists());
    write(&[&lost[0]]);
    assert_eq!(both(&lattice, &root), (Some("log_broken".to_owned()), false));
    let restored = lattice.accepted(&["restore", "--because", "a drill"]);
    assert_eq!(restored["disowned"].as_array().unwrap().len(), 2, "{restored}");
    let told = lattice.accepted(&["audit", "verify"]);
    assert_eq!(told["checkpoints_restored"], 2, "{told}");
    // So with one that somebody brings; only what it covered of the lost log is decided again.
    let brought = lattice.accepted(&["audit", "verify", "--checkpoint", path(&lost[0].0)]);
    assert_eq!(brought["restored"], restored["index"], "{brought}");
    let (code, told) = lattice.json(&["audit", "verify", "--from", path(&lost[0].0)]);
    assert_eq!((code, &told["error"]), (3, &json!("broker_key_unknown")), "{told}");
    // What lies among them and is none is nobody's word.
    std::fs::write(lost[0].0.with_file_name(".stray"), "").unwrap();
    assert_eq!(both(&lattice, &root), HOLDS);
    // One that it does not name, though it is no larger than what was seen: that may be of a third log.
    write(&[&lost[1]]);
    let (code, told) = lattice.json(&["audit", "verify"]);
    assert_eq!((code, &told["error"]), (3, &json!("log_broken")), "{told}");
    assert!(told["message"].as_str().unwrap().contains(path(&lost[1].0)), "{told}");
    assert_eq!(both(&lattice, &root), (Some("log_broken".to_owned()), false));
    // Once somebody has looked and says so, it is accounted for, too; and nothing is left to restore.
    let again = lattice.accepted(&["restore", "--because", "looked at: it is of the same lost log"]);
    assert_eq!(again["disowned"].as_array().unwrap().len(), 1, "{again}");
    assert_eq!(both(&lattice, &root), HOLDS);
    let (_, told) = lattice.json(&["restore", "--because", "again"]);
    assert_eq!(told["error"], "already_exists", "{told}");
}

#[test]
fn t28_t63_lost_places_are_what_the_restore_tells_and_a_forged_one_is_refused_by_both() {
    let lattice = Lattice::quiet();
    let root = root(&lattice);
    grow(&lattice, 2);
    let older = databases(&lattice);
    grow(&lattice, 4);
    write(&[&keep(&lattice)]);
    put_back(&older);
    // The checkpoints beside it tell how long it was, though its lock was put back, too.
    assert_eq!(both(&lattice, &root), (Some("state_rollback".to_owned()), false));
    let restored = lattice.accepted(&["restore", "--because", "a drill"]);
    assert_eq!((&restored["lost"], &restored["disowned"]), (&json!(4), &json!([])), "{restored}");
    assert_eq!(both(&lattice, &root), HOLDS);
    let at = restored["index"].as_u64().unwrap();
    for (row, change) in [
        // Another entry in a lost place, and what the administrator did not sign.
        (at - 2, "UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), '\"lost\"', '\"door\"') AS BLOB)"),
        (at, "UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), '\"kept\":', '\"kept\":1') AS BLOB)"),
        (at, "UPDATE entries SET document = CAST('x' AS BLOB)"),
    ] {
        let room = copied(&lattice);
        let folder = room.path().join("lattice");
        edit(&folder.join("log.db"), &[change, " WHERE idx = ", &row.to_string()].concat());
        assert_eq!(both_on_log(&folder, &root, None), (Some("log_broken".to_owned()), false), "{change}");
    }
}

fn copied(lattice: &Lattice) -> TempDir {
    let room = TempDir::new().unwrap();
    let (from, to) = (lattice.path("lattice"), room.path().join("lattice"));
    assert!(Command::new("cp").args(["-a", path(&from), path(&to)]).status().unwrap().success());
    room
}

async fn asked(lattice: &Lattice, times: usize) {
    let caller = Caller::new(lattice, "host").await;
    for _ in 0..times {
        assert!(matches!(caller.ask().await, Said::Signed(..)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t63_old_entries_in_segments_are_read_by_both_and_every_change_of_one_is_refused() {
    let mut lattice = Lattice::with_cart();
    asked(&lattice, 20).await;
    grow(&lattice, 1);
    lattice.stop_broker();
    let root = root(&lattice);
    let segments = lattice.path("segments");
    std::fs::create_dir(&segments).unwrap();
    let now = SystemClock::default().now();
    let as_of = now.plus(365 * 86_400);
    let how = Freeze { until: Until::OlderThan(90 * 86_400), as_of, out: segments.clone() };
    let done = freeze(&Folder::open(&lattice.path("lattice")).unwrap(), now, &how).await.unwrap();
    assert!(done.moved >= 20, "{done:?}");
    grow(&lattice, 2);
    let folder = lattice.path("lattice");
    tokio::task::block_in_place(|| {
        assert_eq!(both_on_log(&folder, &root, Some(&segments)), HOLDS);
        // Without them both say what could not be read, the second by taking it by its hash alone.
        assert_eq!(both_on_log(&folder, &root, None), (Some("segment_missing".to_owned()), true));
        for change in [
            "UPDATE frozen SET hash = zeroblob(32) WHERE idx = (SELECT max(idx) FROM frozen)",
            "DELETE FROM frozen WHERE idx = (SELECT max(idx) FROM frozen)",
            "UPDATE segments SET checkpoint = CAST(replace(CAST(checkpoint AS TEXT), 'epoch ', 'epoch 1') AS BLOB)",
            "UPDATE segments SET size = size - 1",
            "DELETE FROM segments",
        ] {
            let room = copied(&lattice);
            let folder = room.path().join("lattice");
            edit(&folder.join("log.db"), change);
            let (first, second) = both_on_log(&folder, &root, Some(&segments));
            assert!(first.is_some() && !second, "{change}: {first:?} {second}");
        }
        // An act is hidden among them; the next one governs as well, so that its epoch does not tell.
        let room = copied(&lattice);
        let hidden = room.path().join("lattice");
        edit(
            &hidden.join("log.db"),
            "INSERT INTO frozen SELECT idx, hash FROM entries WHERE idx = 5; DELETE FROM entries WHERE idx = 5",
        );
        for segments in [None, Some(segments.as_path())] {
            assert_eq!(both_on_log(&hidden, &root, segments), (Some("log_broken".to_owned()), false));
        }
        let file = std::fs::read(&done.file).unwrap();
        let text = String::from_utf8(file.clone()).unwrap();
        for changed in [
            text.replacen("\"cart\"", "\"kart\"", 1),
            text.replacen("\"document\":\"", "\"document\":\"AAAA", 1),
            text.lines().skip(1).map(|line| format!("{line}\n")).collect(),
            format!("{text} "),
        ] {
            std::fs::write(&done.file, changed).unwrap();
            let (first, second) = both_on_log(&folder, &root, Some(&segments));
            assert!(first.is_some() && !second, "{first:?} {second}");
        }
        std::fs::write(&done.file, file).unwrap();
        assert_eq!(both_on_log(&folder, &root, Some(&segments)), HOLDS);
    });
}

// What the real program needs at most, in KiB, for a whole verification.
fn peak_kib(folder: &Path, arguments: &[&str]) -> u64 {
    let script = "import resource, subprocess, sys\n\
        subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n\
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let mut measured = Command::new("python3");
    measured.args(["-B", "-c", script]).arg(programs().join("countersign"));
    let output = measured.args(["-o", "json", "--dir", path(folder)]).args(arguments).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_twenty_times_the_length_is_verified_in_the_same_memory() {
    let mut lattice = Lattice::with_cart();
    asked(&lattice, 3).await;
    lattice.stop_broker();
    let mut longer = Longer::new(&lattice).await;
    let (folder, file) = (lattice.path("lattice"), lattice.path("whole.jsonl"));
    let mut found = Vec::new();
    for rows in [SHORT, SHORT * 20] {
        longer.grow(rows).await;
        let bytes = std::fs::metadata(lattice.log()).unwrap().len();
        lattice.accepted(&["audit", "export", "--evidence", "--out", path(&file)]);
        let peaks =
            [peak_kib(&folder, &["audit", "verify"]), peak_kib(&folder, &["audit", "verify", "--export", path(&file)])];
        println!("{rows} entries in {bytes} bytes: verified in {peaks:?} KiB, from the log and from an export");
        found.push((bytes / 1024, peaks));
    }
    let [(short, before), (long, after)] = found[..] else { panic!("two lengths") };
    // A tenth of what came would be seen, and twice what the allocator may take for itself is none of it.
    let allowed = (long - short) / 4;
    for (before, after) in before.into_iter().zip(after) {
        assert!(after < before + allowed, "{before} KiB, then {after} KiB; {allowed} KiB are allowed");
    }
}

const SHORT: u64 = 1000;
