//! `audit`: the log as evidence: its newest entries, and the proof that each follows from those before it.
//!
//! Verification needs the folder and public keys only; it trusts no broker and asks none.

mod reconcile;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use indicatif::ProgressBar;
use policy::digest::Digest;
use policy::govern::{Event, WarrantInstalled};
use policy::log::{Body, Checkpoint, Entry, Frontier, NoteKey, leaf_hash};
use policy::reason::{Reason, Refusal};
use serde_json::{Value, json};

use crate::client::{Client, told};
use crate::command::acting::member;
use crate::command::{Globals, files};
use crate::error::Error;
use crate::folder::Folder;
use crate::output::{self, Format, Report};
use crate::store::{LogReader, Row};
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
        countersign audit verify --checkpoint checkpoint.note")]
    Verify {
        /// A signed checkpoint that the log must hold.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
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
            Command::Verify { checkpoint } => verify(globals, checkpoint.as_deref()),
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

// What is learnt on the way through the log.
#[derive(Default)]
struct Walk {
    tree: Frontier,
    rulings: u64,
    judged: u64,
    older_law: u64,
    checkpoint: Option<Checkpoint>,
    // The signed note that the log must hold, until the key that signed it was met.
    note: Option<Vec<u8>>,
    pinned: Option<Digest>,
}

fn verify(globals: &Globals, checkpoint: Option<&Path>) -> anyhow::Result<Report> {
    let folder = Folder::open(&globals.folder()).map_err(told)?;
    let note = checkpoint.map(files::read).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let reader = LogReader::open(&folder.log()).await.map_err(told)?;
        let size = reader.size().await.map_err(told)?;
        let progress = if size > MANY { ProgressBar::new(size) } else { ProgressBar::hidden() };
        let mut walk = Walk { pinned: globals.root, note, ..Walk::default() };
        let walked = reader.replay(true, |row, entry| {
            progress.inc(1);
            walk.step(row, entry)
        });
        let walked = walked.await;
        progress.finish_and_clear();
        let ledger = match walked {
            Ok(ledger) => ledger,
            Err(Error::Refused(refusal)) => return Ok(broken(refusal, walk.tree.size(), size)),
            Err(error) => return Err(error.into()),
        };
        if let Err(refusal) = evidence(&reader).await.map_err(told)? {
            return Ok(broken(refusal, walk.tree.size(), size));
        }
        let head = ledger.head();
        if walk.note.is_some() {
            let detail = "the checkpoint is signed by no key that the log names";
            return Err(Refusal::new(Reason::SignatureInvalid, detail).into());
        }
        if let Some(checkpoint) = walk.checkpoint.filter(|checkpoint| checkpoint.size > head.size) {
            let detail = format!("the log ends at {}, the checkpoint was signed at {}", head.size, checkpoint.size);
            return Ok(broken(Refusal::new(Reason::StateRollback, detail), head.size, size));
        }
        let text = output::fields([
            ("entries", format!("{}: each follows from those before it", head.size)),
            ("decided again", format!("{} rulings, {} commands, joins and warrants", walk.rulings, walk.judged)),
            ("under an older law", walk.older_law.to_string()),
            ("tree root", walk.tree.root().to_string()),
            ("last", head.last.to_string()),
            ("epoch", head.epoch.to_string()),
            ("lattice", ledger.state().lattice().to_string()),
        ]);
        let members = json!({
            "entries": head.size, "rulings": walk.rulings, "judged": walk.judged, "older_law": walk.older_law,
            "tree_root": walk.tree.root(), "last": head.last, "epoch": head.epoch, "lattice": ledger.state().lattice(),
        });
        Ok(Report::new(format!("the log holds\n{text}"), members))
    })
}

impl Walk {
    fn step(&mut self, row: &Row, entry: &Entry) -> Result<(), Error> {
        let hash = leaf_hash(&row.bytes);
        if let Body::Inception(inception) = &entry.body {
            if let Some(pinned) = self.pinned.filter(|pinned| *pinned != hash) {
                let detail = format!("row 0: the log is of the lattice {hash}, pinned is {pinned}");
                return Err(Refusal::new(Reason::LogBroken, detail).into());
            }
            self.under(&inception.log_key, row.index)?;
        }
        if let Body::Governance(judged) = &entry.body {
            for event in &judged.events {
                if let Event::WarrantInstalled(WarrantInstalled { log_key: Some(key), .. }) = event {
                    self.under(key, row.index)?;
                }
            }
        }
        match &entry.body {
            _ if !policy::decide::judges_again(entry.law) => self.older_law += 1,
            Body::Ruling(_) => self.rulings += 1,
            Body::Governance(_) | Body::Refusal(_) => self.judged += 1,
            Body::Inception(_) | Body::Door(_) | Body::Report(_) | Body::Clock(_) | Body::Lost(_) => {}
        }
        self.tree.append(hash);
        match &self.checkpoint {
            Some(signed) if signed.size == self.tree.size() && signed.root != self.tree.root() => {
                let detail =
                    format!("row {}: the tree's root is {}, signed was {}", row.index, self.tree.root(), signed.root);
                Err(Refusal::new(Reason::LogBroken, detail).into())
            }
            _ => Ok(()),
        }
    }
}

impl Walk {
    // From this row on the log is signed for by this key, and by no other (T66).
    fn under(&mut self, key: &str, index: u64) -> Result<(), Refusal> {
        if let Some(signed) = self.checkpoint.as_ref().filter(|signed| signed.size > index) {
            let detail =
                format!("the checkpoint of {} entries is signed by a key that was replaced at {index}", signed.size);
            return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
        }
        let Some(note) = &self.note else { return Ok(()) };
        if let Ok(checkpoint) = NoteKey::parse(key)?.open(note) {
            if checkpoint.size <= index {
                let detail =
                    format!("the checkpoint of {} entries is signed by the key of entry {index}", checkpoint.size);
                return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
            }
            (self.checkpoint, self.note) = (Some(checkpoint), None);
        }
        Ok(())
    }
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

const PAGE: u64 = 200;
const MANY: u64 = 2000;
const PAUSE: Duration = Duration::from_millis(250);
