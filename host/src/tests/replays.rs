//! The replay matrix: a genuine answer to another question, in every combination of what it could differ in (F26).
//!
//! Each is signed anew by the broker's own decision key: the hardest replay there is, because somebody could have been
//! given just that answer for a question of his own. Only the comparison with the question is left to refuse it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use futures::StreamExt;
use futures::future::BoxFuture;
use nkeys::KeyPairType;
use policy::digest::Digest;
use policy::reason::Reason;
use policy::wire::Topic;
use serde_json::json;

use super::answers::{permits, resigned};
use super::broker::{Bench, Broker, id};
use super::guests::{self, key};
use crate::ask::Start;
use crate::component::Component;
use crate::error::Error;
use crate::memory::Keep;
use crate::transport::{Replies, Transport};

/// A wire that brings another question's answer, and then ends: what is refused need not be waited for.
struct Replaying {
    broker: Arc<Broker>,
    // Which of the fields are another question's, a bit each.
    other: Arc<AtomicU8>,
    // Whether the answer names this very request all the same, which no replay could.
    names_request: bool,
}

impl Transport for Replaying {
    fn ask(&self, subject: String, payload: Vec<u8>) -> BoxFuture<'_, Result<Replies, Error>> {
        let genuine = self.broker.reply(&subject, &payload);
        let topics = [Topic::Inventory, Topic::Growth].map(|topic| topic.subject(&self.broker.lattice()));
        if topics.contains(&subject) {
            return Box::pin(async move { Ok(futures::stream::iter([genuine]).boxed()) });
        }
        let other = self.other.load(Ordering::SeqCst);
        let replayed = resigned(&self.broker, &genuine, |answer| {
            for (bit, (_, change)) in FIELDS.iter().enumerate() {
                if other & (1 << bit) != 0 {
                    change(answer);
                }
            }
            if other != 0 && !self.names_request {
                answer["request_sha256"] = json!(Digest::of(b"another request"));
            }
        });
        Box::pin(async move { Ok(futures::stream::iter([replayed]).boxed()) })
    }

    fn listen(&self, _subject: String) -> BoxFuture<'_, Result<Replies, Error>> {
        Box::pin(async { Ok(futures::stream::pending().boxed()) })
    }

    fn address(&self) -> String {
        "a wire that replays".to_owned()
    }
}

type Field = (&'static str, fn(&mut serde_json::Value));

const FIELDS: [Field; 7] = [
    ("host", |answer| answer["aud"] = json!(key(KeyPairType::Server, 77).public_key())),
    ("lattice", |answer| answer["lattice"] = json!("other")),
    ("nonce", |answer| answer["jti"] = json!("00000000000000000000000000000000")),
    ("epoch", |answer| answer["epoch"] = json!(answer["epoch"].as_u64().unwrap() - 1)),
    ("digest", |answer| answer["component"]["sha256"] = json!(Digest::of(b"other bytes"))),
    ("package", |answer| answer["outcomes"][0]["package"] = json!("wasi:sockets")),
    ("link name", |answer| answer["outcomes"][0]["link"] = json!("other")),
];

// The first thing that does not fit.
fn expected(other: u8, names_request: bool) -> Reason {
    let (lattice, epoch) = (1 << 1, 1 << 3);
    match other {
        _ if other & lattice != 0 => Reason::LatticeMismatch,
        // All else fits: only what this host has seen of the log contradicts it.
        _ if other == epoch && names_request => Reason::LogFork,
        _ => Reason::AnswerMismatch,
    }
}

#[tokio::test]
async fn t51_t52_f26_every_combination_of_another_questions_answer_is_refused() {
    for names_request in [true, false] {
        let bench = Bench::new();
        // An epoch that the host holds, so that an older one is known to be older.
        crate::notice::take(&bench.memory, &bench.broker.notice()).unwrap();
        let other = Arc::new(AtomicU8::new(0));
        let wire = Replaying { broker: Arc::clone(&bench.broker), other: Arc::clone(&other), names_request };
        let host = bench.host_on(Arc::new(wire)).await;
        let cart = Component::load(host.engine(), &guests::signed("cart")).unwrap();
        let runs = cart.runs(&id("cart"));
        let start = Start {
            what: policy::question::What::StartComponent,
            runs: &runs,
            claims: cart.token(),
            imports: cart.imports(),
            offers: host.offers(),
        };
        let mut refused = 0;
        for combination in 1..1 << FIELDS.len() {
            other.store(combination, Ordering::SeqCst);
            let fields: Vec<_> = (0..FIELDS.len()).filter(|bit| combination & (1 << bit) != 0).collect();
            let fields: Vec<_> = fields.into_iter().map(|bit| FIELDS[bit].0).collect();
            let reason = host.asker().ask(&start).await.err().and_then(|error| error.reason());
            assert_eq!(reason, Some(expected(combination, names_request)), "{fields:?}");
            // The broker's own key says both, and only an operator may say which is right.
            if reason == Some(Reason::LogFork) {
                bench.memory.dismiss(Keep::Held, "the test's own doing").unwrap();
            }
            refused += 1;
        }
        assert_eq!(refused, 127);
        other.store(0, Ordering::SeqCst);
        let (mut permits, slots, _) = permits(&host, &cart).await;
        assert!(slots.iter().all(|slot| permits.take(slot.import()).is_some()), "the unchanged one is accepted");
    }
}
