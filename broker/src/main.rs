//! The `countersign` program: reads its arguments and hands them to the library.

use std::process::ExitCode;

// What a question leaves behind is freed on another thread than it was made on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    broker::command::main(std::env::args_os())
}
