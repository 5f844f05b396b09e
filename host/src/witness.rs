//! Has the broker prove that its log only grew: beside every start, never on its way (T65).
//!
//! When this process begins, each half minute in which something new was signed, and as soon as something speaks for
//! another broker: another epoch or warrant, a connection made anew, notices that begin again. An answer that does not
//! prove it is evidence of a fork; none is no evidence, and is told of once it lasts. What is made of an answer is left to
//! `memory`.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use policy::digest::Digest;
use policy::growth::{Grown, Growth};
use policy::reason::{Reason, Refusal};
use policy::wire::Topic;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use crate::ask::Asker;
use crate::error::Error;
use crate::identity::nonce;
use crate::memory::{Open, Piece};

/// Watches for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Watching(JoinHandle<()>);

// What would be another if another broker spoke.
#[derive(PartialEq, Eq)]
struct Signs {
    epoch: u64,
    warrant_sha256: Option<Digest>,
    connects: u64,
    returns: u64,
}

/// Watches from now on.
pub(crate) fn watch(asker: Arc<Asker>) -> Watching {
    Watching(tokio::spawn(async move {
        let mut glance = tokio::time::interval(GLANCE);
        glance.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<(Instant, Signs)> = None;
        loop {
            glance.tick().await;
            let signs = Signs::of(&asker);
            let due = last.as_ref().is_none_or(|(at, before)| at.elapsed() >= EACH || *before != signs);
            let open = if last.is_none() { Some(asker.memory.open_anew()) } else { asker.memory.open() };
            let Some(open) = open.filter(|_| due && asker.memory.record().forked.is_none()) else { continue };
            last = Some((Instant::now(), signs));
            if let Err(error) = look(&asker, &open).await {
                tracing::debug!("it was not proved that the log only grew: {error}");
            }
        }
    }))
}

impl Signs {
    fn of(asker: &Asker) -> Self {
        let record = asker.memory.record();
        let (connects, returns) = (asker.transport.connects(), asker.memory.returns());
        Self { epoch: record.epoch, warrant_sha256: record.warrant_sha256, connects, returns }
    }
}

/// Asks once, and takes in the answer.
pub(crate) async fn look(asker: &Asker, open: &Open) -> Result<(), Error> {
    let mut sizes: Vec<u64> = open.trees.iter().map(|held| held.place.index + 1).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let growth = Growth {
        iss: *asker.key.name(),
        aud: asker.memory.record().lattice,
        iat: asker.clock.now(),
        jti: nonce()?,
        sizes,
        index: open.answer.as_ref().map(|answer| answer.place.index),
    };
    let question = asker.key.sign(&growth, &[])?;
    let until = Instant::now() + PATIENCE;
    let unanswered = || Refusal::new(Reason::BrokerUnreachable, "no answer that counts came in time");
    asker.memory.asks()?;
    let asking = asker.transport.ask(Topic::Growth.subject(&growth.aud), question.clone());
    let mut replies = timeout_at(until, asking).await.map_err(|_| unanswered())??;
    while let Ok(Some(reply)) = timeout_at(until, replies.next()).await {
        match take(asker, open, &question, &reply) {
            Err(error) if error.reason() != Some(Reason::LogFork) => {
                tracing::debug!("an answer about the log's growth was ignored: {error}");
            }
            taken => return taken,
        }
    }
    Err(unanswered().into())
}

// From bytes of anybody to the broker's word about this very question, and what it comes to.
fn take(asker: &Asker, open: &Open, question: &[u8], reply: &[u8]) -> Result<(), Error> {
    let (told, warrant) = asker.told::<Grown>(reply)?;
    let record = asker.memory.record();
    if told.aud != *asker.key.name() || told.lattice != record.lattice || told.request_sha256 != Digest::of(question) {
        return Err(Refusal::new(Reason::AnswerMismatch, "it is about another question").into());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let met = Piece::Growth { answer: text(reply), question: text(question) };
    asker.memory.prove(open, &told, &warrant, met)
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// How often it is looked whether something speaks for another broker.
const GLANCE: Duration = Duration::from_secs(1);
// How often what was signed is proved where nothing does.
const EACH: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(2);
