//! Admit a provider: these bytes, or this native builtin, may answer what they serve.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::owning::Waived;
use super::{Apply, Case, Judge, ProviderRecord, State, Waiver, Weighty, records};
use crate::artifact::Import;
use crate::claims::Common;
use crate::digest::Digest;
use crate::examine::Evidence;
use crate::issuer::{Kind, Signed};
use crate::key;
use crate::key::Name;
use crate::name::{ComponentId, LegacyId};
use crate::provider::{Source, Subject};
use crate::reason::{Reason, Refusal};
use crate::relax::Aside;
use crate::time::Validity;

/// Admit a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmitProvider {
    /// The id it runs under.
    pub id: ComponentId,
    /// What it is.
    pub subject: Subject,
    /// SHA-256 of the whole file; of its name, for a native builtin.
    pub sha256: Digest,
    /// SHA-256 of its claims token, attached to the command; none for a native builtin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims_sha256: Option<Digest>,
    /// What it serves.
    pub serves: Vec<Import>,
    /// From where that is known.
    pub source: Source,
    /// What is let pass.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waivers: BTreeSet<Waiver>,
}

/// A provider is admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderAdmitted {
    /// The id it runs under.
    pub id: ComponentId,
    /// What it is.
    pub subject: Subject,
    /// SHA-256 of the whole file; of its name, for a native builtin.
    pub sha256: Digest,
    /// Who signed its claims, and when they hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedBy>,
    /// What it serves.
    pub serves: Vec<Import>,
    /// The old contract id in its claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capid: Option<LegacyId>,
    /// From where that is known.
    pub source: Source,
    /// The issuer from whom the subject was taken, which an administrator let pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_over: Option<Name<key::Issuer>>,
    /// The higher revision that was admitted before, which an administrator let pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgraded: Option<i32>,
}

/// What the record keeps of its claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedBy {
    /// Who signed them.
    pub issuer: Name<key::Issuer>,
    /// When they hold.
    pub validity: Validity,
    /// Its revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<i32>,
}

impl Judge for AdmitProvider {
    type Event = ProviderAdmitted;

    fn subject(&self) -> String {
        format!("provider {}", self.sha256)
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        (!self.waivers.is_empty()).then_some(Weighty::Weakening)
    }

    fn reopens(&self, state: &State, _: &Case<'_>) -> bool {
        let is_ended = |sha256: &Digest| {
            let signed = |record: &ProviderRecord| record.signed.as_ref().map(|(issuer, _)| *issuer);
            let record = state.providers.get(sha256);
            record
                .is_some_and(|record| record.retired || signed(record).is_some_and(|issuer| state.is_revoked(&issuer)))
        };
        // While any of its bytes may answer, other bytes are its next revision.
        let all_ended = |admitted: &Vec<Digest>| !admitted.is_empty() && admitted.iter().all(is_ended);
        is_ended(&self.sha256) || state.admitted.get(&self.subject).is_some_and(all_ended)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<ProviderAdmitted, Refusal> {
        if self.serves.is_empty() && self.source != Source::Capid {
            let detail = "it serves nothing that can be read; an administrator may state it with `--serves`";
            return Err(Refusal::new(Reason::SchemaMismatch, detail));
        }
        let (signed, capid) = match self.claims_sha256 {
            None => (None, self.native()?),
            Some(sha256) => self.claimed(case, sha256)?,
        };
        state.id_is_free_for(&self.id, &self.subject)?;
        if state.providers.get(&self.sha256).is_some_and(|record| !record.retired && record.serves == self.serves) {
            return Err(Refusal::new(Reason::AlreadyExists, format!("provider `{}` is admitted already", self.id)));
        }
        let waived = signed.as_ref().map_or(Ok(Waived::default()), |signed: &SignedBy| {
            state.owns(&self.subject, &signed.issuer, signed.rev, &self.waivers)
        });
        let Waived { took_over, downgraded } = waived?;
        let Self { id, subject, sha256, serves, source, .. } = self.clone();
        let event = ProviderAdmitted { id, subject, sha256, signed, serves, capid, source, took_over, downgraded };
        event.record().trusted(state, case.now, Aside::default())?;
        Ok(event)
    }
}

impl AdmitProvider {
    fn native(&self) -> Result<Option<LegacyId>, Refusal> {
        let Subject::Native(name) = &self.subject else {
            return Err(Refusal::new(Reason::ClaimsMissing, format!("provider `{}` carries no claims", self.id)));
        };
        if self.source == Source::Native && self.sha256 == Digest::of(name.as_str().as_bytes()) {
            return Ok(None);
        }
        Err(Refusal::new(Reason::HashMismatch, "the digest of a native builtin is that of its name"))
    }

