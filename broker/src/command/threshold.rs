//! `threshold`: how many administrators must sign an act of each weighty class.

use clap::{Subcommand, ValueEnum};
use policy::govern::{Operation, PutThreshold, Weighty};
use serde_json::Value;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{Acting, Doing, listing, member};
use crate::output::{self, Report};
use crate::view::{Look, rows};

/// Say how many administrators must sign what.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put the threshold of a class; it takes the higher of the old and the new
    #[command(after_help = "Examples:\n  countersign threshold put issuer-add 2\n  \
        countersign threshold put administration 2 --because 'no one of us alone'")]
    Put {
        /// The class of acts.
        class: ClassName,
        /// How many must sign.
        signers: u64,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the thresholds
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  countersign threshold list\n  countersign -o json threshold list"
    )]
    List,
}

/// A class of acts that several may have to sign.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ClassName {
    /// Adding, activating or rotating an issuer
    IssuerAdd,
    /// Letting an issuer speak for more
    ScopeWidening,
    /// Downgrades, take-overs, and whatever else lets a rule pass
    Weakening,
    /// Putting back an earlier log
    Restore,
    /// Administrators and thresholds
    Administration,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Put { class, signers, acting } => {
                let class = class.class();
                let put = Operation::PutThreshold(PutThreshold { class, threshold: signers });
                let doing = Doing::one(put, format!("{signers} must sign an act of {}", class.word()));
                acting.run(&Client::of(globals)?, None, doing.with("class", class.word()).with("threshold", signers))
            }
            Command::List => {
                let heading = ["CLASS", "MUST SIGN"];
                let report = listing(globals, &Look::Administrators, "thresholds", heading, |row| {
                    ["class", "threshold"].map(|name| member(row, name))
                })?;
                let (text, members) = (report.text().to_owned(), report.json());
                Ok(Report::new(text + &hollow(&members), members))
            }
        }
    }
}

// Whoever may make administrators alone makes whoever else must sign.
fn hollow(view: &Value) -> String {
    let count = |row: &Value| row.get("threshold").and_then(Value::as_u64).unwrap_or_default();
    let rows = rows(view, "thresholds");
    let own = rows.iter().find(|row| member(row, "class") == Weighty::Administration.word()).map_or(0, count);
    let higher: Vec<String> = rows.iter().filter(|row| count(row) > own).map(|row| member(row, "class")).collect();
    if higher.is_empty() {
        return String::new();
    }
    let many = if own == 1 { "one operator".to_owned() } else { format!("{own} operators") };
    format!(
        "{many} can make the administrators that {} asks for: put `administration` as high\n",
        output::shown(&higher.join(", "))
    )
}

impl ClassName {
    const fn class(self) -> Weighty {
        match self {
            Self::IssuerAdd => Weighty::IssuerAdd,
            Self::ScopeWidening => Weighty::ScopeWidening,
            Self::Weakening => Weighty::Weakening,
            Self::Restore => Weighty::Restore,
            Self::Administration => Weighty::Administration,
        }
    }
}
