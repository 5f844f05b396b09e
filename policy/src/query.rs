//! What an administrator signs to look over the wire: at one lattice, at one thing, now.
//!
//! What each look shows is left to the broker; who may look, to its door.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::Document;
use crate::key::{Administrator, Name};
use crate::name::Lattice;
use crate::time::Timestamp;
use crate::wire::Nonce;

/// A query of an administrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The administrator.
    pub iss: Name<Administrator>,
    /// The lattice; a query for another is refused.
    pub aud: Lattice,
    /// The entry hash of its inception, where the signer knew it: two lattices may have one name (T82).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inception_sha256: Option<Digest>,
    /// When it was signed; it is fresh for a minute.
    pub iat: Timestamp,
    /// The nonce: a second query of it is refused.
    pub jti: Nonce,
    /// What is looked at: the last token of the subject.
    pub what: String,
    /// SHA-256 of the attached arguments.
    pub arguments_sha256: Digest,
    /// SHA-256 of each attached statement that the arguments speak of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<Digest>,
}

impl Document for Query {
    const TYPE: &'static str = "query";
    // As much as a command: a plan brings all that a command would.
    const MAX_BYTES: usize = 1024 * 1024;
    type Signer = Administrator;

    fn signer(&self) -> &Name<Administrator> {
        &self.iss
    }

    fn attachments(&self) -> Vec<Digest> {
        std::iter::once(self.arguments_sha256).chain(self.statements.iter().copied()).collect()
    }
}
