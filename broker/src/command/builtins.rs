//! `builtins`: which natives and components are bindable, and what each host last offered.

use serde_json::Value;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{brief, member};
use crate::output::{self, Report};
use crate::view::{Look, rows};

/// Show which builtins there are, and which host offers what.
#[derive(Debug, clap::Args)]
#[command(after_help = "Until hosts report inventories, the newest request of each host tells what it offers.\n\n\
    Examples:\n  countersign builtins\n  countersign -o json builtins")]
pub struct Args {}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let seen = Client::of(globals)?.look(&Look::Builtins)?;
        let natives = rows(&seen.view, "natives").iter();
        let mut text = output::table(
            ["NATIVE", "SERVES", "ADMITTED", "ID"],
            natives.map(|row| ["name", "serves", "admitted", "id"].map(|name| member(row, name))),
        );
        let components = rows(&seen.view, "components");
        if !components.is_empty() {
            let row = |row: &Value| {
                let [id, serves, admitted] = ["id", "serves", "admitted"].map(|name| member(row, name));
                [id, brief(row, "subject"), brief(row, "sha256"), serves, admitted]
            };
            text.push('\n');
            text +=
                &output::table(["COMPONENT", "SUBJECT", "SHA256", "SERVES", "ADMITTED"], components.iter().map(row));
        }
        for host in rows(&seen.view, "hosts") {
            text += &told(host);
        }
        Ok(Report::new(text, seen.view))
    }
}

fn told(host: &Value) -> String {
    let key = output::shown(&member(host, "key"));
    let Some(asked) = host.get("asked").and_then(Value::as_u64) else {
        return format!("\nhost {key} has asked nothing lately\n");
    };
    let row = |row: &Value| {
        let [subject, admitted, id] = ["subject", "admitted", "id"].map(|name| member(row, name));
        [subject, brief(row, "sha256"), admitted, id]
    };
    let offers = rows(host, "offers").iter().map(row);
    format!("\nhost {key} offered in entry {asked}\n{}", output::table(["SUBJECT", "SHA256", "ADMITTED", "ID"], offers))
}
