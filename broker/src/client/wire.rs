//! Asks over NATS, and waits past everything that is no proof until the deadline.

use std::time::Duration;

use async_nats::{Client, StatusCode};
use futures::StreamExt;
use policy::key::{Administrator, Name};
use policy::reason::{Reason, Refusal};
use policy::wire::inbox_prefix;
use tokio::time::Instant;

use crate::client::told;
use crate::error::Error;
use crate::transport::nats::{NatsOptions, connect};

/// What was asked has reached nobody.
#[derive(Debug, thiserror::Error)]
#[error("no broker listens there")]
pub(super) struct NobodyListens;

/// A connection on which replies come to one key's own inbox.
pub(super) struct Wire {
    client: Client,
    url: String,
}

impl Wire {
    /// Connects; replies come under the inbox prefix of that key.
    pub(super) async fn connect(options: NatsOptions, inbox: &Name<Administrator>) -> anyhow::Result<Self> {
        // A server chooses what a login signs, so no key that signs anything else may log in (T09).
        if options.login_raw().map_err(told)? == Some(*inbox.raw()) {
            return Err(Refusal::new(Reason::KeyInUse, "the administrator's key is no login; name another").into());
        }
        let options = NatsOptions { inbox: Some(inbox_prefix(inbox)), ..options };
        let client = connect(&options).await.map_err(told)?;
        Ok(Self { client, url: options.url })
    }

    /// The first answer that `check` believes, before the deadline.
    ///
    /// # Errors
    /// `broker_unreachable` when nothing came, else why the last signed thing that came was not believed.
    pub(super) async fn ask<T>(
        &self,
        subject: &str,
        request: &[u8],
        within: Duration,
        check: impl Fn(&[u8]) -> Result<T, Refusal>,
    ) -> anyhow::Result<T> {
        let most = self.client.server_info().max_payload;
        if request.len() > most {
            let detail = format!("{} bytes, the NATS server at `{}` takes at most {most}", request.len(), self.url);
            return Err(Refusal::new(Reason::TokenOversize, detail).into());
        }
        let until = Instant::now() + within;
        let inbox = self.client.new_inbox();
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| self.unanswered(source);
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|error| failed(Box::new(error)))?;
        let sent = self.client.publish_with_reply(subject.to_owned(), inbox, request.to_vec().into()).await;
        sent.map_err(|error| failed(Box::new(error)))?;
        let (mut disbelieved, mut unsigned) = (None, None);
        loop {
            let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.next()).await else {
                let nothing = unsigned.map_or_else(
                    || "no answer came in time".to_owned(),
                    |said: String| format!("no signed answer came in time; somebody unsigned said `{said}`"),
                );
                return Err(disbelieved.map_or_else(|| failed(nothing.into()).into(), Refusal::into));
            };
            // The server says at once that nobody listens; it is worth waiting only if somebody answered before.
            if answer.status == Some(StatusCode::NO_RESPONDERS) && disbelieved.is_none() && unsigned.is_none() {
                return Err(failed(Box::new(NobodyListens)).into());
            }
            if let Some(said) = answer.headers.as_ref().and_then(|headers| headers.get(policy::wire::ERROR_HEADER)) {
                unsigned = Some(said.as_str().chars().take(80).flat_map(char::escape_default).collect());
                continue;
            }
            match check(&answer.payload) {
                Ok(believed) => return Ok(believed),
                Err(refusal) => disbelieved = Some(refusal),
            }
        }
    }

    fn unanswered(&self, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Wire { act: "ask the broker", url: self.url.clone(), source }
    }
}
