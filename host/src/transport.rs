//! How a host reaches its broker: a question out, every reply in, and the broker's notices.
//!
//! Replies are bytes from anybody. Which of them counts is left to `ask`, the wire itself to `transport/nats`.

pub mod nats;

use std::sync::{Mutex, PoisonError};

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

    /// The code of the last reply that only turned the question away. Nobody signed it: a hint for people, no answer.
    fn turned_away(&self) -> Option<Reason> {
        None
    }
}

/// No wire, because connecting failed: what is asked over it is told why.
pub struct Down {
    address: String,
    why: Mutex<Option<Error>>,
}

impl Down {
    /// A wire that could not be made.
    pub fn new(address: String, why: Error) -> Self {
        Self { address, why: Mutex::new(Some(why)) }
    }
}

impl Transport for Down {
    fn ask(&self, _subject: String, _payload: Vec<u8>) -> BoxFuture<'_, Result<Replies, Error>> {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner).take();
        let again = || Error::Wire {
            doing: format!("there is no connection to `{}`", self.address),
            source: "connecting failed when this host began".into(),
        };
        Box::pin(async move { Err(why.unwrap_or_else(again)) })
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
