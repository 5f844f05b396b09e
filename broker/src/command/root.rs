//! `root`: other roots for a lattice, agreed to offline by the old ones and the new, then recorded.
//!
//! Whoever holds the root keys signs on a machine without a network; what they made is public and may travel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use policy::digest::Digest;
use policy::govern::State;
use policy::key::{Key, Name, Root};
use policy::log::leaf_hash;
use policy::reason::Reason;
use policy::root::RootChange;
use policy::warrant::Quorum;
use serde_json::{Map, Value, json};

use crate::client::{Client, Local, told};
use crate::clock::{Clock, SystemClock};
use crate::command::{Globals, files};
use crate::keys::SigningKey;
use crate::output::{self, Report, Usage};
use crate::service::Service;

/// Change who signs warrants.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Agree to other roots: a document signed by the old ones and the new, on standard output
    #[command(
        after_help = "As many of the old roots must sign as their threshold says, and as many of the new. What it \
        changes is told beside the document, on standard error.\n\n\
        Examples:\n  countersign root rotate --root-key root.nk --new-key root-2.nk > root.jws\n  \
        countersign root rotate --root-key root.nk --new-key a.nk --new-key b.nk --new O_C... --threshold 2 > root.jws"
    )]
    Rotate(Rotate),
    /// Record what the roots agreed to; the broker must be stopped
    #[command(after_help = "Examples:\n  countersign root record root.jws")]
    Record {
        /// The document, as `root rotate` writes it.
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Rotate {
    /// The seed of an old root; may be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    root_key: Vec<PathBuf>,
    /// The seed of a new root, which signs; may be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    new_key: Vec<PathBuf>,
    /// The public key of a new root that does not sign this; may be given more than once.
    #[arg(long, value_name = "KEY")]
    new: Vec<String>,
    /// How many of the new roots must sign from now on [default: as many as of the old].
    #[arg(long, value_name = "K")]
    threshold: Option<u64>,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Rotate(rotate) => output::fixed(rotate.run(globals), Reason::ThresholdUnmet, FIX),
            Command::Record { file } => output::fixed(record(globals, &file), Reason::ThresholdUnmet, FIX),
        }
    }
}

impl Rotate {
    fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let load = |path: &PathBuf| SigningKey::<Root>::load(path).map_err(told);
        let old: Vec<_> = self.root_key.iter().map(load).collect::<anyhow::Result<_>>()?;
        let new: Vec<_> = self.new_key.iter().map(load).collect::<anyhow::Result<_>>()?;
        let others: Vec<Name<Root>> = self.new.iter().map(|key| Name::parse(key)).collect::<Result<_, _>>()?;
        let names = new.iter().map(SigningKey::name).chain(others);
        let keys = names.map(|name| name.usable()).collect::<Result<Vec<_>, _>>()?;
        let client = Client::of(globals)?;
        let local = client.block_on(Local::read(client.need_folder()?)).map_err(told)?;
        let line = local.ledger.state().root_line(leaf_hash(&local.inception));
        let roots = Quorum { threshold: threshold(self.threshold, &line.roots, keys.len())?, keys };
        let old_names: BTreeSet<[u8; 32]> = old.iter().map(|key| *key.name().raw()).collect();
        // One who stays signs once, for both sets.
        let stays = |key: &SigningKey<Root>| old_names.contains(key.name().raw());
        let signers: Vec<SigningKey<Root>> = old.into_iter().chain(new.into_iter().filter(|key| !stays(key))).collect();
        let iat = SystemClock::default().now();
        let change = |iss: Name<Root>, also: Vec<Digest>| RootChange {
            iss,
            lattice: line.lattice.clone(),
            inception_sha256: line.inception_sha256,
            serial: line.serial + 1,
            roots: roots.clone(),
            iat,
            also,
        };
        let Some((first, others)) = signers.split_first() else {
            return Err(Usage("nobody signs: name a root's file with `--root-key`".to_owned()).into());
        };
        let others: Vec<Vec<u8>> = others.iter().map(|key| key.sign(&change(key.name(), Vec::new()), [])).collect();
        let also = others.iter().map(|token| Digest::of(token)).collect();
        let bytes = first.sign(&change(first.name(), also), others.iter().map(Vec::as_slice));
        // Whatever the log would not take is told here, while the keys are at hand.
        line.follow(&bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // Standard output holds the document alone, so that it can be carried as it is.
        output::hint(&differences(&line.roots, &roots));
        let mut members = changed(&line.roots, &roots);
        members.extend([("document".to_owned(), text.clone().into()), ("serial".to_owned(), (line.serial + 1).into())]);
        Ok(Report::new(format!("{text}\n"), Value::Object(members)))
    }
}

// Whoever does not say another number means the one there is.
fn threshold(asked: Option<u64>, old: &Quorum<Root>, new: usize) -> Result<u64, Usage> {
    match asked {
        Some(asked) => Ok(asked),
        None if old.threshold <= new as u64 => Ok(old.threshold),
        None => Err(Usage(format!(
            "{} of the roots must sign until now, and there would be {new}: name more new roots, or say with `--threshold` \
             that fewer are enough",
            old.threshold
        ))),
    }
}

// How many of whom must sign, before and after.
fn differences(old: &Quorum<Root>, new: &Quorum<Root>) -> String {
    let mut text = format!(
        "roots that must sign a warrant: {} of {} -> {} of {}\n",
        old.threshold,
        old.keys.len(),
        new.threshold,
        new.keys.len()
    );
    let marked = |mark: char, key: &Key<Root>| format!("  {mark} {}\n", key.name());
    text.extend(old.keys.iter().filter(|key| new.find(key.name()).is_none()).map(|key| marked('-', key)));
    text.extend(new.keys.iter().map(|key| marked(if old.find(key.name()).is_none() { '+' } else { ' ' }, key)));
    text
}

fn changed(old: &Quorum<Root>, new: &Quorum<Root>) -> Map<String, Value> {
    let members = [
        ("threshold", json!(new.threshold)),
        ("threshold_before", json!(old.threshold)),
        ("roots", json!(new.keys)),
        ("roots_before", json!(old.keys)),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn record(globals: &Globals, file: &Path) -> anyhow::Result<Report> {
    let bytes = files::read(file)?;
    let client = Client::of(globals)?;
    let folder = client.need_folder()?;
    let recorded = client.block_on(async {
        let service = Service::open(folder, Arc::new(SystemClock::default())).await?;
        let before = service.snapshot().await?;
        let recorded = service.change_roots(bytes.trim_ascii_end()).await;
        let after = service.snapshot().await;
        service.close().await?;
        Ok((recorded?, before, after?))
    });
    let (recorded, before, after) = recorded.map_err(told)?;
    recorded.outcome().verdict.clone()?;
    let (index, hash) = (recorded.index(), recorded.hash());
    let roots = |state: &State| state.root_sets().last().unwrap_or(&state.inception().roots).clone();
    let (old, new) = (roots(&before.state), roots(&after.state));
    let text = format!(
        "other roots sign warrants from now on\n  entry {index} {hash}\n{}warrants that are in force stay so until their \
         end\n",
        differences(&old, &new)
    );
    let mut members = changed(&old, &new);
    members.extend([("index".to_owned(), index.into()), ("entry_sha256".to_owned(), json!(hash))]);
    Ok(Report::new(text, Value::Object(members)))
}

const FIX: &str = "sign with more of the roots: `--root-key FILE` for each old one, `--new-key FILE` for each new one, as many as \
    must; `countersign status` names the roots and how many";
