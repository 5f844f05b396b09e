//! What a host says it runs and how far it has seen: `countersign.inventory.v1`, signed by the host's key.
//!
//! It proves what the host says, not what it does; that a host holds an epoch it proves as well as any witness can. Which
//! inventory is the newest is left to the broker.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{Document, Keyring};
use crate::govern::HostKeys;
use crate::key::{self, Host, Key, Name};
use crate::log::Contradiction;
use crate::name::{ComponentId, Lattice, LinkName, Package};
use crate::provider::Subject;
use crate::question::Seen;
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;
use crate::wire::Nonce;
use crate::withdrawal::Close;

/// What one process of a host runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire")]
pub struct HostInventory {
    /// The host.
    pub iss: Name<Host>,
    /// The lattice.
    pub aud: Lattice,
    /// When it was signed.
    pub iat: Timestamp,
    /// Which process says it: a number that it made when it began. A host may run several.
    pub process: Nonce,
    /// Grows with each inventory of that process.
    pub sequence: u64,
    /// Which page of it this is, from 0.
    pub page: u64,
    /// How many pages it has.
    pub pages: u64,
    /// The newest of the log that this host holds, on its disk: it binds nothing under an older epoch any more.
    pub seen: Seen,
    /// The newest signed checkpoint that it holds, as a witness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// That it found this log forked, and binds nothing until an operator has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked: Option<Forked>,
    /// SHA-256 of the builtins that it offers, as requests attach them.
    pub builtins_sha256: Digest,
    /// What runs.
    pub running: Vec<Runs>,
    /// What was closed because its ground was taken away, until the broker says that it is on record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<Closed>,
    /// SHA-256 of files that this process could start as providers, builtins among them; on the first page, once it has
    /// looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_hand: Option<Vec<Digest>>,
}

/// Two signed pieces of the log that a host holds, and that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forked {
    /// When it found them, by the host's clock.
    pub at: Timestamp,
    /// How they contradict each other.
    pub contradiction: Contradiction,
    /// The entry that it held.
    pub held: u64,
    /// The entry that it met.
    pub met: u64,
    /// SHA-256 of the file that it keeps both in.
    pub evidence_sha256: Digest,
}

/// Something that runs, by the decision that let it start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    /// The id it runs under.
    pub component: ComponentId,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// Who signed its claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Name<key::Issuer>>,
    /// The entry that permitted it.
    pub index: u64,
    /// What answers each of its imports.
    pub bindings: Vec<Bound>,
    /// Whether it is being closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Close>,
}

/// What answers a package's imports under one link name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The package.
    pub package: Package,
    /// The link's name.
    pub link: LinkName,
    /// What answers.
    pub provider: Subject,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// The entry that permitted it.
    pub index: u64,
}

/// Something that was closed, and has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// Its number among the closings of that process, from 1.
    pub number: u64,
    /// The id it ran under.
    pub component: ComponentId,
    /// The entry that had permitted it.
    pub index: u64,
    /// How it was closed.
    pub close: Close,
    /// The entry of the act that took its ground away.
    pub since: u64,
    /// When it had ended, by the host's clock.
    pub at: Timestamp,
}

/// The most running things on one page.
pub const MAX_RUNNING: usize = 64;
/// The most pages of one inventory.
pub const MAX_PAGES: u64 = 64;
/// The most files at hand that a host tells of.
pub const MAX_AT_HAND: usize = 1000;
/// The most closings in one page.
pub const MAX_CLOSED: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    iss: Name<Host>,
    aud: Lattice,
    iat: Timestamp,
    process: Nonce,
    sequence: u64,
    page: u64,
    pages: u64,
    seen: Seen,
    checkpoint: Option<String>,
    forked: Option<Forked>,
    builtins_sha256: Digest,
    running: Vec<Runs>,
    #[serde(default)]
    closed: Vec<Closed>,
    at_hand: Option<Vec<Digest>>,
}

impl TryFrom<Wire> for HostInventory {
    type Error = Refusal;
    fn try_from(wire: Wire) -> Result<Self, Refusal> {
        let Wire { iss, aud, iat, process, sequence, page, pages, .. } = wire;
        let Wire { seen, checkpoint, forked, builtins_sha256, running, closed, at_hand, .. } = wire;
        let bounded = running.len() <= MAX_RUNNING
            && closed.len() <= MAX_CLOSED
            && at_hand.as_ref().is_none_or(|files| files.len() <= MAX_AT_HAND);
        if !bounded || pages == 0 || pages > MAX_PAGES || page >= pages {
            let detail = format!("page {page} of {pages} with {} running things", running.len());
            return Err(Refusal::new(Reason::SchemaMismatch, format!("an inventory cannot have {detail}")));
        }
        Ok(Self {
            iss,
            aud,
            iat,
            process,
            sequence,
            page,
            pages,
            seen,
            checkpoint,
            forked,
            builtins_sha256,
            running,
            closed,
            at_hand,
        })
    }
}

impl Document for HostInventory {
    const TYPE: &'static str = "inventory";
    const MAX_BYTES: usize = 256 * 1024;
    type Signer = Host;

    fn signer(&self) -> &Name<Host> {
        &self.iss
    }
}

impl Keyring<HostInventory> for HostKeys {
    fn key(&self, inventory: &HostInventory) -> Result<Key<Host>, Refusal> {
        self.enrolled(&inventory.iss)
    }
}
