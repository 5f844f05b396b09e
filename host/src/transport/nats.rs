//! The NATS wire: the only file that names it.
//!
//! Replies come to an inbox under the asker's own key, which NATS permissions can keep for it (T54). A message that
//! only says that nobody listens is no reply: anybody could send that, so the wait goes on.

use std::net::IpAddr;
use std::time::Duration;

use async_nats::ServerAddr;
use futures::StreamExt;
use futures::future::BoxFuture;
use policy::key::{Name, Role};
use policy::wire::inbox_prefix;

use crate::error::Error;
use crate::transport::{Replies, Transport};

/// A connection to a NATS server.
#[derive(Debug, Clone)]
pub struct Nats {
    client: async_nats::Client,
    url: String,
}

impl Nats {
    /// Connects, with the inbox prefix of this key; outside this machine, over TLS or not at all (T57).
    ///
    /// # Errors
    /// When no server answers within the time, or one elsewhere cannot do TLS.
    pub async fn connect<R: Role>(url: &str, key: &Name<R>, timeout: Duration) -> Result<Self, Error> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            wire(&format!("cannot reach NATS at `{}`", without_password(url)), error)
        };
        let servers = url.split(',').map(|one| one.trim().parse::<ServerAddr>()).collect::<Result<Vec<_>, _>>();
        let servers = servers.map_err(|error| failed(error.into()))?;
        let options = async_nats::ConnectOptions::new()
            .name("countersign-host")
            .custom_inbox_prefix(inbox_prefix(key))
            .connection_timeout(timeout)
            .require_tls(servers.iter().any(|server| !is_loopback(server.host())))
            .event_callback(|event| async move { tracing::debug!("nats: {event}") });
        let client = options.connect(servers).await.map_err(|error| failed(error.into()))?;
        Ok(Self { client, url: without_password(url) })
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
            Ok(replies.filter_map(|message| async move { payload_of(message) }).boxed())
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
}

fn payload_of(message: async_nats::Message) -> Option<Vec<u8>> {
    if message.payload.is_empty() {
        tracing::debug!(status = ?message.status, "an empty message came back");
        return None;
    }
    Some(message.payload.into())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn wire(doing: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Wire { doing: doing.to_owned(), source: error.into() }
}

/// The URL as it may be printed: without the user and password that it may carry.
pub fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host)),
        None => url.rsplit_once('@').map_or(url, |(_, host)| host).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::identity::HostKey;

    // A server that speaks plain NATS and nothing else, and gives back the first bytes that it is sent.
    fn plain_server() -> (u16, std::thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"INFO {\"server_id\":\"plain\",\"max_payload\":1048576}\r\n").unwrap();
            let mut first = vec![0; 8];
            let read = stream.read(&mut first).unwrap_or_default();
            first.truncate(read);
            first
        });
        (port, served)
    }

    #[tokio::test]
    async fn t57_a_plain_server_elsewhere_is_told_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let key = HostKey::load_or_make(dir.path()).unwrap();
        // It is this machine in truth, under an address that is not the loopback's.
        for (host, talks) in [("127.0.0.1", true), ("0.0.0.0", false)] {
            let (port, served) = plain_server();
            let url = format!("nats://{host}:{port}");
            assert!(Nats::connect(&url, key.name(), Duration::from_secs(5)).await.is_err());
            assert_eq!(served.join().unwrap().starts_with(b"CONNECT"), talks, "{host}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_never_printed() {
        assert_eq!(without_password("nats://me:secret@127.0.0.1:4222"), "nats://127.0.0.1:4222");
        assert_eq!(without_password("me:secret@127.0.0.1"), "127.0.0.1");
        assert_eq!(without_password("tls://broker:4222"), "tls://broker:4222");
    }
}
