//! `warrant`: the roots' word for the broker's keys: asked for here, signed offline, brought back and put in force.
//!
//! What is asked for is left to `request`, what the roots sign to `issue`, how a warrant reaches the broker to `client`.

mod issue;
pub(crate) mod request;

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use policy::envelope::Unverified;
use policy::key::Decision;
use policy::reason::Refusal;
use policy::time::Timestamp;
use policy::warrant::Warrant;
use serde_json::{Value, json};

use crate::client::{Client, Over};
use crate::command::acting::{listing, member, showing};
use crate::command::keyfile::{Signer, create_log, public};
use crate::command::{Globals, files};
use crate::output::{self, Report};
use crate::service::{WARN_S, next_key};
use crate::view::Look;

use request::Request;

/// Replace the roots' word for the broker's keys, and recover after a theft.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write down what the roots are asked to sign; it holds no secret
    #[command(after_help = "Carry the file to where the root keys are. A key that waits in the folder to take the \
        place of another, as `warrant rotate` makes it, is asked for.\n\n\
        Examples:\n  countersign warrant request\n  countersign warrant request --out renew.json")]
    Request {
        /// The file to write.
        #[arg(long, value_name = "FILE", default_value = REQUEST)]
        out: PathBuf,
    },
    /// Make the key that is to take the place of the one in use, and write the request for it
    #[command(after_help = "Run it again to see what comes next; a key that waits already is kept.\n\n\
        Examples:\n  countersign warrant rotate\n  countersign warrant rotate log")]
    Rotate {
        /// Which key.
        #[arg(value_enum, default_value_t, value_name = "KEY")]
        which: Rotated,
        /// The file to write the request to.
        #[arg(long, value_name = "FILE", default_value = REQUEST)]
        out: PathBuf,
    },
    /// Sign a warrant with root keys, offline
    #[command(after_help = "Needs the request and root keys, and no folder. Where more roots must sign than are \
        here, each signs in turn: what the earlier ones wrote is given with `--partial`.\n\n\
        Examples:\n  countersign warrant issue --root-key root.nk\n  \
        countersign warrant issue --root-key root.nk --drop-key C... --out warrant.jws\n  \
        countersign warrant issue --partial first.jws --root-key root-2.nk")]
    Issue(issue::Issue),
    /// Put a warrant in force: in the folder, or at the broker that runs
    #[command(after_help = "The broker signs under it at once, with the key that it names, and without a restart.\n\n\
        Examples:\n  countersign warrant install warrant.jws\n  \
        countersign --root DIGEST --nats-url nats://broker:4222 warrant install warrant.jws")]
    Install {
        /// The warrant.
        file: PathBuf,
    },
    /// Show one warrant
    #[command(
        visible_alias = "get",
        after_help = "Examples:\n  countersign warrant show\n  countersign warrant show 3"
    )]
    Show {
        /// Its serial [default: the one in force].
        serial: Option<u64>,
    },
    /// List every warrant that came into force
    #[command(visible_alias = "ls", after_help = "Examples:\n  countersign warrant list")]
    List,
}

/// A key of the broker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Rotated {
    /// The key that signs answers
    #[default]
    Decision,
    /// The key that signs checkpoints
    Log,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Request { out } => request(globals, &out, Vec::new()),
            Command::Rotate { which, out } => rotate(globals, which, &out),
            Command::Issue(issue) => issue.run(globals),
            Command::Install { file } => install(globals, &file),
            Command::Show { serial } => show(globals, serial),
            Command::List => list(globals),
        }
    }
}

fn rotate(globals: &Globals, which: Rotated, out: &Path) -> anyhow::Result<Report> {
    let client = Client::of(globals)?;
    let name = match which {
        Rotated::Decision => "decision",
        Rotated::Log => "log",
    };
    let path = client.need_folder()?.key(&next_key(name));
    let (waits, key) = match (path.exists(), which) {
        (true, _) => ("waits", public(&path)?),
        (false, Rotated::Decision) => ("was made", Signer::<Decision>::create(&path)?.name().to_string()),
        (false, Rotated::Log) => ("was made", create_log(&path, client.lattice())?.to_string()),
    };
    request(globals, out, vec![("next key".to_owned(), format!("{key}, {waits} in `{}`", path.display()))])
}

fn request(globals: &Globals, out: &Path, more: Vec<(String, String)>) -> anyhow::Result<Report> {
    let client = Client::of(globals)?;
    let request = Request::of(&client)?;
    files::write(out, &request.to_bytes()?)?;
    let pairs = [("request", out.display().to_string()), ("serial in force", request.rank().to_string())];
    let pairs = more.iter().map(|(name, value)| (name.as_str(), value.clone())).chain(pairs);
    let text = output::fields(pairs)
        + "next\n  where the root keys are: countersign warrant issue --root-key FILE\n  \
           here again: countersign warrant install warrant.jws\n";
    let mut members = serde_json::to_value(&request)?;
    if let Some(members) = members.as_object_mut() {
        members.insert("file".to_owned(), out.display().to_string().into());
    }
    Ok(Report::new(text, members))
}

