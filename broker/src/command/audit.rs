//! `audit`: the log as evidence: its newest entries, and the proof that each follows from those before it.
//!
//! How it is verified, and how one entry is proved, is left to the files beside.

mod prove;
mod reconcile;
mod verify;
mod walk;

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::member;
use crate::output::{self, Format, Report};
use crate::view::{Look, rows};

/// Read and verify the log.
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
    /// Prove that each entry follows from those before it, every ruling and command decided again
    #[command(after_help = "Exit code 3 when a row does not follow; the first such row is named.\n\n\
        Examples:\n  countersign audit verify\n  countersign --root DIGEST audit verify\n  \
        countersign audit verify --checkpoint checkpoint.note\n  \
        countersign audit verify --from yesterday.note\n  \
        countersign --root DIGEST audit verify --proof entry-413.proof")]
    Verify {
        /// A signed checkpoint that the log must hold.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// A signed checkpoint of an earlier verification: what it covers is not decided again.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// What `audit prove` wrote: it is checked with nothing else, no folder and no broker.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["checkpoint", "from"])]
        proof: Option<PathBuf>,
    },
    /// Write one entry with all that proves it, to whoever knows the lattice's digest
    #[command(after_help = "The file holds the entry, its evidence, the way from it to a signed checkpoint, and the \
        papers of the key that signed: `audit verify --proof` checks it anywhere.\n\n\
        Examples:\n  countersign audit prove 413\n  countersign audit prove 9f86d081 --out start.proof\n  \
        countersign --root DIGEST audit verify --proof entry-413.proof")]
    Prove {
        /// An index, the start of an entry's hash, the id of a command or request, or a component's id.
        #[arg(value_name = "INDEX|HASH|ID")]
        about: String,
        /// The file to write [default: entry-INDEX.proof].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Hold hosts' journals against the log: nothing that was acted on is missing, and nothing was invented
    Reconcile(reconcile::Args),
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
            Command::Verify { proof: Some(proof), .. } => prove::verify(globals, &proof),
            Command::Verify { checkpoint, from, .. } => verify::verify(globals, checkpoint.as_deref(), from.as_deref()),
            Command::Prove { about, out } => prove::prove(globals, about, out.as_deref()),
            Command::Reconcile(args) => args.run(globals),
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
            if !output::emit(&text) {
                return Ok(Report::default());
            }
        }
        let next = seen.view.get("next").and_then(Value::as_u64);
        look = Look::Tail { from: next, most: PAGE };
        client.block_on(tokio::time::sleep(PAUSE));
    }
}

const PAGE: u64 = 200;
const PAUSE: Duration = Duration::from_millis(250);
