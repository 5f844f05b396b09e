//! What the state keeps of each thing that was published, admitted, enrolled or invited.

use std::collections::BTreeMap;

use crate::artifact::Import;
use crate::contract::Contract;
use crate::digest::Digest;
use crate::key::{Issuer, Name};
use crate::name::{ComponentId, LegacyId};
use crate::provider::{Source, Subject};
use crate::time::{Timestamp, Validity};

/// A published contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What its issuer signed.
    pub contract: Contract,
    /// SHA-256 of its token.
    pub sha256: Digest,
    /// Whether it was withdrawn.
    pub withdrawn: bool,
}

/// A component that may run under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRecord {
    /// The subject that owns the id.
    pub subject: Subject,
    /// The file that was admitted last.
    pub sha256: Digest,
    /// Who signed its claims.
    pub issuer: Name<Issuer>,
    /// Its revision.
    pub rev: Option<i32>,
    /// What it imports, for people.
    pub imports: Vec<Import>,
    /// What it exports, for people.
    pub exports: Vec<Import>,
    /// Whether the id was retired.
    pub retired: bool,
}

/// A provider that was admitted, by the digest of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRecord {
    /// The id it runs under.
    pub id: ComponentId,
    /// What it is.
    pub subject: Subject,
    /// Who signed its claims and when they hold; none for a native builtin.
    pub signed: Option<(Name<Issuer>, Validity)>,
    /// Its revision, for people.
    pub rev: Option<i32>,
    /// What it serves.
    pub serves: Vec<Import>,
    /// The old contract id in its claims.
    pub capid: Option<LegacyId>,
    /// From where that is known.
    pub source: Source,
    /// Whether it was retired.
    pub retired: bool,
}

impl ProviderRecord {
    /// The packages and contract ids that its issuer speaks for by signing it.
    pub fn speaks_for(&self) -> impl Iterator<Item = &str> {
        let served = self.serves.iter().map(|import| import.package.as_str());
        served.chain(self.capid.as_ref().map(LegacyId::as_str))
    }
}

/// An enrolled host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRecord {
    /// What its invitation called it.
    pub labels: BTreeMap<String, String>,
    /// Whether it may ask.
    pub standing: HostStanding,
    /// The index of its joining.
    pub joined: u64,
}

/// Whether a host may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostStanding {
    /// It may.
    Enrolled,
    /// It may not.
    Banned,
}

/// An invitation that nobody has used yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invitation {
    /// The labels that its host will have.
    pub labels: BTreeMap<String, String>,
    /// Its last second.
    pub not_after: Timestamp,
}
