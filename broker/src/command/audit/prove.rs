//! `audit prove` and `audit verify --proof`: one entry with all that proves it, in one file, checked with nothing else.

use std::path::{Path, PathBuf};

use policy::log::{Body, Exhibit, Proven, Ruled};
use policy::reason::{Reason, Refusal};
use serde_json::{Value, json};

use crate::client::Client;
use crate::command::acting::member;
use crate::command::{Globals, files};
use crate::error::Error;
use crate::output::{self, Report};
use crate::view::{self, Look};

/// Write one entry with all that proves it, to whoever knows the lattice's digest.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The file holds the entry, its evidence, the way from it to a signed checkpoint, and the papers of \
    the key that signed:\n`audit verify --proof` checks it anywhere.\n\n\
    Examples:\n  countersign audit prove 413\n  countersign audit prove 9f86d081 --out start.proof\n  \
    countersign --root DIGEST audit verify --proof entry-413.proof"
)]
pub(super) struct Args {
    /// An index, the start of an entry's hash, the id of a command or request, or a component's id.
    #[arg(value_name = "INDEX|HASH|ID")]
    about: String,
    /// The file to write [default: entry-INDEX.proof].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the segments are that old entries were moved to; name the entry by its index.
    #[arg(long, value_name = "DIR")]
    segments: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        prove(globals, self.about, self.out.as_deref(), self.segments.as_deref())
    }
}

fn prove(globals: &Globals, about: String, out: Option<&Path>, segments: Option<&Path>) -> anyhow::Result<Report> {
    let client = Client::of(globals)?;
    let view = client.look_into(segments, &Look::Prove { about })?.view;
    let exhibit: Exhibit = serde_json::from_value(view)
        .map_err(|error| Refusal::new(Reason::SchemaMismatch, format!("what was shown is no exhibit: {error}")))?;
    // Nothing is handed out that would not be taken.
    let proven = exhibit.prove(Some(client.root()?))?;
    let path = out.map_or_else(|| format!("entry-{}.proof", proven.entry.index).into(), Path::to_owned);
    // One proof may take another's place; what else is there is somebody's.
    if path.symlink_metadata().is_ok() && Exhibit::read(&files::read(&path)?).is_err() {
        return Err(Error::AlreadyThere(path).into());
    }
    files::write(&path, &[exhibit.to_bytes().as_slice(), b"\n"].concat())?;
    let how = format!("countersign --root {} audit verify --proof {}", proven.lattice, path.display());
    let text = output::fields([
        ("entry", format!("{}, {}", proven.entry.index, proven.sha256)),
        ("written to", path.display().to_string()),
        ("checked by", how),
    ]);
    let members = json!({
        "file": path.display().to_string(), "index": proven.entry.index, "entry_sha256": proven.sha256,
        "size": proven.checkpoint.size, "root": proven.lattice,
    });
    Ok(Report::new(text, members))
}

pub(super) fn verify(globals: &Globals, file: &Path) -> anyhow::Result<Report> {
    let exhibit = Exhibit::read(&files::read(file)?);
    match exhibit.and_then(|exhibit| Ok((exhibit.prove(globals.root)?, exhibit))) {
        Ok((proven, exhibit)) => Ok(told(&proven, exhibit.entry.as_bytes(), globals.root.is_some())),
        Err(refusal) => Ok(Report::new("the proof does not hold\n".to_owned(), json!({})).refused(refusal)),
    }
}

fn told(proven: &Proven, bytes: &[u8], is_pinned: bool) -> Report {
    let Proven { entry, sha256, lattice, checkpoint, warrant, pieces } = proven;
    let said = view::told(entry, bytes);
    let mut text = "the proof holds\n".to_owned();
    let answered = if let Body::Ruling(ruled) = &entry.body { answers(ruled) } else { Vec::new() };
    for line in &answered {
        text += &(output::shown(line) + "\n");
    }
    let pinned = if is_pinned { "as pinned" } else { "not pinned: compare it, or name it with `--root`" };
    text += &output::fields([
        ("entry", format!("{} of kind {}", entry.index, member(&said, "kind"))),
        ("at", policy::time::Timestamp::from_millis(entry.at_ms).to_string()),
        ("says", member(&said, "summary")),
        ("because", member(&said, "because")),
        ("by", member(&said, "by")),
        ("hash", sha256.to_string()),
        ("in a log of", format!("{} entries, tree root {}", checkpoint.size, checkpoint.root)),
        ("signed by", warrant.log_key.clone()),
        ("named by", format!("warrant {} of {}", warrant.rank(), warrant.iss)),
        ("lattice", format!("{lattice}, {pinned}")),
    ]);
    for (piece, what) in pieces {
        text += &output::fields([("evidence", format!("{piece}: {what}"))]);
    }
    let pieces: Vec<Value> = pieces.iter().map(|(sha256, what)| json!({"sha256": sha256, "what": what})).collect();
    let members = json!({
        "entry": said, "answers": answered, "evidence": pieces, "size": checkpoint.size, "tree_root": checkpoint.root,
        "epoch": checkpoint.epoch, "log_key": warrant.log_key, "decision_keys": warrant.decision_keys,
        "warrant_serial": warrant.serial, "warrant_reset": warrant.reset, "root": lattice, "pinned": is_pinned,
    });
    Report::new(text, members)
}

// Who answers, and why: the sentences that an operator came for.
fn answers(ruled: &Ruled) -> Vec<String> {
    let mut lines: Vec<String> = ruled
        .outcomes
        .iter()
        .map(|outcome| {
            let outcome = json!(outcome);
            let (package, by) = (member(&outcome, "package"), member(&outcome, "by"));
            let who = format!("{} ({})", member(&outcome, "provider"), member(&outcome, "sha256"));
            match (outcome.get("reason"), by.as_str()) {
                (Some(_), _) => {
                    format!("nobody answers `{package}` for `{}`: {}", ruled.id, member(&outcome, "reason"))
                }
                (None, "link") => format!(
                    "{who} answers `{package}` for `{}`: link `{}`, revision {}, names it",
                    ruled.id,
                    member(&outcome, "link"),
                    member(&outcome, "revision")
                ),
                (None, _) => {
                    format!(
                        "{who} answers `{package}` for `{}`: no link, and the lattice's default is builtin",
                        ruled.id
                    )
                }
            }
        })
        .collect();
    lines.extend(
        ruled.reason.map(|reason| format!("refused: {reason}: {}", ruled.detail.as_deref().unwrap_or_default())),
    );
    lines
}
