//! The command line of `countersign`: its global options, and one file per command.
//!
//! A command is a struct of arguments with a `run` that returns a [`Report`] and prints nothing. To add one: a file, a
//! `mod` line, a variant of [`Command`] and its line in [`Command::run`]. How reports look is left to [`crate::output`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use policy::digest::Digest;
use policy::key;
use policy::name::Lattice;

use crate::error::Error;
use crate::folder::Folder;
use crate::output::{self, Format, Report, Usage};
use crate::place::Place;

mod acting;
pub mod admin;
pub mod apply;
pub mod approve;
pub mod archive;
pub mod audit;
pub mod builtins;
pub mod claims;
pub mod clock;
pub mod completions;
pub mod component;
pub mod contract;
pub mod default;
mod doing;
pub mod explain;
pub mod facts;
pub mod files;
pub mod host;
pub mod init;
pub mod inventory;
pub mod issuer;
pub mod keyfile;
pub mod keys;
pub mod link;
mod moments;
mod paging;
mod planning;
pub mod provider;
pub mod relax;
pub mod restore;
pub mod root;
pub mod rules;
mod running;
pub mod serve;
pub mod status;
mod telling;
pub mod threshold;
pub mod verify;
pub mod warrant;
mod when;
pub mod why;
pub mod wire;

/// Know who answers: decides who may answer each interface of a lattice, on signed evidence, and proves it later.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, arg_required_else_help = true, infer_subcommands = false)]
#[command(disable_help_subcommand = true, propagate_version = true, term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done or accepted, 1 failed, 2 usage, 3 refused, 4 waiting for others to sign.\n\n\
    Examples:\n  countersign keys gen issuer --out acme.nk\n  countersign claims sign cart.wasm --issuer-key acme.nk\n  \
    countersign verify cart_s.wasm --trust trust.json"
)]
pub struct Cli {
    /// What every command may be told.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Globals {
    /// Output for people or for programs.
    #[arg(short = 'o', long = "output", alias = "format", global = true, value_enum, default_value_t)]
    pub format: Format,
    /// The lattice that is meant.
    #[arg(short = 'x', long, global = true, default_value = "default", value_name = "NAME")]
    pub lattice: Lattice,
    /// The lattice's folder [default: `.countersign` here or above, else the user's configuration folder].
    #[arg(long, global = true, env = "COUNTERSIGN_DIR", hide_env_values = true, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Where the folder's lock lies [default: `lock.db` in it]; elsewhere it knows when the whole folder is put back.
    #[arg(long, global = true, env = "COUNTERSIGN_LOCK", hide_env_values = true, value_name = "FILE")]
    pub lock: Option<PathBuf>,
    /// The NATS server; `NATS_URL` is honoured too.
    #[arg(long, global = true, env = "COUNTERSIGN_NATS_URL", hide_env_values = true, value_name = "URL")]
    pub nats_url: Option<String>,
    /// How it is reached securely.
    #[command(flatten)]
    pub wire: wire::Wire,
    /// A file with the administrator's seed.
    #[arg(long, global = true, env = "COUNTERSIGN_KEY", hide_env_values = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The digest of the lattice's inception, to pin where there is no folder.
    #[arg(long, global = true, env = "COUNTERSIGN_ROOT", hide_env_values = true, value_name = "DIGEST", value_parser = parse_digest)]
    pub root: Option<Digest>,
}

impl Globals {
    /// The lattice's folder: as told, else the nearest `.countersign`, else in the user's configuration folder; where there
    /// is none, where `init` would make one.
    pub fn folder(&self) -> PathBuf {
        let users = || Some(user_folder()).filter(|folder| folder.is_dir());
        self.dir.clone().or_else(nearest_folder).or_else(users).unwrap_or_else(|| Folder::place(None))
    }

    /// That folder, with its lock where that lies.
    ///
    /// # Errors
    /// As [`Folder::open`] and [`Folder::with_lock`].
    pub fn opened(&self) -> Result<Folder, Error> {
        Folder::open(&self.folder())?.with_lock(self.lock.as_deref())
    }

