//! `wasi:clocks`: the time of the host, by the published types.
//!
//! A monotonic clock starts anew with each instance; nothing here can set a clock.

pub(super) const PACKAGE: &str = "wasi:clocks";
pub(super) const INTERFACES: &[&str] = &["monotonic-clock", "wall-clock"];
