//! A wire that the attacker holds: hosts ask there, the broker listens elsewhere, and every answer goes through a hand.
//!
//! Questions are passed on as they are; what a host is sent in answer, and whether it hears of anything newer, is the
//! attacker's to say.

use std::path::Path;
use std::sync::Arc;

use broker::keys::SigningKey;
use data_encoding::BASE64URL_NOPAD;
use futures::StreamExt;
use harness::asker::lattice_name;
use harness::lattice::Nats;
use policy::answer::StartAnswer;
use policy::envelope::Unverified;
use policy::key::Decision;
use policy::question::StartRequest;
use policy::wire::{Topic, inbox_prefix};
use serde_json::Value;

use super::seen::Seen;
use super::stage::{Live, exchange};

/// A wire between a host of its own and the broker.
pub(super) struct Middle<'a> {
    live: &'a Live,
    host: &'static str,
    nats: Nats,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl<'a> Middle<'a> {
    /// Holds the wire of a host that joins under that name: each genuine answer is given to `hand`, and what that
    /// gives is sent to the host. Notices are held back.
    pub(super) fn of(
        live: &'a Live,
        host: &'static str,
        hand: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        live.lattice.join(host);
        let (nats, url, hand) = (Nats::start(), live.lattice.nats.url(), Arc::new(hand));
        let (questions, here, there) = live.runtime.block_on(async {
            let here = async_nats::connect(nats.url()).await.unwrap();
            let there = async_nats::connect(url).await.unwrap();
            let questions = here.subscribe(Topic::StartComponent.subject(&lattice_name())).await.unwrap();
            // The server knows of it before any host asks.
            here.flush().await.unwrap();
            (questions, here, there)
        });
        let tasks = vec![live.runtime.spawn(answered(questions, here, there, hand))];
        Self { live, host, nats, tasks }
    }

    /// The same, with the broker's notices passed on.
    pub(super) fn with_notices(mut self) -> Self {
        let (notices, there, here) = self.live.runtime.block_on(async {
            let here = async_nats::connect(self.nats.url()).await.unwrap();
            let there = async_nats::connect(self.live.lattice.nats.url()).await.unwrap();
            let notices = there.subscribe(Topic::Epoch.subject(&lattice_name())).await.unwrap();
            there.flush().await.unwrap();
            (notices, there, here)
        });
        self.tasks.push(self.live.runtime.spawn(passed_on(notices, there, here)));
        self
    }

    /// `countersign-host run` over this wire.
    pub(super) fn run(&self, file: &Path, id: &str) -> Seen {
        self.run_within("60", file, id)
    }

    /// The same where no answer will do, and the host waits to the end: longer, if the machine is so slow that even
    /// the attacker's answer came too late.
    pub(super) fn run_in_vain(&self, file: &Path, id: &str) -> Seen {
        let mut tries = ["1", "5", "25"].into_iter().map(|seconds| self.run_within(seconds, file, id));
        tries.find(|seen| !seen.is("broker_unreachable")).expect("an answer in time")
    }

    fn run_within(&self, seconds: &str, file: &Path, id: &str) -> Seen {
        self.live.run_as(self.host, file, id, &["--nats-url", &self.nats.url(), "--timeout", seconds])
    }
}

impl Drop for Middle<'_> {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

// Both connections live as long as there is something to pass on.
async fn passed_on(mut notices: async_nats::Subscriber, _there: async_nats::Client, here: async_nats::Client) {
    while let Some(notice) = notices.next().await {
        here.publish(notice.subject, notice.payload).await.unwrap();
    }
}

async fn answered(
    mut questions: async_nats::Subscriber,
    here: async_nats::Client,
    there: async_nats::Client,
    hand: Arc<impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static>,
) {
    while let Some(question) = questions.next().await {
        let host = Unverified::<StartRequest>::parse(&question.payload).unwrap().says().iss;
        let (topic, inbox) = (Topic::StartComponent, inbox_prefix(&host));
        let genuine = exchange(&there, topic, &inbox, question.payload.to_vec()).await.payload.to_vec();
        let hand = Arc::clone(&hand);
        let told = tokio::task::spawn_blocking(move || hand(genuine)).await.unwrap();
        here.publish(question.reply.unwrap(), told.into()).await.unwrap();
    }
}

/// A genuine answer with its members changed, signed anew by whoever holds that key, under the same warrant.
pub(super) fn resigned(genuine: &[u8], by: &SigningKey<Decision>, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let text = std::str::from_utf8(genuine).unwrap();
    let (token, warrant) = text.split_once('\n').unwrap();
    let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let mut document: Value = serde_json::from_slice(&payload).unwrap();
    change(&mut document);
    document["iss"] = by.name().to_string().into();
    let answer: StartAnswer = policy::json::read(&policy::json::write(&document)).unwrap();
    by.sign(&answer, [warrant.as_bytes()])
}
