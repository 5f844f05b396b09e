//! `issuer`: whose word counts, for which packages and which kinds of statement, and until when.
//!
//! What the owner of an issuer's key makes offline, a proof or a delegation, is left to `making`; how issuers are listed
//! to `telling`.

mod making;
mod telling;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use policy::digest::Digest;
use policy::govern::{
    ActivateIssuer, AddIssuer, DelegateIssuer, Operation, RetireIssuer, RevokeIssuer, RotateIssuer, ScopeIssuer,
};
use policy::issuer::Kind;
use policy::key::{self, Name};
use policy::name::Scope;

use self::making::{Lend, Proof, Prove, Proved, delegation};
use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{Acting, Doing};
use crate::command::paging::Paged;
use crate::command::running::RunningName;
use crate::command::when::{Span, When};
use crate::output::Report;

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
        countersign issuer add A... --scope 'wasi:*' --kind contract --max-lifetime 365d --because 'the owner of wasi'\n  \
        countersign issuer add A... --scope acme:shop --prepared --until +365d")]
    Add(Box<Add>),
    /// Activate a prepared issuer, whose owner proved to hold the key
    #[command(after_help = "Examples:\n  countersign issuer activate A... --proof acme.proof")]
    Activate {
        /// The issuer's public key.
        #[arg(value_name = "KEY")]
        issuer: String,
        #[command(flatten)]
        proof: Proof,
        #[command(flatten)]
        acting: Acting,
    },
    /// Put a new key in an issuer's place; the old one retires at the overlap's end
    #[command(after_help = "Examples:\n  countersign issuer rotate A_OLD... A_NEW... --proof new.proof\n  \
        countersign issuer rotate A_OLD... A_NEW... --proof new.proof --overlap-until +30d")]
    Rotate {
        /// The key that goes.
        old: String,
        /// The key that comes: a new one, or a prepared one.
        new: String,
        /// Until when the old key may sign, too; at most 90 days ahead.
        #[arg(long, value_name = "TIME", default_value = "+7d")]
        overlap_until: When,
        /// The end of the new key's trust [default: the old one's].
        #[arg(long, value_name = "TIME")]
        until: Option<When>,
        #[command(flatten)]
        proof: Proof,
        #[command(flatten)]
        acting: Acting,
    },
    /// Say anew what an issuer may speak for
    #[command(after_help = "Examples:\n  countersign issuer scope A... --scope acme:shop --scope acme:till")]
    Scope {
        /// The issuer's public key.
        #[arg(value_name = "KEY")]
        issuer: String,
        /// What it may speak for from now on, all of it; may be given more than once.
        #[arg(long, required = true, value_name = "SCOPE")]
        scope: Vec<String>,
        #[command(flatten)]
        acting: Acting,
    },
    /// Retire an issuer: what it signed before stays good until its own end
    #[command(after_help = "Examples:\n  countersign issuer retire A...\n  countersign issuer retire A... --at +30d")]
    Retire {
        /// The issuer's public key.
        #[arg(value_name = "KEY")]
        issuer: String,
        /// From when on; it may lie ahead or back [default: now].
        #[arg(long, value_name = "TIME")]
        at: Option<When>,
        /// What becomes of what runs on this ground already.
        #[arg(long, value_enum, value_name = "WHAT", default_value = "keep")]
        running: RunningName,
        #[command(flatten)]
        acting: Acting,
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
        /// What becomes of what runs on this ground already.
        #[arg(long, value_enum, value_name = "WHAT", default_value = "stop")]
        running: RunningName,
        #[command(flatten)]
        acting: Acting,
    },
    /// Publish what an issuer lends to another key
    #[command(after_help = "Examples:\n  countersign issuer delegate till.delegation")]
    Delegate {
        /// The delegation, as `issuer lend` writes it.
        file: PathBuf,
        #[command(flatten)]
        acting: Acting,
    },
    /// As an issuer, lend a part of your say to another key: a signed delegation on standard output
    #[command(after_help = "Examples:\n  countersign issuer lend A... --issuer-key acme.nk --scope acme:till \
        --kind component --until +90d > till.delegation")]
    Lend(Lend),
    /// As an issuer, prove that you hold your key: a signed proof on standard output
    #[command(after_help = "Examples:\n  countersign issuer prove --issuer-key acme.nk > acme.proof\n  \
        countersign -x production issuer prove --issuer-key acme.nk > acme.proof")]
    Prove(Prove),
    /// List the issuers
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  countersign issuer list\n  countersign issuer list --expiring 30d\n  \
        countersign issuer list --limit 100 --after A..."
    )]
    List {
        /// Only those whose trust ends within that time.
        #[arg(long, value_name = "TIME", conflicts_with = "limit")]
        expiring: Option<Span>,
        #[command(flatten)]
        paged: Paged,
    },
    /// Show one issuer, and what was accepted under it
    #[command(visible_alias = "get", after_help = "Examples:\n  countersign issuer show A...")]
    Show {
        /// The issuer's public key.
        #[arg(value_name = "KEY")]
        issuer: String,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
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
    #[arg(long, value_name = "TIME", value_parser = Span::lasting)]
    max_lifetime: Option<Span>,
    /// The end of its trust: from then on it is retired.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// Only prepare it: its word does not count before `issuer activate`.
    #[arg(long)]
    prepared: bool,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    acting: Acting,
}

