//! Admit a component: this subject may run under this id.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::owning::Waived;
use super::{Apply, Case, ComponentRecord, Judge, State, Waiver, Weighty};
use crate::artifact::Import;
use crate::digest::Digest;
use crate::examine::Evidence;
use crate::issuer::{Kind, Signed};
use crate::key::{self, Component, Name};
use crate::name::{ComponentId, LegacyId};
use crate::provider::Subject;
use crate::reason::{Reason, Refusal};

/// Admit a component under an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmitComponent {
    /// The id.
    pub id: ComponentId,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// SHA-256 of its claims token, attached to the command.
    pub claims_sha256: Digest,
    /// What the file imports.
    pub imports: Vec<Import>,
    /// What the file exports.
    pub exports: Vec<Import>,
    /// What is let pass.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waivers: BTreeSet<Waiver>,
}

/// A component is admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentAdmitted {
    /// The id.
    pub id: ComponentId,
    /// The subject that owns it.
    pub subject: Name<Component>,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// Who signed its claims.
    pub issuer: Name<key::Issuer>,
    /// What the file imports.
    pub imports: Vec<Import>,
    /// What the file exports.
    pub exports: Vec<Import>,
    /// Its revision, as its claims say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<i32>,
    /// The issuer from whom the subject was taken, which an administrator let pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_over: Option<Name<key::Issuer>>,
    /// The higher revision that was admitted before, which an administrator let pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgraded: Option<i32>,
}

impl Judge for AdmitComponent {
    type Event = ComponentAdmitted;

    fn subject(&self) -> String {
        format!("id {}", self.id)
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        (!self.waivers.is_empty()).then_some(Weighty::Weakening)
    }

    fn reopens(&self, state: &State, case: &Case<'_>) -> bool {
        let subject = match case.evidence(self.claims_sha256) {
            Ok(Evidence::Component(claimed)) => Some(Subject::Component(claimed.subject)),
            _ => None,
        };
        let is_ended = |record: &&ComponentRecord| record.retired || state.is_revoked(&record.issuer);
        let here = state.components.get(&self.id);
        let lives_here = here.filter(|record| !is_ended(record)).is_some();
        // Where it lives, other bytes are its next revision; those that were retired elsewhere come back all the same.
        let is_it = |record: &ComponentRecord| {
            record.sha256 == self.sha256 || (!lives_here && Some(&record.subject) == subject.as_ref())
        };
        here.is_some_and(|record| is_ended(&record)) || state.components.values().filter(is_ended).any(is_it)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<ComponentAdmitted, Refusal> {
        let Evidence::Component(claimed) = case.evidence(self.claims_sha256)? else {
            return Err(Refusal::new(Reason::ClaimsKind, "the attached claims are not a component's"));
        };
        let signed = Signed { issuer: claimed.issuer(), kind: Kind::Component, validity: &claimed.common.validity };
        let exports = self.exports.iter().map(|export| export.package.as_str());
        let caps = claimed.caps.iter().flatten().map(LegacyId::as_str);
        state.issuers.judge(signed, exports.chain(caps), case.now)?;
        let subject = Subject::Component(claimed.subject);
        state.id_is_free_for(&self.id, &subject)?;
        let rev = claimed.common.rev.filter(|_| state.has_owners());
        let Waived { took_over, downgraded } = state.owns(&subject, claimed.issuer(), rev, &self.waivers)?;
        let same = |record: &&ComponentRecord| record.sha256 == self.sha256 && !record.retired;
        if state.components.get(&self.id).filter(same).is_some() {
            return Err(Refusal::new(Reason::AlreadyExists, format!("`{}` is admitted with these bytes", self.id)));
        }
        let Self { id, sha256, imports, exports, .. } = self.clone();
        let (subject, issuer) = (claimed.subject, *claimed.issuer());
        Ok(ComponentAdmitted { id, subject, sha256, issuer, imports, exports, rev, took_over, downgraded })
    }
}

impl Apply for ComponentAdmitted {
    fn apply(&self, state: &mut State, _index: u64) {
        let Self { subject, sha256, issuer, imports, exports, .. } = self.clone();
        let subject = Subject::Component(subject);
        state.own(subject.clone(), issuer, self.rev, self.took_over.is_some());
        let record = ComponentRecord { subject, sha256, issuer, rev: self.rev, imports, exports, retired: false };
        state.components.insert(self.id.clone(), record);
    }

    fn told(&self) -> String {
        let waived = Waived { took_over: self.took_over, downgraded: self.downgraded };
        format!("component `{}` admitted{}", self.id, waived.told())
    }
}

impl State {
    /// An id belongs to the subject that had it first, as a component or as a provider.
    pub(crate) fn id_is_free_for(&self, id: &ComponentId, subject: &Subject) -> Result<(), Refusal> {
        let component = self.components.get(id).map(|record| &record.subject);
        let provider = self.providers.values().find(|record| record.id == *id).map(|record| &record.subject);
        match component.into_iter().chain(provider).find(|owner| *owner != subject) {
            Some(owner) => {
                let detail = format!("id `{id}` belongs to `{owner}`, these claims are about `{subject}`");
                Err(Refusal::new(Reason::ComponentIdNotYours, detail))
            }
            None => Ok(()),
        }
    }
}
