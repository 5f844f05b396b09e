//! The law's promises, tried on whole worlds: a ledger, its keys, and questions asked of it.

mod administrators;
mod decisions;
mod documents;
mod examples;
mod governance;
mod histories;
mod invariants;
mod issuers;
mod law_5;
mod laws;
mod lent;
mod links;
mod order;
mod owners;
mod plans;
mod proofs;
mod reasons;
mod relaxations;
mod reprieves;
mod roots;
mod rules;
mod rulings;
mod warrants;
mod withdrawals;
pub(crate) mod world;
mod worlds;
mod worth;
