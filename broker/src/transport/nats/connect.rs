//! Connects to NATS, for the broker and for the command line: TLS outside loopback, a login of its own, jittered returns.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use policy::reason::Reason;

use crate::error::Error;
use crate::keys::{LoginKey, load_login};

/// How to reach NATS.
#[derive(Debug, Clone, Default)]
pub struct NatsOptions {
    /// One or more servers, separated by commas.
    pub url: String,
    /// A credentials file.
    pub creds: Option<PathBuf>,
    /// The seed file of a `U…` key that logs in, and does nothing else.
    pub nkey: Option<PathBuf>,
    /// Certificates of the authorities that may vouch for the server.
    pub tls_ca: Option<PathBuf>,
    /// The inbox prefix, `_INBOX_<own public key>`, of whoever asks.
    pub inbox: Option<String>,
    /// Whether a plain connection to another machine is tolerated.
    pub insecure: bool,
}

/// Connects.
///
/// # Errors
/// [`Error::Wire`] with the servers' names, never with a password; [`Error::Refused`] for a login key of another role.
pub async fn connect(options: &NatsOptions) -> Result<async_nats::Client, Error> {
    let servers = servers(&options.url)?;
    let url = servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect::<Vec<_>>().join(",");
    let failed = |act, source: Box<dyn std::error::Error + Send + Sync>| Error::Wire { act, url: url.clone(), source };
    let mut connect = ConnectOptions::new()
        .name("countersign")
        .connection_timeout(Duration::from_secs(5))
        .reconnect_delay_callback(pause)
        .max_reconnects(None);
    if let Some(inbox) = &options.inbox {
        connect = connect.custom_inbox_prefix(inbox);
    }
    if let Some(creds) = &options.creds {
        connect = connect.credentials_file(creds).await.map_err(|source| failed("log in", source.into()))?;
    }
    if let Some(login) = options.login()? {
        connect = connect.nkey(login.into_seed());
    }
    if let Some(authorities) = &options.tls_ca {
        connect = connect.add_root_certificates(authorities.clone());
    }
    // Outside this machine, a server that cannot do TLS is not talked to (T57).
    let elsewhere = servers.iter().any(|server| !is_loopback(server.host()));
    if options.tls_ca.is_some() || (elsewhere && !options.insecure) {
        connect = connect.require_tls(true);
    }
    connect.connect(servers).await.map_err(|source| failed("connect", source.into()))
}

impl NatsOptions {
    /// The raw public key that logs in, so that whoever holds signing keys can refuse it among them.
    ///
    /// # Errors
    /// As [`load_login`].
    pub fn login_raw(&self) -> Result<Option<[u8; 32]>, Error> {
        Ok(self.login()?.map(|login| login.raw()))
    }

    fn login(&self) -> Result<Option<LoginKey>, Error> {
        self.nkey.as_deref().map(load_login).transpose()
    }
}

fn servers(url: &str) -> Result<Vec<ServerAddr>, Error> {
    let parse = |one: &str| one.trim().parse::<ServerAddr>();
    let servers: Result<Vec<_>, _> = url.split(',').map(parse).collect();
    // The text may hold a password, so it is not repeated.
    servers.map_err(|_| {
        Error::refused(Reason::NameMalformed, "not a NATS address; write `nats://host:4222` or `tls://host:4222`")
    })
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

// Doubling pauses with up to half of each at random, so that a restarted server is not met by everyone at once (T94).
fn pause(attempts: usize) -> Duration {
    let full = 50_u64.saturating_mul(1 << attempts.min(7)).min(4000);
    let mut random = [0; 1];
    // Without randomness the pause is merely regular.
    let _ = getrandom::fill(&mut random);
    Duration::from_millis(full / 2 + full / 2 * u64::from(random[0]) / 255)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for here in ["127.0.0.1", "127.8.8.8", "localhost", "[::1]", "::1"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in
            ["10.0.0.1", "nats.example", "localhost.example", "0.0.0.0", "::ffff:10.0.0.1", "127.0.0.1.example"]
        {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_malformed_address_is_not_repeated() {
        let error = servers("nats://me:secret@ho st:1").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
