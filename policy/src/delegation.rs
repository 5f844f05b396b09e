//! What an issuer lends to another key: a part of its own scope and kinds, until an end.
//!
//! Signed by the delegator; it counts once an administrator published it, which is left to `govern`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{Afresh, Claimed, Draft, Statement, claim, header};
use crate::issuer::Kind;
use crate::json;
use crate::key::{Issuer, Name};
use crate::name::{Lattice, Scope};
use crate::reason::{Reason, Refusal};
use crate::time::{Timestamp, Validity};

/// An issuer lends a part of its say to another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// The delegator, which signs it.
    pub iss: Name<Issuer>,
    /// The delegate.
    pub sub: Name<Issuer>,
    /// The lattice it is made for.
    pub aud: Lattice,
    /// The entry hash of its inception, where the signer knew it: two lattices may have one name (T82).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inception_sha256: Option<Digest>,
    /// When it was signed.
    pub iat: Timestamp,
    /// Its end: what the delegate signs from then on does not count.
    pub exp: Timestamp,
    /// What the delegate may speak for, within the delegator's own scope.
    pub scope: BTreeSet<Scope>,
    /// What the delegate may sign, among the delegator's own kinds.
    pub kinds: BTreeSet<Kind>,
}

impl Delegation {
    /// When it may be published.
    pub const fn validity(&self) -> Validity {
        Validity { iat: self.iat, nbf: None, exp: Some(self.exp) }
    }

    /// The signing input.
    pub fn draft(&self) -> Draft {
        Draft::with_header(&header(TYPE), &json::write(self))
    }
}

/// Reads a delegation, and proves that the delegator it names signed it.
///
/// # Errors
/// The reason why it is malformed, or not signed by that issuer.
pub fn read(token: &[u8]) -> Result<Claimed<Delegation>, Refusal> {
    claim(token, &Afresh)
}

const TYPE: &str = "delegation";

impl Statement for Delegation {
    fn header_fits(found: &[u8]) -> bool {
        found == header(TYPE).as_bytes()
    }

    fn read(payload: &[u8]) -> Result<(Self, Name<Issuer>), Refusal> {
        let delegation: Self = json::read(payload)?;
        delegation.validity().sound()?;
        if delegation.scope.is_empty() || delegation.kinds.is_empty() {
            return Err(Refusal::new(Reason::SchemaMismatch, "a delegation names a scope and a kind"));
        }
        if delegation.iss == delegation.sub {
            let detail = format!("`{}` would delegate to itself", delegation.iss);
            return Err(Refusal::new(Reason::SelfSigned, detail));
        }
        let issuer = delegation.iss;
        Ok((delegation, issuer))
    }
}
