//! Whose word counts: trusted issuers, each with its scope, kinds, lifetime and standing.
//!
//! One function, [`Issuers::judge`], turns a signed statement into trust or a reason; `verify` offline and `decide`
//! live call the same. How issuers get onto the list is left to `govern`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::json;
use crate::key::{self, Key, Name, Role};
use crate::name::Scope;
use crate::reason::{Reason, Refusal};
use crate::time::{Timestamp, Validity};

/// What an issuer may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Claims of components.
    Component,
    /// Claims of providers.
    Provider,
    /// Contracts.
    Contract,
}

/// Whether an issuer's word still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may sign.
    Active,
    /// It may sign no more; what it signed before stays good.
    Retired(Timestamp),
    /// Its key was compromised: everything it ever signed is refused, because `iat` was the thief's choice (T15).
    Revoked(Timestamp),
}

/// A trusted issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// What it may speak for; empty is nothing.
    pub scope: BTreeSet<Scope>,
    /// What it may sign.
    pub kinds: BTreeSet<Kind>,
    /// The longest lifetime in seconds it may promise; none means that `exp` is not demanded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lifetime_s: Option<u64>,
    /// Whether its word still counts.
    pub standing: Standing,
}

/// A signed statement, reduced to what trust is about.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Who signed it.
    pub issuer: &'a Name<key::Issuer>,
    /// What kind of thing it is.
    pub kind: Kind,
    /// When it holds.
    pub validity: &'a Validity,
}

/// The trusted issuers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Issuers(BTreeMap<Name<key::Issuer>, Issuer>);

impl Issuers {
    /// Whether a statement about these packages or contract ids is to be believed at `now`.
    ///
    /// # Errors
    /// `issuer_*`, `lifetime_exceeded`, or the reason of the statement's time.
    pub fn judge<'a>(
        &self,
        signed: Signed<'_>,
        speaks_for: impl IntoIterator<Item = &'a str>,
        now: Timestamp,
    ) -> Result<&Issuer, Refusal> {
        let name = signed.issuer;
        let issuer = self.vouches(name, signed.kind, signed.validity.iat)?;
        signed.validity.covers(now)?;
        issuer.max_lifetime_s.map_or(Ok(()), |longest| signed.validity.within_lifetime(longest))?;
        if issuer.scope.is_empty() {
            return Err(Refusal::new(Reason::IssuerScope, format!("issuer `{name}` may speak for nothing")));
        }
        for id in speaks_for {
            issuer.covers(name, id)?;
        }
        Ok(issuer)
    }

    /// Whether an issuer may sign that kind of thing, and might at `iat`.
    pub(crate) fn vouches(&self, name: &Name<key::Issuer>, kind: Kind, iat: Timestamp) -> Result<&Issuer, Refusal> {
        let Some(issuer) = self.0.get(name) else {
            return Err(Refusal::new(Reason::IssuerUnknown, format!("issuer `{name}` is not trusted here")));
        };
        issuer.stands(name, iat)?;
        if !issuer.kinds.contains(&kind) {
            let detail = format!("issuer `{name}` may not sign a {}", kind.word());
            return Err(Refusal::new(Reason::IssuerKind, detail));
        }
        Ok(issuer)
    }

    /// The issuer of that key.
    pub fn find(&self, name: &Name<key::Issuer>) -> Option<&Issuer> {
        self.0.get(name)
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Name<key::Issuer>, &Issuer)> {
        self.0.iter()
    }

    pub(crate) fn put(&mut self, name: Name<key::Issuer>, issuer: Issuer) {
        self.0.insert(name, issuer);
    }

    pub(crate) fn set_standing(&mut self, name: &Name<key::Issuer>, standing: Standing) {
        if let Some(issuer) = self.0.get_mut(name) {
            issuer.standing = standing;
        }
    }

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

impl Issuer {
    fn stands(&self, name: &Name<key::Issuer>, iat: Timestamp) -> Result<(), Refusal> {
        match self.standing {
            Standing::Active => Ok(()),
            Standing::Retired(since) if iat < since => Ok(()),
            Standing::Retired(since) => Err(Refusal::new(
                Reason::IssuerRetired,
                format!("issuer `{name}` retired at {since}, this was signed at {iat}"),
            )),
            Standing::Revoked(since) => Err(Refusal::new(
                Reason::IssuerRevoked,
                format!("issuer `{name}` was revoked as compromised at {since}"),
            )),
        }
    }

    fn covers(&self, name: &Name<key::Issuer>, id: &str) -> Result<(), Refusal> {
        if self.scope.iter().any(|scope| scope.covers(id)) {
            return Ok(());
        }
        let scope: Vec<String> = self.scope.iter().map(Scope::to_string).collect();
        let detail =
            format!("issuer `{name}` may speak for `{}`, not for `{}`", scope.join("`, `"), id.escape_default());
        Err(Refusal::new(Reason::IssuerScope, detail))
    }
}

impl Kind {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Provider => "provider",
            Self::Contract => "contract",
        }
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
        Ok((name, Issuer { scope: self.scope, kinds, max_lifetime_s: self.max_lifetime_s, standing }))
    }
}
