//! Load: signed requests fired with so many in flight, each answer kept for later.
//!
//! One connection for all hosts, so that the side that asks costs both sides under measurement the same.

use std::time::{Duration, Instant};

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures::StreamExt;

/// A request, ready to go.
#[derive(Clone)]
pub(crate) struct Shot {
    pub(crate) subject: String,
    /// The asker's inbox; its answers are told apart by what follows.
    pub(crate) inbox: String,
    pub(crate) payload: Bytes,
}

/// What came back.
pub(crate) struct Volley {
    pub(crate) elapsed: Duration,
    /// The answer to each shot, in their order.
    pub(crate) answers: Vec<Bytes>,
    /// How long each waited.
    pub(crate) waits: Vec<Duration>,
}

impl Volley {
    pub(crate) fn rate(&self) -> f64 {
        self.answers.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Fires all of them, so many in flight, and waits for every answer.
pub(crate) async fn fire(client: &Client, shots: &[Shot], in_flight: usize) -> Volley {
    let mut replies = client.subscribe("*.bench.*").await.expect("a subscription");
    client.flush().await.expect("it is known");
    let mut answers = vec![Bytes::new(); shots.len()];
    let mut sent = vec![Instant::now(); shots.len()];
    let mut waits = vec![Duration::ZERO; shots.len()];
    let began = Instant::now();
    let mut next = 0;
    for _ in 0..in_flight.min(shots.len()) {
        send(client, shots, &mut sent, &mut next).await;
    }
    for _ in 0..shots.len() {
        let reply = tokio::time::timeout(LONGEST, replies.next()).await.expect("an answer").expect("the wire is up");
        let number: usize = reply.subject.rsplit('.').next().and_then(|text| text.parse().ok()).expect("a number");
        assert!(reply.headers.is_none(), "shot {number} was turned away: {:?}", reply.headers.as_ref().map(status));
        (waits[number], answers[number]) = (sent[number].elapsed(), reply.payload);
        send(client, shots, &mut sent, &mut next).await;
    }
    let elapsed = began.elapsed();
    replies.unsubscribe().await.expect("it is given up");
    Volley { elapsed, answers, waits }
}

async fn send(client: &Client, shots: &[Shot], sent: &mut [Instant], next: &mut usize) {
    let Some(shot) = shots.get(*next) else { return };
    sent[*next] = Instant::now();
    let reply = format!("{}.bench.{next}", shot.inbox);
    client.publish_with_reply(shot.subject.clone(), reply, shot.payload.clone()).await.expect("it is sent");
    *next += 1;
}

fn status(headers: &HeaderMap) -> String {
    format!("{headers:?}")
}

// Longer than anything here takes, short enough to tell that something is lost.
const LONGEST: Duration = Duration::from_secs(20);
