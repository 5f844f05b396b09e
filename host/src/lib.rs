//! countersign's door: runs components and lets in what was permitted, and nothing else.
//!
//! In reading order: who this host is and what it must not forget: [`identity`], [`login`], [`invite`], [`memory`]. The story:
//! [`join`], [`start`], [`running`]. The chain of types: [`component`], `ask`, `standby`, [`permit`], [`slot`], `link`. What answers:
//! `builtin`, [`provider`], [`folder`]. What bounds it: [`limits`], `guest`, `engine`. What is told of it: [`journal`], `inventory`, `report`.
//! The wire: [`transport`], `notice`, `witness`, `tally`.
//!
//! Guarantees: no import exists without a bound slot; no slot is bound without a permit; no permit exists without a
//! verified answer to the very question that was sent. Any error, timeout or silence leaves the door shut.
//!
//! Deliberately absent: the law (all of it is in `policy`), a compile cache, precompiled code, ambient authority.

mod ask;
mod builtin;
pub mod clock;
pub mod component;
mod engine;
pub mod error;
pub mod folder;
mod guest;
pub mod identity;
mod inventory;
pub mod invite;
pub mod join;
pub mod journal;
pub mod limits;
mod link;
pub mod login;
pub mod memory;
mod notice;
pub mod permit;
pub mod provider;
mod report;
pub mod running;
pub mod slot;
mod standby;
pub mod start;
mod stock;
mod tally;
pub mod transport;
mod witness;

pub use builtin::Sink;

#[cfg(test)]
mod tests;
