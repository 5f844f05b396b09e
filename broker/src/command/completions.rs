//! `completions`: the completion script of a shell.
//!
//! Where it must be put is left to the shell's own manual; the help names the usual places.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::command::Cli;
use crate::output::Report;

/// Print the completions of a shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  countersign completions bash > ~/.local/share/bash-completion/completions/countersign\n  \
    countersign completions zsh > ~/.zfunc/_countersign\n  \
    countersign completions fish > ~/.config/fish/completions/countersign.fish"
)]
pub struct Args {
    /// The shell.
    shell: Shell,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<Report> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "countersign", &mut script);
        let script = String::from_utf8(script)?;
        let members = serde_json::json!({"shell": self.shell.to_string(), "script": script});
        Ok(Report::new(script, members))
    }
}
