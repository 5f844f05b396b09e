//! `countersign-host fork`: the forks that this host has found, and the word of an operator who has looked at one.

use clap::{Args, Subcommand, ValueEnum};
use host::error::{Error, shown};
use host::memory::{self, Keep, Memory};
use policy::time::Timestamp;
use serde_json::{Value, json};

use crate::output::{Output, Place, print};

/// Shows and dismisses forks of the log.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign-host fork show\n  \
    countersign-host fork dismiss --keep held --reason 'a copy of the folder was started: stopped and its key replaced'")]
pub(crate) struct Fork {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows each fork that this host has found, with the file that keeps its two signed pieces.
    #[command(after_help = "Examples:\n  countersign-host fork show\n  countersign-host -o json fork show")]
    Show,
    /// Says that an operator has looked at the fork, and has this host bind again.
    #[command(after_help = "Look first: `fork show` tells both pieces. The evidence stays.\n\nExamples:\n  \
        countersign-host fork dismiss --keep held --reason 'the copy was stopped'\n  \
        countersign-host fork dismiss --keep met --reason 'this host had followed the copy'")]
    Dismiss {
        /// Which of the two pieces is of the log that goes on.
        #[arg(long, value_enum, value_name = "PIECE")]
        keep: Which,
        /// What was found out; it is kept beside the evidence.
        #[arg(long, visible_alias = "because", value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// What this host held.
    Held,
    /// What it met, and what contradicted it.
    Met,
}

impl Fork {
    pub(crate) fn run(self, output: Output, place: &Place) -> Result<(), Error> {
        let memory = Memory::load(&place.host_dir)?;
        match self.command {
            Command::Show => show(output, place, &memory),
            Command::Dismiss { keep, reason } => dismiss(output, &memory, keep, &reason),
        }
    }
}

fn show(output: Output, place: &Place, memory: &Memory) -> Result<(), Error> {
    let (forks, stands) = (memory::kept(&place.host_dir)?, memory.record().forked);
    let mut text: String = forks.iter().map(told).collect();
    text += match &stands {
        Some(_) => "nothing is bound until `countersign-host fork dismiss`",
        None if forks.is_empty() => "this host has found no fork of the log",
        None => "somebody has looked at each of them",
    };
    let (proved, owed_since_ms) = (memory.record().proved, memory.record().asked_since_ms);
    if let Some(proved) = &proved {
        let at = Timestamp::from_millis(proved.at_ms);
        text += &format!("\nthe log is proved to have only grown, up to {} entries, at {at}", proved.size);
    }
    text += &owed_since_ms
        .map(|since| format!("\na proof is owed since {}", Timestamp::from_millis(since)))
        .unwrap_or_default();
    let proved = proved.map(|proved| json!({"size": proved.size, "at_ms": proved.at_ms}));
    let told = json!({
        "success": true, "forked": stands.is_some(), "forks": forks, "proved": proved, "owed_since_ms": owed_since_ms,
    });
    print(output, &text, &told)
}

fn told(fork: &Value) -> String {
    let member =
        |at: &str| fork.pointer(at).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let kind = |piece: &str| {
        let kinds = [("checkpoint", "checkpoint"), ("growth", "proof"), ("answer", "answer")];
        let is = |(member, _): &(&str, _)| fork.pointer(&format!("/{piece}/piece/{member}")).is_some();
        kinds.into_iter().find(is).map_or("first entry", |(_, kind)| kind)
    };
    let line = |piece: &str| {
        let [index, hash, epoch] = ["index", "entry_sha256", "epoch"]
            .map(|name| member(&format!("/{piece}/place/{name}")).unwrap_or_default());
        format!("  {piece}: {} of entry {index} {hash} in epoch {epoch}\n", kind(piece))
    };
    let ended = member("/ended").map(|ended| format!("  ended: {ended}\n")).unwrap_or_default();
    let (file, says) = (member("/file").unwrap_or_default(), member("/says").unwrap_or_default());
    shown(&format!("{file}: {says}")) + "\n" + &[line("held"), line("met"), ended].map(|line| lines(&line)).concat()
}

fn lines(text: &str) -> String {
    text.lines().map(|line| shown(line) + "\n").collect()
}

fn dismiss(output: Output, memory: &Memory, keep: Which, reason: &str) -> Result<(), Error> {
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        return Err(Error::Usage(format!("`--reason` says what was found out, in at most {MAX_REASON} bytes")));
    }
    let keep = match keep {
        Which::Held => Keep::Held,
        Which::Met => Keep::Met,
    };
    let fork = memory.dismiss(keep, reason)?;
    let head = memory.record().head;
    let text = format!("dismissed: this host goes on from entry {} ({})", head.index, head.entry_sha256);
    let document = json!({
        "success": true, "keep": keep, "reason": reason, "evidence": fork.file, "evidence_sha256": fork.sha256,
        "index": head.index, "entry_sha256": head.entry_sha256, "epoch": memory.record().epoch,
    });
    print(output, &text, &document)
}

const MAX_REASON: usize = 1000;
