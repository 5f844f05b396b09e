//! The `countersign` program: reads its arguments and hands them to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    broker::command::main(std::env::args_os())
}
