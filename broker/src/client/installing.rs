//! How a warrant of the roots reaches whoever holds the folder's lock: this process, or a broker over NATS.

use std::time::Instant;

use policy::answer::Receipt;
use policy::digest::Digest;
use policy::envelope::Verified;
use policy::key::{Administrator, Name};
use policy::wire::Topic;

use super::local::install_in_process;
use super::{Client, DEADLINE, Over, PAUSE, Pin, is_unreachable, told, wire};
use crate::clock::{Clock, SystemClock};
use crate::keys::SigningKey;

impl Client {
    /// Has a warrant put in force by whoever holds the folder's lock: this process, or a broker, with its receipt.
    ///
    /// # Errors
    /// Why it was refused, or why nobody could be asked.
    pub fn install(&self, token: &[u8]) -> anyhow::Result<(Option<Verified<Receipt>>, Over)> {
        let pin = self.pin()?;
        if let Some(folder) = &self.folder {
            self.runtime.block_on(pin.expects(token, folder, SystemClock::default().now()))?;
        }
        self.runtime.block_on(async {
            let until = Instant::now() + DEADLINE;
            loop {
                if let Some(folder) = &self.folder
                    && install_in_process(folder, token).await.map_err(told)?
                {
                    return Ok((None, Over::Folder));
                }
                match self.install_over_nats(token, &pin).await {
                    Err(error) if self.folder.is_some() && Instant::now() < until && is_unreachable(&error) => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    installed => return installed.map(|receipt| (Some(receipt), Over::Nats)),
                }
            }
        })
    }

    async fn install_over_nats(&self, token: &[u8], pin: &Pin) -> anyhow::Result<Verified<Receipt>> {
        let inbox = self.inbox()?;
        let wire = wire::Wire::connect(self.nats()?, &inbox).await?;
        let check = |answer: &[u8]| pin.receipt(answer, Digest::of(token), &self.lattice, SystemClock::default().now());
        wire.ask(&Topic::Warrant.subject(&self.lattice), token, DEADLINE, check).await
    }

    // Replies go where only their asker listens; whoever has no key of its own listens at one made for this.
    fn inbox(&self) -> anyhow::Result<Name<Administrator>> {
        self.administrator().map_or_else(|_| Ok(SigningKey::generate().map_err(told)?.name()), |key| Ok(key.name()))
    }
}
