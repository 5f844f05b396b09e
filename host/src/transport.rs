//! How a host reaches its broker: a question out, every reply in, and the broker's notices.
//!
//! Replies are bytes from anybody. Which of them counts is left to `ask`, the wire itself to `transport/nats`.

pub mod nats;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use policy::reason::Reason;
use policy::time::Timestamp;

use crate::error::Error;

/// Whatever arrives, in the order in which it arrives.
pub type Replies = BoxStream<'static, Vec<u8>>;

/// The wire to a broker.
pub trait Transport: Send + Sync {
    /// Sends a document and gives everything that is sent to its reply subject.
    fn ask(&self, subject: String, payload: Vec<u8>) -> BoxFuture<'_, Result<Replies, Error>>;

    /// Everything that is published under a subject from now on.
    fn listen(&self, subject: String) -> BoxFuture<'_, Result<Replies, Error>>;

    /// Where the broker is looked for, for messages.
    fn address(&self) -> String;

    /// How often a connection was made; another number may mean another broker.
    fn connects(&self) -> u64 {
        0
    }

    /// The code of the last reply that only turned the question away. Nobody signed it: a hint for people, no answer.
    fn turned_away(&self) -> Option<Reason> {
        None
    }
}

/// No wire, because connecting failed: what is asked over it is told why.
pub struct Down {
    address: String,
    why: String,
    cause: Cause,
}

// What stood behind an error, as often as it is asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
struct Cause {
    text: String,
    #[source]
    behind: Option<Box<Cause>>,
}

impl Cause {
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let behind = error.source().map(|behind| Box::new(Self::of(behind)));
        Self { text: error.to_string(), behind }
    }
}

impl Down {
    /// A wire that could not be made.
    pub fn new(address: String, why: &Error) -> Self {
        let cause = Cause::of(std::error::Error::source(why).unwrap_or(why));
        Self { address, why: why.to_string(), cause }
    }
}

impl Transport for Down {
    fn ask(&self, _subject: String, _payload: Vec<u8>) -> BoxFuture<'_, Result<Replies, Error>> {
        let (doing, source) = (self.why.clone(), Box::new(self.cause.clone()));
        Box::pin(async move { Err(Error::Wire { doing, source }) })
    }

    fn listen(&self, _subject: String) -> BoxFuture<'_, Result<Replies, Error>> {
        Box::pin(async { Ok(futures::stream::pending().boxed()) })
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}

/// What such a reply is worth saying, beside a wait that was in vain.
pub(crate) fn hint(transport: &dyn Transport, now: Timestamp) -> String {
    match transport.turned_away() {
        None => String::new(),
        Some(Reason::RequestStale) => format!(
            "; an unsigned reply said `request_stale`: this host's clock says {now}, compare it with the broker's, \
             whose messages name both times"
        ),
        Some(reason) => format!("; an unsigned reply said `{reason}`: {}", reason.meaning()),
    }
}
