//! countersign's law: who may answer an interface, decided on signed evidence. Values in, values out.
//!
//! Modules in reading order. Names and keys are parsed once and then trusted: [`name`], [`key`], [`digest`], [`time`],
//! [`skew`].
//! Bytes are read strictly: [`json`], [`envelope`], [`artifact`]. What was signed: [`claims`], [`contract`],
//! [`delegation`], [`possession`], [`command`], [`query`], [`warrant`], [`root`], [`join`], [`question`], [`answer`].
//! What it is worth: [`issuer`], [`examine`], [`verify`]. The law itself: [`govern`], [`resolve`], [`decide`], [`relax`],
//! [`rules`], [`explain`]. What runs already: [`inventory`], [`withdrawal`], [`effective`]. Evidence: [`log`],
//! [`growth`], [`journal`].
//!
//! Guarantees: no IO, no clock, no randomness, no environment, no panic on any input; the same inputs give the same
//! answer everywhere. Signatures are checked in [`envelope`] (and, for checkpoints, in [`log`]) and nowhere else.
//!
//! Deliberately absent: storage, transport, keys' private halves, and any way to be lenient.

pub mod answer;
pub mod artifact;
pub mod claims;
pub mod command;
pub mod contract;
pub mod decide;
pub mod delegation;
pub mod digest;
pub mod effective;
pub mod envelope;
pub mod examine;
pub mod explain;
pub mod govern;
pub mod growth;
pub mod inventory;
pub mod issuer;
pub mod join;
pub mod journal;
pub mod json;
pub mod key;
pub mod lineage;
pub mod log;
pub mod name;
pub mod native;
pub mod possession;
pub mod provider;
pub mod query;
pub mod question;
pub mod reason;
pub mod relax;
pub mod resolve;
pub mod root;
pub mod rules;
pub mod skew;
mod text;
pub mod time;
pub mod verify;
pub mod warrant;
pub mod wire;
pub mod withdrawal;

#[cfg(test)]
mod tests;
