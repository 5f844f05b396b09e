//! `why`: a past decision, from the log alone; of a component, who answers its imports and why.

use std::path::PathBuf;

use policy::name::Package;
use serde_json::Value;

use crate::client::Client;
use crate::command::acting::member;
use crate::command::{Globals, telling};
use crate::output::{self, Report};
use crate::view::{Look, rows};

/// Tell why something was decided as it was.
#[derive(Debug, clap::Args)]
#[command(after_help = "The ruling is decided again from the entries before it; nothing else is trusted.\n\n\
    Examples:\n  countersign why 413\n  countersign why 9f86d081\n  countersign why cart\n  \
    countersign why cart --contract wasi:logging\n  countersign why 57 --segments /mnt/archive")]
pub struct Args {
    /// An index, the start of an entry's hash, the id of a command or request, or a component's id: its newest ruling.
    #[arg(value_name = "INDEX|HASH|ID")]
    about: String,
    /// Only what concerns this package: who answers it, and why.
    #[arg(long, value_name = "PACKAGE")]
    contract: Option<String>,
    /// Where the segments are that old entries were moved to; name the entry by its index.
    #[arg(long, value_name = "DIR")]
    segments: Option<PathBuf>,
    /// Print keys and digests whole.
    #[arg(short, long)]
    verbose: bool,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let contract = self.contract.as_deref().map(Package::parse).transpose()?;
        let told =
            Client::of(globals)?.look_into(self.segments.as_deref(), &Look::Why { about: self.about, contract })?.view;
        let text = match told.get("verdict") {
            Some(_) => ruling(&told, self.verbose),
            None => output::shown(&member(&told, "summary")) + "\n" + &crate::command::acting::paragraph(&told),
        };
        Ok(Report::new(text, told))
    }
}

fn ruling(told: &Value, whole: bool) -> String {
    let mut text = String::new();
    for outcome in rows(told, "outcomes") {
        text += &output::shown(&answered(told, outcome));
        text.push('\n');
    }
    let verdict = match told.get("reason") {
        None => member(told, "verdict"),
        Some(_) => format!("refused: {}: {}", member(told, "reason"), member(told, "detail")),
    };
    let follows = if told.get("follows") == Some(&Value::Bool(true)) {
        "yes, as recorded"
    } else {
        "NO: the log does not follow"
    };
    text += &output::fields([
        (
            "decided",
            format!("entry {} at {}, epoch {}", member(told, "index"), member(told, "at"), member(told, "epoch")),
        ),
        ("verdict", verdict),
        ("for", format!("`{}` ({}) {}", member(told, "id"), member(told, "subject"), member(told, "sha256"))),
        ("on", format!("host {}, {}", member(told, "host"), member(told, "assurance"))),
        ("entry", member(told, "entry_sha256")),
        ("decided again", follows.to_owned()),
        ("asked now", again(told)),
    ]);
    text + &telling::relaxed(told) + &telling::rules(told, whole) + &telling::fix(told)
}

// The sentence that an operator came for.
fn answered(told: &Value, outcome: &Value) -> String {
    let (package, id, link) = (member(outcome, "package"), member(told, "id"), member(outcome, "link"));
    let sha256 = member(outcome, "sha256");
    let name = told.get("providers").map(|names| member(names, &sha256)).unwrap_or_default();
    let provider = format!("`{name}` ({}, {sha256})", member(outcome, "provider"));
    match (outcome.get("reason"), member(outcome, "by").as_str()) {
        (Some(_), _) => format!("nobody answers `{package}` for `{id}`: {}", member(outcome, "reason")),
        (None, "link") => {
            let revision = member(outcome, "revision");
            format!("{provider} answers `{package}` for `{id}`: link `{link}`, revision {revision}, names it")
        }
        (None, _) => {
            format!("{provider} answers `{package}` for `{id}`: no link, and the lattice's default is builtin")
        }
    }
}

fn again(told: &Value) -> String {
    let Some(again) = told.get("again") else {
        return String::new();
    };
    let outcomes = rows(again, "outcomes").iter().map(|outcome| match outcome.get("reason") {
        Some(_) => format!("{} refused {}", member(outcome, "package"), member(outcome, "reason")),
        None => format!("{} by {} {}", member(outcome, "package"), member(outcome, "by"), member(outcome, "provider")),
    });
    let same = rows(again, "outcomes") == rows(told, "outcomes") && again.get("reason") == told.get("reason");
    if same {
        return "the same".to_owned();
    }
    let outcomes: Vec<String> = outcomes.collect();
    format!("{} {}: {}", member(again, "verdict"), member(again, "reason"), outcomes.join("; "))
}
