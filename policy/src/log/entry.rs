//! One entry of the log: canonical JSON bytes, stored as they are, an RFC 6962 leaf, chained by the hash before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decide::{Facts, Outcome};
use crate::digest::Digest;
use crate::govern::{Ahead, Checked, Event, Jump};
use crate::inventory::{Closed, Forked};
use crate::json;
use crate::key::{Administrator, Host, Name};
use crate::name::{ComponentId, Lattice};
use crate::question::{Assurance, What};
use crate::reason::{Reason, Refusal};
use crate::relax::{Relaxed, Standby, StoodIn};
use crate::time::Timestamp;
use crate::warrant::Inception;
use crate::wire::Nonce;

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When, in milliseconds since 1970; never less than the entry before. Order is the index, not this.
    pub at_ms: u64,
    /// What happened.
    pub body: Body,
    /// The index of the newest governance event, this entry included.
    pub epoch: u64,
    /// SHA-256 of each piece of evidence that it rests on, stored once beside the log.
    pub evidence: Vec<Digest>,
    /// Its place, from 0.
    pub index: u64,
    /// The lattice.
    pub lattice: Lattice,
    /// The law that judged it.
    pub law: u64,
    /// The hash of the entry before; zeros for the first.
    pub prev: Digest,
}

/// What happened; its kind stands beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Body {
    /// The lattice began.
    Inception(Inception),
    /// A command was judged, or a host joined, or a warrant was installed.
    Governance(Judged),
    /// A command or a join was refused.
    Refusal(Judged),
    /// A question was decided.
    Ruling(Ruled),
    /// So many messages were turned away at the door since the last such entry, by reason.
    Door(BTreeMap<Reason, u64>),
    /// A host closed what had lost its ground, proved that this log was longer once, or found it forked.
    Report(Reported),
    /// The broker's clock jumped ahead.
    Clock(Jump),
    /// In this place stood an entry that is lost: an older log was put back.
    Lost(Lost),
    /// The bytes of old entries are moved to a segment.
    Freeze(Freezing),
}

/// The word for a body on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// [`Body::Inception`].
    Inception,
    /// [`Body::Governance`].
    Governance,
    /// [`Body::Refusal`].
    Refusal,
    /// [`Body::Ruling`].
    Ruling,
    /// [`Body::Door`].
    Door,
    /// [`Body::Report`].
    Report,
    /// [`Body::Clock`].
    Clock,
    /// [`Body::Lost`].
    Lost,
    /// [`Body::Freeze`].
    Freeze,
}

/// A governing act and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// SHA-256 of the token of the command, join or warrant.
    pub token_sha256: Digest,
    /// The administrator, for a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Name<Administrator>>,
    /// The command's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Nonce>,
    /// Until when the command could be judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// Why its signer gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The subjects that it touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// What it changed; empty when refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// What the broker found of configurations, and cannot prove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checked: Vec<Checked>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The sentence for the administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the broker's clock said, in milliseconds since 1970, where that was further behind than clocks are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ms: Option<u64>,
}

/// What a host's inventory adds to the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reported {
    /// SHA-256 of the inventory's token.
    pub request_sha256: Digest,
    /// The host.
    pub host: Name<Host>,
    /// What it closed, and has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<Closed>,
    /// The checkpoint that it holds and this log does not lead to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Ahead>,
    /// The fork that it found, once, where it began to say so: its own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked: Option<Forked>,
}

/// What the broker adds to an inventory that it records, and cannot prove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    /// The hash of this log's own entry in the place of the host's checkpoint.
    pub held: Option<Digest>,
    /// Whether it is the first that tells of the fork in it.
    pub forked: bool,
}

/// Where the bytes of old entries go; whoever holds the folder and the log's key moves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freezing {
    /// The index of the segment's first entry.
    pub first: u64,
    /// How many entries the log had at its end.
    pub size: u64,
    /// How many of them leave their bytes there.
    pub moved: u64,
    /// SHA-256 of the segment's file.
    pub sha256: Digest,
}

