//! `wasi:logging`: one line per record, `<level> <context>: <message>`.
//!
//! Escaping, and the component's id before it, are left to the shelf.

use wasmtime::component::Val;

use crate::guest::Guest;

pub(super) const PACKAGE: &str = "wasi:logging";
pub(super) const INTERFACES: &[&str] = &["logging"];
pub(super) const FUNCTIONS: &[&str] = &["log"];

pub(super) fn log(guest: &Guest, params: &[Val]) -> wasmtime::Result<()> {
    let [Val::Enum(level), Val::String(context), Val::String(message)] = params else {
        return Err(wasmtime::Error::msg("`log` takes a level, a context and a message"));
    };
    guest.shelf.line(&guest.id, &format!("{level} {context}: {message}"));
    Ok(())
}
