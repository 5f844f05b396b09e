//! Weaken something until a moment, for a reason that is written down.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, ComponentRecord, HostStanding, Judge, State, Weighty, end};
use crate::digest::Digest;
use crate::issuer::Standing;
use crate::key::{self, Name};
use crate::name::RelaxationId;
use crate::reason::{Reason, Refusal};
use crate::relax::{MAX_NAMED, MAX_RELAXATIONS, RELAXATION_LIFETIME_S, Relaxation, STANDBY_LIFE_S, Weakening};
use crate::time::Timestamp;

/// Put a relaxation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutRelaxation {
    /// Its name, free again once it has ended.
    pub id: RelaxationId,
    /// What it weakens.
    pub kind: Weakening,
    /// The first moment at which it no longer counts.
    pub until: Timestamp,
    /// Why, for everybody who meets it.
    pub reason: String,
}

/// A relaxation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelaxationPut {
    /// Its name.
    pub id: RelaxationId,
    /// What it weakens, and until when.
    pub relaxation: Relaxation,
}

impl Judge for PutRelaxation {
    type Event = RelaxationPut;

    fn subject(&self) -> String {
        format!("relaxation {}", self.id)
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        Some(Weighty::Weakening)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<RelaxationPut, Refusal> {
        let Self { id, kind, until, reason } = self.clone();
        if state.relaxations.get(&id).is_some_and(|standing| standing.stands(case.now)) {
            return Err(Refusal::new(Reason::AlreadyExists, format!("relaxation `{id}` stands; end it first")));
        }
        if state.relaxations.values().filter(|standing| standing.stands(case.now)).count() >= MAX_RELAXATIONS {
            return Err(excessive(format!("{MAX_RELAXATIONS} relaxations stand, and no more may")));
        }
        if until <= case.now || until > case.now.plus(RELAXATION_LIFETIME_S) {
            let detail = format!(
                "it would stand until {until}, at most {RELAXATION_LIFETIME_S} s ahead; the clock here says {}",
                case.now
            );
            return Err(excessive(detail).with_skew(end(until, case.now)));
        }
        if reason.trim().is_empty() || reason.len() > MAX_REASON {
            return Err(excessive(format!("it needs a reason of 1 to {MAX_REASON} bytes")));
        }
        kind.sound(state)?;
        Ok(RelaxationPut { id, relaxation: Relaxation { kind, since: case.now, until, reason } })
    }
}

impl Weakening {
    fn sound(&self, state: &State) -> Result<(), Refusal> {
        let missing = |what: String| Err(Refusal::new(Reason::NotFound, what));
        match self {
            Self::Observe { package } => match package {
                Some(package) if !state.contracts.contains_key(package) => {
                    missing(format!("no contract for `{package}` is published"))
                }
                Some(_) | None => Ok(()),
            },
            Self::Exception { allow, .. } if !allow.relaxable() => {
                Err(Refusal::new(Reason::NotRelaxable, format!("`{allow}` holds whatever stands in state")))
            }
            Self::Exception { .. } => Ok(()),
            Self::Reprieve { sha256, issuer } => state.knew_before(sha256, issuer),
            Self::Standby { components, sha256, hosts, life_s } => {
                if [components.len(), sha256.len(), hosts.len()].iter().any(|count| !(1..=MAX_NAMED).contains(count)) {
                    return Err(excessive(format!("it names 1 to {MAX_NAMED} components, digests and hosts each")));
                }
                if !(1..=STANDBY_LIFE_S).contains(life_s) {
                    return Err(excessive(format!("a standby permit lasts {life_s} s, at most {STANDBY_LIFE_S}")));
                }
                let enrolled = |host| state.hosts.get(host).is_some_and(|it| it.standing == HostStanding::Enrolled);
                match hosts.iter().find(|host| !enrolled(host)) {
                    Some(host) => missing(format!("host `{host}` is not enrolled")),
                    None => Ok(()),
                }
            }
        }
    }

    /// In a few words.
    pub fn told(&self) -> String {
        let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        match self {
            Self::Observe { package: None } => "observe only: the whole lattice".to_owned(),
            Self::Observe { package: Some(package) } => format!("observe only: {package}"),
            Self::Exception { sha256, allow } => {
                let start: String = sha256.to_string().chars().take(12).collect();
                format!("exception: {allow} does not count for {start}...")
            }
            Self::Reprieve { sha256, issuer } => {
                let [sha256, issuer] =
                    [sha256.to_string(), issuer.to_string()].map(|it| it.chars().take(12).collect::<String>());
                format!("reprieve: {sha256}... counts though its issuer {issuer}... was revoked")
            }
            Self::Standby { components, sha256, hosts, life_s } => format!(
                "standby permits of {life_s} s: {}, {}, {}",
                count(components.len(), "id"),
                count(sha256.len(), "digest"),
                count(hosts.len(), "host")
            ),
        }
    }
}

impl State {
    // What a revoked issuer signed and is admitted was admitted before it was revoked: an admission asks whether its
    // issuer's word counts, and nobody who was revoked comes back.
    fn knew_before(&self, sha256: &Digest, issuer: &Name<key::Issuer>) -> Result<(), Refusal> {
        let standing = self.issuers.find(issuer).map(|issuer| issuer.standing);
        if !matches!(standing, Some(Standing::Revoked(_))) {
            return Err(Refusal::new(Reason::NotFound, format!("issuer `{issuer}` was not revoked")));
        }
        let provider = self.providers.get(sha256).and_then(|record| record.signed.as_ref());
        let component = |record: &ComponentRecord| record.sha256 == *sha256 && record.issuer == *issuer;
        if provider.is_some_and(|(signer, _)| signer == issuer) || self.components.values().any(component) {
            return Ok(());
        }
        let detail = format!("no file {sha256}, signed by `{issuer}`, was admitted before that issuer was revoked");
        Err(Refusal::new(Reason::NotFound, detail))
    }
}

fn excessive(detail: String) -> Refusal {
    Refusal::new(Reason::RelaxationExcessive, detail)
}

impl Apply for RelaxationPut {
    fn apply(&self, state: &mut State, _index: u64) {
        // What has ended makes room, so that memory stays bounded (I10).
        state.relaxations.retain(|_, standing| standing.stands(self.relaxation.since));
        state.relaxations.insert(self.id.clone(), self.relaxation.clone());
    }

    fn told(&self) -> String {
        let Relaxation { kind, until, .. } = &self.relaxation;
        format!("relaxation `{}` until {until}: {}", self.id, kind.told())
    }
}

// Room for a sentence.
const MAX_REASON: usize = 256;
