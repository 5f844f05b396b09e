//! countersign's court: everything that can fail for reasons outside the law.
//!
//! One request, in reading order: [`transport`] → [`service`] → `door` → [`policy`] examines, [`recall`] remembers →
//! `sequencer` → [`store`] → [`signer`] → [`transport`]. Beside them: [`rules`], which the law asks last, `config`, the
//! values of links, [`folder`] and [`keys`] on disk, [`export`], the log as lines, [`audit`], its proof, [`check`], the rows that a start
//! passed, `guard`, the tasks that must not fall, [`clock`], [`settings`], [`error`]. The
//! command line is [`command`], one file per command; [`client`] is how it reaches a lattice, [`view`] what it is shown,
//! and [`output`] what it prints.
//!
//! Guarantees: nothing leaves that is not on record; one task owns the state; every error and silence is a no. What is
//! right is left to `policy`, what a host does with an answer to `host`.

pub mod audit;
pub mod check;
pub mod client;
pub mod clock;
pub mod command;
mod config;
mod door;
pub mod error;
pub mod export;
pub mod folder;
mod generations;
mod guard;
pub mod keys;
pub mod output;
pub mod place;
pub mod present;
pub mod recall;
pub mod rules;
mod sequencer;
pub mod service;
pub mod settings;
pub mod signer;
pub mod store;
pub mod transport;
pub mod view;
