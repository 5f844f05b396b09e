//! What an administrator signs: operations on one lattice, applied whole or not at all.
//!
//! What each operation means is left to `govern`.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::Document;
use crate::govern::Operation;
use crate::key::{Administrator, Name};
use crate::name::Lattice;
use crate::time::Timestamp;
use crate::wire::Nonce;

/// A command of an administrator: opened by the administrators' keys, by no others, and once.
///
/// ```
/// # use policy::{envelope::{Unverified, Verified}, govern::AdministratorKeys, command::Command};
/// fn open(command: Unverified<Command>, ring: &AdministratorKeys) -> Option<Verified<Command>> {
///     command.verify(ring).ok()
/// }
/// ```
/// ```compile_fail
/// # // T100: a command verified as if hosts could command
/// # use policy::{envelope::{Unverified, Verified}, govern::HostKeys, command::Command};
/// fn open(command: Unverified<Command>, ring: &HostKeys) -> Option<Verified<Command>> {
///     command.verify(ring).ok()
/// }
/// ```
/// ```compile_fail
/// # // T100: an unverified document that was consumed
/// # use policy::{envelope::{Unverified, Verified}, govern::AdministratorKeys, command::Command};
/// fn open(command: Unverified<Command>, ring: &AdministratorKeys) -> Option<Verified<Command>> {
///     command.verify(ring).ok().or(command.verify(ring).ok())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The administrator.
    pub iss: Name<Administrator>,
    /// The lattice; a command for another is refused.
    pub aud: Lattice,
    /// The entry hash of its inception: two lattices may have one name, and an administrator who serves both (T82).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inception_sha256: Option<Digest>,
    /// When it was signed.
    pub iat: Timestamp,
    /// The last second in which it may be judged.
    pub not_after: Timestamp,
    /// Its id: a second command of that id is refused.
    pub jti: Nonce,
    /// The epoch that its signer saw.
    pub basis: u64,
    /// The epoch of the plan that it carries out: it is judged at no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<u64>,
    /// Why, for those who read the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What to do, in order.
    pub operations: Vec<Operation>,
    /// SHA-256 of each attached statement: claims or contracts that operations speak of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<Digest>,
}

/// The most operations in one command.
pub const MAX_OPERATIONS: usize = 1000;

impl Document for Command {
    const TYPE: &'static str = "command";
    const MAX_BYTES: usize = 1024 * 1024;
    type Signer = Administrator;

    fn signer(&self) -> &Name<Administrator> {
        &self.iss
    }

    fn attachments(&self) -> Vec<Digest> {
        self.statements.clone()
    }
}
