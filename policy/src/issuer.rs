//! Whose word counts: trusted issuers, each with its scope, kinds, lifetime and standing.
//!
//! One function, [`Issuers::judge`], turns a signed statement into trust or a reason; `verify` offline and `decide`
//! live call the same. How issuers get onto the list is left to `govern`, TRUST.json to `trust`.

mod trust;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::key::{self, Name};
use crate::name::Scope;
use crate::reason::{Reason, Refusal};
use crate::relax::Aside;
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
    /// It is known, and its word does not count yet.
    Prepared,
    /// It may sign.
    Active,
    /// From then on it may sign no more; what it signed before stays good. Such a time may lie ahead.
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
    /// The end of its trust, fixed when it was given: from then on it is retired, without another act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// SHA-256 of the proof that somebody holds its key; where none is, an administrator vouched for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Digest>,
    /// The issuer in whose place it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeds: Option<Name<key::Issuer>>,
    /// The issuer that lent it its say; where none is, the lattice trusts it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegator: Option<Name<key::Issuer>>,
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
        let found = self.judge_past(signed, speaks_for, now, Aside::default())?;
        found.ok_or_else(|| unknown(signed.issuer))
    }

    /// As [`Issuers::judge`], where some reasons are set aside: whoever is unknown then has no bounds of its own.
    pub(crate) fn judge_past<'a>(
        &self,
        signed: Signed<'_>,
        speaks_for: impl IntoIterator<Item = &'a str>,
        now: Timestamp,
        aside: Aside,
    ) -> Result<Option<&Issuer>, Refusal> {
        let name = signed.issuer;
        let stranger = aside.has(Reason::IssuerUnknown) && !self.0.contains_key(name);
        let issuer =
            if stranger { None } else { Some(self.vouches_past(name, signed.kind, signed.validity.iat, aside)?) };
        aside.past(signed.validity.covers(now))?;
        let chain = if stranger { Vec::new() } else { self.chain(name)? };
        let says: Vec<&str> = speaks_for.into_iter().collect();
        for (name, issuer) in chain {
            let lifetime = issuer.max_lifetime_s.map_or(Ok(()), |longest| signed.validity.within_lifetime(longest));
            aside.past(lifetime)?;
            if issuer.scope.is_empty() {
                let silent = Refusal::new(Reason::IssuerScope, format!("issuer `{name}` may speak for nothing"));
                aside.past(Err(silent))?;
            }
            says.iter().try_for_each(|id| aside.past(issuer.covers(&name, id)))?;
        }
        Ok(issuer)
    }

    /// Whether an issuer may sign that kind of thing, and might at `iat`; whoever lent it its say, too.
    pub(crate) fn vouches(&self, name: &Name<key::Issuer>, kind: Kind, iat: Timestamp) -> Result<&Issuer, Refusal> {
        self.vouches_past(name, kind, iat, Aside::default())
    }

    fn vouches_past(
        &self,
        name: &Name<key::Issuer>,
        kind: Kind,
        iat: Timestamp,
        aside: Aside,
    ) -> Result<&Issuer, Refusal> {
        let chain = self.chain(name)?;
        for (each, issuer) in &chain {
            // Nothing is set aside of whoever lent it its say.
            issuer.stands_past(each, iat, if each == name { aside } else { Aside::default() })?;
            if !issuer.kinds.contains(&kind) {
                let detail = format!("issuer `{each}` may not sign a {}", kind.word());
                return Err(Refusal::new(Reason::IssuerKind, detail));
            }
        }
        chain.first().map(|(_, issuer)| *issuer).ok_or_else(|| unknown(name))
    }

    /// An issuer, and whoever lent it its say: a delegate lends nothing, so there are two at most (T12).
    fn chain(&self, name: &Name<key::Issuer>) -> Result<Vec<(Name<key::Issuer>, &Issuer)>, Refusal> {
        let issuer = self.0.get(name).ok_or_else(|| unknown(name))?;
        let Some(lender) = &issuer.delegator else {
            return Ok(vec![(*name, issuer)]);
        };
        let delegator = self.0.get(lender).ok_or_else(|| unknown(lender))?;
        if delegator.delegator.is_some() {
            let detail = format!("issuer `{name}` has its say from `{lender}`, which has none of its own to lend");
            return Err(Refusal::new(Reason::DelegationDepth, detail));
        }
        Ok(vec![(*name, issuer), (*lender, delegator)])
    }

    /// Whether one of two issuers stands in the other's place, or they are one.
    pub(crate) fn same_line(&self, one: &Name<key::Issuer>, other: &Name<key::Issuer>) -> bool {
        one == other || self.comes_from(one, other) || self.comes_from(other, one)
    }

    // Nobody succeeds twice, so the walk ends; the count holds it to that.
    fn comes_from(&self, one: &Name<key::Issuer>, ancestor: &Name<key::Issuer>) -> bool {
        let before = |name: &Name<key::Issuer>| self.0.get(name).and_then(|issuer| issuer.succeeds);
        std::iter::successors(before(one), before).take(self.0.len()).any(|name| name == *ancestor)
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

    /// Those that have their say from this one.
    pub fn delegates(&self, name: &Name<key::Issuer>) -> impl Iterator<Item = &Name<key::Issuer>> {
        self.0.iter().filter(move |(_, issuer)| issuer.delegator.as_ref() == Some(name)).map(|(name, _)| name)
    }

    pub(crate) fn change(&mut self, name: &Name<key::Issuer>, change: impl FnOnce(&mut Issuer)) {
        if let Some(issuer) = self.0.get_mut(name) {
            change(issuer);
        }
    }
}

