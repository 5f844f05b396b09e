//! What is done to an older log that was put back: looked at, and restored, in this process (T28).

use std::sync::Arc;

use super::{Act, Client, Done, Over, told};
use crate::clock::{Clock, SystemClock};
use crate::service::{self, Survey};

impl Client {
    /// What of this folder's log is lost, by its lock, by its hosts, and by what the operator was told.
    ///
    /// # Errors
    /// [`Error::Locked`] while a broker runs, or why the folder cannot be read.
    pub fn survey(&self, told_of: (u64, u64)) -> anyhow::Result<Survey> {
        self.runtime.block_on(service::survey(self.need_folder()?, told_of)).map_err(told)
    }

    /// Restores an older log that was put back, in this process.
    ///
    /// # Errors
    /// As [`Client::command`]; a refused one changes nothing.
    pub fn restore(&self, basis: u64, act: Act) -> anyhow::Result<Done> {
        let (folder, pin) = (self.need_folder()?, self.pin()?);
        let signed = self.signed(&pin, basis, act)?;
        let bytes = self.runtime.block_on(service::restore(folder, Arc::new(SystemClock::default()), &signed.bytes));
        let receipt =
            pin.receipt(&bytes.map_err(told)?, signed.token_sha256, &self.lattice, SystemClock::default().now())?;
        Ok(Done { receipt, id: signed.command.jti, over: Over::Folder })
    }
}
