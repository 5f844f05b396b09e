//! The suite's tools: where the vectors are, how the built programs are run, how tokens are minted with known keys.
//!
//! Promises are left to `suite`; nothing here asserts one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "harness/acts.rs"]
pub mod acts;
#[path = "harness/asker.rs"]
pub mod asker;
#[path = "harness/caller.rs"]
pub mod caller;
#[path = "harness/embedded.rs"]
pub mod embedded;
#[path = "harness/faults.rs"]
pub mod faults;
#[path = "harness/guests.rs"]
pub mod guests;
#[path = "harness/large.rs"]
pub mod large;
#[path = "harness/lattice.rs"]
pub mod lattice;
#[path = "harness/load.rs"]
pub mod load;
#[path = "harness/longer.rs"]
pub mod longer;
#[path = "harness/mint.rs"]
pub mod mint;
#[path = "harness/process.rs"]
pub mod process;
#[path = "harness/program.rs"]
pub mod program;
#[path = "harness/proxy.rs"]
pub mod proxy;
#[path = "harness/rotating.rs"]
pub mod rotating;
#[path = "harness/sign.rs"]
pub mod sign;
#[path = "harness/stranger.rs"]
pub mod stranger;
#[path = "harness/vectors.rs"]
pub mod vectors;
#[path = "harness/verifiers.rs"]
pub mod verifiers;
