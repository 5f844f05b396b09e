//! The repository keeps its own rules: headers, lengths, licences, sources of crates, and what the law may depend on.
//!
//! Advisories need a network and are left to `cargo deny`, where it is installed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::vectors::repository;
use serde_json::Value;

/// The licences that a crate may be taken under.
const LICENCES: [&str; 15] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unlicense",
    "CC0-1.0",
    "Unicode-3.0",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
];

/// What the law must never depend on, even through others.
const BARRED: [&str; 12] = [
    "rand",
    "rand_core",
    "getrandom",
    "regex",
    "tokio",
    "sqlx",
    "async-nats",
    "wasmtime",
    "log",
    "tracing",
    "mio",
    "rustix",
];

/// The most crates in the law's closure, itself included.
const MOST_CRATES: usize = 50;

/// The most lines of a source file, tests apart.
const MOST_LINES: usize = 400;

#[test]
fn every_source_file_says_its_job_first_and_stays_short() {
    let mut wrong = Vec::new();
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(repository()).unwrap().to_owned();
        let first = text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") || first.len() < 20 {
            wrong.push(format!("{}: the first line is no `//!` that says its job", path.display()));
        }
        let lines = text.lines().position(|line| line == "#[cfg(test)]").unwrap_or_else(|| text.lines().count());
        let is_test = path.starts_with("tests")
            || path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
        if lines > MOST_LINES && !is_test {
            wrong.push(format!("{}: {lines} lines, at most {MOST_LINES}", path.display()));
        }
        for mark in ["TODO", "FIXME", "todo!(", "unimplemented!(", "#[ignore"] {
            if text.contains(mark) && !path.ends_with("suite/tidy.rs") {
                wrong.push(format!("{}: `{mark}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nobody_looks_at_what_is_watched_while_looking_at_it() {
    // Two looks in one statement are held together, and whoever writes between them waits for the first as the second
    // waits for the writer.
    let watched = |statement: &str| statement.matches(".borrow()").count() > 1;
    let mut wrong = Vec::new();
    for path in sources().into_iter().filter(|path| !path.ends_with("suite/tidy.rs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let statements = text.split([';', '{', '}']).filter(|statement| watched(statement));
        wrong.extend(statements.map(|statement| format!("{}: {}", path.display(), statement.trim())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn t73_no_format_meets_sql() {
    let verbs = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "DROP ", "PRAGMA ", "REPLACE "];
    let mut wrong = Vec::new();
    for path in sources().into_iter().filter(|path| !path.ends_with("suite/tidy.rs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        // What a macro that builds text is given, up to the end of its statement.
        for built in ["format!(", "write!(", "writeln!(", "concat!(", "push_str("] {
            for (at, _) in text.match_indices(built) {
                let statement = text[at..].split(';').next().unwrap();
                let statement: String = statement.chars().take(400).collect();
                if verbs.iter().any(|verb| statement.contains(&format!("\"{verb}"))) {
                    wrong.push(format!("{}: {}", path.display(), statement.lines().next().unwrap()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_names_a_machine_or_points_outside() {
    let marks = ["\u{2f}work/", "\u{2f}root/", "\u{2f}home/", "..\u{2f}shared"];
    let listed = run(Command::new("git").args(["ls-files", "-co", "--exclude-standard"]));
    let mut wrong = Vec::new();
    for name in listed.lines().filter(|name| !name.ends_with("suite/tidy.rs")) {
        let path = repository().join(name);
        if path.is_symlink() {
            let target = std::fs::read_link(&path).unwrap();
            if target.is_absolute() || target.starts_with("..") {
                wrong.push(format!("{name} points at {}", target.display()));
            }
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        wrong.extend(marks.iter().filter(|mark| text.contains(**mark)).map(|mark| format!("{name}: `{mark}`")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn t96_every_crate_comes_from_the_registry_under_an_allowed_licence() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let mut wrong = Vec::new();
    for package in packages {
        let name = format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        match package["source"].as_str() {
            None if Path::new(package["manifest_path"].as_str().unwrap()).starts_with(repository()) => {}
            Some("registry+https://github.com/rust-lang/crates.io-index") => {}
            other => wrong.push(format!("{name}: from {other:?}")),
        }
        let licence = package["license"].as_str().unwrap_or_default();
        if !is_allowed(licence) {
            wrong.push(format!("{name}: licence `{licence}`"));
        }
    }
    println!("crates in the lock file: {}", packages.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn f43_the_law_depends_on_little_and_on_nothing_that_acts() {
    let tree = run(cargo().args([
        "tree",
        "-p",
        "countersign-policy",
        "-e",
        "normal",
        "--prefix",
        "none",
        "--locked",
        "--offline",
    ]));
    let crates: BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).collect();
    println!("crates in the law's closure: {}", crates.len());
    assert!(crates.len() <= MOST_CRATES && crates.len() > 5, "{crates:?}");
    let barred: Vec<_> = BARRED.iter().filter(|name| crates.contains(**name)).collect();
    assert!(barred.is_empty(), "{barred:?}");
    for file in rust_files(&repository().join("policy/src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for acts in
            ["std::fs", "std::net", "std::env", "std::process", "std::thread", "SystemTime", "Instant::now", "println!"]
        {
            let is_test = file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
            assert!(is_test || !text.contains(acts), "{}: `{acts}`", file.display());
        }
    }
}

#[test]
fn f41_the_rooms_keep_their_arrows_and_forbid_unsafe_code() {
    let metadata = metadata();
    let package = |name: &str| {
        metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == name).unwrap().clone()
    };
    let ours = |name: &str| -> BTreeSet<String> {
        let dependencies = package(name)["dependencies"].as_array().unwrap().clone();
        let names = dependencies.iter().map(|dependency| dependency["name"].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with("countersign-")).collect()
    };
    assert_eq!(ours("countersign-policy"), BTreeSet::new());
    for room in ["countersign-broker", "countersign-host"] {
        assert_eq!(ours(room), BTreeSet::from(["countersign-policy".to_owned()]), "{room}");
    }
    let root = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    assert!(root.contains("unsafe_code = \"forbid\""));
    for room in ["policy", "broker", "host", "tests"] {
        let manifest = std::fs::read_to_string(repository().join(room).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{room}");
    }
}

#[test]
fn every_dependency_has_its_reason_above_it() {
    for manifest in ["Cargo.toml", "policy/Cargo.toml", "broker/Cargo.toml", "host/Cargo.toml", "tests/Cargo.toml"] {
        let text = std::fs::read_to_string(repository().join(manifest)).unwrap();
        let mut reasoned = false;
        let mut inside = false;
        for line in text.lines() {
            // What only tests use needs no word of its own.
            inside =
                if line.starts_with('[') { line.ends_with("dependencies]") && !line.contains("dev") } else { inside };
            reasoned = line.starts_with('#') || (reasoned && !line.is_empty());
            assert!(
                !inside || line.is_empty() || line.starts_with(['[', '#']) || reasoned,
                "{manifest}: `{line}` has no reason above it"
            );
        }
    }
}

#[test]
fn guests_are_small_and_what_their_sums_say() {
    let folder = repository().join("tests/guests");
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let listed: Vec<(&str, &str)> = sums.lines().filter_map(|line| line.split_once("  ")).collect();
    for (sum, name) in &listed {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        assert_eq!(policy::digest::Digest::of(&bytes).to_string(), *sum, "{name}");
        assert!(bytes.len() <= 20 * 1024, "{name} has {} bytes", bytes.len());
    }
    let found = std::fs::read_dir(&folder).unwrap().flatten();
    let found = found.filter(|file| file.path().extension().is_some_and(|extension| extension == "wasm")).count();
    assert_eq!(found, listed.len());
}

// Every alternative of one side of each `OR`, and both sides of each `AND`.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    let expression = expression.split_whitespace().collect::<Vec<_>>().join(" ");
    !expression.is_empty()
        && expression.split(" AND ").all(|part| part.split(" OR ").any(|name| LICENCES.contains(&name)))
}

fn metadata() -> Value {
    serde_json::from_str(&run(cargo().args(["metadata", "--format-version", "1", "--locked", "--offline"]))).unwrap()
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn run(command: &mut Command) -> String {
    let output = command.current_dir(repository()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn sources() -> Vec<PathBuf> {
    ["policy", "broker", "host", "tests"].iter().flat_map(|room| rust_files(&repository().join(room))).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
