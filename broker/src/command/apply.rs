//! `apply`: any operations, as JSON, in one signed command; applied whole or not at all.

use std::path::PathBuf;

use policy::command::MAX_OPERATIONS;
use policy::digest::Digest;
use policy::govern::Operation;
use policy::json;

use crate::client::Client;
use crate::command::acting::{Acting, Doing};
use crate::command::{Globals, files};
use crate::output::{Report, Usage};

/// Sign a list of operations as one command.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "OPS.json is a list, such as [{\"put_default\":{\"package\":\"wasi:logging\",\"bind\":\"builtin\"}}].\n\n\
    Examples:\n  countersign apply -f ops.json --plan\n  countersign apply -f ops.json --statement contract.jwt\n  \
    countersign apply -f - --basis 17 --because 'the plan of last week'"
)]
pub struct Args {
    /// The operations; `-` reads standard input.
    #[arg(short = 'f', long, value_name = "OPS.json")]
    file: PathBuf,
    /// A signed token that the operations speak of, attached; may be given more than once.
    #[arg(long, value_name = "FILE")]
    statement: Vec<PathBuf>,
    #[command(flatten)]
    acting: Acting,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let bytes = files::read_or_input(&self.file)?;
        let operations: Vec<Operation> =
            json::read(&bytes).map_err(|refusal| refusal.within(format!("`{}`", self.file.display())))?;
        if operations.is_empty() || operations.len() > MAX_OPERATIONS {
            return Err(Usage(format!("{} operations; a command has 1 to {MAX_OPERATIONS}", operations.len())).into());
        }
        let mut statements = Vec::new();
        for path in &self.statement {
            statements.push(files::read(path)?.trim_ascii().to_vec());
        }
        let attached: Vec<String> = statements.iter().map(|statement| Digest::of(statement).to_string()).collect();
        let says = format!("{} operations are in force", operations.len());
        let doing = Doing { operations, statements, says, ..Doing::default() }.with("statements", attached);
        self.acting.run(&Client::of(globals)?, None, doing)
    }
}
