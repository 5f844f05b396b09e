//! `init`: makes a lattice, and says which files to move to a safe place.

use std::path::Path;

use policy::key::{Administrator, Name};
use serde_json::json;

use crate::client::told;
use crate::clock::{Clock, SystemClock};
use crate::command::Globals;
use crate::folder::Folder;
use crate::output::{self, Report};
use crate::service::{self, InitOptions, InitReport};

/// Make a lattice: its keys, its log, its base contracts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Nothing is ever overwritten. Files with private keys have mode 0600.\n\n\
    Examples:\n  countersign init\n  countersign --dir /srv/prod -x prod init\n  countersign init --bare --admin O...\n  \
    countersign init --admin O_ALICE... --admin O_BOB... --admin O_CAROL... --admin-threshold 2\n  \
    countersign init --roots 3 --root-threshold 2")]
pub struct Args {
    /// An administrator whose key is elsewhere; may be given more than once [default: one is made here].
    #[arg(long, value_name = "KEY")]
    admin: Vec<String>,
    /// How many administrators must sign a weighty act, from the beginning.
    #[arg(long, value_name = "K", default_value_t = 1)]
    admin_threshold: u64,
    /// Leave out the base contracts (`wasi:io`, `wasi:clocks`, `wasi:random`, `wasi:cli`, `wasi:filesystem`).
    #[arg(long)]
    bare: bool,
    /// How many root keys to make.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=16))]
    roots: u64,
    /// How many of them must sign a warrant.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=16))]
    root_threshold: u64,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let options = InitOptions {
            lattice: globals.lattice.clone(),
            admins: self.admin.iter().map(|key| Name::<Administrator>::parse(key)).collect::<Result<_, _>>()?,
            admin_threshold: self.admin_threshold,
            lock: globals.lock.clone(),
            bare: self.bare,
            roots: self.roots,
            root_threshold: self.root_threshold,
            now_ms: SystemClock::default().now_ms(),
        };
        let place = Folder::place(globals.dir.as_deref());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let made = runtime.block_on(service::init(&place, options)).map_err(told)?;
        Ok(report(&made, globals.lock.as_deref()))
    }
}

fn report(made: &InitReport, lock: Option<&Path>) -> Report {
    let offline: Vec<String> = made.offline.iter().map(|path| path.display().to_string()).collect();
    let secrets: Vec<String> = made.secrets.iter().map(|path| path.display().to_string()).collect();
    let follow_up = made.follow_up.as_ref().map(|follow_up| follow_up.commands.clone()).unwrap_or_default();
    let mut pairs = vec![
        ("folder", made.folder.display().to_string()),
        ("root digest", made.root_sha256.to_string()),
        ("root", made.roots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        ("decision", made.decision.to_string()),
        ("log key", made.log_key.clone()),
        ("warrant until", made.warrant_until.to_string()),
    ];
    pairs.extend(made.administrators.iter().map(|key| ("administrator", key.to_string())));
    pairs.extend(made.issuer.map(|issuer| ("issuer", issuer.to_string())));
    pairs.push(("base contracts", if made.base.is_empty() { "none".to_owned() } else { made.base.join(", ") }));
    let mut text = format!("lattice `{}` began\n{}", made.lattice, output::fields(pairs));
    text += "move offline, and keep a copy\n";
    offline.iter().for_each(|path| text += &format!("  {}\n", output::shown(path)));
    if !follow_up.is_empty() {
        text += "left for the administrator to command\n";
        follow_up.iter().for_each(|command| text += &format!("  {}\n", output::shown(command)));
    }
    // Every command that works in the folder needs to know where its lock is.
    let lock = lock.map(|lock| format!("  export COUNTERSIGN_LOCK='{}'\n", output::shown(&lock.display().to_string())));
    let lock = lock.unwrap_or_default();
    text += &format!("next\n{lock}  countersign serve\n  countersign host invite | countersign-host join -\n");
    let members = json!({
        "lattice": made.lattice, "dir": made.folder.display().to_string(), "root": made.root_sha256,
        "root_key": made.roots.first(), "root_keys": made.roots, "administrator": made.administrators.first(),
        "administrators": made.administrators, "decision": made.decision,
        "log_key": made.log_key, "warrant_until": made.warrant_until, "base": made.base,
        "secrets": secrets, "offline": offline, "follow_up": follow_up,
    });
    let mut members = members;
    if let (Some(members), Some(issuer)) = (members.as_object_mut(), made.issuer) {
        members.insert("issuer".to_owned(), issuer.to_string().into());
    }
    Report::new(text, members)
}
