//! What hosts report: taken in, held against the log, recorded where it is evidence, and answered with what to close.

use std::sync::Arc;

use policy::digest::Digest;
use policy::envelope::Verified;
use policy::inventory::HostInventory;
use policy::key::{Host, Name};
use policy::log::{Checkpoint, NoteKey, Observed};
use policy::question::Seen;
use policy::reason::{Reason, Refusal};

use super::{Service, unavailable};
use crate::door::Reply;
use crate::error::Error;
use crate::present::Present;
use crate::sequencer::Tip;
use crate::store::LogReader;

impl Service {
    /// The signed word on a host's inventory.
    ///
    /// # Errors
    /// [`Error::Refused`] at the door, also with `state_rollback` for a host that has seen what this log does not hold.
    pub async fn inventory(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        self.inventory_to(bytes, Reply::Here).await
    }

    /// As [`Service::inventory`], when the answer goes to an inbox.
    pub(crate) async fn inventory_to(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Vec<u8>, Error> {
        let inventory = self.door.inventory(bytes, reply)?;
        let forked = self.present.forked(&inventory); // Also of one that followed the other log, and is turned away here.
        let leads = self.leads_to(inventory.iss, inventory.seen).await?;
        if leads.is_ok() {
            self.door.counted(self.present.hear(&inventory))?;
            self.compare(&inventory).await?;
        }
        self.note(&inventory, leads.is_ok(), forked).await?; // What is evidence is on record before anything is answered.
        self.door.counted(leads)?;
        let (withdrawn, noted) = (self.present.withdrawals(&inventory), self.present.noted(&inventory));
        let epoch = self.tip().checkpoint.epoch;
        Ok(self.speech.signer.load().withdrawals(&inventory, withdrawn, noted, epoch))
    }

    /// What hosts say of themselves.
    pub fn present(&self) -> &Present {
        &self.present
    }

    /// A host's request says how far it has seen, too.
    pub(super) fn heard_of(&self, host: Name<Host>, seen: Seen) {
        let tip = self.tip().checkpoint;
        if seen.index < tip.size && seen.epoch <= tip.epoch {
            self.present.acknowledged(host, seen.epoch);
        } else {
            alarm(host, seen, tip.size);
        }
    }

    // Closings that are new, a checkpoint of this log that it does not lead to, a fork that was not told before.
    async fn note(&self, inventory: &Verified<HostInventory>, leads: bool, forked: bool) -> Result<(), Error> {
        let newest = inventory.closed.iter().filter(|_| leads).map(|closed| closed.number).max().unwrap_or_default();
        let (held, ahead) = self.contradicted(inventory).await?;
        if newest <= self.present.noted(inventory) && !ahead && !forked {
            return Ok(());
        }
        self.sequencer.report(inventory.clone(), Observed { held, forked }).await.map_err(unavailable)?;
        self.present.note(inventory, newest);
        Ok(())
    }

    // Whether its checkpoint, which this very log signed, proves that the log was another: with the hash that it has now.
    async fn contradicted(&self, inventory: &HostInventory) -> Result<(Option<Digest>, bool), Error> {
        let Some(note) = inventory.checkpoint.as_ref().filter(|_| !self.present.is_behind()) else {
            return Ok((None, false));
        };
        let Tip { log_key, checkpoint: Checkpoint { size, .. } } = self.tip();
        // What today's log key does not open proves nothing: an older one may be a thief's, a newer one is not known yet.
        let Ok(checkpoint) = NoteKey::parse(&log_key)?.open(note.as_bytes()) else {
            return Ok((None, false));
        };
        let Some(last) = checkpoint.size.checked_sub(1) else { return Ok((None, false)) };
        if checkpoint.size > size {
            return Ok((None, true));
        }
        if self.present.lost(last) {
            return Ok((None, false));
        }
        let held = self.reader().await?.row(last).await?.map(|row| row.hash);
        let other = held.filter(|held| *held != checkpoint.last);
        Ok((other, other.is_some()))
    }

    // Whether what a host has seen is a place of this log. For its word alone nobody else is refused.
    async fn leads_to(&self, host: Name<Host>, seen: Seen) -> Result<Result<(), Refusal>, Error> {
        let Checkpoint { size, epoch, .. } = self.tip().checkpoint;
        let refused = |detail: String| Ok(Err(Refusal::new(Reason::StateRollback, detail)));
        if seen.index >= size || seen.epoch > epoch {
            alarm(host, seen, size);
            return refused(format!("host `{host}` has seen entry {}, this log ends at {size}", seen.index));
        }
        if self.present.lost(seen.index) {
            return Ok(Ok(()));
        }
        let held = self.reader().await?.row(seen.index).await?.map(|row| row.hash);
        if held == Some(seen.entry_sha256) {
            return Ok(Ok(()));
        }
        alarm(host, seen, size);
        refused(format!("host `{host}` has seen another entry {} than this log has", seen.index))
    }

    pub(super) async fn reader(&self) -> Result<Arc<LogReader>, Error> {
        self.reader.now().await
    }
}

fn alarm(host: Name<Host>, seen: Seen, size: u64) {
    tracing::error!(
        %host, seen = seen.index, epoch = seen.epoch, size,
        "a host has seen what this log does not hold: an older log was put back, or the host is wrong"
    );
}
