//! The table of failures is held to the tests: each failure has one row, each row names tests that exist, and each test
//! of what disks and files do is named.

use std::collections::BTreeSet;

use harness::vectors::repository;

use super::threats::test_functions;

const PAGE: &str = "docs/failure-table.md";
const FAILURES: [&str; 27] = [
    "disk full",
    "fsync error",
    "a write that failed but persisted",
    "a disk that fails while the broker starts",
    "a host's own disk fails",
    "slow disk",
    "read-only remount",
    "log locked by another program",
    "clock jump",
    "two brokers",
    "restored file",
    "missing lock",
    "missing WAL",
    "corrupt page",
    "changed row",
    "changed row that a start passed",
    "changed list of what the fold rests on",
    "planted table, trigger or view",
    "log, lock or their `-wal` deleted or replaced under a broker",
    "rows deleted from a log under a broker",
    "no file descriptors left",
    "NATS gone",
    "subject denied by the NATS server",
    "broker killed",
    "a task of the broker falls",
    "the log hangs",
    "power lost",
];
// Every test in these files is one of a failure.
const ABOUT: [&str; 6] = ["crash", "damage", "disk", "power", "space", "tamper"];

#[test]
fn every_failure_has_one_row_and_every_row_names_its_tests() {
    let page = std::fs::read_to_string(repository().join(PAGE)).unwrap();
    let mut wrong = Vec::new();
    let mut named = BTreeSet::new();
    let rows: Vec<Vec<&str>> = page.lines().filter(|line| line.starts_with("| ")).skip(1).map(cells).collect();
    for failure in FAILURES {
        let count = rows.iter().filter(|row| row[0] == failure).count();
        if count != 1 {
            wrong.push(format!("`{failure}`: {count} rows, expected one"));
        }
    }
    for row in &rows {
        if row.len() != 6 || row.iter().any(|cell| cell.is_empty()) || !FAILURES.contains(&row[0]) {
            wrong.push(format!("`{}`: no row of six cells about a known failure", row[0]));
        }
        let tests: Vec<&str> = row.last().unwrap().split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            wrong.push(format!("`{}`: names no test", row[0]));
        }
        named.extend(tests);
    }
    let (all, about) = tests();
    wrong.extend(named.iter().filter(|name| !all.contains(**name)).map(|name| format!("there is no test `{name}`")));
    wrong.extend(about.iter().filter(|name| !named.contains(name.as_str())).map(|name| format!("add `{name}`")));
    assert!(wrong.is_empty(), "{PAGE} disagrees with the tests:\n{}", wrong.join("\n"));
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

// The names of all tests, and of those that the table must name.
fn tests() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut all, mut about) = (BTreeSet::new(), BTreeSet::new());
    for folder in ["policy/src", "broker/src", "host/src", "tests/suite"] {
        for file in sources(&repository().join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let theirs: BTreeSet<String> = test_functions(&text).collect();
            if ABOUT.contains(&stem.as_str()) && file.starts_with(repository().join("tests/suite")) {
                about.extend(theirs.iter().cloned());
            }
            all.extend(theirs);
        }
    }
    (all, about)
}

fn sources(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
