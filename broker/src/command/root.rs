//! `root`: other roots for a lattice, agreed to offline by the old ones and the new, then recorded.
//!
//! Whoever holds the root keys signs on a machine without a network; what they made is public and may travel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use policy::digest::Digest;
use policy::key::{Name, Root};
use policy::log::leaf_hash;
use policy::root::RootChange;
use policy::warrant::Quorum;
use serde_json::json;

use crate::client::{Client, Local, told};
use crate::clock::{Clock, SystemClock};
use crate::command::{Globals, files};
use crate::keys::SigningKey;
use crate::output::{Report, Usage};
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
    #[command(after_help = "As many of the old roots must sign as their threshold says, and as many of the new.\n\n\
        Examples:\n  countersign root rotate --root-key root.nk --new-key root-2.nk > root.jws\n  \
        countersign root rotate --root-key root.nk --new-key a.nk --new-key b.nk --new O_C... --threshold 2 > root.jws")]
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
    /// How many of the new roots must sign from now on.
    #[arg(long, value_name = "K", default_value_t = 1)]
    threshold: u64,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Rotate(rotate) => rotate.run(globals),
            Command::Record { file } => record(globals, &file),
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
            roots: Quorum { threshold: self.threshold, keys: keys.clone() },
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
        let members = json!({"document": text, "serial": line.serial + 1, "threshold": self.threshold, "roots": keys});
        Ok(Report::new(format!("{text}\n"), members))
    }
}

fn record(globals: &Globals, file: &Path) -> anyhow::Result<Report> {
    let bytes = files::read(file)?;
    let client = Client::of(globals)?;
    let folder = client.need_folder()?;
    let recorded = client.block_on(async {
        let service = Service::open(folder, Arc::new(SystemClock::default())).await?;
        let recorded = service.change_roots(bytes.trim_ascii_end()).await;
        service.close().await?;
        recorded
    });
    let recorded = recorded.map_err(told)?;
    recorded.outcome().verdict.clone()?;
    let (index, hash) = (recorded.index(), recorded.hash());
    let text = format!(
        "other roots sign warrants from now on\n  entry {index} {hash}\nwarrants that are in force stay so until their end\n"
    );
    Ok(Report::new(text, json!({"index": index, "entry_sha256": hash})))
}
