//! `approve` and `reject`: what another administrator proposed is read, then signed or turned down.
//!
//! What is approved is the very bytes that were proposed: they are fetched, checked against their digest, shown, and sent
//! along with the approval.

use data_encoding::BASE64;
use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::govern::{ApproveCommand, Operation, RejectCommand};
use policy::json;
use policy::reason::{Reason, Refusal};
use policy::wire::Nonce;
use serde_json::Value;

use crate::client::{Client, Seen};
use crate::command::Globals;
use crate::command::acting::{Acting, Doing, listing, member};
use crate::output::{self, Report, Usage};
use crate::view::{IN_OFFICE, Look, rows, text};

/// Sign what another administrator proposed, or see what waits.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  countersign approve --list\n  countersign approve ID --plan\n  \
    countersign approve ID --because 'I asked acme, the key is theirs'")]
pub struct Args {
    /// The id of the command that waits; without one, those that wait are listed.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// List what waits.
    #[arg(long, conflicts_with = "id")]
    list: bool,
    #[command(flatten)]
    acting: Acting,
}

/// Turn down what another administrator proposed, or take back your own.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  countersign reject ID --because 'that key is not acmes'")]
pub struct Reject {
    /// The id of the command that waits.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    acting: Acting,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.id.as_deref().map(parse).transpose()? {
            None => list(globals),
            Some(id) => output::fixed(approve(globals, id, self.acting), Reason::NotFound, LISTED),
        }
    }
}

impl Reject {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let id = parse(&self.id)?;
        let doing = Doing::one(Operation::RejectCommand(RejectCommand { id }), format!("command {id} is rejected"));
        let doing = doing.with("rejected", id.to_string());
        output::fixed(self.acting.run(&Client::of(globals)?, None, doing), Reason::NotFound, LISTED)
    }
}

fn approve(globals: &Globals, id: Nonce, acting: Acting) -> anyhow::Result<Report> {
    let client = Client::of(globals)?;
    let Seen { view, epoch, .. } = client.look(&Look::Pending { id: Some(id) })?;
    let row = rows(&view, "pending").first().cloned().unwrap_or_default();
    let (command, pieces) = proposed(&row, id)?;
    let sha256 = pieces.first().map(|token| Digest::of(token)).unwrap_or_else(|| Digest::of(b""));
    let operations: Vec<String> =
        command.operations.iter().map(|it| String::from_utf8_lossy(&json::write(it)).into_owned()).collect();
    let says = format!("command {id} of {} is approved, and done: {}", command.iss, operations.join("; "));
    let doing = Doing::one(Operation::ApproveCommand(ApproveCommand { id, sha256 }), says);
    let doing = doing.with("approved", id.to_string()).with("by", command.iss.to_string());
    let doing = doing.with("operations", serde_json::to_value(&command.operations)?);
    acting.run(&client, Some(epoch), Doing { statements: pieces, approved: command.operations, ..doing })
}

// What waits, and below it each operation of each on a line of its own.
fn list(globals: &Globals) -> anyhow::Result<Report> {
    let heading = ["ID", "BY", "MISSING", "ROLES", "UNTIL", "BECAUSE"];
    let report = listing(globals, &Look::Pending { id: None }, "pending", heading, |row| {
        let [id, missing, roles, until, because] =
            ["id", "missing", "roles", "not_after", "because"].map(|name| member(row, name));
        [id, author(row), missing, roles, until, because]
    })?;
    let members = report.json();
    let pending = rows(&members, "pending");
    if pending.is_empty() {
        return Ok(Report::new("nothing waits for a signature\n", members));
    }
    let text = report.text().to_owned() + &pending.iter().map(asked).collect::<String>();
    Ok(Report::new(text, members))
}

// Who proposed it; nothing comes of it where that is no administrator any more.
fn author(row: &Value) -> String {
    let (name, standing) = (member(row, "name"), member(row, "standing"));
    let by = if name.is_empty() { member(row, "by").chars().take(16).collect() } else { name };
    if standing == IN_OFFICE { by } else { format!("{by} ({standing})") }
}

fn asked(row: &Value) -> String {
    let mut text = format!("{} asks\n", output::shown(&member(row, "id")));
    for operation in rows(row, "operations") {
        text += &format!("  {}\n", output::shown(&spelled(operation)));
    }
    match row.get("operations_more").and_then(Value::as_u64) {
        Some(more) => text + &format!("  and {more} more, which `approve ID --plan` tells\n"),
        None => text,
    }
}

// An operation on one line: its kind, then each member.
fn spelled(operation: &Value) -> String {
    let one = |(name, value): (&String, &Value)| match value {
        Value::Object(_) => format!("{name}={}", String::from_utf8_lossy(&json::write(value))),
        Value::Array(items) => format!("{name}={}", items.iter().map(text).collect::<Vec<_>>().join(",")),
        value => format!("{name}={}", text(value)),
    };
    let kinds = operation.as_object().into_iter().flatten().map(|(kind, said)| {
        let members = said.as_object().into_iter().flatten().map(one);
        std::iter::once(kind.clone()).chain(members).collect::<Vec<_>>().join(" ")
    });
    kinds.collect()
}

// The command that waits, and its pieces: whoever showed it, its own digest and id are what counts.
fn proposed(row: &Value, id: Nonce) -> anyhow::Result<(Command, Vec<Vec<u8>>)> {
    let pieces = rows(row, "pieces").iter().map(|piece| BASE64.decode(text(piece).as_bytes()));
    let pieces: Vec<Vec<u8>> = pieces.collect::<Result<_, _>>()?;
    let command = Unverified::<Command>::parse(&pieces.join(&b'\n'))?;
    if command.says().jti != id {
        let detail = format!("asked was for command {id}, shown is {}", command.says().jti);
        return Err(Refusal::new(Reason::AnswerMismatch, detail).into());
    }
    Ok((command.says().clone(), pieces))
}

fn parse(text: &str) -> Result<Nonce, Usage> {
    Nonce::parse(text).map_err(|refusal| Usage(format!("{}; `countersign approve --list` shows them", refusal.detail)))
}

const LISTED: &str = "`countersign approve --list` shows what waits";
