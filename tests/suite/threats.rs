//! The threat model is held to the tests: each threat has one row, each row names its tests, and they exist.
//!
//! `COUNTERSIGN_BLESS=1 cargo test -p countersign-tests --test suite threats` adds new tests to their rows and takes
//! out what is gone; what a row says in words stays, and is for a person to change.

use std::collections::{BTreeMap, BTreeSet};

use harness::vectors::repository;

const PAGE: &str = "docs/security/threat-model.md";
const LAST: u32 = 102;

#[test]
fn every_threat_has_one_row_and_every_row_tells_the_truth() {
    let path = repository().join(PAGE);
    let mut page = std::fs::read_to_string(&path).unwrap();
    let tests = Tests::of_the_sources();
    if std::env::var_os("COUNTERSIGN_BLESS").is_some() {
        page = page.lines().map(|line| blessed(line, &tests) + "\n").collect();
        std::fs::write(&path, &page).unwrap();
    }
    let mut wrong = Vec::new();
    let mut seen = BTreeMap::new();
    for row in page.lines().filter_map(Row::read) {
        *seen.entry(row.threat).or_insert(0) += 1;
        row.compare(&tests, &mut wrong);
    }
    for threat in 1..=LAST {
        let rows = seen.remove(&threat).unwrap_or(0);
        if rows != 1 {
            wrong.push(format!("T{threat:02}: {rows} rows, expected one"));
        }
    }
    wrong.extend(seen.keys().map(|threat| format!("T{threat:02}: there is no such threat")));
    let beyond = tests.by_threat.range(LAST + 1..).flat_map(|(_, names)| names);
    wrong.extend(beyond.map(|name| format!("`{name}`: there is no such threat")));
    assert!(wrong.is_empty(), "{PAGE} disagrees with the tests:\n{}", wrong.join("\n"));
}

#[test]
fn the_model_names_every_invariant() {
    let page = std::fs::read_to_string(repository().join(PAGE)).unwrap();
    for number in 1..=10 {
        assert!(page.contains(&format!("| I{number} |")), "I{number} has no row");
    }
}

/// The names of all test functions, and those of each threat.
struct Tests {
    names: BTreeSet<String>,
    by_threat: BTreeMap<u32, BTreeSet<String>>,
}

impl Tests {
    fn of_the_sources() -> Self {
        let listed = std::process::Command::new("git")
            .args(["ls-files", "-co", "--exclude-standard", "--", "policy", "broker", "host", "tests"])
            .current_dir(repository())
            .output()
            .unwrap();
        assert!(listed.status.success(), "git cannot list the sources");
        let listed = String::from_utf8(listed.stdout).unwrap();
        let (mut names, mut by_threat) = (BTreeSet::new(), BTreeMap::<u32, BTreeSet<String>>::new());
        for file in listed.lines().filter(|file| file.ends_with(".rs")) {
            // A file that is listed and gone is one that is being removed.
            let Ok(text) = std::fs::read_to_string(repository().join(file)) else { continue };
            for name in test_functions(&text) {
                for threat in threats_of(&name) {
                    by_threat.entry(threat).or_default().insert(name.clone());
                }
                names.insert(name);
            }
        }
        Self { names, by_threat }
    }
}

/// The functions that stand below a `#[test]` or a `#[tokio::test…]`.
pub(super) fn test_functions(text: &str) -> impl Iterator<Item = String> + '_ {
    let attributes = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim_start();
        line.starts_with("#[test]") || line.starts_with("#[tokio::test")
    });
    attributes.filter_map(|(at, _)| {
        let below = text.lines().skip(at + 1).map(str::trim_start);
        let function = below.skip_while(|line| line.starts_with("#[")).take(1).next()?;
        let function = function.strip_prefix("async ").unwrap_or(function).strip_prefix("fn ")?;
        Some(function.split('(').next()?.to_owned())
    })
}

/// The threats that a name begins with: `t31_t10_…` carries two, `t06_f01_…` one and a figure.
fn threats_of(name: &str) -> impl Iterator<Item = u32> + '_ {
    let number = |part: &str| part.get(1..).filter(|digits| digits.len() >= 2)?.parse::<u32>().ok();
    let marked = name.split('_').take_while(move |part| part.starts_with(['t', 'f']) && number(part).is_some());
    marked.filter(|part| part.starts_with('t')).filter_map(number)
}

/// One row: `| T01 | attack | what we do | tests, then words |`.
struct Row<'a> {
    threat: u32,
    named: Vec<&'a str>,
    words: &'a str,
}

impl<'a> Row<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (threat, _, last) = cells(line)?;
        // The names come first, each in backticks; words follow, and hold no backticks.
        let (names, words) = last.rfind('`').map_or(("", last), |at| last.split_at(at + 1));
        let named = names.split('`').skip(1).step_by(2).collect();
        Some(Self { threat, named, words: words.trim_start_matches([';', ' ']) })
    }

    fn compare(&self, tests: &Tests, wrong: &mut Vec<String>) {
        let Self { threat, named, words } = self;
        let told: BTreeSet<_> = named.iter().copied().collect();
        if told.len() != named.len() {
            wrong.push(format!("T{threat:02}: names a test twice"));
        }
        let gone = told.iter().filter(|name| !tests.names.contains(**name));
        wrong.extend(gone.map(|name| format!("T{threat:02}: there is no test `{name}`")));
        let none = BTreeSet::new();
        let own = tests.by_threat.get(threat).unwrap_or(&none);
        let untold = own.iter().filter(|name| !told.contains(name.as_str()));
        wrong.extend(untold.map(|name| format!("T{threat:02}: add `{name}`")));
        let (open, partly) = (words.starts_with("no surface yet: "), words.starts_with("partly: "));
        if !words.is_empty() && !open && !partly {
            wrong.push(format!("T{threat:02}: the words begin with `no surface yet: ` or `partly: `, not `{words}`"));
        }
        if own.is_empty() && !open && !partly {
            wrong.push(format!(
                "T{threat:02}: no test carries its id, and the row says neither why nor what is missing"
            ));
        }
        if open && !own.is_empty() {
            wrong.push(format!("T{threat:02}: has tests, and the row says that there is no surface yet"));
        }
    }
}

fn cells(line: &str) -> Option<(u32, &str, &str)> {
    let inner = line.strip_prefix("| T")?.strip_suffix('|')?;
    let (threat, rest) = inner.split_once(" | ")?;
    let (text, last) = rest.rsplit_once(" | ")?;
    Some((threat.parse().ok()?, text, last.trim()))
}

fn blessed(line: &str, tests: &Tests) -> String {
    let (Some(row), Some((threat, text, _))) = (Row::read(line), cells(line)) else {
        return line.to_owned();
    };
    let mut names: Vec<&str> = row.named.iter().copied().filter(|name| tests.names.contains(*name)).collect();
    for name in tests.by_threat.get(&threat).into_iter().flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let last = [names.join(", "), row.words.to_owned()].into_iter().filter(|part| !part.is_empty());
    format!("| T{threat:02} | {text} | {} |", last.collect::<Vec<_>>().join("; "))
}
