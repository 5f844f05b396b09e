//! The NATS wire: asking and listening on it. Connecting is left to `connect` and `tls`.
//!
//! Replies come to an inbox under the asker's own key, which NATS permissions can keep for it (T54). A message that
//! only says that nobody listens is no reply: anybody could send that, so the wait goes on.

mod connect;
mod tls;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use policy::key::{Name, Role};
use policy::reason::Reason;

use crate::error::Error;
use crate::transport::{Replies, Transport};

pub use connect::NatsOptions;
pub use tls::ClientCertificate;

/// A connection to a NATS server.
#[derive(Debug, Clone)]
pub struct Nats {
    client: async_nats::Client,
    url: String,
    turned_away: Arc<Mutex<Option<Reason>>>,
}

impl Nats {
    /// Connects, with the inbox prefix of this key.
    ///
    /// # Errors
    /// `wire_plain`, before anything is sent, for a plain connection to another machine (T57); the reason why the login
    /// is none; when no server answers within the time.
    pub async fn connect<R: Role>(options: &NatsOptions, key: &Name<R>, timeout: Duration) -> Result<Self, Error> {
        let client = connect::connect(options, key, timeout).await?;
        Ok(Self { client, url: without_password(&options.url), turned_away: Arc::default() })
    }
}

impl Transport for Nats {
    fn ask(&self, subject: String, payload: Vec<u8>) -> BoxFuture<'_, Result<Replies, Error>> {
        Box::pin(async move {
            let inbox = self.client.new_inbox();
            let failed = |error: Box<dyn std::error::Error + Send + Sync>| Error::Wire {
                doing: format!("cannot ask on `{subject}` at `{}`", self.url),
                source: error,
            };
            // Subscription and question travel on one connection, in this order: no answer can come too early.
            let replies = self.client.subscribe(inbox.clone()).await.map_err(|error| failed(error.into()))?;
            let sent = self.client.publish_with_reply(subject.clone(), inbox, payload.into()).await;
            sent.map_err(|error| failed(error.into()))?;
            self.client.flush().await.map_err(|error| failed(error.into()))?;
            let turned_away = Arc::clone(&self.turned_away);
            note(&turned_away, None);
            let heard = move |message: async_nats::Message| {
                if let Some(reason) = refusal_of(&message) {
                    note(&turned_away, Some(reason));
                }
                std::future::ready(payload_of(message))
            };
            Ok(replies.filter_map(heard).boxed())
        })
    }

    fn listen(&self, subject: String) -> BoxFuture<'_, Result<Replies, Error>> {
        Box::pin(async move {
            let subscribed = self.client.subscribe(subject.clone()).await;
            let messages =
                subscribed.map_err(|error| wire(&format!("cannot listen on `{subject}` at `{}`", self.url), error))?;
            Ok(messages.filter_map(|message| async move { payload_of(message) }).boxed())
        })
    }

    fn address(&self) -> String {
        self.url.clone()
    }

    fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    fn turned_away(&self) -> Option<Reason> {
        *self.turned_away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(place: &Mutex<Option<Reason>>, reason: Option<Reason>) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = reason;
}

// A code of ours in the header of a micro service's error; whoever sent it.
fn refusal_of(message: &async_nats::Message) -> Option<Reason> {
    let said = message.headers.as_ref()?.get(policy::wire::ERROR_HEADER)?;
    Reason::from_code(said.as_str())
}

fn payload_of(message: async_nats::Message) -> Option<Vec<u8>> {
    if message.payload.is_empty() {
        tracing::debug!(status = ?message.status, "an empty message came back");
        return None;
    }
    Some(message.payload.into())
}

fn wire(doing: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Wire { doing: doing.to_owned(), source: error.into() }
}

/// The URL as it may be printed: without the users and passwords that it may carry.
pub fn without_password(url: &str) -> String {
    let bare = |one: &str| match one.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host)),
        None => one.rsplit_once('@').map_or(one, |(_, host)| host).to_owned(),
    };
    url.split(',').map(|one| bare(one.trim())).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_url_is_never_printed() {
        assert_eq!(without_password("nats://me:secret@127.0.0.1:4222"), "nats://127.0.0.1:4222");
        assert_eq!(without_password("me:secret@127.0.0.1"), "127.0.0.1");
        assert_eq!(without_password("tls://broker:4222"), "tls://broker:4222");
        assert_eq!(without_password("nats://a:b@one:1, nats://c:d@two"), "nats://one:1,nats://two");
    }
}
