//! Who owns a subject, and how high its revisions have come: both are fixed by admissions alone (T18, T29).
//!
//! A subject belongs to the issuer under whom it was accepted first, and to whoever succeeds that one by rotation. What
//! another signed, or a lower revision, is admitted only where an administrator says so, and then as just that.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::State;
use crate::issuer::Standing;
use crate::key::{self, Name};
use crate::provider::Subject;
use crate::reason::{Reason, Refusal};

/// What an administrator may let pass at an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiver {
    /// The subject belongs to another issuer.
    TakeOver,
    /// A higher revision of it was admitted.
    Downgrade,
}

/// What is known of a subject that was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The issuer it belongs to.
    pub issuer: Name<key::Issuer>,
    /// The highest revision that was admitted.
    pub rev: Option<i32>,
}

/// What an admission let pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waived {
    /// From whom the subject was taken.
    pub(super) took_over: Option<Name<key::Issuer>>,
    /// The higher revision that had been admitted.
    pub(super) downgraded: Option<i32>,
}

impl State {
    /// Judges an admission by who owns the subject and how high its revisions have come.
    pub(super) fn owns(
        &self,
        subject: &Subject,
        issuer: &Name<key::Issuer>,
        rev: Option<i32>,
        waivers: &BTreeSet<Waiver>,
    ) -> Result<Waived, Refusal> {
        let Some(owned) = self.subjects.get(subject).filter(|_| self.has_owners()) else {
            return Ok(Waived::default());
        };
        let took_over = Some(owned.issuer).filter(|owner| !self.issuers.same_line(owner, issuer));
        if let Some(owner) = took_over.filter(|_| !waivers.contains(&Waiver::TakeOver)) {
            let detail = format!("`{subject}` belongs to issuer `{owner}`, this is signed by `{issuer}`");
            return Err(Refusal::new(Reason::SubjectOwned, detail));
        }
        let downgraded = owned.rev.filter(|highest| rev < Some(*highest));
        if let Some(highest) = downgraded.filter(|_| !waivers.contains(&Waiver::Downgrade)) {
            return Err(lower(subject, rev, highest));
        }
        Ok(Waived { took_over, downgraded })
    }

    /// Whether the revision is one that may run though no admission named these bytes.
    pub(crate) fn is_current(&self, subject: &Subject, rev: Option<i32>) -> Result<(), Refusal> {
        let highest = self.subjects.get(subject).and_then(|owned| owned.rev);
        highest.filter(|highest| rev < Some(*highest)).map_or(Ok(()), |highest| Err(lower(subject, rev, highest)))
    }

    /// Whether subjects have owners under the law that judges: what is older is judged again as it was then.
    pub(crate) const fn has_owners(&self) -> bool {
        self.law() >= OWNERS_SINCE
    }

    /// Whether nothing that this issuer ever signed counts any more.
    pub(super) fn is_revoked(&self, issuer: &Name<key::Issuer>) -> bool {
        self.issuers.find(issuer).is_some_and(|issuer| matches!(issuer.standing, Standing::Revoked(_)))
    }

    /// What is known of a subject.
    pub fn owned(&self, subject: &Subject) -> Option<&Owned> {
        self.subjects.get(subject)
    }

    // A new owner counts its revisions by itself, whoever had the subject before.
    pub(super) fn own(&mut self, subject: Subject, issuer: Name<key::Issuer>, rev: Option<i32>, anew: bool) {
        let before = self.subjects.get(&subject).and_then(|owned| owned.rev).filter(|_| !anew);
        self.subjects.insert(subject, Owned { issuer, rev: rev.max(before) });
    }
}

impl Waived {
    /// What is told of it after an admission.
    pub(super) fn told(self) -> String {
        let took = self.took_over.map(|owner| format!(", taken over from issuer {owner}")).unwrap_or_default();
        let down = self.downgraded.map(|highest| format!(", below revision {highest}")).unwrap_or_default();
        took + &down
    }
}

fn lower(subject: &Subject, rev: Option<i32>, highest: i32) -> Refusal {
    let rev = rev.map_or_else(|| "no revision".to_owned(), |rev| format!("revision {rev}"));
    Refusal::new(Reason::Downgrade, format!("{rev} of `{subject}`, revision {highest} was admitted before"))
}

const OWNERS_SINCE: u64 = 2;
