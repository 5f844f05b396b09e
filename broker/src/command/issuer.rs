//! `issuer`: whose word counts, for which packages and which kinds of statement.

use std::collections::BTreeSet;

use clap::{Subcommand, ValueEnum};
use policy::govern::{AddIssuer, Operation, RevokeIssuer};
use policy::issuer::Kind;
use policy::key::{self, Name};
use policy::name::Scope;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{Acting, Doing, listing, member, showing};
use crate::output::Report;
use crate::view::{Look, cell};

/// Say whose signatures count.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trust an issuer, within a scope
    #[command(after_help = "Examples:\n  countersign issuer add A... --scope acme:shop\n  \
        countersign issuer add A... --scope 'wasi:*' --kind contract --max-lifetime 31536000 --because 'the owner of wasi'")]
    Add {
        /// The issuer's public key (`A…`).
        #[arg(value_name = "KEY")]
        issuer: String,
        /// What it may speak for: `ns:pkg`, `ns:*` or `*`; may be given more than once.
        #[arg(long, required = true, value_name = "SCOPE")]
        scope: Vec<String>,
        /// What it may sign; may be given more than once [default: all].
        #[arg(long, value_enum)]
        kind: Vec<KindName>,
        /// The longest lifetime that it may promise; without one, `exp` is not demanded.
        #[arg(long, value_name = "SECONDS")]
        max_lifetime: Option<u64>,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the issuers
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  countersign issuer list\n  countersign -o json issuer list"
    )]
    List,
    /// Show one issuer
    #[command(visible_alias = "get", after_help = "Examples:\n  countersign issuer show A...")]
    Show {
        /// The issuer's public key.
        #[arg(value_name = "KEY")]
        issuer: String,
    },
    /// Refuse everything that an issuer ever signed: its key was compromised
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  countersign issuer revoke A... --because 'its laptop was stolen'"
    )]
    Revoke {
        /// The issuer's public key.
        #[arg(value_name = "KEY")]
        issuer: String,
        #[command(flatten)]
        acting: Acting,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    /// Claims of components
    #[value(alias = "actor")]
    Component,
    /// Claims of providers
    Provider,
    /// Contracts
    Contract,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Add { issuer, scope, kind, max_lifetime, acting } => {
                let key = Name::<key::Issuer>::parse(&issuer)?;
                let scope = scope.iter().map(|scope| Scope::parse(scope)).collect::<Result<BTreeSet<_>, _>>()?;
                let all = [KindName::Component, KindName::Provider, KindName::Contract];
                let kinds = if kind.is_empty() { all.to_vec() } else { kind };
                let kinds = kinds.into_iter().map(KindName::kind).collect();
                let add = AddIssuer { key, scope, kinds, max_lifetime_s: max_lifetime };
                let doing = Doing::one(Operation::AddIssuer(add), format!("issuer {key} is trusted"));
                acting.run(&Client::of(globals)?, None, doing.with("key", key.to_string()))
            }
            Command::List => listing(
                globals,
                &Look::Issuers,
                "issuers",
                ["KEY", "SCOPE", "KINDS", "STANDING", "MAX LIFETIME"],
                |row| ["key", "scope", "kinds", "standing", "max_lifetime_s"].map(|name| member(row, name)),
            ),
            Command::Show { issuer } => {
                let key = Name::<key::Issuer>::parse(&issuer)?.to_string();
                showing(globals, &Look::Issuers, "issuers", |row| cell(row, "key") == key, &key)
            }
            Command::Revoke { issuer, acting } => {
                let key = Name::<key::Issuer>::parse(&issuer)?;
                let revoke = Operation::RevokeIssuer(RevokeIssuer { key });
                let doing = Doing::one(revoke, format!("issuer {key} is revoked: everything it signed is refused"));
                acting.run(&Client::of(globals)?, None, doing.with("key", key.to_string()))
            }
        }
    }
}

impl KindName {
    const fn kind(self) -> Kind {
        match self {
            Self::Component => Kind::Component,
            Self::Provider => Kind::Provider,
            Self::Contract => Kind::Contract,
        }
    }
}