fn install(globals: &Globals, file: &Path) -> anyhow::Result<Report> {
    let bytes = files::read(file)?;
    let token = bytes.trim_ascii_end();
    // Whatever the broker's reader would turn away is told here.
    let warrant = Unverified::<Warrant>::parse(token)?.says().clone();
    let (receipt, over) = Client::of(globals)?.install(token)?;
    let (by, rank) = (if over == Over::Nats { "the broker" } else { "this process" }, warrant.rank());
    let mut members = json!({
        "serial": rank.serial, "reset": rank.reset, "decision_keys": warrant.decision_keys,
        "log_key": warrant.log_key, "warrant_until": warrant.validity.exp,
    });
    let Some(receipt) = receipt else {
        return Ok(Report::new(format!("warrant {rank} is in force, installed by {by}\n"), members));
    };
    if let Some(members) = members.as_object_mut() {
        members.insert("index".to_owned(), receipt.index.into());
        members.insert("signed_with".to_owned(), receipt.iss.to_string().into());
    }
    let place = format!("  entry {} {}, epoch {}, by {by}\n", receipt.index, receipt.entry_sha256, receipt.epoch);
    match receipt.reason {
        None => Ok(Report::new(format!("warrant {rank} is in force\n{place}"), members)),
        Some(reason) => {
            let refusal = Refusal::new(reason, receipt.detail.clone().unwrap_or_default());
            Ok(Report::new(format!("refused, and recorded\n{place}"), members).refused(refusal))
        }
    }
}

fn show(globals: &Globals, serial: Option<u64>) -> anyhow::Result<Report> {
    let meant = |row: &Value| match serial {
        Some(serial) => row.get("serial") == Some(&Value::from(serial)),
        None => row.get("in_force") == Some(&Value::Bool(true)),
    };
    let name = serial.map_or_else(|| "in force".to_owned(), |serial| serial.to_string());
    warned(showing(globals, &Look::Warrants, "warrants", meant, &name)?)
}

fn list(globals: &Globals) -> anyhow::Result<Report> {
    let names = ["serial", "reset", "in_force", "at", "warrant_until", "decision_keys", "signed_by"];
    let heading = ["SERIAL", "RESET", "IN FORCE", "SINCE", "UNTIL", "DECISION KEYS", "SIGNED BY"];
    // Both lists of keys do not fit beside each other; `warrant show` has them whole.
    let cell = |row: &Value, name: &str| match (name, row.get(name)) {
        ("decision_keys" | "signed_by", Some(Value::Array(keys))) => {
            let starts = keys.iter().map(|key| crate::view::text(key).chars().take(16).collect());
            starts.collect::<Vec<String>>().join(", ")
        }
        _ => member(row, name),
    };
    warned(listing(globals, &Look::Warrants, "warrants", heading, |row| names.map(|name| cell(row, name)))?)
}

// The same, with what there is to say about the end of the warrant in force.
fn warned(report: Report) -> anyhow::Result<Report> {
    let mut json = report.json();
    let in_force = |row: &&Value| row.get("in_force") == Some(&Value::Bool(true));
    let found = crate::view::rows(&json, "warrants").iter().chain([&json]).find(in_force).cloned();
    let until = found.and_then(|row| Timestamp::from_seconds(row.get("warrant_until")?.as_u64()?).ok());
    let now = crate::command::verify::now()?;
    let Some(warning) = until.and_then(|until| ends_soon(until, now)) else {
        return Ok(report);
    };
    if let Some(members) = json.as_object_mut() {
        members.insert("warning".to_owned(), warning.clone().into());
    }
    Ok(Report::new(format!("{}{warning}\n", report.text()), json))
}

/// What there is to say about a warrant that ends at that time.
pub(super) fn ends_soon(until: Timestamp, now: Timestamp) -> Option<String> {
    let act = "`countersign warrant request`, then have the roots sign the next one";
    if until <= now {
        return Some(format!("the warrant ended at {until}, and no host accepts an answer: {act}"));
    }
    (until <= now.plus(WARN_S)).then(|| format!("the warrant ends soon, at {until}: {act}"))
}

const REQUEST: &str = "warrant-request.json";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_warrant_is_spoken_of_two_weeks_before() {
        let at = |seconds: u64| Timestamp::from_seconds(seconds).unwrap();
        let now = at(1_000_000_000);
        assert_eq!(ends_soon(now.plus(WARN_S + 1), now), None);
        assert!(ends_soon(now.plus(WARN_S), now).unwrap().contains("ends soon"));
        assert!(ends_soon(now, now).unwrap().contains("no host accepts an answer"));
    }
}
