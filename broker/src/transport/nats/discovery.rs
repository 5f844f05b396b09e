//! What tools for NATS micro services ask: who is there, where it listens, how often it was asked.
//!
//! The answers hold nothing that is not on the wire already, but they are published with the broker's rights: like any
//! answer they go to an inbox and nowhere else (T54), for which reason the client library's own responder, which
//! publishes wherever it is told to, is not used. The documents are those of the NATS service API.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::Client;
use futures::StreamExt;
use futures::stream::SelectAll;
use policy::name::Lattice;
use policy::reason::Reason;
use policy::wire::{Nonce, Topic};
use serde_json::{Value, json};

use super::inbox_owner;
use crate::service::Service;

/// The broker, as such tools see it.
pub(super) struct Card {
    id: String,
    started: String,
    lattice: Lattice,
    asked: [AtomicU64; Topic::ASKED.len()],
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Ping,
    Info,
    Stats,
}

impl Card {
    /// One for this process.
    pub(super) fn new(id: Nonce, started: String, lattice: Lattice) -> Self {
        Self { id: id.to_string(), started, lattice, asked: Default::default() }
    }

    /// Counts one request.
    pub(super) fn count(&self, topic: Topic) {
        for (_, asked) in Topic::ASKED.iter().zip(&self.asked).filter(|(listed, _)| **listed == topic) {
            asked.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn document(&self, verb: Verb) -> Value {
        let kind = format!("io.nats.micro.v1.{}_response", verb.word().to_lowercase());
        let mut document =
            json!({"type": kind, "name": NAME, "id": self.id, "version": env!("CARGO_PKG_VERSION"), "metadata": {}});
        let endpoints = Topic::ASKED.iter().zip(&self.asked).map(|(topic, asked)| self.endpoint(verb, *topic, asked));
        let more = match verb {
            Verb::Ping => return document,
            Verb::Info => ("description", json!("who answers, and why")),
            Verb::Stats => ("started", json!(self.started)),
        };
        if let Some(members) = document.as_object_mut() {
            members.insert(more.0.to_owned(), more.1);
            members.insert("endpoints".to_owned(), endpoints.collect());
        }
        document
    }

    fn endpoint(&self, verb: Verb, topic: Topic, asked: &AtomicU64) -> Value {
        let name = topic.suffix().replace('.', "-").replace("-*", "");
        let subject = topic.subject(&self.lattice);
        match verb {
            Verb::Ping | Verb::Info => json!({"name": name, "subject": subject, "queue_group": "", "metadata": {}}),
            Verb::Stats => json!({
                "name": name, "subject": subject, "queue_group": "", "num_requests": asked.load(Ordering::Relaxed),
                "num_errors": 0, "last_error": "", "processing_time": 0, "average_processing_time": 0,
            }),
        }
    }
}

impl Verb {
    const fn word(self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Info => "INFO",
            Self::Stats => "STATS",
        }
    }
}

/// Subscribes for such tools; what is given back answers them until it is dropped.
pub(super) async fn discoverable(
    client: Client,
    card: Arc<Card>,
    service: Arc<Service>,
) -> Result<impl Future<Output = ()>, async_nats::SubscribeError> {
    let mut asked = SelectAll::new();
    for verb in [Verb::Ping, Verb::Info, Verb::Stats] {
        let all = format!("$SRV.{}", verb.word());
        for subject in [format!("{all}.{NAME}.{}", card.id), format!("{all}.{NAME}"), all] {
            asked.push(client.subscribe(subject).await?.map(move |message| (verb, message)));
        }
    }
    Ok(async move {
        while let Some((verb, message)) = asked.next().await {
            let reply = message.reply.as_deref().unwrap_or_default();
            if !goes_to_an_inbox(reply) {
                service.turn_away(Reason::ReplyElsewhere);
                continue;
            }
            let document = card.document(verb).to_string();
            if let Err(error) = client.publish(reply.to_owned(), document.into()).await {
                tracing::debug!(%error, "a tool was not answered");
            }
        }
    })
}

// Such tools listen at an inbox without a key of ours.
fn goes_to_an_inbox(reply: &str) -> bool {
    let shared = reply.strip_prefix("_INBOX.").filter(|rest| super::is_tokens(rest));
    shared.is_some() || inbox_owner(reply).is_some()
}

const NAME: &str = "countersign";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_answered_at_an_inbox_alone() {
        assert!(goes_to_an_inbox("_INBOX.abc.1") && goes_to_an_inbox("_INBOX.abc"));
        for hostile in ["", "_INBOX", "_INBOX.", "_INBOX.*", "_INBOX.a.>", "$JS.API.INFO", "countersign.v1.a.command"] {
            assert!(!goes_to_an_inbox(hostile), "{hostile}");
        }
    }

    #[test]
    fn a_card_names_what_is_listened_to_and_counts_it() {
        let lattice = Lattice::parse("default").unwrap();
        let card = Card::new(Nonce::from_random([7; 16]), "2026-01-01T00:00:00Z".to_owned(), lattice);
        card.count(Topic::Command);
        let (info, stats) = (card.document(Verb::Info), card.document(Verb::Stats));
        assert_eq!(card.document(Verb::Ping)["type"], "io.nats.micro.v1.ping_response");
        assert_eq!(info["endpoints"][0]["subject"], "countersign.v1.default.start.component");
        let counts: Vec<_> = stats["endpoints"].as_array().unwrap().iter().map(|end| &end["num_requests"]).collect();
        assert_eq!(counts, [0, 0, 1, 0, 0, 0, 0, 0]);
    }
}
