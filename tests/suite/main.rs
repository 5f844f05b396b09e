//! The witnesses: whole-system promises, one file per promise, one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod admin;
mod choices;
mod collisions;
mod commands;
mod crash;
mod descriptors;
mod disk;
mod floods;
mod injection;
mod interop;
mod issuers;
mod journey;
mod nkeys;
mod outage;
mod poison;
mod published;
mod refusals;
mod relax;
mod replays;
mod rfc8037;
mod spoofing;
mod subjects;
mod threats;
mod tidy;
mod tls;
mod tokens;
mod vectors;
mod whereabouts;
mod wire;
mod wire_claims;
mod wrong_uses;
mod wycheproof;