    /// The NATS server that was named, by option or environment.
    pub fn nats_url(&self) -> Option<String> {
        self.nats_url.clone().or_else(|| std::env::var("NATS_URL").ok())
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a lattice
    Init(init::Args),
    /// Run the broker
    Serve(serve::Args),
    /// Show the lattice at a glance
    Status(status::Args),
    /// Say whose signatures count
    Issuer(issuer::Args),
    /// Say who may provide an interface, as its owner
    Contract(contract::Args),
    /// Say what answers a package where no link does
    Default(default::Args),
    /// Say which component may run under which id
    #[command(alias = "actor")]
    Component(component::Args),
    /// Say which providers may answer what they serve
    Provider(provider::Args),
    /// Invite hosts, look at them, label them, ban them
    Host(host::Args),
    /// Link an import of a component to exactly one provider
    #[command(alias = "linkdef")]
    Link(link::Args),
    /// Forbid, on top of the law, what the lattice must not do
    Rules(rules::Args),
    /// Weaken something until a moment, and see what that lets through
    Relax(relax::Args),
    /// Show which builtins there are, and which host offers what
    Builtins(builtins::Args),
    /// Show what is really bound on each host
    Inventory(inventory::Args),
    /// Tell what would answer each import of a component, or why not and what would lift it
    Explain(explain::Args),
    /// Tell why something was decided as it was
    Why(why::Args),
    /// Replace the roots' word for the broker's keys, and recover after a theft
    Warrant(warrant::Args),
    /// Read and verify the log
    Audit(audit::Args),
    /// Put the log's time right after the clock was wrong
    Clock(clock::Args),
    /// Restore an older log that was put back
    Restore(restore::Args),
    /// Sign a list of operations as one command
    Apply(apply::Args),
    /// Say who administers the lattice, and in which roles
    Admin(admin::Args),
    /// Say how many administrators must sign what
    Threshold(threshold::Args),
    /// Change who signs warrants
    Root(root::Args),
    /// Sign what another administrator proposed, or see what waits
    #[command(visible_alias = "pending")]
    Approve(approve::Args),
    /// Turn down what another administrator proposed, or take back your own
    Reject(approve::Reject),
    /// Verify files offline: tokens, components, archives, folders of builtins
    Verify(verify::Args),
    /// Sign claims into components and archives, or look at them
    Claims(claims::Args),
    /// Make provider archives, or look into them
    #[command(visible_alias = "par")]
    Archive(archive::Args),
    /// Make keys, or show their public halves
    Keys(keys::Args),
    /// Print the completions of a shell
    Completions(completions::Args),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// A refusal (exit code 3), [`Usage`] (2), or anything that failed (1).
    pub fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self {
            Self::Init(args) => args.run(globals),
            Self::Serve(args) => args.run(globals),
            Self::Status(args) => args.run(globals),
            Self::Issuer(args) => args.run(globals),
            Self::Contract(args) => args.run(globals),
            Self::Default(args) => args.run(globals),
            Self::Component(args) => args.run(globals),
            Self::Provider(args) => args.run(globals),
            Self::Host(args) => args.run(globals),
            Self::Link(args) => args.run(globals),
            Self::Rules(args) => args.run(globals),
            Self::Relax(args) => args.run(globals),
            Self::Builtins(args) => args.run(globals),
            Self::Inventory(args) => args.run(globals),
            Self::Clock(args) => args.run(globals),
            Self::Restore(args) => args.run(globals),
            Self::Explain(args) => args.run(globals),
            Self::Why(args) => args.run(globals),
            Self::Warrant(args) => args.run(globals),
            Self::Audit(args) => args.run(globals),
            Self::Apply(args) => args.run(globals),
            Self::Admin(args) => args.run(globals),
            Self::Threshold(args) => args.run(globals),
            Self::Root(args) => args.run(globals),
            Self::Approve(args) => args.run(globals),
            Self::Reject(args) => args.run(globals),
            Self::Verify(args) => args.run(globals),
            Self::Claims(args) => args.run(),
            Self::Archive(args) => args.run(),
            Self::Keys(args) => args.run(globals),
            Self::Completions(args) => args.run(),
        }
    }
}

