//! What the server says besides messages: subjects that it denies, messages that came faster than they were read, and
//! that it is gone or back.
//!
//! A broker that is denied one of its subjects looks alive and hears nothing there, so it does not begin. What is denied
//! later, after the server was configured anew, is told; what follows from that is left to the operator.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use async_nats::{Event, ServerError, Subscriber};
use futures::StreamExt;
use policy::name::Lattice;
use policy::wire::Topic;
use tokio::sync::watch;

/// What one connection of a broker was told.
pub(super) struct Hearing {
    lattice: Lattice,
    denied: watch::Sender<Option<Denied>>,
    slow: Seldom,
    unanswered: Seldom,
}

/// A subject that the server denies to this login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denied {
    right: Right,
    subject: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Publish,
    Subscribe,
}

// Told at most so often, with how many there were: strangers may cause it.
#[derive(Default)]
struct Seldom(Mutex<(Option<Instant>, u64)>);

impl Hearing {
    /// For the broker of that lattice.
    pub(super) fn of(lattice: Lattice) -> Self {
        let denied = watch::Sender::new(None);
        Self { lattice, denied, slow: Seldom::default(), unanswered: Seldom::default() }
    }

    /// Tells the operator.
    pub(super) fn hear(&self, event: &Event) {
        match event {
            Event::ServerError(ServerError::Other(said)) => match Denied::parse(said) {
                Some(denied) => self.deny(denied),
                None => tracing::error!(said = %said.escape_default(), "the NATS server turned something down"),
            },
            Event::ServerError(error) => tracing::error!(%error, "the NATS server turned something down"),
            Event::SlowConsumer(_) => {
                if let Some(count) = self.slow.count(Instant::now()) {
                    tracing::warn!(count, "messages came faster than they were read, and were dropped");
                }
            }
            Event::Disconnected => tracing::warn!("the NATS server is gone; nobody is heard until it is back"),
            Event::Connected => tracing::info!("connected to the NATS server"),
            Event::LameDuckMode | Event::Draining | Event::Closed | Event::ClientError(_) => {
                tracing::debug!(%event, "the NATS connection");
            }
        }
    }

    /// Waits until the server has taken each subscription before that to the notices, which the broker itself publishes.
    ///
    /// # Errors
    /// The subject that it did not take.
    pub(super) async fn is_heard(&self, mut notices: Subscriber) -> Result<(), Denied> {
        let mut denied = self.denied.subscribe();
        // What one connection says comes in order: with the first notice, or its denial, all that was denied before.
        tokio::select! {
            _ = notices.next() => {}
            _ = denied.wait_for(Option::is_some) => {}
        }
        // It is handed on by another task.
        tokio::time::sleep(HANDED_ON).await;
        self.missing().map_or(Ok(()), Err)
    }

    // What a broker cannot work without: it need not hear its own notices.
    fn missing(&self) -> Option<Denied> {
        let epoch = Topic::Epoch.subject(&self.lattice);
        self.denied.borrow().clone().filter(|denied| denied.is_deaf(&epoch))
    }

    fn deny(&self, denied: Denied) {
        let epoch = Topic::Epoch.subject(&self.lattice);
        if denied.right == Right::Publish && denied.subject != epoch {
            // Where an answer goes is chosen by whoever asks.
            if let Some(count) = self.unanswered.count(Instant::now()) {
                tracing::warn!(count, "answers did not leave: {denied}");
            }
            return;
        }
        let is_own = denied.subject.starts_with(&format!("countersign.v1.{}.", self.lattice));
        match is_own {
            // It is only published there.
            true if denied.subject == epoch && denied.right == Right::Subscribe => tracing::debug!("{denied}"),
            true => tracing::error!("nobody is heard there: {denied}"),
            false => tracing::warn!("no tool that looks for services finds this broker: {denied}"),
        }
        // The first one stays, unless it was of no weight.
        self.denied.send_if_modified(|first| {
            let is_worse = is_own && !first.as_ref().is_some_and(|first| first.is_deaf(&epoch));
            if is_worse {
                *first = Some(denied);
            }
            is_worse
        });
    }
}

impl Denied {
    fn is_deaf(&self, epoch: &str) -> bool {
        self.subject != epoch || self.right == Right::Publish
    }

    // `Permissions Violation for Subscription to "<subject>"`, and what may follow.
    fn parse(said: &str) -> Option<Self> {
        let rest = said.strip_prefix("Permissions Violation for ")?;
        let (right, rest) = match rest.split_once(" to \"")? {
            ("Subscription", rest) => (Right::Subscribe, rest),
            ("Publish", rest) => (Right::Publish, rest),
            _ => return None,
        };
        let subject = rest.split('"').next()?.chars().take(MOST).flat_map(char::escape_default).collect();
        Some(Self { right, subject })
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { right, subject } = self;
        let remedy = "in its permissions, as docs/operations.md lists them";
        write!(f, "the server does not let this login {right} `{subject}`; allow it under `{right}` {remedy}")
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
        })
    }
}

impl Seldom {
    // How many there were since the last time, if that was long enough ago.
    fn count(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, count) = &mut *told;
        *count += 1;
        if last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(count))
    }
}

const PAUSE: Duration = Duration::from_secs(10);
// Far longer than one task takes to hand something to another.
const HANDED_ON: Duration = Duration::from_millis(50);
// The longest subject that is repeated.
const MOST: usize = 200;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn heard(said: &[&str]) -> Option<String> {
        let hearing = Hearing::of(Lattice::parse("default").unwrap());
        for said in said {
            hearing.hear(&Event::ServerError(ServerError::Other((*said).to_owned())));
        }
        hearing.missing().map(|denied| denied.subject)
    }

    #[test]
    fn only_what_a_broker_cannot_work_without_is_a_denial() {
        let own = r#"Permissions Violation for Subscription to "countersign.v1.default.command""#;
        let queue = r#"Permissions Violation for Subscription to "countersign.v1.default.join" using queue "q""#;
        let notices = r#"Permissions Violation for Publish to "countersign.v1.default.epoch""#;
        let echo = r#"Permissions Violation for Subscription to "countersign.v1.default.epoch""#;
        let answer = r#"Permissions Violation for Publish to "_INBOX_x.a.b""#;
        let tools = r#"Permissions Violation for Subscription to "$SRV.PING""#;
        assert_eq!(heard(&[own]).as_deref(), Some("countersign.v1.default.command"));
        assert_eq!(heard(&[queue]).as_deref(), Some("countersign.v1.default.join"));
        assert_eq!(heard(&[notices]).as_deref(), Some("countersign.v1.default.epoch"));
        assert_eq!(heard(&[echo, own]).as_deref(), Some("countersign.v1.default.command"));
        assert_eq!(heard(&[own, notices]).as_deref(), Some("countersign.v1.default.command"));
        let harmless = [echo, answer, tools, "Stale Connection", "Permissions Violation for Mischief to \"x\""];
        assert_eq!(heard(&harmless), None);
    }

    #[test]
    fn what_strangers_may_cause_is_told_seldom_and_counted() {
        let (seldom, now) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.count(now), Some(1));
        assert_eq!((0..99).filter_map(|_| seldom.count(now)).count(), 0);
        assert_eq!(seldom.count(now + PAUSE), Some(100));
    }
}
