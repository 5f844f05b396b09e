//! Connects to NATS, for the broker and for the command line: TLS outside loopback, a login of its own, jittered returns.
//!
//! What TLS takes from files, and what a failed connection asks for, is left to `tls`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{ConnectOptions, Event, ServerAddr};
use policy::reason::Reason;
use policy::wire::{CONNECT, PING, reconnect_pause, refuse_plain};

use super::tls::{Advised, ClientCertificate, Way, secure};
use crate::error::Error;
use crate::keys::{LoginKey, load_creds, load_login};

/// How to reach NATS.
#[derive(Debug, Clone, Default)]
pub struct NatsOptions {
    /// One or more servers, separated by commas.
    pub url: String,
    /// What logs in, and does nothing else.
    pub login: Option<LoginFile>,
    /// Certificates of the authorities that may vouch for the server, in place of the machine's.
    pub tls_ca: Option<PathBuf>,
    /// What the client shows of itself.
    pub certificate: Option<ClientCertificate>,
    /// The inbox prefix, `_INBOX_<own public key>`, of whoever asks.
    pub inbox: Option<String>,
}

/// Where a login is kept.
#[derive(Debug, Clone)]
pub enum LoginFile {
    /// The seed of a `U…` key.
    Nkey(PathBuf),
    /// A credentials file: a user's token and its seed.
    Creds(PathBuf),
}

/// Connects.
///
/// # Errors
/// `wire_plain`, before anything is sent, for a plain connection to another machine; [`Error::Refused`] for a login key
/// of another role; [`Error::Unsafe`] or [`Error::Io`] for a file that cannot be used; [`Error::Wire`] with the servers'
/// names, never with a password.
pub async fn connect(options: &NatsOptions) -> Result<async_nats::Client, Error> {
    connect_hearing(options, |_| ()).await
}

/// Connects, and has told what the server says besides messages.
///
/// # Errors
/// As [`connect`].
pub(super) async fn connect_hearing(
    options: &NatsOptions,
    hear: impl Fn(Event) + Send + Sync + 'static,
) -> Result<async_nats::Client, Error> {
    let servers = servers(&options.url)?;
    let url = servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect::<Vec<_>>().join(",");
    let failed = |act, source: Box<dyn std::error::Error + Send + Sync>| Error::Wire { act, url: url.clone(), source };
    let began = AtomicBool::new(false);
    let mut connect = ConnectOptions::new()
        // What is read and not yet looked at is bounded; the rest is dropped, and counted by the client (T89).
        .subscription_capacity(SUBSCRIPTION)
        .name("countersign")
        .connection_timeout(CONNECT)
        .ping_interval(PING)
        .event_callback(move |event| {
            hear(event);
            std::future::ready(())
        })
        // Only the very first attempt is made at once: later ones may be those of a crowd.
        .reconnect_delay_callback(move |attempts| pause(began.swap(true, Ordering::Relaxed), attempts))
        .max_reconnects(None);
    if let Some(inbox) = &options.inbox {
        connect = connect.custom_inbox_prefix(inbox);
    }
    let way = options.way(&servers);
    connect = if way != Way::Plain {
        secure(connect, options.tls_ca.as_deref(), options.certificate.as_ref())?
    } else {
        // Whatever servers a plain one speaks of could be on other machines (T57).
        connect.ignore_discovered_servers()
    };
    let mut login = None;
    if let Some(key) = options.login()? {
        login = Some(key.public().to_owned());
        connect = key.enter(connect).map_err(|source| failed("log in", source.into()))?;
    }
    let connected = connect.connect(servers).await;
    connected.map_err(|source| failed("connect", Advised::new(source, login, way).into()))
}

impl NatsOptions {
    /// Refuses an address that may not be tried, before anything else is asked for.
    ///
    /// # Errors
    /// `wire_plain` for a plain connection to another machine, `name_malformed` for what is no address.
    pub fn refuse_unsafe(&self) -> Result<(), Error> {
        servers(&self.url).map(drop)
    }

    /// The raw public key that logs in, so that whoever holds signing keys can refuse it among them.
    ///
    /// # Errors
    /// As [`load_login`] and [`load_creds`].
    pub fn login_raw(&self) -> Result<Option<[u8; 32]>, Error> {
        Ok(self.login()?.map(|login| login.raw()))
    }

    // Naming an authority or a certificate demands TLS as much as the URL does.
    fn way(&self, servers: &[ServerAddr]) -> Way {
        match &self.certificate {
            Some(_) => Way::Certified,
            None if self.tls_ca.is_some() || servers.iter().any(ServerAddr::tls_required) => Way::Encrypted,
            None => Way::Plain,
        }
    }

    fn login(&self) -> Result<Option<Login>, Error> {
        self.login.as_ref().map(LoginFile::load).transpose()
    }
}

impl LoginFile {
    fn load(&self) -> Result<Login, Error> {
        match self {
            Self::Nkey(path) => load_login(path).map(Login::Nkey),
            Self::Creds(path) => load_creds(path).map(|(key, creds)| Login::Creds(key, creds)),
        }
    }
}

enum Login {
    Nkey(LoginKey),
    Creds(LoginKey, String),
}

impl Login {
    const fn raw(&self) -> [u8; 32] {
        match self {
            Self::Nkey(key) | Self::Creds(key, _) => key.raw(),
        }
    }

    fn public(&self) -> &str {
        match self {
            Self::Nkey(key) | Self::Creds(key, _) => key.public(),
        }
    }

    fn enter(self, connect: ConnectOptions) -> std::io::Result<ConnectOptions> {
        match self {
            Self::Nkey(key) => Ok(connect.nkey(key.into_seed())),
            Self::Creds(_, creds) => connect.credentials(&creds),
        }
    }
}

fn servers(url: &str) -> Result<Vec<ServerAddr>, Error> {
    let parse = |one: &str| one.trim().parse::<ServerAddr>();
    let servers: Result<Vec<_>, _> = url.split(',').map(parse).collect();
    // The text may hold a password, so it is not repeated.
    let servers = servers.map_err(|_| {
        Error::refused(Reason::NameMalformed, "not a NATS address; write `nats://host:4222` or `tls://host:4222`")
    })?;
    servers.iter().try_for_each(|server| refuse_plain(server.scheme(), server.host()))?;
    Ok(servers)
}

fn pause(again: bool, attempts: usize) -> Duration {
    let mut random = [0; 1];
    // Without randomness the pause is merely regular.
    let _ = getrandom::fill(&mut random);
    if again { reconnect_pause(attempts, random[0]) } else { Duration::ZERO }
}

// How many messages of one subscription may wait to be looked at.
const SUBSCRIPTION: usize = 4096;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_address_is_not_repeated() {
        let error = servers("nats://me:secret@ho st:1").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn t57_one_plain_server_elsewhere_refuses_the_whole_list() {
        let refused = servers("tls://a.example,nats://me:secret@b.example:4222").unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::WirePlain));
        assert!(
            refused.to_string().contains("tls://b.example") && !refused.to_string().contains("secret"),
            "{refused}"
        );
        assert_eq!(servers("nats://127.0.0.1, nats://[::1]:4222,tls://b.example").unwrap().len(), 3);
        assert_eq!(servers("B.example").unwrap_err().reason(), Some(Reason::WirePlain));
    }

    #[test]
    fn t94_only_the_very_first_attempt_is_made_at_once() {
        assert_eq!(pause(false, 1), Duration::ZERO);
        assert!(pause(true, 1) >= Duration::from_millis(50));
    }
}
