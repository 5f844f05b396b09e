//! What an owner said of an interface: a signed, portable document about one package.
//!
//! Nothing in it says builtin, host or environment, so the same bytes serve everywhere; what a lattice does with it
//! is left to its defaults and links.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{Afresh, Claimed, Draft, Statement, claim, header};
use crate::json;
use crate::key::{Issuer, Name};
use crate::name::{InterfaceName, LegacyId, NativeName, Package, Track};
use crate::provider::Subject;
use crate::reason::{Reason, Refusal};
use crate::time::{Timestamp, Validity};

/// A contract: one WIT package on its tracks, who may provide it, and what a binding of it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// The issuer, whose scope must cover the package.
    pub iss: Name<Issuer>,
    /// The package.
    pub sub: Package,
    /// When it was signed.
    pub iat: Timestamp,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<Timestamp>,
    /// Grows with each publication; a lower one never replaces a higher one.
    pub revision: u64,
    /// The interfaces that the package has.
    pub interfaces: Vec<InterfaceName>,
    /// The tracks that it covers; empty for a package without versions.
    pub tracks: Vec<Track>,
    /// Who may provide it.
    pub providers: Providers,
    /// Whether a lattice's default may answer it.
    pub defaultable: bool,
    /// Whether a binding needs configuration.
    pub config: Configuration,
    /// SHA-256 of the JSON Schema of that configuration, in RFC 8785 form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_schema_sha256: Option<Digest>,
    /// Old contract ids that the owner recognises as this package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legacy_ids: Vec<LegacyId>,
}

/// Who may provide a contract: whatever one of these issuers signed, or one of these subjects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Providers {
    /// Issuers whose providers may answer.
    pub issuers: Vec<Name<Issuer>>,
    /// Providers that may answer, whoever signed them; also native builtins.
    pub subjects: Vec<Subject>,
}

/// Whether a binding needs configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Configuration {
    /// It takes none.
    None,
    /// It may have some.
    Optional,
    /// It cannot do without.
    Required,
}

impl Contract {
    /// When the contract holds.
    pub const fn validity(&self) -> Validity {
        Validity { iat: self.iat, nbf: None, exp: self.exp }
    }

    /// The signing input.
    pub fn draft(&self) -> Draft {
        Draft::with_header(&header(TYPE), &json::write(self))
    }

    /// Whether that native builtin may answer.
    pub fn allows_native(&self, name: &NativeName) -> bool {
        self.providers.subjects.contains(&Subject::Native(name.clone()))
    }
}

/// Reads a contract and proves that the issuer it names signed it.
///
/// # Errors
/// The reason why it is malformed, or not signed by that issuer.
pub fn read(token: &[u8]) -> Result<Claimed<Contract>, Refusal> {
    claim(token, &Afresh)
}

const TYPE: &str = "contract";

impl Statement for Contract {
    fn header_fits(found: &[u8]) -> bool {
        found == header(TYPE).as_bytes()
    }

    fn read(payload: &[u8]) -> Result<(Self, Name<Issuer>), Refusal> {
        let contract: Self = json::read(payload)?;
        contract.validity().sound()?;
        if contract.interfaces.is_empty() || contract.revision == 0 {
            return Err(Refusal::new(
                Reason::SchemaMismatch,
                "a contract names interfaces, and its revisions start at 1",
            ));
        }
        let issuer = contract.iss;
        Ok((contract, issuer))
    }
}
