//! Subjects, nonces and limits of the wire; one function builds every subject, from typed names (T41).
//!
//! Connecting is left to the broker and the host; what both must keep to when they do stands here.

use core::net::IpAddr;
use std::fmt;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::Deserialize;

use crate::key::{Name, Role};
use crate::name::Lattice;
use crate::reason::{Reason, Refusal};

/// The longest that a permit lives, counted from the moment the request was sent, in milliseconds.
pub const PERMIT_TTL_MS: u64 = 5000;
/// How far a request's time may be from the broker's, in seconds.
pub const FRESHNESS_S: u64 = 60;
/// How far the broker's clock may fall behind the log's time, in seconds, before everything is refused.
pub const CLOCK_LEEWAY_S: u64 = 60;
/// How far the broker's clock may run ahead of the time that passed, in milliseconds, before it is told.
pub const CLOCK_JUMP_MS: u64 = 3_600_000;
/// The longest that a command may wait for its broker, in seconds.
pub const COMMAND_LIFETIME_S: u64 = 7 * 86_400;
/// The longest life of a warrant, in seconds.
pub const WARRANT_LIFETIME_S: u64 = 90 * 86_400;
/// The longest that a decision key may speak beside the one that takes its place, in seconds.
pub const KEY_OVERLAP_S: u64 = 86_400;
/// How long a connection may be silent before it is asked for a sign of life; after three such waits it is made anew,
/// so that one whose other end is gone without a word is noticed in seconds (T94).
pub const PING: Duration = Duration::from_secs(2);
/// How long one attempt to connect may take.
pub const CONNECT: Duration = Duration::from_secs(5);

/// What is addressed under a lattice's subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// A host asks to start a component.
    StartComponent,
    /// A host asks to start a provider.
    StartProvider,
    /// An administrator commands.
    Command,
    /// A host joins.
    Join,
    /// Somebody brings a warrant that the roots signed.
    Warrant,
    /// Somebody looks; the last token says at what.
    Query,
    /// The broker announces its newest checkpoint, and the warrant that it speaks under.
    Epoch,
    /// A host says what it runs and what it has seen.
    Inventory,
    /// A host has it proved that the log only grew.
    Growth,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 9] = [
        Self::StartComponent,
        Self::StartProvider,
        Self::Command,
        Self::Join,
        Self::Warrant,
        Self::Query,
        Self::Epoch,
        Self::Inventory,
        Self::Growth,
    ];

    /// Those where the broker listens; on the others it only publishes.
    pub const ASKED: [Self; 8] = [
        Self::StartComponent,
        Self::StartProvider,
        Self::Command,
        Self::Join,
        Self::Warrant,
        Self::Query,
        Self::Inventory,
        Self::Growth,
    ];

    /// The subject of this topic in that lattice. [`Topic::Query`] stands for all queries.
    pub fn subject(self, lattice: &Lattice) -> String {
        format!("countersign.v1.{lattice}.{}", self.suffix())
    }

    /// The subject's last part.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::StartComponent => "start.component",
            Self::StartProvider => "start.provider",
            Self::Command => "command",
            Self::Join => "join",
            Self::Warrant => "warrant",
            Self::Query => "query.*",
            Self::Epoch => "epoch",
            Self::Inventory => "inventory",
            Self::Growth => "growth",
        }
    }
}

/// The inbox prefix of a key's owner; replies to any other subject are dropped (T54).
pub fn inbox_prefix<R: Role>(key: &Name<R>) -> String {
    format!("_INBOX_{key}")
}

/// Refuses a plain connection to another machine, where anybody on the way could read and change it (T57).
///
/// # Errors
/// `wire_plain`, unless the URL's scheme demands TLS or the host is this machine.
pub fn refuse_plain(scheme: &str, host: &str) -> Result<(), Refusal> {
    if scheme == "tls" || is_loopback(host) {
        return Ok(());
    }
    let detail = format!("`{scheme}://` to `{host}` would leave this machine unencrypted; write `tls://{host}`");
    Err(Refusal::new(Reason::WirePlain, detail))
}

/// How long to wait before connecting again: doubling, with up to half of it at random, so that a server that comes
/// back is not met by everyone at once (T94).
pub fn reconnect_pause(attempts: usize, random: u8) -> Duration {
    let full = 50_u64.saturating_mul(1 << attempts.min(7)).min(4000);
    Duration::from_millis(full / 2 + full / 2 * u64::from(random) / 255)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The header that names the reason when a message is turned away: that of a NATS micro service's error.
pub const ERROR_HEADER: &str = "Nats-Service-Error";

/// A 128-bit number from the operating system, used once; also the id of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// A nonce of bytes that the operating system gave.
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads 32 lower-case hex digits.
    ///
    /// # Errors
    /// `schema_mismatch` for anything else.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| Refusal::new(Reason::SchemaMismatch, "an id is 32 lower-case hex digits"))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl TryFrom<String> for Nonce {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for here in ["127.0.0.1", "127.8.8.8", "localhost", "[::1]", "::1"] {
            assert!(refuse_plain("nats", here).is_ok(), "{here}");
        }
        for elsewhere in
            ["10.0.0.1", "nats.example", "localhost.example", "0.0.0.0", "::ffff:10.0.0.1", "127.0.0.1.example", ""]
        {
            for scheme in ["nats", "ws", "wss", ""] {
                let refused = refuse_plain(scheme, elsewhere).map_err(|refusal| refusal.reason);
                assert_eq!(refused, Err(Reason::WirePlain), "{scheme} {elsewhere}");
            }
            assert!(refuse_plain("tls", elsewhere).is_ok(), "{elsewhere}");
        }
    }

    #[test]
    fn t94_pauses_grow_to_a_limit_and_differ() {
        assert_eq!(reconnect_pause(1, 0), Duration::from_millis(50));
        assert_eq!(reconnect_pause(1, 255), Duration::from_millis(100));
        assert_eq!(reconnect_pause(usize::MAX, 255), Duration::from_millis(4000));
        assert!((0..20).all(|attempts| reconnect_pause(attempts, 7) <= reconnect_pause(attempts + 1, 7)));
    }
}
