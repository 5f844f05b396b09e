//! Imposters on the wire, and what a start does when NATS or the broker are gone: the door stays shut.

use std::process::{Command, Stdio};

use harness::lattice::{Lattice, path, wait_for};
use harness::program::program;

fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

struct Rogue(std::process::Child);

impl Rogue {
    fn on(lattice: &Lattice) -> Self {
        let ready = lattice.path("rogue.ready");
        let mut rogue: Command = program("demo-peer");
        rogue.args(["rogue", &lattice.nats.url(), "countersign.v1.default.start.component", path(&ready)]);
        let child = rogue.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the rogue", || ready.exists().then_some(()));
        Self(child)
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn t50_a_rogue_that_answers_first_can_neither_permit_nor_deny() {
    let lattice = Lattice::with_cart();
    let cart = lattice.path("cart-acme.wasm");
    let _rogue = Rogue::on(&lattice);
    let good = lattice.host("host", &["run", path(&cart), "--id", "cart", "--invoke", "add(\"milk\", 1)"]);
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    lattice.accepted(&["default", "del", "wasi:logging"]);
    let bad = lattice.host("host", &["run", path(&cart), "--id", "cart", "--invoke", "add(\"milk\", 1)"]);
    assert_eq!(bad.status.code(), Some(3), "{}", said(&bad));
    assert!(said(&bad).contains("link_missing"), "{}", said(&bad));
}

#[test]
fn t59_without_a_broker_or_without_nats_nothing_starts() {
    let mut lattice = Lattice::with_cart();
    let cart = lattice.path("cart-acme.wasm");
    let run = |lattice: &Lattice| lattice.host("host", &["run", path(&cart), "--id", "cart", "--timeout", "2"]);
    lattice.stop_broker();
    let alone = run(&lattice);
    assert_ne!(alone.status.code(), Some(0), "{}", said(&alone));
    assert!(said(&alone).contains("broker_unreachable"), "{}", said(&alone));
    let _rogue = Rogue::on(&lattice);
    let only_the_rogue = run(&lattice);
    assert_ne!(only_the_rogue.status.code(), Some(0), "{}", said(&only_the_rogue));
    lattice.nats.stop();
    let cut_off = run(&lattice);
    assert_ne!(cut_off.status.code(), Some(0), "{}", said(&cut_off));
    lattice.nats.restart();
    lattice.serve();
    assert_eq!(run(&lattice).status.code(), Some(0));
}

#[test]
fn t94_a_broker_that_is_told_to_end_ends_without_nats_too() {
    let mut lattice = Lattice::start();
    lattice.nats.stop();
    let (ended, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        lattice.stop_broker();
        // In order: the log is whole, and the folder is free for the next one.
        let _heard = ended.send(lattice.json(&["audit", "verify"]).0);
    });
    assert_eq!(told.recv_timeout(std::time::Duration::from_secs(60)), Ok(0), "it waits for a server that is gone");
}

#[test]
fn t55_a_host_of_another_lattice_or_none_is_not_answered() {
    let lattice = Lattice::with_cart();
    let cart = lattice.path("cart-acme.wasm");
    let stranger = lattice.host("stranger", &["run", path(&cart), "--id", "cart"]);
    assert_ne!(stranger.status.code(), Some(0), "{}", said(&stranger));
    let other = Lattice::with_cart();
    // The other lattice's host asks on our server: enrolled there, unknown here.
    let folder = other.path("host");
    let asked =
        lattice.host("unused", &["--host-dir", path(&folder), "run", path(&cart), "--id", "cart", "--timeout", "2"]);
    assert_ne!(asked.status.code(), Some(0), "{}", said(&asked));
}

#[test]
fn t60_a_second_broker_on_one_folder_is_refused() {
    let lattice = Lattice::start();
    let (code, second) = lattice.json(&["serve"]);
    assert_ne!(code, 0, "{second}");
}

#[test]
fn t31_t10_imposters_of_a_provider_are_refused_where_they_try() {
    let lattice = Lattice::with_cart();
    lattice.issuer("mallory");
    let rival = lattice.signed("rival", "logger", "mallory");
    let (code, refused) = lattice.json(&["provider", "admit", path(&rival), "--id", "logger"]);
    assert_eq!((code, refused["error"].as_str()), (3, Some("issuer_unknown")), "{refused}");
    let genuine = lattice.signed("logger", "logger", "acme");
    let grafted = lattice.path("grafted.wasm");
    let guest = harness::vectors::repository().join("tests/guests/rival.wasm");
    let grafting = program("demo-peer").args(["graft", path(&genuine), path(&guest), path(&grafted)]).status().unwrap();
    assert!(grafting.success());
    let (code, refused) = lattice.json(&["provider", "admit", path(&grafted), "--id", "logger"]);
    assert_eq!((code, refused["error"].as_str()), (3, Some("hash_mismatch")), "{refused}");
}

#[test]
fn t62_one_changed_byte_of_the_log_is_named() {
    let mut lattice = Lattice::with_cart();
    lattice.stop_broker();
    assert_eq!(lattice.json(&["audit", "verify"]).0, 0);
    let log = lattice.log();
    let changed = ["tamper", path(&log), "wasi:logging", "wasi:logginh"];
    let tampered = program("demo-peer").args(changed).output().unwrap();
    assert!(tampered.status.success(), "{}", String::from_utf8_lossy(&tampered.stderr));
    let row = String::from_utf8(tampered.stdout).unwrap();
    let (code, broken) = lattice.json(&["audit", "verify"]);
    assert_eq!((code, broken["error"].as_str()), (3, Some("log_broken")), "{broken}");
    assert!(broken["message"].as_str().unwrap().contains(&format!("row {}", row.trim())), "{broken}");
    let (code, refused) = lattice.json(&["issuer", "list"]);
    assert_eq!(code, 3, "a broken log is no ground for anything: {refused}");
}
