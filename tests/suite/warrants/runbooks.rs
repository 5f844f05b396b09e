//! Each runbook is followed to the letter, and does what it says: no restart, no refused start, a log that verifies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use harness::embedded::Embedded;
use harness::lattice::{Lattice, path, wait_for};
use harness::process;
use serde_json::json;

use super::{follow, in_force, lasting, lattice_with_roots_elsewhere, signed, start, written};

#[test]
fn t17_rotating_the_decision_key_needs_no_restart() {
    let mut lattice = lattice_with_roots_elsewhere(&[]);
    assert_eq!(start(&lattice, "host", "30"), None);
    let (before, began) = (in_force(&lattice), process::started(lattice.broker_pid().unwrap()));
    follow(&lattice, "Rotate the decision key", &[]);
    let after = in_force(&lattice);
    assert_eq!((&before["serial"], &after["serial"]), (&json!(1), &json!(2)));
    // The old key stands in it for a day, the new one to its end, and the broker speaks with the new one.
    let (old, new) = (before["decision_keys"][0].as_str().unwrap(), after["decision_keys"][1].as_str().unwrap());
    assert_eq!(after["decision_keys"][0], old);
    assert!(after["ends"][old].is_u64() && after["ends"][new].is_null(), "{after}");
    assert_eq!(process::started(lattice.broker_pid().unwrap()), began, "the broker was restarted");
    let key = lattice.path("lattice/keys/decision.nk");
    assert_eq!(lattice.accepted(&["keys", "show", path(&key)])["public"], new);
    assert!(!lattice.path("lattice/keys/decision-next.nk").exists());
    assert_eq!(start(&lattice, "host", "30"), None);
    lattice.stop_broker();
    lattice.serve();
    assert_eq!(start(&lattice, "host", "30"), None);
    lattice.accepted(&["audit", "verify"]);
}

#[test]
fn t17_two_of_three_roots_renew_a_warrant_and_one_cannot() {
    let lattice = lattice_with_roots_elsewhere(&["--roots", "3", "--root-threshold", "2"]);
    assert_eq!(start(&lattice, "host", "30"), None);
    lattice.accepted(&["warrant", "request"]);
    let alone = lattice.accepted(&["warrant", "issue", "--root-key", "offline/root.nk", "--out", "alone.jws"]);
    assert_eq!(alone["missing"], 1);
    let twice = ["warrant", "issue", "--partial", "alone.jws", "--root-key", "offline/root.nk", "--out", "twice.jws"];
    assert_eq!(lattice.accepted(&twice)["missing"], 1);
    for file in ["alone.jws", "twice.jws"] {
        let (code, told) = lattice.json(&["warrant", "install", file]);
        assert_eq!((code, &told["error"]), (3, &json!("broker_key_unknown")), "{told}");
    }
    follow(&lattice, "Several roots", &[]);
    let after = in_force(&lattice);
    assert_eq!((&after["serial"], after["signed_by"].as_array().unwrap().len()), (&json!(2), 2));
    assert_eq!(start(&lattice, "host", "30"), None);
    lattice.accepted(&["audit", "verify"]);
}

#[test]
fn t17_a_warrant_that_has_expired_is_renewed() {
    let lattice = lattice_with_roots_elsewhere(&[]);
    let brief = written(&lattice, "brief.jws", &signed(&lattice, |warrant| warrant.validity = lasting(3)));
    lattice.accepted(&["warrant", "install", &brief]);
    assert!(lattice.accepted(&["status"])["warning"].as_str().unwrap().contains("warrant"));
    let refused = || start(&lattice, "host", "2").filter(|reason| reason == "broker_key_unknown");
    wait_for("the warrant's end", refused);
    follow(&lattice, "The warrant has expired", &[]);
    assert_eq!(start(&lattice, "host", "30"), None);
    assert!(lattice.accepted(&["status"])["warning"].is_null());
}