/// What an issuer may sign.
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
            Command::Add(add) => add.run(globals),
            Command::Activate { issuer, proof, acting } => {
                let (key, proof) = (parse(&issuer)?, proof.read(globals)?);
                let activate = Operation::ActivateIssuer(ActivateIssuer { key, proof_sha256: sha256(&proof) });
                let doing = Doing::one(activate, format!("issuer {key} is active, its key proved"));
                about(globals, acting, key, with(doing, key, proof))
            }
            Command::Rotate { old, new, overlap_until, until, proof, acting } => {
                let (old, new, proof) = (parse(&old)?, parse(&new)?, proof.read(globals)?);
                let (overlap, end, proof_sha256) = (overlap_until.timestamp()?, timestamp(until)?, sha256(&proof));
                let rotate = RotateIssuer { old, new, overlap_until: overlap, until: end, proof_sha256 };
                let says = format!("issuer {new} stands in the place of {old}, which retires at {overlap}");
                let doing = Doing::one(Operation::RotateIssuer(rotate), says).with("old", old.to_string());
                let doing = doing.with("overlap_until", overlap.seconds()).until(overlap, overlap_until);
                about(globals, acting, new, with(doing.until(end, until), new, proof))
            }
            Command::Scope { issuer, scope, acting } => {
                let (key, scope) = (parse(&issuer)?, scopes(&scope)?);
                let says = format!("issuer {key} may speak for that alone");
                about(globals, acting, key, Doing::one(Operation::ScopeIssuer(ScopeIssuer { key, scope }), says))
            }
            Command::Retire { issuer, at, running, acting } => {
                let (key, from) = (parse(&issuer)?, timestamp(at)?);
                let when = from.map_or_else(|| "now".to_owned(), |from| from.to_string());
                let says = format!("issuer {key} retires: what it signs from {when} on does not count");
                let retire = Operation::RetireIssuer(RetireIssuer { key, at: from, running: running.running() });
                about(globals, acting, key, Doing::one(retire, says).until(from, at))
            }
            Command::Revoke { issuer, running, acting } => {
                let key = parse(&issuer)?;
                let says = format!("issuer {key} is revoked: everything it signed is refused");
                about(
                    globals,
                    acting,
                    key,
                    Doing::one(Operation::RevokeIssuer(RevokeIssuer { key, running: running.running() }), says),
                )
            }
            Command::Delegate { file, acting } => {
                let (key, token) = delegation(&file)?;
                let sha256 = Digest::of(&token);
                let delegate = Operation::DelegateIssuer(DelegateIssuer { key, sha256 });
                let doing = Doing::one(delegate, format!("issuer {key} may sign what was lent to it"));
                about(globals, acting, key, doing.with_statement(token))
            }
            Command::Lend(lend) => lend.run(globals),
            Command::Prove(prove) => prove.run(globals),
            Command::List { expiring, paged } => telling::list(globals, expiring, paged),
            Command::Show { issuer } => telling::show(globals, parse(&issuer)?),
        }
    }
}

impl Add {
    fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let (key, proof, end) = (parse(&self.issuer)?, self.proof.read(globals)?, timestamp(self.until)?);
        let add = AddIssuer {
            key,
            scope: scopes(&self.scope)?,
            kinds: kinds(&self.kind),
            max_lifetime_s: self.max_lifetime.map(|Span(seconds)| seconds),
            until: end,
            prepared: self.prepared,
            proof_sha256: sha256(&proof),
        };
        let done = if self.prepared { "prepared: its word does not count yet" } else { "trusted" };
        let known = if proof.is_some() { "its key is proved" } else { "you vouch for its key" };
        let doing = Doing::one(Operation::AddIssuer(add), format!("issuer {key} is {done}; {known}"));
        about(globals, self.acting, key, with(doing.until(end, self.until), key, proof))
    }
}

fn about(globals: &Globals, acting: Acting, key: Name<key::Issuer>, doing: Doing) -> anyhow::Result<Report> {
    acting.run(&Client::of(globals)?, None, doing.with("key", key.to_string()))
}

fn sha256(proof: &Option<Proved>) -> Option<Digest> {
    proof.as_ref().map(|proof| proof.sha256)
}

fn with(doing: Doing, key: Name<key::Issuer>, proof: Option<Proved>) -> Doing {
    match proof {
        None => doing,
        Some(proof) => proof.of(key, doing),
    }
}

fn parse(text: &str) -> anyhow::Result<Name<key::Issuer>> {
    Ok(Name::parse(text)?)
}

fn scopes(texts: &[String]) -> anyhow::Result<BTreeSet<Scope>> {
    Ok(texts.iter().map(|text| Scope::parse(text)).collect::<Result<_, _>>()?)
}

fn kinds(names: &[KindName]) -> BTreeSet<Kind> {
    let all = [KindName::Component, KindName::Provider, KindName::Contract];
    let names = if names.is_empty() { &all[..] } else { names };
    names.iter().map(|name| name.kind()).collect()
}

fn timestamp(when: Option<When>) -> anyhow::Result<Option<policy::time::Timestamp>> {
    when.map(When::timestamp).transpose()
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
