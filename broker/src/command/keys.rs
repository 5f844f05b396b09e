//! `keys gen` and `keys show`: private halves go to a file, public halves are printed.
//!
//! How a seed lies in its file is left to [`super::keyfile`].

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use policy::key;
use serde_json::json;

use crate::command::Globals;
use crate::command::keyfile::{self, Signer};
use crate::output::{self, Report};

/// Make keys, or show their public halves.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key: its seed goes to a new file with mode 0600, only its public half is printed
    #[command(visible_alias = "new")]
    #[command(after_help = "One key, one purpose: make one for each role.\n\n\
        Examples:\n  countersign keys gen issuer\n  countersign keys gen administrator --out ~/keys/ada.nk")]
    Gen {
        /// What the key is for.
        role: Role,
        /// The file to write; it must not exist [default: ROLE.nk here].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show the public half of a key file
    #[command(visible_alias = "get")]
    #[command(after_help = "Examples:\n  countersign keys show issuer.nk\n  countersign -o json keys show issuer.nk")]
    Show {
        /// The key file.
        file: PathBuf,
    },
}

/// What keys are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Signs warrants; keep it offline
    Root,
    /// Signs commands
    Administrator,
    /// Signs claims of components and providers, and contracts
    #[value(alias = "account")]
    Issuer,
    /// Signs a host's questions
    #[value(alias = "server")]
    Host,
    /// Signs a broker's answers
    #[value(alias = "cluster")]
    Decision,
    /// Names a component
    #[value(alias = "module")]
    Component,
    /// Names a provider
    #[value(alias = "service")]
    Provider,
    /// Logs into NATS, and is refused wherever a key is registered
    User,
    /// Signs the log's checkpoints: a C2SP note key, for the lattice of `-x`
    Log,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Gen { role, out } => {
                let path = out.unwrap_or_else(|| PathBuf::from(format!("{}.nk", role.word())));
                generate(role, &path, globals)
            }
            Command::Show { file } => show(&file),
        }
    }
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Administrator => "administrator",
            Self::Issuer => "issuer",
            Self::Host => "host",
            Self::Decision => "decision",
            Self::Component => "component",
            Self::Provider => "provider",
            Self::User => "user",
            Self::Log => "log",
        }
    }
}

fn generate(role: Role, path: &Path, globals: &Globals) -> anyhow::Result<Report> {
    let public = match role {
        Role::Root => create::<key::Root>(path)?,
        Role::Administrator => create::<key::Administrator>(path)?,
        Role::Issuer => create::<key::Issuer>(path)?,
        Role::Host => create::<key::Host>(path)?,
        Role::Decision => create::<key::Decision>(path)?,
        Role::Component => create::<key::Component>(path)?,
        Role::Provider => create::<key::Provider>(path)?,
        Role::User => keyfile::create_user(path)?,
        Role::Log => keyfile::create_log(path, &globals.lattice)?.to_string(),
    };
    let file = path.display().to_string();
    let text =
        output::fields([("role", role.word().to_owned()), ("public", public.clone()), ("seed in", file.clone())]);
    Ok(Report::new(text, json!({"role": role.word(), "public": public, "file": file})))
}

fn create<R: key::Role>(path: &Path) -> anyhow::Result<String> {
    Ok(Signer::<R>::create(path)?.name().to_string())
}

fn show(file: &Path) -> anyhow::Result<Report> {
    let public = keyfile::public(file).with_context(|| format!("key file `{}`", file.display()))?;
    let role = match key::inspect(&public) {
        Ok(('O', _)) => "root or administrator",
        Ok(('A', _)) => "issuer",
        Ok(('N', _)) => "host",
        Ok(('C', _)) => "decision",
        Ok(('M', _)) => "component",
        Ok(('V', _)) => "provider",
        Ok(('U', _)) => "user",
        Ok(_) => "none of ours",
        Err(_) => "log",
    };
    let text = output::fields([("role", role.to_owned()), ("public", public.clone())]);
    Ok(Report::new(text, json!({"role": role, "public": public, "file": file.display().to_string()})))
}
