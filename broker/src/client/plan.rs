//! A plan: what a command would change, judged here and recorded nowhere, under a digest that whoever does it can name.

use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::examine;
use policy::govern::Event;
use serde_json::{Value, json};

use super::local::Local;
use super::{Act, Client, told};
use crate::clock::{Clock, SystemClock};
use crate::view;

/// What a command would change.
#[derive(Debug)]
pub struct Plan {
    /// SHA-256 of what is asked and of the epoch it was planned at: the same question later has another.
    pub sha256: Digest,
    /// That epoch.
    pub epoch: u64,
    /// What it would cause.
    pub events: Vec<Event>,
    /// How many starts of the log were decided again, and those that would come out otherwise.
    pub view: Value,
}

impl Client {
    /// What a command would change, judged here and recorded nowhere.
    ///
    /// # Errors
    /// The reason why it would be refused.
    pub fn plan(&self, basis: u64, act: Act) -> anyhow::Result<Plan> {
        let folder = self.need_folder()?;
        let signed = self.signed(basis, act)?;
        let local = self.runtime.block_on(Local::read(folder)).map_err(told)?;
        let (state, now) = (local.ledger.state(), SystemClock::default().now());
        let command = Unverified::<Command>::parse(&signed.bytes)?.verify(state.administrators())?;
        let events = state.handle(&examine::command(command), now)?.events;
        let view = self.runtime.block_on(view::plan(local.scene(now), &local.ledger, &events)).map_err(told)?;
        let Command { operations, statements, .. } = &signed.command;
        let asked = json!({
            "lattice": self.lattice, "epoch": state.epoch(), "operations": operations, "statements": statements,
        });
        Ok(Plan { sha256: Digest::of(&policy::json::write(&asked)), epoch: state.epoch(), events, view })
    }
}
