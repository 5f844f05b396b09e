//! Runs the programs as built: real arguments, real files, real exit codes.
//!
//! They must have been built before the suite runs, as `make test` does.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// A built program of the workspace, with a clean environment.
pub fn program(name: &str) -> Command {
    let path = built(name);
    assert!(path.is_file(), "`{name}` is not built: run `cargo build --workspace` first");
    let mut command = Command::new(path);
    command.env_clear().env("HOME", "/nonexistent");
    command
}

/// Runs `countersign` with these arguments.
pub fn countersign(arguments: &[&str]) -> Output {
    program("countersign").args(arguments).output().expect("it starts")
}

/// Runs `countersign -o json`: its exit code and the object it printed on standard output, or else on standard error.
pub fn countersign_json(arguments: &[&str]) -> (i32, Value) {
    let arguments = [&["-o", "json"], arguments].concat();
    let output = countersign(&arguments);
    let printed = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let object = serde_json::from_slice(printed).unwrap_or_else(|error| {
        panic!("no JSON from {arguments:?}: {error}: {}", String::from_utf8_lossy(printed));
    });
    (output.status.code().unwrap_or(-1), object)
}

/// Where the built programs lie.
pub fn folder() -> PathBuf {
    // The test binary lies in `<target>/<profile>/deps`.
    let own = std::env::current_exe().expect("a test binary has a path");
    own.ancestors().nth(2).expect("it lies in a target folder").to_owned()
}

fn built(name: &str) -> PathBuf {
    folder().join(name)
}
