//! Proof that somebody holds an issuer's key: a small document that the key itself signs, for one lattice.
//!
//! Made offline by the key's owner; what it is demanded for is left to `govern`.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{Afresh, Claimed, Draft, Statement, claim, header};
use crate::json;
use crate::key::{Issuer, Name};
use crate::name::Lattice;
use crate::reason::{Reason, Refusal};
use crate::time::{Timestamp, Validity};
use crate::wire::Nonce;

/// Whoever signed this holds the key that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyProof {
    /// The issuer's key, which signs it.
    pub iss: Name<Issuer>,
    /// The lattice it is made for; in another it proves nothing.
    pub aud: Lattice,
    /// The entry hash of its inception, where the signer knew it: two lattices may have one name (T82).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inception_sha256: Option<Digest>,
    /// When it was signed.
    pub iat: Timestamp,
    /// 128 bits from the operating system.
    pub jti: Nonce,
}

impl KeyProof {
    /// The signing input.
    pub fn draft(&self) -> Draft {
        Draft::with_header(&header(TYPE), &json::write(self))
    }

    /// Whether it is about this key.
    ///
    /// # Errors
    /// `proof_missing` for another.
    pub(crate) fn is_of(&self, key: &Name<Issuer>) -> Result<(), Refusal> {
        if self.iss == *key {
            return Ok(());
        }
        let detail = format!("the proof is of key `{}`, needed is one of `{key}`", self.iss);
        Err(Refusal::new(Reason::ProofMissing, detail))
    }

    /// Whether it counts now.
    ///
    /// # Errors
    /// `expired` or `issued_in_future`.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> Result<(), Refusal> {
        let validity = Validity { iat: self.iat, nbf: None, exp: Some(self.iat.plus(PROOF_LIFETIME_S)) };
        validity.covers(now).map_err(|refusal| refusal.within("the proof of possession"))
    }
}

/// Reads a proof, and proves that the key it names signed it.
///
/// # Errors
/// The reason why it is malformed, or not signed by that key.
pub fn read(token: &[u8]) -> Result<Claimed<KeyProof>, Refusal> {
    claim(token, &Afresh)
}

/// How long a proof may lie about before it is shown.
pub const PROOF_LIFETIME_S: u64 = 7 * 86_400;

const TYPE: &str = "possession";

impl Statement for KeyProof {
    fn header_fits(found: &[u8]) -> bool {
        found == header(TYPE).as_bytes()
    }

    fn read(payload: &[u8]) -> Result<(Self, Name<Issuer>), Refusal> {
        let proof: Self = json::read(payload)?;
        let issuer = proof.iss;
        Ok((proof, issuer))
    }
}
