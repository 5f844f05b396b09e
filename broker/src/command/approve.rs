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
use crate::output::{Report, Usage};
use crate::view::{Look, rows, text};

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
        let Some(id) = self.id.as_deref().map(parse).transpose()? else {
            let heading = ["ID", "WHAT", "BY", "MISSING", "ROLES", "UNTIL", "BECAUSE"];
            let report = listing(globals, &Look::Pending { id: None }, "pending", heading, |row| {
                let name = member(row, "name");
                let by = if name.is_empty() { member(row, "by").chars().take(16).collect() } else { name };
                let [id, what, missing, roles, until, because] =
                    ["id", "operations", "missing", "roles", "not_after", "because"].map(|name| member(row, name));
                [id, what, by, missing, roles, until, because]
            })?;
            let nothing = rows(&report.json(), "pending").is_empty();
            return Ok(if nothing { Report::new("nothing waits for a signature\n", report.json()) } else { report });
        };
        let client = Client::of(globals)?;
        let Seen { view, epoch, .. } = client.look(&Look::Pending { id: Some(id) })?;
        let row = rows(&view, "pending").first().cloned().unwrap_or_default();
        let (command, pieces) = proposed(&row, id)?;
        let sha256 = pieces.first().map(|token| Digest::of(token)).unwrap_or_else(|| Digest::of(b""));
        let operations: Vec<String> =
            command.operations.iter().map(|it| String::from_utf8_lossy(&json::write(it)).into_owned()).collect();
        let says = format!("command {id} of {} is approved, and done: {}", command.iss, operations.join("; "));
        let doing = Doing::one(Operation::ApproveCommand(ApproveCommand { id, sha256 }), says);
        let doing = Doing { statements: pieces, ..doing };
        let doing = doing.with("approved", id.to_string()).with("by", command.iss.to_string());
        self.acting.run(&client, Some(epoch), doing.with("operations", serde_json::to_value(&command.operations)?))
    }
}

impl Reject {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let id = parse(&self.id)?;
        let doing = Doing::one(Operation::RejectCommand(RejectCommand { id }), format!("command {id} is rejected"));
        self.acting.run(&Client::of(globals)?, None, doing.with("rejected", id.to_string()))
    }
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
