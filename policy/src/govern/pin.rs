//! What the ends of a link must be, and whether they still are: a link whose end changed outside its pin is suspended.
//!
//! Suspension is nowhere in state: it is found where a link is looked at, from its pins and what was admitted since
//! (I5). Lifting it is left to `accept_link`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ComponentRecord, LinkRecord, ProviderRecord, State};
use crate::contract::Contract;
use crate::digest::Digest;
use crate::key::{self, Name};
use crate::name::Package;
use crate::provider::Subject;

/// What an end of a link must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// Exactly these bytes.
    Sha256(Digest),
    /// Whatever this issuer signed, within these revisions.
    Issuer(PinnedIssuer),
}

/// An issuer, and the revisions that are agreed on; both ends of the range are within it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedIssuer {
    /// The issuer.
    pub key: Name<key::Issuer>,
    /// The lowest revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    /// The highest revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i32>,
}

/// The schemas that a configuration was held to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schemas {
    /// SHA-256 of the contract's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Digest>,
    /// SHA-256 of the provider's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Digest>,
}

/// An end as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Now {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Who signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Name<key::Issuer>>,
    /// Its revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rev: Option<i32>,
}

/// What of a link is no longer as it was agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Departed {
    /// The provider.
    Provider(Pin, Now),
    /// The component.
    Component(Pin, Now),
    /// The schema that its configuration was held to.
    Schema(Option<Digest>, Option<Digest>),
}

impl Pin {
    /// Whether an end is what it must be.
    pub fn holds(&self, now: &Now) -> bool {
        match self {
            Self::Sha256(sha256) => now.sha256 == *sha256,
            Self::Issuer(PinnedIssuer { key, from, to }) => {
                let above = from.is_none_or(|from| now.rev.is_some_and(|rev| rev >= from));
                let below = to.is_none_or(|to| now.rev.is_some_and(|rev| rev <= to));
                now.issuer == Some(*key) && above && below
            }
        }
    }

    /// The same kind of pin, moved no further than to hold this end.
    pub(crate) fn moved(&self, now: &Now) -> Self {
        match (self, now.issuer) {
            (pin, _) if pin.holds(now) => pin.clone(),
            (Self::Issuer(PinnedIssuer { key, from, to }), Some(issuer)) if *key == issuer => {
                let (from, to) = (
                    from.and_then(|from| now.rev.map(|rev| rev.min(from))),
                    to.and_then(|to| now.rev.map(|rev| rev.max(to))),
                );
                Self::Issuer(PinnedIssuer { key: issuer, from, to })
            }
            // Another signer's later revisions were not looked at.
            (Self::Issuer(_), Some(issuer)) => Self::Issuer(PinnedIssuer { key: issuer, from: now.rev, to: now.rev }),
            (Self::Sha256(_) | Self::Issuer(_), _) => Self::Sha256(now.sha256),
        }
    }
}

impl Now {
    /// A provider as it was admitted.
    pub fn of_provider(sha256: Digest, record: &ProviderRecord) -> Self {
        Self { sha256, issuer: record.signed.as_ref().map(|(issuer, _)| *issuer), rev: record.rev }
    }

    /// A component as it was admitted.
    pub const fn of_component(record: &ComponentRecord) -> Self {
        Self { sha256: record.sha256, issuer: Some(record.issuer), rev: record.rev }
    }
}

impl State {
    /// The bytes of a subject that were admitted last and are not retired.
    pub fn newest(&self, subject: &Subject) -> Option<(Digest, &ProviderRecord)> {
        let admitted = self.admitted.get(subject)?.iter().rev();
        admitted.filter_map(|sha256| Some((*sha256, self.providers.get(sha256)?))).find(|(_, record)| !record.retired)
    }

    /// The bytes that answer by a link: those it names, or the newest where its pin follows an issuer.
    pub fn answering(&self, link: &LinkRecord) -> Option<(Digest, &ProviderRecord)> {
        let named = || self.providers.get(&link.sha256).map(|record| (link.sha256, record));
        let followed = matches!(link.pin, Some(Pin::Issuer(_))).then(|| self.newest(&link.provider)).flatten();
        followed.or_else(named).filter(|(_, record)| record.subject == link.provider)
    }

    /// What of a link is no longer as it was agreed; `component` is what runs, or would.
    pub fn departed(&self, package: &Package, link: &LinkRecord, component: Option<Now>) -> Option<Departed> {
        if let Some((pin, (sha256, record))) = link.pin.as_ref().zip(self.newest(&link.provider)) {
            let now = Now::of_provider(sha256, record);
            if !pin.holds(&now) {
                return Some(Departed::Provider(pin.clone(), now));
            }
        }
        if let Some((pin, now)) = link.component_pin.as_ref().zip(component).filter(|(pin, now)| !pin.holds(now)) {
            return Some(Departed::Component(pin.clone(), now));
        }
        let schema = |contract: &Contract| contract.config_schema_sha256;
        let checked = link.checked.as_ref().filter(|_| link.config_sha256.is_some())?.contract;
        let demanded = self.contracts.get(package).map(|published| schema(&published.contract))?;
        (checked != demanded).then_some(Departed::Schema(checked, demanded))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(sha256) => write!(f, "sha256={sha256}"),
            Self::Issuer(PinnedIssuer { key, from: None, to: None }) => write!(f, "issuer={key}"),
            Self::Issuer(PinnedIssuer { key, from, to }) => {
                let end = |end: &Option<i32>| end.map(|end| end.to_string()).unwrap_or_default();
                write!(f, "issuer={key},rev={}..{}", end(from), end(to))
            }
        }
    }
}

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sha256)?;
        self.issuer.map_or(Ok(()), |issuer| write!(f, ", signed by `{issuer}`"))?;
        self.rev.map_or(Ok(()), |rev| write!(f, ", revision {rev}"))
    }
}

impl fmt::Display for Departed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = |schema: &Option<Digest>| schema.map_or_else(|| "none".to_owned(), |sha256| sha256.to_string());
        match self {
            Self::Provider(pin, now) => write!(f, "its provider must be {pin}, newest is {now}"),
            Self::Component(pin, now) => write!(f, "its component must be {pin}, this is {now}"),
            Self::Schema(held, demanded) => {
                let (held, demanded) = (schema(held), schema(demanded));
                write!(f, "its configuration was held to schema {held}, the contract now demands {demanded}")
            }
        }
    }
}