    fn claimed(&self, case: &Case<'_>, sha256: Digest) -> Result<(Option<SignedBy>, Option<LegacyId>), Refusal> {
        let signed_by = |issuer: &Name<key::Issuer>, common: &Common| {
            let (issuer, validity) = records::signed(issuer, common);
            Some(SignedBy { issuer, validity, rev: common.rev })
        };
        match (case.evidence(sha256)?, &self.subject, self.source) {
            (Evidence::Component(claimed), Subject::Component(subject), Source::Exports)
                if claimed.subject == *subject =>
            {
                Ok((signed_by(claimed.issuer(), &claimed.common), None))
            }
            (Evidence::Provider(claimed), Subject::Provider(subject), source) if claimed.subject == *subject => {
                self.source_fits(source, claimed.target_hashes.contains_key("world.wasm"), claimed.capid.is_some())?;
                Ok((signed_by(claimed.issuer(), &claimed.common), claimed.capid.clone()))
            }
            _ => Err(Refusal::new(
                Reason::ClaimsKind,
                format!("the attached claims are not those of `{}`", self.subject),
            )),
        }
    }

    fn source_fits(&self, source: Source, has_world: bool, has_capid: bool) -> Result<(), Refusal> {
        match source {
            Source::World if has_world => Ok(()),
            Source::Capid if has_capid && self.serves.is_empty() => Ok(()),
            // What can be read is never merely stated.
            Source::Stated if !has_world => Ok(()),
            _ => Err(Refusal::new(Reason::SchemaMismatch, "what it serves is not known from where the command says")),
        }
    }
}

impl ProviderAdmitted {
    fn record(&self) -> ProviderRecord {
        let Self { id, subject, signed, serves, capid, source, .. } = self.clone();
        let rev = signed.as_ref().and_then(|signed| signed.rev);
        let signed = signed.map(|signed| (signed.issuer, signed.validity));
        ProviderRecord { id, subject, signed, rev, serves, capid, source, retired: false }
    }
}

impl ProviderRecord {
    /// Whether its issuer's word counts now for all that it serves; a native builtin rests on its admission alone.
    pub(crate) fn trusted(&self, state: &State, now: crate::time::Timestamp, aside: Aside) -> Result<(), Refusal> {
        let Some((issuer, validity)) = &self.signed else {
            return Ok(());
        };
        let kind = match self.subject {
            Subject::Component(_) => Kind::Component,
            Subject::Provider(_) | Subject::Native(_) => Kind::Provider,
        };
        state.issuers().judge_past(Signed { issuer, kind, validity }, self.speaks_for(), now, aside).map(drop)
    }
}

impl Apply for ProviderAdmitted {
    fn apply(&self, state: &mut State, _index: u64) {
        if let Some(SignedBy { issuer, rev, .. }) = self.signed {
            state.own(self.subject.clone(), issuer, rev, self.took_over.is_some());
        }
        let admitted = state.admitted.entry(self.subject.clone()).or_default();
        admitted.retain(|sha256| *sha256 != self.sha256);
        admitted.push(self.sha256);
        state.providers.insert(self.sha256, self.record());
    }

    fn told(&self) -> String {
        let waived = Waived { took_over: self.took_over, downgraded: self.downgraded };
        format!("provider `{}` admitted{}", self.id, waived.told())
    }
}
