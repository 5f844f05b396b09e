//! `default`: what answers a package where no link does.

use clap::{Subcommand, ValueEnum};
use policy::govern::{Bind, DeleteDefault, Operation, PutDefault};
use policy::name::Package;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{Acting, Doing, listing, member};
use crate::output::Report;
use crate::view::Look;

/// Say what answers a package where no link does.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put a package's default
    #[command(after_help = "Examples:\n  countersign default put wasi:logging --bind builtin\n  \
        countersign default put wasi:keyvalue --bind never --because 'only by link'")]
    Put {
        /// The package.
        package: String,
        /// What answers it.
        #[arg(long, value_enum)]
        bind: BindName,
        /// Demand the same builtin of every host.
        #[arg(long)]
        uniform: bool,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the defaults
    #[command(visible_alias = "ls", after_help = "Examples:\n  countersign default list")]
    List,
    /// Delete a package's default: then only links answer it
    #[command(visible_alias = "rm", after_help = "Examples:\n  countersign default del wasi:logging")]
    Del {
        /// The package.
        package: String,
        #[command(flatten)]
        acting: Acting,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BindName {
    /// Nothing
    Never,
    /// The one admitted builtin of the host that serves it
    Builtin,
    /// The one admitted provider that serves it
    SoleProvider,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Put { package, bind, uniform, acting } => {
                let (package, bind) = (Package::parse(&package)?, bind.bind());
                let says = format!("`{package}` is answered by default: {bind}");
                let put = Operation::PutDefault(PutDefault { package: package.clone(), bind, uniform });
                acting.run(&Client::of(globals)?, None, Doing::one(put, says).with("package", package.as_str()))
            }
            Command::List => listing(globals, &Look::Defaults, "defaults", ["PACKAGE", "BIND"], |row| {
                ["package", "bind"].map(|name| member(row, name))
            }),
            Command::Del { package, acting } => {
                let package = Package::parse(&package)?;
                let says = format!("`{package}` has no default any more");
                let delete = Operation::DeleteDefault(DeleteDefault { package: package.clone() });
                acting.run(&Client::of(globals)?, None, Doing::one(delete, says).with("package", package.as_str()))
            }
        }
    }
}

impl BindName {
    const fn bind(self) -> Bind {
        match self {
            Self::Never => Bind::Never,
            Self::Builtin => Bind::Builtin,
            Self::SoleProvider => Bind::SoleProvider,
        }
    }
}
