//! Strangers on the wire: one answers every question with what it was told to say, one listens at every inbox.
//!
//! What they say is left to the tests.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use policy::answer::{StartAnswer, Verdict};
use policy::envelope::Unverified;
use policy::wire::Topic;

use crate::asker::lattice_name;

/// What a stranger makes of a question, and how often it was asked.
pub struct Rogue {
    heard: Arc<Mutex<usize>>,
}

impl Rogue {
    /// Answers each start at once, with everything that `say` makes of the question; in a queue group or outside.
    pub async fn on(url: &str, group: Option<&str>, say: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let client = async_nats::connect(url).await.expect("a server");
        let subject = Topic::StartComponent.subject(&lattice_name());
        let asked = match group {
            Some(group) => client.queue_subscribe(subject, group.to_owned()).await,
            None => client.subscribe(subject).await,
        };
        let mut asked = asked.expect("a subscription");
        standing(&client).await;
        let heard = Arc::new(Mutex::new(0));
        let count = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(message) = asked.next().await {
                *count.lock().expect("the count") += 1;
                let reply = message.reply.clone().expect("a reply subject");
                for spoof in say(&message.payload) {
                    client.publish(reply.clone(), spoof.into()).await.expect("published");
                }
                client.flush().await.expect("flushed");
            }
        });
        Self { heard }
    }

    /// How many questions it heard.
    pub fn heard(&self) -> usize {
        *self.heard.lock().expect("the count")
    }
}

/// A genuine permit, as it came; none until one was given.
pub type Overheard = Arc<Mutex<Option<Vec<u8>>>>;

/// Listens at every inbox, and keeps the first permit that the broker gives.
pub async fn eavesdrop(url: &str) -> Overheard {
    let client = async_nats::connect(url).await.expect("a server");
    let mut inboxes = client.subscribe("*.*").await.expect("a subscription");
    standing(&client).await;
    let overheard = Overheard::default();
    let keep = Arc::clone(&overheard);
    tokio::spawn(async move {
        while let Some(message) = inboxes.next().await {
            let Ok(answer) = Unverified::<StartAnswer>::parse(&message.payload) else { continue };
            if answer.says().verdict == Verdict::Permitted {
                keep.lock().expect("what was overheard").get_or_insert(message.payload.to_vec());
            }
        }
        drop(client);
    });
    overheard
}

/// A round trip: what was subscribed on this connection stands.
pub async fn standing(client: &async_nats::Client) {
    let own = client.new_inbox();
    let mut echo = client.subscribe(own.clone()).await.expect("a subscription");
    client.publish(own, "stands".into()).await.expect("published");
    echo.next().await.expect("the echo");
}