#[test]
fn t17_a_count_of_serials_that_ran_away_is_begun_anew() {
    let mut lattice = lattice_with_roots_elsewhere(&[]);
    let runaway = written(&lattice, "runaway.jws", &signed(&lattice, |warrant| warrant.serial = 1 << 53));
    lattice.accepted(&["warrant", "install", &runaway]);
    assert_eq!(start(&lattice, "host", "30"), None);
    // No serial is left above it.
    lattice.accepted(&["warrant", "request"]);
    assert_ne!(lattice.json(&["warrant", "issue", "--root-key", "offline/root.nk"]).0, 0);
    follow(&lattice, "Reset the floor", &[]);
    let after = in_force(&lattice);
    assert_eq!((&after["serial"], &after["reset"]), (&json!(1), &json!(1)));
    assert_eq!(start(&lattice, "host", "30"), None);
    // What the reset undid does not come back: not at the broker, and not with a restart of it.
    let (code, told) = lattice.json(&["warrant", "install", &runaway]);
    assert_eq!((code, &told["error"]), (3, &json!("state_rollback")), "{told}");
    lattice.stop_broker();
    lattice.serve();
    assert_eq!(start(&lattice, "host", "30"), None);
    lattice.accepted(&["audit", "verify"]);
}

#[test]
fn a_warrant_is_asked_for_and_signed_by_files_alone() {
    let lattice = Lattice::quiet();
    lattice.accepted(&["warrant", "rotate"]);
    let (request, elsewhere) = (lattice.path("warrant-request.json"), tempfile::tempdir().unwrap());
    let text = std::fs::read_to_string(&request).unwrap();
    for key in ["root", "decision", "decision-next", "log", "admin"] {
        let secret = std::fs::read_to_string(lattice.path(&format!("lattice/keys/{key}.nk"))).unwrap();
        assert!(!text.contains(secret.trim()), "{key}");
    }
    std::fs::copy(&request, elsewhere.path().join("warrant-request.json")).unwrap();
    let root = lattice.path("lattice/keys/root.nk");
    let mut offline = harness::program::program("countersign");
    offline.current_dir(elsewhere.path()).args(["warrant", "issue", "--root-key", path(&root)]);
    assert!(offline.output().unwrap().status.success());
    let warrant = elsewhere.path().join("warrant.jws");
    // No broker runs: the folder takes it by itself.
    assert_eq!(lattice.accepted(&["warrant", "install", path(&warrant)])["serial"], 2);
    assert_eq!(lattice.accepted(&["warrant", "list"])["warrants"].as_array().unwrap().len(), 2);
    // Brought twice; nobody put back anything.
    let (code, told) = lattice.json(&["warrant", "install", path(&warrant)]);
    assert_eq!((code, &told["error"]), (3, &json!("already_exists")), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t17_a_rotation_under_load_refuses_no_good_start() {
    let lattice = lattice_with_roots_elsewhere(&[]);
    lattice.join("other");
    let (done, decided) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut loads = Vec::new();
    for name in ["host", "host", "other"] {
        let host = Embedded::new(&lattice, name, &lattice.nats.url(), Duration::from_secs(30)).await;
        let (done, decided) = (Arc::clone(&done), Arc::clone(&decided));
        loads.push(tokio::spawn(async move {
            while !done.load(Ordering::SeqCst) {
                assert_eq!(host.decides().await, Ok(()), "a good start was refused");
                decided.fetch_add(1, Ordering::SeqCst);
            }
            host.memory.record().warrant_serial
        }));
    }
    let more = |than: usize| wait_for("more starts", || (decided.load(Ordering::SeqCst) > than + 20).then_some(()));
    tokio::task::block_in_place(|| {
        for _ in 0..3 {
            more(decided.load(Ordering::SeqCst));
            follow(&lattice, "Rotate the decision key", &[]);
        }
        more(decided.load(Ordering::SeqCst));
    });
    done.store(true, Ordering::SeqCst);
    for load in loads {
        assert_eq!(load.await.unwrap(), 4);
    }
    println!("{} starts through 3 rotations, none refused", decided.load(Ordering::SeqCst));
    lattice.accepted(&["audit", "verify"]);
}
