//! `audit backup`: a copy of the log with what a restore needs, verified before it is there.

use std::path::PathBuf;

use policy::name::Lattice;
use serde_json::json;

use crate::client::told;
use crate::command::Globals;
use crate::output::{self, Report};
use crate::service::{BackedUp, Backup, backup};

/// Back up the log.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A broker may run. The folder that comes out holds the log, a lock at its end, the warrant, artifacts \
    and sealed configuration; no key. docs/operations.md tells how it is put back.\n\n\
    Examples:\n  countersign audit backup /srv/backup/monday\n  \
    countersign audit backup /media/safe/whole --with-keys\n  countersign --dir /srv/backup/monday audit verify"
)]
pub(super) struct Args {
    /// The folder to make.
    #[arg(value_name = "DEST")]
    dest: PathBuf,
    /// With the broker's and the administrator's keys: whoever reads the copy can act as them.
    #[arg(long)]
    with_keys: bool,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let folder = globals.opened().map_err(told)?;
        let asked = Backup { dest: self.dest, with_keys: self.with_keys };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let BackedUp { sound, files } = runtime.block_on(backup(&folder, &asked)).map_err(told)?;
        if asked.with_keys {
            output::hint("warning: the copy holds keys; keep it where you would keep them\n");
        }
        let lattice = sound.lattice.as_ref().map(Lattice::to_string).unwrap_or_default();
        let moved: u64 = sound.undecided.iter().map(|(first, end)| end - first).sum();
        let text = output::fields([
            ("folder", asked.dest.display().to_string()),
            ("entries", format!("{}: each follows from those before it", sound.entries)),
            (
                "in segments",
                match moved {
                    0 => String::new(),
                    moved => format!("{moved} of them, proved by their hash alone: keep the segments, too"),
                },
            ),
            ("last", sound.last.to_string()),
            ("lattice", lattice.clone()),
            ("files", files.to_string()),
        ]);
        let members = json!({
            "folder": asked.dest, "entries": sound.entries, "last": sound.last, "tree_root": sound.tree_root,
            "epoch": sound.head.map(|head| head.epoch), "lattice": lattice, "files": files, "keys": asked.with_keys,
            "in_segments": moved,
        });
        Ok(Report::new(format!("backed up and verified\n{text}"), members))
    }
}