impl Issuer {
    /// One that is trusted from now on, vouched for, without an end.
    pub const fn trusted(scope: BTreeSet<Scope>, kinds: BTreeSet<Kind>, max_lifetime_s: Option<u64>) -> Self {
        let standing = Standing::Active;
        Self { scope, kinds, max_lifetime_s, standing, until: None, proof: None, succeeds: None, delegator: None }
    }

    /// When its word ended or will end, as far as that is known.
    pub fn end(&self) -> Option<Timestamp> {
        let retired = match self.standing {
            Standing::Retired(since) => Some(since),
            Standing::Prepared | Standing::Active | Standing::Revoked(_) => None,
        };
        self.until.into_iter().chain(retired).min()
    }

    /// Whether what it signed at `iat` counts.
    ///
    /// # Errors
    /// `issuer_prepared`, `issuer_retired` or `issuer_revoked`.
    pub(crate) fn stands(&self, name: &Name<key::Issuer>, iat: Timestamp) -> Result<(), Refusal> {
        self.stands_past(name, iat, Aside::default())
    }

    fn stands_past(&self, name: &Name<key::Issuer>, iat: Timestamp, aside: Aside) -> Result<(), Refusal> {
        match self.standing {
            Standing::Prepared => {
                let detail = format!("issuer `{name}` is prepared, and its word does not count before it is activated");
                return Err(Refusal::new(Reason::IssuerPrepared, detail));
            }
            Standing::Revoked(since) => {
                let detail = format!("issuer `{name}` was revoked as compromised at {since}");
                aside.past(Err(Refusal::new(Reason::IssuerRevoked, detail)))?;
            }
            Standing::Active | Standing::Retired(_) => {}
        }
        match self.end().filter(|since| iat >= *since) {
            None => Ok(()),
            Some(since) => Err(Refusal::new(
                Reason::IssuerRetired,
                format!("issuer `{name}` retired at {since}, this was signed at {iat}"),
            )),
        }
    }

    /// Whether it may speak for all that a scope covers.
    pub(crate) fn contains(&self, scope: &Scope) -> bool {
        self.scope.iter().any(|own| scope.within(own))
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

fn unknown(name: &Name<key::Issuer>) -> Refusal {
    Refusal::new(Reason::IssuerUnknown, format!("issuer `{name}` is not trusted here"))
}
