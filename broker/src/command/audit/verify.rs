//! `audit verify`: each entry follows from those before it, each decision comes out again, and all that was signed fits.
//!
//! It needs the folder and public keys only; it trusts no broker and asks none, and what it holds does not grow with the
//! log. What is learnt on the way is left to `walk`.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use policy::digest::Digest;
use policy::log::Ledger;
use policy::reason::{Reason, Refusal};
use serde_json::json;

use super::walk::Walk;
use crate::client::told;
use crate::command::{Globals, files};
use crate::error::Error;
use crate::folder::Folder;
use crate::output::{self, Report};
use crate::store::{LogReader, says};

pub(super) fn verify(globals: &Globals, checkpoint: Option<&Path>, from: Option<&Path>) -> anyhow::Result<Report> {
    let folder = Folder::open(&globals.folder()).map_err(told)?;
    let (checkpoint, from) = (checkpoint.map(files::read).transpose()?, from.map(files::read).transpose()?);
    let no_checkpoint = || Refusal::new(Reason::SchemaMismatch, "not a signed checkpoint");
    let since = from.as_ref().map(|note| says(note).ok_or_else(no_checkpoint)).transpose()?.unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let reader = LogReader::open(&folder.log()).await.map_err(told)?;
        let mut walk = Walk::new(globals.root, reader.shelf(), since);
        // Before the size is read: a broker that runs meanwhile signs for no more than it wrote.
        if let Err(error) = walk.expect_all(checkpoint, from) {
            return Ok(broken(Refusal::new(Reason::ProofInvalid, error.to_string()), 0, 0));
        }
        let size = reader.size().await.map_err(told)?;
        let progress = progress(size);
        let walked = reader.replay(Some(since), |row, entry| {
            progress.inc(1);
            walk.step(row, entry)
        });
        let walked = walked.await;
        progress.finish_and_clear();
        let ledger = match walked {
            Ok(ledger) => ledger,
            Err(Error::Refused(refusal)) => return Ok(broken(refusal, walk.size(), size)),
            Err(error) => return Err(error.into()),
        };
        if let Err(refusal) = evidence(&reader).await.map_err(told)? {
            return Ok(broken(refusal, walk.size(), size));
        }
        walk.all_opened()?;
        match walk.finish(ledger.head().size) {
            Ok(()) => Ok(holds(&walk, &ledger)),
            Err(refusal) if refusal.reason == Reason::ProofInvalid => {
                let text = "the log holds; what is kept beside it does not\n".to_owned();
                Ok(Report::new(text, json!({"entries": size})).refused(refusal))
            }
            Err(refusal) => Ok(broken(refusal, walk.size(), size)),
        }
    })
}

fn holds(walk: &Walk, ledger: &Ledger) -> Report {
    let (head, lattice) = (ledger.head(), ledger.state().lattice());
    let (tiles, notes) = (walk.tiles(), walk.notes());
    let mut text = output::fields([
        ("entries", format!("{}: each follows from those before it", head.size)),
        ("decided again", format!("{} rulings, {} commands, joins and warrants", walk.rulings, walk.judged)),
        ("under an older law", walk.older_law.to_string()),
        ("tree root", walk.root().to_string()),
        ("tiles", format!("{} hold, {} are not there", tiles.held, tiles.missing)),
        ("kept checkpoints", format!("{} hold, {} are of a log that a restore put right", notes.held, notes.restored)),
        ("last", head.last.to_string()),
        ("epoch", head.epoch.to_string()),
        ("lattice", lattice.to_string()),
    ]);
    if walk.since > 0 {
        let since = format!("the first {} entries: their chain was checked, their decisions were not", walk.since);
        text += &output::fields([("verified before", since)]);
    }
    let members = json!({
        "entries": head.size, "rulings": walk.rulings, "judged": walk.judged, "older_law": walk.older_law,
        "tree_root": walk.root(), "last": head.last, "epoch": head.epoch, "lattice": lattice,
        "verified_before": walk.since, "tiles": tiles.held, "tiles_missing": tiles.missing,
        "checkpoints": notes.held, "checkpoints_restored": notes.restored,
    });
    Report::new(format!("the log holds\n{text}"), members)
}

// Every piece of evidence lies under its own digest, those that no entry names too.
async fn evidence(reader: &LogReader) -> Result<Result<(), Refusal>, Error> {
    let mut after = None;
    loop {
        let page = reader.evidence_after(after).await?;
        for (sha256, bytes) in &page {
            if Digest::of(bytes) != *sha256 {
                return Ok(Err(Refusal::new(Reason::LogBroken, format!("the evidence under {sha256} was changed"))));
            }
        }
        let Some((last, _)) = page.last() else {
            return Ok(Ok(()));
        };
        after = Some(*last);
    }
}

fn broken(refusal: Refusal, row: u64, size: u64) -> Report {
    let text = format!("the log is broken: of {size} rows the first {row} hold\n");
    Report::new(text, json!({"row": row, "entries": size})).refused(refusal)
}

fn progress(size: u64) -> ProgressBar {
    if size <= MANY {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} entries, {per_sec}, {eta} left");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

const MANY: u64 = 2000;