/// The whole program: reads the arguments, runs the command, prints what came of it.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let format = format_among(&arguments);
    // A seed among the arguments must not come back in a message about them (T69).
    let checked = |argument: &OsString| key::refuse_secrets(argument.as_encoded_bytes());
    if let Err(refusal) = arguments.iter().try_for_each(checked) {
        let blank = |argument: &OsString| checked(argument).map_or_else(|_| OsString::new(), |()| argument.clone());
        let harmless: Vec<OsString> = arguments.iter().map(blank).collect();
        return output::finish(format, &Place::among(&harmless), Err(refusal.into()));
    }
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => output::finish(cli.globals.format, &Place::of(&cli.globals), cli.command.run(&cli.globals)),
        Err(error) if error.use_stderr() => {
            // What was typed comes back in it, and may hold what a terminal acts on (T68).
            let text = error.to_string();
            let text = text.trim_start_matches("error: ");
            let message = match format {
                Format::Json => text.lines().next().unwrap_or_default().to_owned(),
                Format::Text => text.trim_end().to_owned(),
            };
            output::finish(format, &Place::among(&arguments), Err(Usage(message).into()))
        }
        Err(error) => {
            // Nobody is left to tell when the terminal is gone.
            let _ = error.print();
            ExitCode::SUCCESS
        }
    }
}

/// The tree of commands, for whoever walks it: completions, and the tests of every command.
pub fn tree() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

// Errors of the command line itself come before it is parsed, and should have the form that was asked for.
fn format_among(arguments: &[OsString]) -> Format {
    let asks = |pair: &[OsString]| matches!(pair, [option, value] if ["-o", "--output", "--format"].iter().any(|name| option == name) && value == "json");
    let glued = ["-ojson", "-o=json", "--output=json", "--format=json"];
    let is_glued = |argument: &OsString| glued.iter().any(|glued| argument == glued);
    if arguments.windows(2).any(asks) || arguments.iter().any(is_glued) { Format::Json } else { Format::Text }
}

fn nearest_folder() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|ancestor| ancestor.join(FOLDER)).find(|folder| folder.is_dir())
}

fn user_folder() -> PathBuf {
    let home = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = home("XDG_CONFIG_HOME").or_else(|| home("HOME").map(|home| home.join(".config")));
    config.map_or_else(|| PathBuf::from(FOLDER), |config| config.join("countersign"))
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    Digest::parse(text).map_err(|refusal| refusal.detail)
}

const FOLDER: &str = ".countersign";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command) {
            if command.get_subcommands().next().is_none() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("countersign "), "`{}` has no example", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    // The words of one command as a shell would split them: the first one of a line with several.
    fn words(line: &str) -> Vec<String> {
        let ends = ["|", ">", "&&", "&", "#", "<"];
        let (mut words, mut quoted) = (vec![String::new()], false);
        for char in line.trim().chars() {
            match char {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                _ => words.last_mut().unwrap().push(char),
            }
        }
        words.into_iter().filter(|word| !word.is_empty()).take_while(|word| !ends.contains(&word.as_str())).collect()
    }

    #[test]
    fn every_example_is_a_command_that_is_parsed() {
        fn check(command: &clap::Command, tried: &mut usize) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            // The one placeholder that is read while parsing.
            let help = help.replace(" DIGEST ", &format!(" {} ", "0".repeat(64)));
            // A line that goes on in the next one.
            let help = help.replace("\\\n", " ");
            for line in help.lines().filter(|line| line.trim().starts_with("countersign ")) {
                let parsed = Cli::try_parse_from(words(line)).map(drop).map_err(|error| error.to_string());
                assert_eq!(parsed, Ok(()), "`{line}` in the help of `{}`", command.get_name());
                *tried += 1;
            }
            command.get_subcommands().for_each(|command| check(command, tried));
        }
        let mut tried = 0;
        check(&Cli::command(), &mut tried);
        assert!(tried > 50, "{tried} examples");
    }

    #[test]
    fn the_form_of_usage_errors_is_read_before_parsing() {
        let among = |arguments: &[&str]| format_among(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(among(&["countersign", "-o", "json", "nonsense"]), Format::Json);
        assert_eq!(among(&["countersign", "--output", "json"]), Format::Json);
        assert_eq!(among(&["countersign", "--format=json"]), Format::Json);
        assert_eq!(among(&["countersign", "verify", "json"]), Format::Text);
    }
}
