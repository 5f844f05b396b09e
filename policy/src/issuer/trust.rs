//! TRUST.json: whom to trust, as a file for `verify` where there is no lattice.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Issuer, Issuers, Kind, Standing};
use crate::json;
use crate::key::{self, Key, Name, Role};
use crate::name::Scope;
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;

impl Issuers {
    /// Reads a TRUST.json.
    ///
    /// # Errors
    /// The reason why it is not one, also for a key that nobody should trust.
    pub fn read_trust(bytes: &[u8]) -> Result<Self, Refusal> {
        let file: TrustFile = json::read(bytes)?;
        let mut issuers = Self::default();
        for entry in file.issuers {
            let (name, issuer) = entry.into_issuer()?;
            if issuers.0.insert(name, issuer).is_some() {
                return Err(Refusal::new(Reason::AlreadyExists, format!("issuer `{name}` is listed twice")));
            }
        }
        Ok(issuers)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    issuers: Vec<TrustEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustEntry {
    key: String,
    scope: BTreeSet<Scope>,
    kinds: Option<BTreeSet<Kind>>,
    max_lifetime_s: Option<u64>,
    revoked_at: Option<Timestamp>,
    reason: Option<TrustReason>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TrustReason {
    Compromise,
    Retired,
}

impl TrustEntry {
    fn into_issuer(self) -> Result<(Name<key::Issuer>, Issuer), Refusal> {
        let name = *Key::<key::Issuer>::parse(&self.key)?.name();
        key::refuse_published(name.raw(), key::Issuer::WORD)?;
        let standing = match (self.revoked_at, self.reason) {
            (None, None) => Standing::Active,
            (None, Some(_)) => return Err(Refusal::new(Reason::SchemaMismatch, "`reason` without `revoked_at`")),
            (Some(at), Some(TrustReason::Retired)) => Standing::Retired(at),
            (Some(at), Some(TrustReason::Compromise) | None) => Standing::Revoked(at),
        };
        let kinds = self.kinds.unwrap_or_else(|| BTreeSet::from([Kind::Component, Kind::Provider, Kind::Contract]));
        Ok((name, Issuer { standing, ..Issuer::trusted(self.scope, kinds, self.max_lifetime_s) }))
    }
}
