//! `wasi:random`: randomness of the operating system, by the published types.
//!
//! Only how much of it one call may take is ours.

use wasmtime_wasi::WasiCtxBuilder;

pub(super) const PACKAGE: &str = "wasi:random";
pub(super) const INTERFACES: &[&str] = &["insecure", "insecure-seed", "random"];

pub(super) fn configure(builder: &mut WasiCtxBuilder) {
    builder.max_random_size(MAX_BYTES);
}

// One request comes out of the host's memory, not the guest's.
const MAX_BYTES: u64 = 1 << 20;
