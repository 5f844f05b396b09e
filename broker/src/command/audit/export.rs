//! `audit export`: the log as lines of JSON, on standard output or added to a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use policy::reason::{Reason, Refusal};
use serde_json::json;

use crate::client::told;
use crate::command::Globals;
use crate::export::{Bulk, ExportFile, Pieces, Writing};
use crate::folder::Folder;
use crate::output::{self, Report, Usage};
use crate::store::{Held, LogReader};

/// Export the log.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each line has an entry, exactly as it was recorded, its hash and its index; docs/log-format.md has \
    the form. A file that is there is gone on with where it ends, if it is this log's.\n\n\
    Examples:\n  countersign audit export > log.jsonl\n  countersign audit export --out log.jsonl --evidence\n  \
    countersign audit export --out log.jsonl --follow\n  countersign audit export --from 4000 --to 4100\n  \
    countersign audit verify --export log.jsonl"
)]
pub(super) struct Args {
    /// The first entry [default: 0, or where the file ends].
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    /// The last entry [default: the newest].
    #[arg(long, value_name = "INDEX")]
    to: Option<u64>,
    /// Go on with what is added.
    #[arg(short, long)]
    follow: bool,
    /// The file to add to, in place of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// With the signed documents and what came with them, so that each entry can be decided again.
    #[arg(long)]
    evidence: bool,
    /// Where the segments are that old entries were moved to.
    #[arg(long, value_name = "DIR")]
    segments: Option<PathBuf>,
}

// Where the lines go.
enum Out {
    Printed,
    File(Box<ExportFile>),
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let folder = globals.opened().map_err(told)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.export(&folder))
    }

    async fn export(self, folder: &Folder) -> anyhow::Result<Report> {
        let held = Held::at(&folder.log());
        let log = LogReader::open(&folder.log()).await.map_err(told)?;
        let mut out = self.out(&log).await?;
        let begun = match &out {
            Out::File(file) => self.go_on(file)?,
            Out::Printed => self.from.unwrap_or_default(),
        };
        let pieces = if self.evidence { Pieces::WithEvidence } else { Pieces::EntriesAlone };
        let mut writing = Writing::of(&log, Bulk::of(self.segments.as_deref()), pieces);
        let last = self.to.map(|to| to.saturating_add(1));
        let mut next = begun;
        let progress = ProgressBar::new(0);
        loop {
            let size = log.size().await.map_err(told)?;
            let end = last.map_or(size, |last| last.min(size));
            progress.set_length(end.saturating_sub(begun));
            while next < end {
                let (lines, after) = writing.page(next, end).await.map_err(told)?;
                if !out.take(&lines)? {
                    return Ok(Report::default());
                }
                progress.set_position(after - begun);
                next = after;
            }
            out.settle()?;
            if !self.follow || last.is_some_and(|last| next >= last) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            // The file that is read would never grow again.
            if held.is_another() {
                let detail =
                    format!("another log lies there since entry {next}: begin again, it goes on or says why not");
                return Err(Refusal::new(Reason::ExportMismatch, detail).into());
            }
        }
        progress.finish_and_clear();
        let bare = writing.bare();
        if bare > 0 {
            output::hint(&format!(
                "{bare} lines have no entry: it lies in a segment; `--segments DIR` says where these are\n"
            ));
        }
        Ok(match out {
            Out::Printed => Report::new("", json!({"next": next, "bare": bare})),
            Out::File(_) => {
                let file = self.out.as_deref().unwrap_or(Path::new("")).display().to_string();
                let text = format!("{} ends before entry {next}, {} were added\n", output::shown(&file), next - begun);
                Report::new(text, json!({"file": file, "next": next, "added": next - begun, "bare": bare}))
            }
        })
    }

    async fn out(&self, log: &LogReader) -> anyhow::Result<Out> {
        match &self.out {
            None => Ok(Out::Printed),
            Some(path) => Ok(Out::File(Box::new(ExportFile::open(path, log).await.map_err(told)?))),
        }
    }

    fn go_on(&self, file: &ExportFile) -> anyhow::Result<u64> {
        match (self.from, file.first(), file.next()) {
            (Some(from), Some(first), _) if from != first => {
                Err(Usage(format!("the file begins with entry {first}, `--from` says {from}")).into())
            }
            (from, _, next) => Ok(next.or(from).unwrap_or_default()),
        }
    }
}

impl Out {
    // False when nobody reads any more.
    fn take(&mut self, lines: &[u8]) -> anyhow::Result<bool> {
        match self {
            Self::Printed => Ok(output::emit(&String::from_utf8_lossy(lines))?),
            Self::File(file) => file.append(lines).map(|()| true).map_err(told),
        }
    }

    fn settle(&self) -> anyhow::Result<()> {
        match self {
            Self::Printed => Ok(()),
            Self::File(file) => file.make_durable().map_err(told),
        }
    }
}

const PAUSE: Duration = Duration::from_millis(250);
