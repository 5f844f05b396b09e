//! `audit reconcile`: hosts' journals held against the log, so that neither tells more than the other.
//!
//! Offline, from the folder alone: the chain of the log is checked on the way, and every line of every journal is found in
//! it or named.

use std::path::{Path, PathBuf};

use policy::journal::{self, Finding, Reconciliation, Unused};
use policy::key::{Host, Name};
use policy::reason::{Reason, Refusal};
use serde_json::json;

use crate::client::told;
use crate::command::{Globals, files};
use crate::error::Error;
use crate::export::Bulk;
use crate::output::{self, Report};
use crate::store::LogReader;

/// Hold hosts' journals against the log.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 3 when a line has no entry, an entry is another, or lines are missing. A grant that no \
    line tells\nis shown and no error: its answer was lost or overtaken, and nothing was bound by it.\n\n\
    Examples:\n  countersign-host journal > host.journal\n  countersign audit reconcile --journal host.journal\n  \
    countersign -o json audit reconcile --journal one.journal --journal two.journal"
)]
pub(super) struct Args {
    /// What `countersign-host journal` printed; `-` reads standard input. Several hosts' may be given.
    #[arg(long, value_name = "FILE", required = true)]
    journal: Vec<PathBuf>,
    /// Where the segments are that old entries were moved to.
    #[arg(long, value_name = "DIR")]
    segments: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let folder = globals.opened().map_err(told)?;
        let mut lines = Vec::new();
        for file in &self.journal {
            let read = journal::read(&files::read_or_input(file)?);
            lines.extend(read.map_err(|refusal| refusal.within(format!("`{}`", file.display())))?);
        }
        let count = lines.len();
        if count == 0 {
            let detail =
                "there is no line to compare: `countersign-host journal` prints those of the host in `--host-dir`";
            return Err(Refusal::new(Reason::NotFound, detail).into());
        }
        let mut reconciliation = Reconciliation::of(lines);
        let hosts: Vec<_> = reconciliation.hosts().collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let walked = runtime.block_on(async {
            let reader = LogReader::open(&folder.log()).await?;
            walk(&reader, self.segments.as_deref(), &mut reconciliation).await
        });
        match walked {
            Ok(entries) => {
                let (findings, unused) = reconciliation.end();
                Ok(report((count, entries), &hosts, &findings, &unused))
            }
            Err(Error::Refused(refusal)) => {
                let members = json!({"lines": count});
                let text = if refusal.reason == Reason::LogBroken { "the log is broken\n" } else { "" };
                Ok(Report::new(text, members).refused(refusal))
            }
            Err(error) => Err(told(error)),
        }
    }
}

// Every entry, then the questions of those that lines name; how many entries there are.
async fn walk(reader: &LogReader, segments: Option<&Path>, lines: &mut Reconciliation) -> Result<u64, Error> {
    let mut bulk = Bulk::of(segments);
    let replayed = reader.replay_with(&mut bulk, None, |row, entry| {
        let missing = || Error::refused(Reason::SegmentMissing, format!("entry {} lies in one", row.index));
        lines.entry(entry.ok_or_else(missing)?, row.hash);
        Ok(())
    });
    let ledger = replayed.await?;
    let joined = ledger.state().hosts();
    if let Some((host, _)) = lines.hosts().find(|(host, _)| !joined.contains_key(host)) {
        let detail = format!("host `{host}` never joined this lattice: its journal is beside another log");
        return Err(Error::refused(Reason::HostUnknown, detail));
    }
    bulk = Bulk::of(segments);
    for index in lines.questions() {
        let Some(row) = reader.row(index).await? else { continue };
        let (row, found) = bulk.find(&row, reader.segments())?.map_or((row, None), |(row, kept)| (row, Some(kept)));
        let Some(entry) = row.entry()? else { continue };
        let kept = match found {
            Some(kept) => kept,
            None => reader.kept(&entry).await?,
        };
        lines.question(&entry, &kept);
    }
    Ok(ledger.head().size)
}

fn report(
    (lines, entries): (usize, u64),
    hosts: &[(Name<Host>, u64)],
    findings: &[Finding],
    unused: &[Unused],
) -> Report {
    let begun = |(host, first): &(Name<Host>, u64)| match first {
        1 => format!("host {host}: from its first line\n"),
        first => format!("host {host}: from line {first}; what was before was rotated away\n"),
    };
    let found = |finding: &Finding| {
        let Finding { finding, host, number, says, .. } = finding;
        output::shown(&format!("{finding}  host {host}, line {number}: {says}")) + "\n"
    };
    let lost = |unused: &Unused| {
        let Unused { host, index, id } = unused;
        output::shown(&format!("not acted on  host {host}: entry {index} permitted `{id}`; its answer was lost")) + "\n"
    };
    let mut text: String = hosts.iter().map(begun).collect();
    text.extend(findings.iter().map(found));
    text.extend(unused.iter().map(lost));
    let begins: Vec<_> = hosts.iter().map(|(host, first)| json!({"host": host, "first": first})).collect();
    let members = json!({
        "lines": lines, "entries": entries, "hosts": begins, "findings": findings, "not_acted_on": unused,
    });
    if findings.is_empty() {
        return Report::new(format!("{lines} lines and {entries} entries tell the same\n{text}"), members);
    }
    let detail = format!("{} of {lines} lines and the log contradict each other", findings.len());
    Report::new(text, members).refused(Refusal::new(Reason::JournalMismatch, detail))
}
