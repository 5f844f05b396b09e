//! `audit verify`: the proof of the log, or of exports and segments alone.
//!
//! It needs the files and public keys only; it trusts no broker and asks none.

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use policy::reason::{Reason, Refusal};
use serde_json::{Value, json};

use super::prove;
use crate::audit::{self, Against, Broken, Shelved, Sound};
use crate::client::told;
use crate::command::{Globals, files};
use crate::output::{self, Report};
use crate::store::{Lock, LogReader};

/// Prove the log.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 3 when a row does not follow, the first such row is named; also when old entries lie in \
    segments that are not here, or an export has no evidence: then these are named.\n\n\
    Examples:\n  countersign audit verify\n  countersign --root DIGEST audit verify\n  \
    countersign audit verify --checkpoint checkpoint.note\n  countersign audit verify --from yesterday.note\n  \
    countersign audit verify --segments /srv/segments\n  countersign --root DIGEST audit verify --proof entry-413.proof\n  \
    countersign audit verify --export first.jsonl --export second.jsonl"
)]
pub(super) struct Args {
    /// A signed checkpoint that the log must hold.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// A signed checkpoint of an earlier verification: what it covers is not decided again.
    #[arg(long, value_name = "FILE", conflicts_with = "exports")]
    from: Option<PathBuf>,
    /// What `audit prove` wrote: it is checked with nothing else, no folder and no broker.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["checkpoint", "from", "segments", "exports"])]
    proof: Option<PathBuf>,
    /// Where the segments are that old entries were moved to.
    #[arg(long, value_name = "DIR", conflicts_with = "exports")]
    segments: Option<PathBuf>,
    /// Exports or segments to prove without the database; several in their order.
    #[arg(long = "export", value_name = "FILE")]
    exports: Vec<PathBuf>,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        if let Some(proof) = &self.proof {
            return prove::verify(globals, proof);
        }
        let note = self.checkpoint.as_deref().map(files::read).transpose()?;
        let since = self.from.as_deref().map(files::read).transpose()?;
        let against = Against { pinned: globals.root, note, segments: self.segments, since, ..Against::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            if !self.exports.is_empty() {
                let progress = ProgressBar::new_spinner();
                let verdict = audit::exports(&self.exports, against, || progress.inc(1)).await.map_err(told);
                progress.finish_and_clear();
                return Ok(told_of("the export", None, Reason::EvidenceMissing, verdict?));
            }
            let folder = globals.opened().map_err(told)?;
            // Before the log: what it has seen is there.
            let vouched = Lock::peek(&folder.lock_file()).await;
            let reader = LogReader::open(&folder.log()).await.map_err(told)?;
            let size = reader.size().await.map_err(told)?;
            let progress = progress(size);
            let against = Against { shelf: Some(reader.shelf()), vouched, ..against };
            let verdict = audit::log(&reader, against, || progress.inc(1)).await.map_err(told);
            progress.finish_and_clear();
            let report = told_of("the log", Some(size), Reason::SegmentMissing, verdict?);
            Ok(report.told_besides(
                "lock",
                match vouched {
                    Some(vouched) => format!("it has seen {} entries, and the log leads there", vouched.size),
                    None if folder.lock_file().exists() => {
                        "it vouches for nothing: it is damaged, or an older release moved it last".to_owned()
                    }
                    None => "there is none to ask whether this is the newest log; `--lock FILE` names one".to_owned(),
                },
            ))
        })
    }
}

