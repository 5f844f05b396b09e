//! `wasi:filesystem`: no preopened folder, so no path that a component could name.
//!
//! It is here because components built on std import it whether or not they use it.

pub(super) const PACKAGE: &str = "wasi:filesystem";
pub(super) const INTERFACES: &[&str] = &["preopens", "types"];
