//! How a host enters a lattice: a join signed by the host's own key, carrying a proof signed by the invitation's
//! one-time key. Whether the invitation still stands is left to `govern`.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{Document, Keyring, sealed};
use crate::key::{Host, Invite, Key, Name};
use crate::name::Lattice;
use crate::reason::Refusal;
use crate::time::Timestamp;
use crate::wire::Nonce;

/// A host asks to be enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The host's key.
    pub iss: Name<Host>,
    /// The lattice.
    pub aud: Lattice,
    /// When it was signed.
    pub iat: Timestamp,
    /// 128 bits from the operating system.
    pub jti: Nonce,
    /// SHA-256 of the attached [`InviteProof`].
    pub proof_sha256: Digest,
}

/// The invitation's one-time key vouches for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteProof {
    /// The one-time key.
    pub iss: Name<Invite>,
    /// The lattice.
    pub aud: Lattice,
    /// The host it vouches for.
    pub host: Name<Host>,
    /// The join's own nonce.
    pub jti: Nonce,
}

impl Document for Join {
    const TYPE: &'static str = "join";
    const MAX_BYTES: usize = 8 * 1024;
    type Signer = Host;

    fn signer(&self) -> &Name<Host> {
        &self.iss
    }

    fn attachments(&self) -> Vec<Digest> {
        vec![self.proof_sha256]
    }
}

impl Document for InviteProof {
    const TYPE: &'static str = "invite";
    const MAX_BYTES: usize = 4 * 1024;
    type Signer = Invite;

    fn signer(&self) -> &Name<Invite> {
        &self.iss
    }
}

/// The verifier of joins: whoever holds the key may use it, and holding it is all that is proved.
#[derive(Debug, Clone, Copy)]
pub struct Possession;

impl sealed::Sealed for Possession {}

impl Keyring<Join> for Possession {
    fn key(&self, join: &Join) -> Result<Key<Host>, Refusal> {
        join.iss.usable()
    }
}

impl Keyring<InviteProof> for Possession {
    fn key(&self, proof: &InviteProof) -> Result<Key<Invite>, Refusal> {
        proof.iss.usable()
    }
}