/// An entry that is lost says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lost {}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruled {
    /// SHA-256 of the request's token.
    pub request_sha256: Digest,
    /// What was asked.
    pub what: What,
    /// The id that would run.
    pub id: ComponentId,
    /// The host that asked.
    pub host: Name<Host>,
    /// How sure the broker was of who asked.
    pub assurance: Assurance,
    /// What the broker asserted and could not prove.
    pub facts: Facts,
    /// SHA-256 of the operator's rules that stood; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_sha256: Option<Digest>,
    /// Why it was refused; absent when permitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The sentence for the administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What became of each import.
    pub outcomes: Vec<Outcome>,
    /// What relaxations let through, in the order of the rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relaxed: Vec<Relaxed>,
    /// The standby permit that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<Standby>,
    /// Starts by standby permits that the host reported with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stood_in: Vec<StoodIn>,
}

/// The RFC 6962 leaf hash of an entry's bytes (section 2.1): the entry's hash, also in answers and in `prev`.
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    Digest::of_parts(&[&[0], bytes])
}

impl Entry {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::write(&Shown {
            at_ms: self.at_ms,
            body: &self.body,
            epoch: self.epoch,
            evidence: &self.evidence,
            index: self.index,
            kind: self.body.kind(),
            lattice: &self.lattice,
            law: self.law,
            prev: self.prev,
        })
    }

    /// Reads an entry's bytes.
    ///
    /// # Errors
    /// `log_broken` when they are not the canonical bytes of an entry.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let broken = |refusal: Refusal| Refusal::new(Reason::LogBroken, refusal.to_string());
        let wire: Wire = json::read(bytes).map_err(broken)?;
        let Wire { at_ms, body, epoch, evidence, index, kind, lattice, law, prev } = wire;
        let body = Body::from_wire(kind, body)?;
        let entry = Self { at_ms, body, epoch, evidence, index, lattice, law, prev };
        if entry.to_bytes() == bytes {
            return Ok(entry);
        }
        Err(Refusal::new(Reason::LogBroken, "the bytes are not in their canonical form"))
    }
}

impl Entry {
    // The one kind of entry whose time may be before that of the entry before it (T22).
    pub(super) fn acknowledges_clock(&self) -> bool {
        let Body::Governance(judged) = &self.body else { return false };
        judged.events.iter().any(|event| matches!(event, Event::ClockAcknowledged(_)))
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    at_ms: u64,
    body: &'a Body,
    epoch: u64,
    evidence: &'a [Digest],
    index: u64,
    kind: EntryKind,
    lattice: &'a Lattice,
    law: u64,
    prev: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    at_ms: u64,
    body: Value,
    epoch: u64,
    evidence: Vec<Digest>,
    index: u64,
    kind: EntryKind,
    lattice: Lattice,
    law: u64,
    prev: Digest,
}

impl Body {
    /// The word for it.
    pub const fn kind(&self) -> EntryKind {
        match self {
            Self::Inception(_) => EntryKind::Inception,
            Self::Governance(_) => EntryKind::Governance,
            Self::Refusal(_) => EntryKind::Refusal,
            Self::Ruling(_) => EntryKind::Ruling,
            Self::Door(_) => EntryKind::Door,
            Self::Report(_) => EntryKind::Report,
            Self::Clock(_) => EntryKind::Clock,
            Self::Lost(_) => EntryKind::Lost,
            Self::Freeze(_) => EntryKind::Freeze,
        }
    }

    fn from_wire(kind: EntryKind, body: Value) -> Result<Self, Refusal> {
        let read = match kind {
            EntryKind::Inception => json::from_value(body).map(Self::Inception),
            EntryKind::Governance => json::from_value(body).map(Self::Governance),
            EntryKind::Refusal => json::from_value(body).map(Self::Refusal),
            EntryKind::Ruling => json::from_value(body).map(Self::Ruling),
            EntryKind::Door => json::from_value(body).map(Self::Door),
            EntryKind::Report => json::from_value(body).map(Self::Report),
            EntryKind::Clock => json::from_value(body).map(Self::Clock),
            EntryKind::Lost => json::from_value(body).map(Self::Lost),
            EntryKind::Freeze => json::from_value(body).map(Self::Freeze),
        };
        read.map_err(|refusal: Refusal| Refusal::new(Reason::LogBroken, refusal.to_string()))
    }
}
