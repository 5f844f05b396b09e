//! Warrants over real processes: each runbook of docs/operations.md as an operator types it, and what a thief does (T17, T66).

mod proofs;
mod roots;
mod runbooks;
mod theft;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use broker::keys::SigningKey;
use harness::lattice::{Lattice, path};
use harness::vectors;
use policy::envelope::Unverified;
use policy::key::Root;
use policy::time::{Timestamp, Validity};
use policy::warrant::Warrant;
use serde_json::Value;

/// A lattice with `cart`, a broker, a host, and its root keys in a folder that stands for another machine.
fn lattice_with_roots_elsewhere(options: &[&str]) -> Lattice {
    let mut lattice = Lattice::quiet_with(options);
    lattice.furnish();
    let offline = lattice.path("offline");
    std::fs::create_dir(&offline).unwrap();
    for name in ["root.nk", "root-2.nk", "root-3.nk"] {
        let key = lattice.path("lattice/keys").join(name);
        if key.exists() {
            std::fs::rename(key, offline.join(name)).unwrap();
        }
    }
    lattice.serve();
    lattice.join("host");
    lattice
}

/// Runs the lines that the docs give under a heading.
fn follow(lattice: &Lattice, heading: &str, variables: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(vectors::repository().join("docs/operations.md")).unwrap();
    let from = text.find(&format!("### {heading}\n")).unwrap_or_else(|| panic!("no runbook `{heading}`"));
    let section = text[from..].split("\n### ").next().unwrap().split("\n## ").next().unwrap();
    let blocks: Vec<&str> = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty(), "`{heading}` has nothing to type");
    let output = lattice.shell(&blocks.concat(), variables);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`{heading}`: {said}");
    said
}

/// One start: nothing when it runs, else its reason.
fn start(lattice: &Lattice, host: &str, timeout: &str) -> Option<String> {
    let cart = lattice.path("cart-acme.wasm");
    let ran = lattice.host(host, &["-o", "json", "run", path(&cart), "--id", "cart", "--timeout", timeout]);
    if ran.status.success() {
        return None;
    }
    // Messages about what was ignored come before it.
    let said = String::from_utf8_lossy(&ran.stderr);
    let object = said.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no JSON: {said}"));
    let told: Value = serde_json::from_str(object).unwrap();
    Some(told["error"].as_str().unwrap().to_owned())
}

fn in_force(lattice: &Lattice) -> Value {
    lattice.accepted(&["warrant", "show"])
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The warrant in force with a change, signed by the root and not installed.
fn signed(lattice: &Lattice, change: impl FnOnce(&mut Warrant)) -> Vec<u8> {
    let root = SigningKey::<Root>::load(&lattice.path("offline/root.nk")).unwrap();
    let token = std::fs::read(lattice.path("lattice/warrant.jws")).unwrap();
    let mut warrant = Unverified::<Warrant>::parse(token.trim_ascii_end()).unwrap().says().clone();
    warrant.serial += 1;
    change(&mut warrant);
    root.sign(&warrant, [])
}

fn lasting(seconds: u64) -> Validity {
    let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
    Validity { iat: at(seconds_now() - 60), nbf: None, exp: Some(at(seconds_now() + seconds)) }
}

fn written(lattice: &Lattice, name: &str, bytes: &[u8]) -> String {
    let file = lattice.path(name);
    std::fs::write(&file, bytes).unwrap();
    path(&file).to_owned()
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
