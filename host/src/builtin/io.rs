//! `wasi:io`: streams and polling, by the published types.
//!
//! It reaches nothing by itself: every stream comes out of another builtin, under that one's own permit.

pub(super) const PACKAGE: &str = "wasi:io";
pub(super) const INTERFACES: &[&str] = &["error", "poll", "streams"];
