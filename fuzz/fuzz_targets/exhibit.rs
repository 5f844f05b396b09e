//! Feeds the engine's bytes to the body of the same name, which says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::feed("exhibit", bytes));
