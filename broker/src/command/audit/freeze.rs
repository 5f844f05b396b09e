//! `audit freeze`: moves the bulk of old entries into a sealed segment.

use std::path::PathBuf;

use serde_json::json;

use crate::client::told;
use crate::clock::{Clock, SystemClock};
use crate::command::Globals;
use crate::command::when::Span;
use crate::export::{Freeze, Frozen, Until, freeze};
use crate::output::{self, Report};

/// Freeze old entries.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "No broker may run. Entries of the last 30 days stay, and so does whatever the state rests on. \
    Keep the segment: without it the old rulings cannot be decided again.\n\n\
    Examples:\n  countersign audit freeze --older-than 90d --out /srv/segments\n  \
    countersign audit freeze --before 100000 --out /srv/segments\n  countersign audit verify --segments /srv/segments"
)]
#[command(group(clap::ArgGroup::new("until").required(true).args(["before", "older_than"])))]
pub(super) struct Args {
    /// Entries before that index.
    #[arg(long, value_name = "INDEX")]
    before: Option<u64>,
    /// Entries that are older than that.
    #[arg(long, value_name = "SPAN")]
    older_than: Option<Span>,
    /// The folder that the segment is written to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let folder = globals.opened().map_err(told)?;
        let until = match (self.before, self.older_than) {
            (Some(index), _) => Until::Before(index),
            (None, span) => Until::OlderThan(span.map_or(u64::MAX, |Span(seconds)| seconds)),
        };
        let now = SystemClock::default().now();
        let asked = Freeze { until, as_of: now, out: self.out };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let done = runtime.block_on(freeze(&folder, now, &asked)).map_err(told)?;
        let Frozen { segment, file, moved, entry, bytes: (before, after) } = done;
        let text = output::fields([
            ("segment", file.display().to_string()),
            ("sha256", segment.sha256.to_string()),
            ("entries", format!("{} to {}, {moved} of them left their bytes there", segment.first, segment.size - 1)),
            ("recorded", format!("by entry {entry}")),
            ("log", format!("{after} bytes, {before} before")),
        ]);
        let members = json!({
            "file": file, "sha256": segment.sha256, "first": segment.first, "last": segment.size - 1, "moved": moved,
            "index": entry,
            "bytes_before": before, "bytes": after,
        });
        Ok(Report::new(format!("frozen; move the segment offline, and keep it\n{text}"), members))
    }
}
