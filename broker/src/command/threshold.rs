//! `threshold`: how many administrators must sign an act of each weighty class.

use clap::{Subcommand, ValueEnum};
use policy::govern::{Operation, PutThreshold, Weighty};
use serde_json::Value;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{Acting, Doing, listing, member};
use crate::output::{Report, Usage};
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
        /// How many must sign; at least 1.
        #[arg(value_parser = signers)]
        signers: u64,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the thresholds: how many must sign an act of each class
    #[command(
        visible_alias = "ls",
        after_help = "`administration` takes as many as the highest of all: whoever makes administrators makes whoever else \
            must sign.\n\nExamples:\n  countersign threshold list\n  countersign -o json threshold list"
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
    /// Downgrades, take-overs, what was retired and comes back, and whatever else lets a rule pass
    Weakening,
    /// Putting back an earlier log
    Restore,
    /// Administrators and thresholds; takes as many as the highest of all
    Administration,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Put { class, signers, acting } => {
                let class = class.class();
                let put = Operation::PutThreshold(PutThreshold { class, threshold: signers });
                let says = match class {
                    Weighty::Administration => ", or as many as another class takes",
                    _ => "",
                };
                let doing = Doing::one(put, format!("{signers} must sign an act of {}{says}", class.word()));
                acting.run(&Client::of(globals)?, None, doing.with("class", class.word()).with("threshold", signers))
            }
            Command::List => {
                let heading = ["CLASS", "MUST SIGN"];
                let report = listing(globals, &Look::Administrators, "thresholds", heading, |row| {
                    ["class", "threshold"].map(|name| member(row, name))
                })?;
                let (text, members) = (report.text().to_owned(), report.json());
                Ok(Report::new(text + &tight(&members), members))
            }
        }
    }
}

fn signers(text: &str) -> Result<u64, Usage> {
    let count: Option<u64> = text.parse().ok();
    count.filter(|count| *count > 0).ok_or_else(|| Usage("a number of administrators; the least is 1".to_owned()))
}

// Where each of them must sign, one lost key leaves nobody who could put another in its place.
fn tight(view: &Value) -> String {
    let count = |row: &Value, name: &str| row.get(name).and_then(Value::as_u64).unwrap_or_default();
    let highest = rows(view, "thresholds").iter().map(|row| count(row, "threshold")).max().unwrap_or_default();
    if highest < 2 || highest < count(view, "operators") {
        return String::new();
    }
    format!(
        "all {highest} operators without an end must sign: when one loses the key, nobody can be put in the place; \
         `countersign admin put` one more\n"
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
