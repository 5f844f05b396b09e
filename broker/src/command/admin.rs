//! `admin`: who administers the lattice, in which roles, until when.

use std::collections::BTreeSet;

use clap::{Subcommand, ValueEnum};
use policy::govern::{AdminRole, Operation, PutAdministrator, RemoveAdministrator};
use policy::json;
use policy::key::{Administrator, Name};
use policy::name::PersonName;
use policy::time::Timestamp;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{Acting, Doing, listing, member, showing};
use crate::command::when::When;
use crate::output::Report;
use crate::view::{Look, cell, rows};

/// Say who administers the lattice, and in which roles.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Give a key these roles: a new administrator's, or one that is there
    #[command(after_help = "Keys of one name are one person's, who signs once.\n\n\
        Examples:\n  countersign admin put O... --name alice --role operator\n  \
        countersign admin put O... --name bob --role link-admin --role issuer-admin --until +90d")]
    Put {
        /// The administrator's public key (`O…`).
        #[arg(value_name = "KEY")]
        administrator: String,
        /// What it may do from now on, all of it; may be given more than once.
        #[arg(long, required = true, value_enum)]
        role: Vec<RoleName>,
        /// Whose key it is [default: as it was].
        #[arg(long)]
        name: Option<String>,
        /// The end of its say [default: as it was].
        #[arg(long, value_name = "TIME")]
        until: Option<When>,
        /// Let its say have no end.
        #[arg(long, conflicts_with = "until")]
        no_end: bool,
        #[command(flatten)]
        acting: Acting,
    },
    /// Remove an administrator: the key signs nothing here any more
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  countersign admin remove O... --because 'its laptop was stolen'"
    )]
    Remove {
        /// The administrator's public key.
        #[arg(value_name = "KEY")]
        administrator: String,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the administrators
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  countersign admin list\n  countersign -o json admin list"
    )]
    List,
    /// Show one administrator
    #[command(visible_alias = "get", after_help = "Examples:\n  countersign admin show O...")]
    Show {
        /// The administrator's public key.
        #[arg(value_name = "KEY")]
        administrator: String,
    },
}

/// What an administrator may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    /// Look
    Viewer,
    /// Put links and defaults
    LinkAdmin,
    /// Trust issuers, publish contracts, admit components and providers
    IssuerAdmin,
    /// All of it, hosts, and who may do what
    Operator,
    /// Look, and take evidence away
    Auditor,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Put { administrator, role, name, until, no_end, acting } => {
                let key: Name<Administrator> = Name::parse(&administrator)?;
                let name = name.as_deref().map(PersonName::parse).transpose()?;
                let client = Client::of(globals)?;
                let (end, seen) = match until.map(When::timestamp).transpose()? {
                    None if !no_end => end_of(&client, &key)?,
                    end => (end, None),
                };
                let roles: BTreeSet<AdminRole> = role.iter().map(|role| role.role()).collect();
                let words: Vec<&str> = roles.iter().map(|role| role.word()).collect();
                let says = format!("administrator {key} has the roles: {}", words.join(", "));
                let put = Operation::PutAdministrator(PutAdministrator { key, name, roles, until: end });
                let doing = Doing::one(put, says).with("key", key.to_string()).until(end, until);
                acting.run(&client, seen, doing)
            }
            Command::Remove { administrator, acting } => {
                let key: Name<Administrator> = Name::parse(&administrator)?;
                let remove = Operation::RemoveAdministrator(RemoveAdministrator { key });
                let doing = Doing::one(remove, format!("administrator {key} is removed")).with("key", key.to_string());
                acting.run(&Client::of(globals)?, None, doing)
            }
            Command::List => {
                let heading = ["KEY", "NAME", "ROLES", "STANDING", "END"];
                listing(globals, &Look::Administrators, "administrators", heading, |row| {
                    heading_cells(["key", "name", "roles", "standing", "end"], row)
                })
            }
            Command::Show { administrator } => {
                let key = Name::<Administrator>::parse(&administrator)?.to_string();
                showing(globals, &Look::Administrators, "administrators", |row| cell(row, "key") == key, &key)
            }
        }
    }
}

// The end that an administrator's say has, and when it was seen.
fn end_of(client: &Client, key: &Name<Administrator>) -> anyhow::Result<(Option<Timestamp>, Option<u64>)> {
    let seen = client.look(&Look::Administrators)?;
    let row = rows(&seen.view, "administrators").iter().find(|row| cell(row, "key") == key.to_string());
    let end = row.and_then(|row| row.get("end")).cloned().map(json::from_value).transpose()?;
    Ok((end, Some(seen.epoch)))
}

fn heading_cells<const N: usize>(names: [&str; N], row: &serde_json::Value) -> [String; N] {
    names.map(|name| member(row, name))
}

impl RoleName {
    const fn role(self) -> AdminRole {
        match self {
            Self::Viewer => AdminRole::Viewer,
            Self::LinkAdmin => AdminRole::LinkAdmin,
            Self::IssuerAdmin => AdminRole::IssuerAdmin,
            Self::Operator => AdminRole::Operator,
            Self::Auditor => AdminRole::Auditor,
        }
    }
}
