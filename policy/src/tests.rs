//! The law's promises, tried on whole worlds: a ledger, its keys, and questions asked of it.

mod decisions;
mod documents;
mod examples;
mod governance;
mod histories;
mod invariants;
mod issuers;
mod lent;
mod owners;
mod reasons;
mod relaxations;
mod rulings;
pub(crate) mod world;
mod worlds;
