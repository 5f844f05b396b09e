//! Tells the broker what runs here, and does what it answers: closes what lost its ground.
//!
//! With each newer epoch, with each change, and every few seconds; so a host that was away says and learns it at once
//! when it is back. Only the broker's own word closes anything: a decision key's, in a warrant of the pinned root, about
//! the very inventory that was sent. What is closed how is left to `inventory`.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use policy::digest::Digest;
use policy::inventory::{HostInventory, MAX_PAGES, Runs};
use policy::question::{Inventory, Offer};
use policy::reason::{Reason, Refusal};
use policy::wire::Topic;
use policy::withdrawal::Withdrawals;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use crate::ask::Asker;
use crate::error::Error;
use crate::inventory::Register;
use crate::stock::Stock;

/// Reports for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Reporting(JoinHandle<()>);

// What a host has, whatever runs there.
struct Offered {
    builtins_sha256: Digest,
    at_hand: Option<Vec<Digest>>,
}

/// Reports from now on.
pub(crate) fn report(asker: Arc<Asker>, register: Arc<Register>, stock: Arc<Stock>, offers: &[Offer]) -> Reporting {
    let builtins_sha256 = builtins(offers);
    Reporting(tokio::spawn(async move {
        let (raised, changed) = (asker.memory.raised(), register.changed());
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = tokio::select! {
                () = raised.notified() => true,
                () = changed.notified() => true,
                _ = beat.tick() => true,
                () = tokio::time::sleep(GLANCE), if register.is_closing() => false,
            };
            let ended = register.settle(asker.clock.now());
            if due || ended {
                let offered = Offered { builtins_sha256, at_hand: stock.at_hand() };
                tell(&asker, &register, &offered, register.pages()).await;
                // What was closed just now may have ended already.
                if register.settle(asker.clock.now()) {
                    tell(&asker, &register, &offered, register.pages()).await;
                }
                stock.look();
            }
        }
    }))
}

/// Says once that nothing runs here any more, and what was being closed has ended with it.
pub(crate) async fn leave(asker: &Asker, register: &Register, offers: &[Offer]) {
    register.settle(asker.clock.now());
    let offered = Offered { builtins_sha256: builtins(offers), at_hand: None };
    for _ in 0..FAREWELLS {
        // There is no next beat: what was not heard would be shown as running until it is forgotten.
        if tell(asker, register, &offered, vec![Vec::new()]).await {
            return;
        }
    }
}

fn builtins(offers: &[Offer]) -> Digest {
    Digest::of(&policy::json::write(&Inventory { builtins: offers.to_vec() }))
}

// What goes wrong here is tried again with the next beat; nothing that runs depends on it. Whether all was answered.
async fn tell(asker: &Asker, register: &Register, offered: &Offered, pages: Vec<Vec<Runs>>) -> bool {
    let mut answered = true;
    let (sequence, count) = (register.next(), (pages.len() as u64).min(MAX_PAGES));
    for (page, running) in (0..count).zip(pages) {
        let record = asker.memory.record();
        let inventory = HostInventory {
            iss: *asker.key.name(),
            aud: record.lattice,
            iat: asker.clock.now(),
            process: register.process(),
            sequence,
            page,
            pages: count,
            seen: asker.memory.seen(),
            // Looked up after the time: no word without a fork is later than one of it.
            forked: asker.memory.forked(),
            checkpoint: record.checkpoint,
            builtins_sha256: offered.builtins_sha256,
            running,
            closed: if page == 0 { register.closed() } else { Vec::new() },
            at_hand: offered.at_hand.clone().filter(|_| page == 0),
        };
        if let Err(error) = exchange(asker, register, &inventory).await {
            answered = false;
            tracing::debug!("an inventory was not answered: {error}");
        }
    }
    answered
}

async fn exchange(asker: &Asker, register: &Register, inventory: &HostInventory) -> Result<(), Error> {
    let bytes = asker.key.sign(inventory, &[])?;
    let sha256 = Digest::of(&bytes);
    let until = Instant::now() + PATIENCE;
    let unanswered = || Refusal::new(Reason::BrokerUnreachable, "no answer that counts came in time");
    let asking = asker.transport.ask(Topic::Inventory.subject(&inventory.aud), bytes);
    let mut replies = timeout_at(until, asking).await.map_err(|_| unanswered())??;
    while let Ok(Some(reply)) = timeout_at(until, replies.next()).await {
        match open(asker, &reply, sha256) {
            Ok(told) => {
                told.withdrawn.iter().for_each(|withdrawal| register.close(withdrawal));
                register.noted(told.noted);
                return Ok(());
            }
            Err(refusal) => tracing::debug!("an answer to an inventory was ignored: {refusal}"),
        }
    }
    Err(unanswered().into())
}

// From bytes of anybody to the broker's word about this inventory.
fn open(asker: &Asker, bytes: &[u8], sha256: Digest) -> Result<Withdrawals, Refusal> {
    let (told, _) = asker.told::<Withdrawals>(bytes)?;
    let record = asker.memory.record();
    if told.aud != *asker.key.name() || told.lattice != record.lattice || told.request_sha256 != sha256 {
        return Err(Refusal::new(Reason::AnswerMismatch, "it is about another inventory"));
    }
    Ok((*told).clone())
}

impl Reporting {
    /// Reports no more.
    pub(crate) fn end(&self) {
        self.0.abort();
    }
}

impl Drop for Reporting {
    fn drop(&mut self) {
        self.end();
    }
}

// How often a host says what it runs where nothing changes.
const BEAT: Duration = Duration::from_secs(2);
// How often it looks whether what it closes has ended.
const GLANCE: Duration = Duration::from_millis(20);
// How often a process that ends says so, if nobody answers.
const FAREWELLS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(1);
