//! What is told: the broker's signed answer to a start, its receipt of a command, and its view of the state.
//!
//! An answer commits to the whole log before it by (index, entry hash). What a host does with one is left to `host`.

use serde::{Deserialize, Serialize};

use crate::decide::Outcome;
use crate::digest::Digest;
use crate::envelope::Document;
use crate::govern::Lack;
use crate::key::{Decision, Host, Name};
use crate::name::Lattice;
use crate::question::Runs;
use crate::reason::Reason;
use crate::relax::{Relaxed, Standby};
use crate::wire::Nonce;

/// The answer to a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartAnswer {
    /// The broker's decision key.
    pub iss: Name<Decision>,
    /// The host that asked.
    pub aud: Name<Host>,
    /// The lattice.
    pub lattice: Lattice,
    /// SHA-256 of the attached warrant that names `iss`.
    pub warrant_sha256: Digest,
    /// SHA-256 of the request's token.
    pub request_sha256: Digest,
    /// The request's nonce.
    pub jti: Nonce,
    /// Permitted whole, or refused whole.
    pub verdict: Verdict,
    /// Why it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// How long the permit lives, from the sending of the request.
    pub ttl_ms: u64,
    /// The component it is about…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Runs>,
    /// …or the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Runs>,
    /// What answers each import, or why nothing may.
    pub outcomes: Vec<Outcome>,
    /// Index of the newest governance event that it knows.
    pub epoch: u64,
    /// Index of its own entry.
    pub index: u64,
    /// Hash of its own entry.
    pub entry_sha256: Digest,
    /// Weakenings in force that it rests on.
    pub relaxations: Vec<Relaxed>,
    /// Leave to start the same again while no broker answers, where a relaxation gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<Standby>,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every import has an answer.
    Permitted,
    /// Something must not be.
    Refused,
}

/// What became of a command or a join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The broker's decision key.
    pub iss: Name<Decision>,
    /// The lattice.
    pub lattice: Lattice,
    /// SHA-256 of the attached warrant.
    pub warrant_sha256: Digest,
    /// SHA-256 of the attached inception entry.
    pub inception_bytes_sha256: Digest,
    /// SHA-256 of the attached changes of the roots ([`crate::lineage::Changes`]), once there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roots_sha256: Option<Digest>,
    /// SHA-256 of the token that this is the receipt of.
    pub request_sha256: Digest,
    /// Why it was refused; absent when accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The administrator's sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What it still lacks, where it waits for more administrators: `reason` is `pending_approval` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Lack>,
    /// Index of the newest governance event.
    pub epoch: u64,
    /// Index of its own entry.
    pub index: u64,
    /// Hash of its own entry.
    pub entry_sha256: Digest,
}

/// A signed look at the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The broker's decision key.
    pub iss: Name<Decision>,
    /// The lattice.
    pub lattice: Lattice,
    /// SHA-256 of the attached warrant.
    pub warrant_sha256: Digest,
    /// SHA-256 of the attached inception entry.
    pub inception_bytes_sha256: Digest,
    /// SHA-256 of the attached changes of the roots ([`crate::lineage::Changes`]), once there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roots_sha256: Option<Digest>,
    /// SHA-256 of the query's payload.
    pub request_sha256: Digest,
    /// SHA-256 of the attached JSON.
    pub view_sha256: Digest,
    /// Index of the newest governance event.
    pub epoch: u64,
}

/// A document that comes with what proves its signer: the warrant, the inception, and the changes of the roots since.
pub trait Papered: Document {
    /// SHA-256 of the attached changes, once there were any.
    fn roots_sha256(&self) -> Option<Digest>;
}

impl Papered for Receipt {
    fn roots_sha256(&self) -> Option<Digest> {
        self.roots_sha256
    }
}

impl Papered for View {
    fn roots_sha256(&self) -> Option<Digest> {
        self.roots_sha256
    }
}

impl Document for StartAnswer {
    const TYPE: &'static str = "answer";
    const MAX_BYTES: usize = 256 * 1024;
    type Signer = Decision;

    fn signer(&self) -> &Name<Decision> {
        &self.iss
    }

    fn attachments(&self) -> Vec<Digest> {
        vec![self.warrant_sha256]
    }
}

impl Document for Receipt {
    const TYPE: &'static str = "receipt";
    const MAX_BYTES: usize = 64 * 1024;
    type Signer = Decision;

    fn signer(&self) -> &Name<Decision> {
        &self.iss
    }

    fn attachments(&self) -> Vec<Digest> {
        [self.warrant_sha256, self.inception_bytes_sha256].into_iter().chain(self.roots_sha256).collect()
    }
}

impl Document for View {
    const TYPE: &'static str = "view";
    const MAX_BYTES: usize = 16 * 1024 * 1024;
    type Signer = Decision;

    fn signer(&self) -> &Name<Decision> {
        &self.iss
    }

    fn attachments(&self) -> Vec<Digest> {
        [self.warrant_sha256, self.inception_bytes_sha256, self.view_sha256]
            .into_iter()
            .chain(self.roots_sha256)
            .collect()
    }
}
