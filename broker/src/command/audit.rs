//! `audit`: the log as evidence: its newest entries, the proof that each follows from those before it, and keeping it.
//!
//! One file per command below it; the newest entries are here.

mod backup;
mod export;
mod freeze;
mod prove;
mod reconcile;
mod seen;
mod verify;

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::member;
use crate::output::{self, Format, Report};
use crate::view::{Look, rows};

/// Read, verify and keep the log.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the newest entries
    #[command(after_help = "Examples:\n  countersign audit tail\n  countersign audit tail -n 100\n  \
        countersign -o json audit tail --follow")]
    Tail {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: u64,
        /// Go on showing what is added.
        #[arg(short, long)]
        follow: bool,
    },
    /// Hold hosts' journals against the log: nothing that was acted on is missing, and nothing was invented
    Reconcile(reconcile::Args),
    /// Prove that each entry follows from those before it, every ruling and command decided again
    Verify(verify::Args),
    /// Tell who presented a file, claims, a subject, an id or an issuer's word, and what became of it
    Seen(seen::Args),
    /// Write one entry with all that proves it, to whoever knows the lattice's digest
    Prove(prove::Args),
    /// Write the log as lines of JSON, and go on where the file ends
    Export(export::Args),
    /// Copy the log while a broker writes it, with what a restore needs; verified before it is there
    Backup(backup::Args),
    /// Move the bulk of old entries into a sealed segment, to be kept offline
    Freeze(freeze::Args),
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Tail { lines, follow: false } => {
                let seen = Client::of(globals)?.look(&Look::Tail { from: None, most: lines })?;
                let text: String = rows(&seen.view, "entries").iter().map(line).collect();
                Ok(Report::new(text, seen.view))
            }
            Command::Tail { lines, follow: true } => follow(globals, lines),
            Command::Reconcile(args) => args.run(globals),
            Command::Verify(args) => args.run(globals),
            Command::Seen(args) => args.run(globals),
            Command::Prove(args) => args.run(globals),
            Command::Export(args) => args.run(globals),
            Command::Backup(args) => args.run(globals),
            Command::Freeze(args) => args.run(globals),
        }
    }
}

fn line(entry: &Value) -> String {
    let [index, at, kind, summary] = ["index", "at", "kind", "summary"].map(|name| member(entry, name));
    let because = Some(member(entry, "because")).filter(|because| !because.is_empty());
    let because = because.map(|because| format!("   # {because}")).unwrap_or_default();
    output::shown(&format!("{index:>6}  {at}  {kind:<10}  {summary}{because}")) + "\n"
}

// Ends when nobody reads any more, or by a signal.
fn follow(globals: &Globals, lines: u64) -> anyhow::Result<Report> {
    let client = Client::of(globals)?;
    let mut look = Look::Tail { from: None, most: lines };
    loop {
        let seen = client.look(&look)?;
        for entry in rows(&seen.view, "entries") {
            let text = match globals.format {
                Format::Text => line(entry),
                Format::Json => format!("{entry}\n"),
            };
            if !output::emit(&text)? {
                return Ok(Report::default());
            }
        }
        let next = seen.view.get("next").and_then(Value::as_u64);
        look = Look::Tail { from: next, most: PAGE };
        client.block_on(async { tokio::time::sleep(PAUSE).await });
    }
}

const PAGE: u64 = 200;
const PAUSE: Duration = Duration::from_millis(250);
