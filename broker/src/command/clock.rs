//! `clock`: the log's time against the broker's clock, and the act that accepts an earlier one.

use clap::Subcommand;
use policy::govern::{AcknowledgeClock, Operation};

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{Acting, Doing};
use crate::command::verify::now;
use crate::output::Report;

/// Put the log's time right after the clock was wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Accept what the clock says, though the log has come further: after it ran ahead, or to end a notice of that
    #[command(after_help = "Set the clock right first: what this machine says must be what the broker's says.\n\n\
        Examples:\n  countersign clock acknowledge --because 'the clock had been years ahead'")]
    Acknowledge {
        #[command(flatten)]
        acting: Acting,
    },
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let Command::Acknowledge { acting } = self.command;
        let now = now()?;
        let acknowledge = Operation::AcknowledgeClock(AcknowledgeClock { now });
        let doing = Doing::one(acknowledge, "the clock is acknowledged").anew(now, "the clock when it is done");
        acting.run(&Client::of(globals)?, None, doing)
    }
}
