//! The command line: what can be asked of a host, and with which exit code it ends.
//!
//! One file per command. How results and errors look is left to `output`.

mod fork;
mod join;
mod journal;
mod run;
mod wire;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use host::error::Error;
use tracing_subscriber::EnvFilter;

use crate::output::{Output, Place, USUAL_DIR, failed, misused};

/// Run WebAssembly components, and let in what a lattice's broker permits.
#[derive(Debug, Parser)]
#[command(name = "countersign-host", version, after_help = EXAMPLES)]
struct Line {
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// The host's folder: its key and its memory. Never the broker's.
    #[arg(
        long,
        global = true,
        env = "COUNTERSIGN_HOST_DIR",
        hide_env_values = true,
        default_value = USUAL_DIR,
        value_name = "DIR"
    )]
    host_dir: PathBuf,
    /// Where NATS listens; else `NATS_URL`, else where the invitation says.
    #[arg(long, global = true, env = "COUNTERSIGN_NATS_URL", hide_env_values = true, value_name = "URL")]
    nats_url: Option<String>,
    #[command(flatten)]
    wire: wire::Wire,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Enter a lattice with an invitation of `countersign host invite`.
    Join(join::Join),
    /// Start a component, say who answers each of its imports, and call it.
    Run(run::Run),
    /// Show the forks of the log that this host has found, and have it go on once somebody has looked.
    Fork(fork::Fork),
    /// Print what this host acted on, line by line.
    Journal(journal::Journal),
    /// Print the completions of a shell.
    #[command(after_help = "Examples:\n  countersign-host completions bash > countersign-host.bash")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

const EXAMPLES: &str = "\
Examples:
  countersign host invite | countersign-host join -
  countersign-host run cart.wasm
  countersign-host run cart.wasm --id cart --invoke 'add(\"milk\", 2)'
  countersign-host -o json run cart.wasm --artifacts ./providers

Exit codes: 0 done, 1 failed, 2 usage, 3 refused.";

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => return misused(&error),
    };
    let filter = EnvFilter::try_from_env("COUNTERSIGN_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).init();
    let (output, place) = (line.output, Place::new(line.host_dir, nats_url(line.nats_url)));
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(source) => {
            return failed(output, &place, &Error::File { doing: "cannot start the runtime".to_owned(), source });
        }
    };
    let done = match line.command {
        Command::Join(join) => runtime.block_on(join.run(output, &place, &line.wire)),
        Command::Run(run) => runtime.block_on(run.run(output, &place, &line.wire)),
        Command::Fork(fork) => fork.run(output, &place),
        Command::Journal(journal) => journal.run(output, &place),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Line::command(), "countersign-host", &mut script);
            // A closed pipe is the reader's choice, not an error worth telling it about.
            let _ = std::io::stdout().write_all(&script);
            Ok(())
        }
    };
    // A guest that is still busy must not keep the process.
    runtime.shutdown_background();
    done.map_or_else(|error| failed(output, &place, &error), |()| ExitCode::SUCCESS)
}

fn nats_url(told: Option<String>) -> Option<String> {
    told.or_else(|| std::env::var("NATS_URL").ok()).filter(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn every_example_is_a_command_that_is_parsed() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<_> = help.lines().filter_map(|line| line.split_once("countersign-host ")).collect();
            assert!(!examples.is_empty(), "`{}` has no example", command.get_name());
            for (_, example) in examples {
                // What is quoted has spaces and is one word.
                let quoted: Vec<String> = example.split('\'').map(ToOwned::to_owned).collect();
                let example_words = quoted.chunks(2).flat_map(|pair| {
                    let plain = pair.iter().take(1).flat_map(|text| text.split_whitespace()).map(ToOwned::to_owned);
                    plain.chain(pair.get(1).cloned()).collect::<Vec<_>>()
                });
                let words: Vec<String> = std::iter::once("countersign-host".to_owned())
                    .chain(example_words)
                    .take_while(|word| word != ">")
                    .collect();
                assert!(Line::try_parse_from(&words).is_ok(), "{words:?}");
            }
            command.get_subcommands().for_each(check);
        }
        check(&Line::command());
    }
}
