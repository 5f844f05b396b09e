//! `inventory`: what is really bound where, by whom signed, since which entry; as hosts say it.

use policy::key::{self, Host, Name};
use policy::name::ComponentId;
use serde_json::{Value, json};

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{brief, member, with_epoch};
use crate::output::{self, Report};
use crate::view::{Look, WhichRuns, rows};

/// Show what is really bound on each host, by whom it was signed, and since which entry.
#[derive(Debug, clap::Args)]
#[command(after_help = "A broker must run: hosts tell it every few seconds what they run.\n\n\
    Examples:\n  countersign inventory\n  countersign inventory --component cart\n  \
    countersign -o json inventory --issuer A...")]
pub struct Args {
    /// Only this host.
    #[arg(long, value_name = "KEY")]
    host: Option<String>,
    /// Only what runs under this id.
    #[arg(long, value_name = "ID")]
    component: Option<String>,
    /// Only what rests on this issuer's word: a component, a provider or a contract that it signed.
    #[arg(long, value_name = "KEY")]
    issuer: Option<String>,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let which = WhichRuns {
            host: self.host.as_deref().map(Name::<Host>::parse).transpose()?,
            component: self.component.as_deref().map(ComponentId::parse).transpose()?,
            issuer: self.issuer.as_deref().map(Name::<key::Issuer>::parse).transpose()?,
            ..WhichRuns::default()
        };
        let seen = Client::of(globals)?.look(&Look::Inventory(Box::new(which)))?;
        let mut text: String = rows(&seen.view, "hosts").iter().map(|host| self.told(host)).collect();
        if seen.view.get("heard") == Some(&json!(false)) {
            text.push_str("no broker runs here, so nobody hears hosts: what runs cannot be known\n");
        }
        Ok(Report::new(text, with_epoch(seen.view, seen.epoch)))
    }

    fn told(&self, host: &Value) -> String {
        let heard = match host.get("silent_ms").and_then(Value::as_u64) {
            None => "was not heard of".to_owned(),
            Some(silent_ms) => format!("holds epoch {}, heard {} s ago", member(host, "epoch"), silent_ms / 1000),
        };
        let line = format!("host {} {heard}\n", output::shown(&member(host, "host")));
        let running = rows(host, "running");
        // Of a host that nobody hears nothing is known: it may well run much.
        if host.get("silent_ms").is_none() {
            return line + "  what runs there cannot be known\n";
        }
        if running.is_empty() {
            let all = self.component.is_none() && self.issuer.is_none();
            return line + if all { "  nothing runs\n" } else { "  nothing of it runs\n" };
        }
        let heading = ["COMPONENT", "PACKAGE", "LINK", "ANSWERED BY", "SHA256", "SIGNED BY", "ENTRY", "GROUND"];
        let row = |row: &Value| {
            let [component, package, link, id, entry] =
                ["component", "package", "link", "id", "entry"].map(|name| member(row, name));
            let by = row.get("withdrawn_by").map(|by| format!(" by entry {by}")).unwrap_or_default();
            let differs = if row.get("differs").is_some() { ", NOT AS PERMITTED" } else { "" };
            let ground = format!("{}{by}{differs}", member(row, "standing"));
            [component, package, link, id, brief(row, "sha256"), brief(row, "issuer"), entry, ground]
        };
        line + &output::table(heading, running.iter().map(row))
    }
}
