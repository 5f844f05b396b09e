//! Connects to NATS: TLS outside loopback, a login of its own, jittered returns.
//!
//! What TLS takes from files, and what a failed connection asks for, is left to `tls`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, ServerAddr};
use policy::key::{Name, Role};
use policy::reason::{Reason, Refusal};
use policy::wire::{CONNECT, PING, inbox_prefix, reconnect_pause, refuse_plain};

use super::tls::{Advised, ClientCertificate, Way, secure};
use super::without_password;
use crate::error::Error;
use crate::login::{Login, LoginFile};

/// How to reach NATS.
#[derive(Debug, Clone, Default)]
pub struct NatsOptions {
    /// One or more servers, separated by commas.
    pub url: String,
    /// What logs in, and does nothing else.
    pub login: Option<LoginFile>,
    /// Certificates of the authorities that may vouch for the server, in place of the machine's.
    pub tls_ca: Option<PathBuf>,
    /// What the host shows of itself.
    pub certificate: Option<ClientCertificate>,
}

/// Connects, with the inbox prefix of this key.
pub(super) async fn connect<R: Role>(options: &NatsOptions, key: &Name<R>, timeout: Duration) -> Result<Client, Error> {
    let servers = servers(&options.url)?;
    let failed =
        |source| Error::Wire { doing: format!("cannot reach NATS at `{}`", without_password(&options.url)), source };
    let began = AtomicBool::new(false);
    let mut connect = ConnectOptions::new()
        .name("countersign-host")
        .custom_inbox_prefix(inbox_prefix(key))
        .connection_timeout(timeout.min(CONNECT))
        .ping_interval(PING)
        // Only the very first attempt is made at once: later ones may be those of a crowd.
        .reconnect_delay_callback(move |attempts| pause(began.swap(true, Ordering::Relaxed), attempts))
        .max_reconnects(None)
        .event_callback(|event| async move { tracing::debug!("nats: {event}") });
    let way = options.way(&servers);
    connect = if way != Way::Plain {
        secure(connect, options.tls_ca.as_deref(), options.certificate.as_ref())?
    } else {
        // Whatever servers a plain one speaks of could be on other machines (T57).
        connect.ignore_discovered_servers()
    };
    let mut public = None;
    if let Some(login) = options.login.as_ref().map(Login::load).transpose()? {
        // A server chooses what a login signs, so no key that signs anything else may log in (T09).
        if login.raw() == key.raw() {
            let detail = "the host's own key is no login; make a user's key for it and name that with `--nkey`";
            return Err(Refusal::new(Reason::KeyInUse, detail).into());
        }
        public = Some(login.public().to_owned());
        connect = login.enter(connect).map_err(|source| failed(source.into()))?;
    }
    let connected = connect.connect(servers).await;
    connected.map_err(|source| failed(Advised::new(source, public, way).into()))
}

impl NatsOptions {
    // Naming an authority or a certificate demands TLS as much as the URL does.
    fn way(&self, servers: &[ServerAddr]) -> Way {
        match &self.certificate {
            Some(_) => Way::Certified,
            None if self.tls_ca.is_some() || servers.iter().any(ServerAddr::tls_required) => Way::Encrypted,
            None => Way::Plain,
        }
    }
}

fn servers(url: &str) -> Result<Vec<ServerAddr>, Refusal> {
    let parse = |one: &str| one.trim().parse::<ServerAddr>();
    let servers: Result<Vec<_>, _> = url.split(',').map(parse).collect();
    // The text may hold a password, so it is not repeated.
    let servers = servers.map_err(|_| {
        Refusal::new(Reason::NameMalformed, "not a NATS address; write `nats://host:4222` or `tls://host:4222`")
    })?;
    servers.iter().try_for_each(|server| refuse_plain(server.scheme(), server.host()))?;
    Ok(servers)
}

fn pause(again: bool, attempts: usize) -> Duration {
    let mut random = [0; 1];
    // Without randomness the pause is merely regular.
    let _regular = getrandom::fill(&mut random);
    if again { reconnect_pause(attempts, random[0]) } else { Duration::ZERO }
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
        for (server, talks) in [("nats://127.0.0.1", true), ("tls://0.0.0.0", false)] {
            let (port, served) = plain_server();
            let options = NatsOptions { url: format!("{server}:{port}"), ..NatsOptions::default() };
            assert!(connect(&options, key.name(), Duration::from_secs(5)).await.is_err());
            assert_eq!(served.join().unwrap().starts_with(b"CONNECT"), talks, "{server}");
        }
    }

    #[test]
    fn t57_one_plain_server_elsewhere_refuses_the_whole_list() {
        let refused = servers("tls://a.example,nats://me:secret@b.example:4222").unwrap_err();
        assert_eq!(refused.reason, Reason::WirePlain);
        assert!(refused.detail.contains("tls://b.example") && !refused.detail.contains("secret"), "{refused}");
        assert_eq!(servers("nats://127.0.0.1, nats://[::1]:4222,tls://b.example").unwrap().len(), 3);
        assert_eq!(servers("B.example").unwrap_err().reason, Reason::WirePlain);
        assert!(!servers("nats://me:secret@ho st:1").unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn t94_only_the_very_first_attempt_is_made_at_once() {
        assert_eq!(pause(false, 1), Duration::ZERO);
        assert!(pause(true, 1) >= Duration::from_millis(50));
    }
}