fn told_of(what: &str, size: Option<u64>, lacks: Reason, verdict: audit::Verdict) -> Report {
    let sound = match verdict {
        Ok(sound) => sound,
        Err(Broken { refusal, held }) => {
            let of = size.map(|size| format!("of {size} rows ")).unwrap_or_default();
            let text = match refusal.reason {
                Reason::StateRollback => format!("{what} is not the one that was seen before\n"),
                Reason::SignatureInvalid | Reason::BrokerKeyUnknown => {
                    format!("{of}the first {held} hold; the checkpoint says nothing of {what}\n")
                }
                Reason::ProofInvalid => format!("{of}the first {held} hold; what is kept beside {what} does not\n"),
                Reason::ExportMismatch => format!("{what} cannot be proved so\n"),
                _ => format!("{what} is broken: {of}the first {held} hold\n"),
            };
            return Report::new(text, json!({"row": held, "entries": size.unwrap_or(held)})).refused(refusal);
        }
    };
    let report = report(what, &sound);
    match sound.undecided.as_slice() {
        [] => report,
        _ if sound.head.is_none() => {
            let detail = "each entry follows from the one before it; the log before them is not here, so nothing was decided \
                again: give it first, as another `--export`";
            report.refused(Refusal::new(Reason::SegmentMissing, detail))
        }
        undecided => {
            let detail =
                format!("what these entries say is not here, so it was not decided again: {}", ranges(undecided));
            report.refused(Refusal::new(lacks, detail))
        }
    }
}

fn report(what: &str, sound: &Sound) -> Report {
    let Sound { head, entries, last, tree_root, lattice, root, rulings, judged, older_law, undecided, since, .. } =
        sound;
    let mut pairs = vec![
        ("entries", format!("{entries}: each follows from those before it")),
        ("decided again", format!("{rulings} rulings, {judged} commands, joins and warrants")),
        ("under an older law", older_law.to_string()),
    ];
    if !undecided.is_empty() {
        pairs.push(("not decided again", ranges(undecided)));
    }
    pairs.extend(tree_root.map(|root| ("tree root", root.to_string())));
    if *since > 0 {
        let before = format!("the first {since} entries: their chain was checked, their decisions were not");
        pairs.push(("verified before", before));
    }
    let shelved = sound.shelved;
    if let Some(Shelved { tiles, tiles_missing, notes, notes_restored }) = shelved {
        pairs.push(("tiles", format!("{tiles} hold, {tiles_missing} are not there")));
        let notes = format!("{notes} hold, {notes_restored} are of a log that a restore put right");
        pairs.push(("kept checkpoints", notes));
    }
    pairs.push(("last", last.to_string()));
    pairs.extend(head.map(|head| ("epoch", head.epoch.to_string())));
    if let Some(index) = sound.restored {
        pairs.push(("the checkpoint", format!("is of a log that was lost, as the restore in entry {index} says")));
    }
    let named = lattice.as_ref().zip(*root).map(|(lattice, root)| format!("{lattice}, root {root}"));
    pairs.extend(named.map(|named| ("lattice", named)));
    let undecided: Vec<_> = undecided.iter().map(|(first, end)| json!({"first": first, "last": end - 1})).collect();
    let mut members = json!({
        "entries": entries, "rulings": rulings, "judged": judged, "older_law": older_law, "undecided": undecided,
        "tree_root": tree_root, "last": last, "epoch": head.map(|head| head.epoch), "lattice": lattice,
        "root": root, "restored": sound.restored,
        "verified_before": since, "tiles": shelved.map(|found| found.tiles),
        "tiles_missing": shelved.map(|found| found.tiles_missing), "checkpoints": shelved.map(|found| found.notes),
        "checkpoints_restored": shelved.map(|found| found.notes_restored),
    });
    if let Some(members) = members.as_object_mut() {
        members.retain(|_, value| *value != Value::Null);
    }
    Report::new(format!("{what} holds\n{}", output::fields(pairs)), members)
}

fn ranges(ranges: &[(u64, u64)]) -> String {
    let one = |(first, end): &(u64, u64)| match end - first {
        1 => first.to_string(),
        _ => format!("{first} to {}", end - 1),
    };
    let mut told: Vec<String> = ranges.iter().take(MOST).map(one).collect();
    if ranges.len() > MOST {
        told.push(format!("and {} more ranges", ranges.len() - MOST));
    }
    told.join(", ")
}

fn progress(size: u64) -> ProgressBar {
    if size <= MANY {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} entries, {per_sec}, {eta} left");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

const MANY: u64 = 2000;
const MOST: usize = 20;
