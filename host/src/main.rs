//! `countersign-host`: runs components under what a lattice's broker permits.
//!
//! Only the command line lives here; everything else is the library's.

mod command;
mod output;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
