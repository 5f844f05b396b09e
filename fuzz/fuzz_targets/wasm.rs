//! Feeds the engine's bytes to the body of the same name, which says what must hold.
#![no_main]

use std::panic::{PanicHookInfo, set_hook, take_hook};

// The validator meets types that are too deep with a failed assertion. The law catches it and refuses the file, but the
// engine's hook would end the process before that. So a panic that begins in the validator passes this hook by; one
// that the law did not catch still ends the run, in the engine's own `catch_unwind`.
libfuzzer_sys::fuzz_target!(
    init: {
        let abort = take_hook();
        set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
            if !panic.location().is_some_and(|at| at.file().contains("/wasmparser-")) {
                abort(panic);
            }
        }));
    },
    |bytes: &[u8]| bodies::feed("wasm", bytes)
);
