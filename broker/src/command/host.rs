//! `host`: who may ask. An invitation is one line that lets one host join once.
//!
//! The one-time seed is printed and kept nowhere; the log holds only its public half. Joining is left to `host`.

use std::collections::BTreeMap;

use clap::Subcommand;
use data_encoding::BASE64URL_NOPAD;
use policy::govern::{BanHost, InviteHost, LabelHost, Operation};
use policy::key::{Host, Invite, Name};
use policy::reason::{Reason, Refusal};

use crate::client::{Client, told};
use crate::command::Globals;
use crate::command::acting::{Acting, Doing, listing, member, pairs, showing};
use crate::command::paging::Paged;
use crate::command::running::RunningName;
use crate::command::verify::now;
use crate::command::when::When;
use crate::keys::SigningKey;
use crate::output::{self, Report, Usage};
use crate::view::{Look, Page, cell, rows};

/// Invite hosts, look at them, label them, ban them.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Invite a host: one line on standard output, for `countersign-host join`; it is a secret until used
    #[command(after_help = "Examples:\n  countersign host invite --label zone=eu\n  \
        countersign-host join \"$(countersign host invite --expires-in 600)\"")]
    Invite {
        /// What the host will be called by; may be given more than once.
        #[arg(long, value_name = "K=V")]
        label: Vec<String>,
        /// How long the invitation stands, at most 7 days.
        #[arg(long, value_name = "SECONDS", default_value_t = 3600,
            value_parser = clap::value_parser!(u64).range(1..))]
        expires_in: u64,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the hosts
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  countersign host list\n  countersign host list --limit 100"
    )]
    List {
        #[command(flatten)]
        paged: Paged,
    },
    /// Show one host
    #[command(visible_alias = "get", after_help = "Examples:\n  countersign host show N...")]
    Show {
        /// Its key.
        #[arg(value_name = "KEY")]
        host: String,
    },
    /// Change the labels that people and rules call a host by; those that are not named stay
    #[command(after_help = "Examples:\n  countersign host label N... zone=eu rack=7\n  \
        countersign host label N... zone=us --remove rack --because 'moved'")]
    Label {
        /// Its key.
        #[arg(value_name = "KEY")]
        host: String,
        /// A label and what it says from now on.
        #[arg(value_name = "K=V", required_unless_present = "remove")]
        label: Vec<String>,
        /// A label to take away; may be given more than once.
        #[arg(long, value_name = "K")]
        remove: Vec<String>,
        #[command(flatten)]
        acting: Acting,
    },
    /// Ban a host: it gets no further permit
    #[command(visible_alias = "rm", after_help = "Examples:\n  countersign host ban N... --because 'decommissioned'")]
    Ban {
        /// Its key.
        #[arg(value_name = "KEY")]
        host: String,
        /// What becomes of what runs on this ground already.
        #[arg(long, value_enum, value_name = "WHAT", default_value = "keep")]
        running: RunningName,
        #[command(flatten)]
        acting: Acting,
    },
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Invite { label, expires_in, acting } => invite(globals, &label, expires_in, acting),
            Command::List { paged } => list(globals, paged),
            Command::Show { host } => {
                let key = Name::<Host>::parse(&host)?.to_string();
                showing(globals, &Look::Hosts(Page::default()), "hosts", |row| cell(row, "key") == key, &key)
            }
            Command::Label { host, label, remove, acting } => relabel(globals, &host, &label, &remove, acting),
            Command::Ban { host, running, acting } => {
                let host = Name::<Host>::parse(&host)?;
                let doing = Doing::one(
                    Operation::BanHost(BanHost { host, running: running.running() }),
                    format!("host {host} is banned"),
                );
                acting.run(&Client::of(globals)?, None, doing.with("host", host.to_string()))
            }
        }
    }
}

fn list(globals: &Globals, paged: Paged) -> anyhow::Result<Report> {
    let row = |row: &serde_json::Value| ["key", "standing", "joined", "labels"].map(|name| member(row, name));
    let report = listing(globals, &Look::Hosts(paged.page()), "hosts", ["KEY", "STANDING", "JOINED", "LABELS"], row)?;
    let json = report.json();
    let open = rows(&json, "invitations");
    if open.is_empty() {
        return Ok(report);
    }
    let row = |row: &serde_json::Value| ["key", "not_after", "labels"].map(|name| member(row, name));
    let text =
        format!("{}\n{}", report.text(), output::table(["OPEN INVITATION", "UNTIL", "LABELS"], open.iter().map(row)));
    Ok(Report::new(text, json))
}

// The act says all labels, so those that stay are read first.
fn relabel(
    globals: &Globals,
    host: &str,
    label: &[String],
    remove: &[String],
    acting: Acting,
) -> anyhow::Result<Report> {
    let (host, client) = (Name::<Host>::parse(host)?, Client::of(globals)?);
    let seen = client.look(&Look::Hosts(Page::default()))?;
    let found = rows(&seen.view, "hosts").iter().find(|row| cell(row, "key") == host.to_string());
    let unknown = || Refusal::new(Reason::HostUnknown, format!("host `{host}` is not enrolled"));
    let found = found.and_then(|row| row.get("labels")).cloned().ok_or_else(unknown)?;
    let mut labels: BTreeMap<String, String> = serde_json::from_value(found)?;
    let put = pairs(label)?;
    for key in remove {
        if put.contains_key(key) {
            return Err(Usage(format!("`{}` is put and taken away", output::shown(key))).into());
        }
        let missing = || Refusal::new(Reason::NotFound, format!("host `{host}` has no label `{key}`"));
        labels.remove(key).ok_or_else(missing)?;
    }
    labels.extend(put);
    let told: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let says =
        format!("host {host} is labelled {}", if told.is_empty() { "nothing".to_owned() } else { told.join(", ") });
    let members = serde_json::to_value(&labels)?;
    let doing = Doing::one(Operation::LabelHost(LabelHost { host, labels }), says);
    acting.run(&client, Some(seen.epoch), doing.with("host", host.to_string()).with("labels", members))
}

fn invite(globals: &Globals, labels: &[String], expires_in: u64, acting: Acting) -> anyhow::Result<Report> {
    let client = Client::of(globals)?;
    let key = SigningKey::<Invite>::generate().map_err(told)?;
    let (name, not_after) = (key.name(), now()?.plus(expires_in));
    let operation = InviteHost { invite: name, labels: pairs(labels)?, not_after };
    let doing = Doing::one(Operation::InviteHost(operation), "a host is invited");
    let doing = doing.with("key", name.to_string()).with("not_after", not_after.seconds());
    let doing = doing.anew(name, "the invitation's key").until(not_after, When::In(expires_in));
    let plan = acting.is_plan();
    let report = acting.run(&client, None, doing)?;
    if plan || report.refusal().is_some() {
        return Ok(report);
    }
    let url = BASE64URL_NOPAD.encode(output::bare_url(&client.nats_url()).as_bytes());
    let (lattice, root, seed) = (client.lattice(), client.root()?, key.seed().map_err(told)?);
    let line = format!("countersign-invite:v1:{lattice}:{url}:{root}:{seed}");
    // Standard output holds the line alone, so that it can be handed on as it is.
    output::hint(&format!(
        "a host may join once until {not_after}, at `{}`; the line is a secret until then:\n  countersign-host join LINE\n",
        output::shown(&output::bare_url(&client.nats_url()))
    ));
    let mut members = report.json();
    if let Some(members) = members.as_object_mut() {
        members.insert("invite".to_owned(), line.clone().into());
    }
    Ok(Report::new(format!("{line}\n"), members))
}
