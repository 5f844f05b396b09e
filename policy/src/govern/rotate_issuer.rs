//! Rotate an issuer: a new key takes its place at once, and the old one retires when an overlap is over (T16).
//!
//! The overlap is mandatory and bounded: without one something signed today would fail, without an end both would be
//! trusted for ever. What the old one owned is the new one's too.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State, Weighty, begins_before};
use crate::digest::Digest;
use crate::issuer::{Issuer, Standing};
use crate::key::{self, Name, Role};
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;

/// Rotate an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateIssuer {
    /// The key that goes.
    pub old: Name<key::Issuer>,
    /// The key that comes: a new one, or a prepared one.
    pub new: Name<key::Issuer>,
    /// The end of the overlap: from then on the old one is retired, without another act.
    pub overlap_until: Timestamp,
    /// The end of the new one's trust; none is that of the old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// SHA-256 of the proof that somebody holds the new key, attached to the command; none where one was shown before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_sha256: Option<Digest>,
}

/// An issuer is rotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerRotated {
    /// The key that goes.
    pub old: Name<key::Issuer>,
    /// From when on the old one is retired.
    pub overlap_until: Timestamp,
    /// The key that comes.
    pub new: Name<key::Issuer>,
    /// How far the new one is trusted.
    pub issuer: Issuer,
}

impl Judge for RotateIssuer {
    type Event = IssuerRotated;

    fn subject(&self) -> String {
        format!("issuer {}", self.old)
    }

    fn also(&self) -> Option<String> {
        Some(format!("issuer {}", self.new))
    }

    fn weighs(&self, _: &State) -> Option<Weighty> {
        Some(Weighty::IssuerAdd)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<IssuerRotated, Refusal> {
        let old = state.issuer(&self.old)?;
        old.stands(&self.old, case.now)?;
        if let Some(delegator) = &old.delegator {
            let detail = format!("`{}` has its say from `{delegator}`, who signs for each key", self.old);
            return Err(Refusal::new(Reason::DelegationDepth, detail));
        }
        self.comes_from_nowhere(state)?;
        begins_before(Some(self.overlap_until), case.now)?;
        if self.overlap_until > case.now.plus(OVERLAP_S) {
            let detail =
                format!("the overlap ends at {}, at most {OVERLAP_S} s ahead of {}", self.overlap_until, case.now);
            return Err(Refusal::new(Reason::TimeMalformed, detail));
        }
        let until = self.until.or(old.until);
        begins_before(until, case.now)?;
        let proof = Some(case.proof_now_or_before(self.proof_sha256, &self.new, state)?);
        let succeeds = Some(self.old);
        let trusted = Issuer::trusted(old.scope.clone(), old.kinds.clone(), old.max_lifetime_s);
        let overlap_until = old.end().into_iter().chain([self.overlap_until]).min().unwrap_or(self.overlap_until);
        let issuer = Issuer { until, proof, succeeds, ..trusted };
        Ok(IssuerRotated { old: self.old, overlap_until, new: self.new, issuer })
    }
}

impl RotateIssuer {
    // Either nobody has that key yet, or it was prepared for this.
    fn comes_from_nowhere(&self, state: &State) -> Result<(), Refusal> {
        match state.issuers.find(&self.new).map(|issuer| issuer.standing) {
            Some(Standing::Prepared) => Ok(()),
            _ => {
                self.new.usable()?;
                state.unused(self.new.raw(), key::Issuer::WORD)
            }
        }
    }
}

impl Apply for IssuerRotated {
    fn apply(&self, state: &mut State, _index: u64) {
        state.claim_key(*self.new.raw(), key::Issuer::WORD);
        state.issuers.put(self.new, self.issuer.clone());
        state.issuers.change(&self.old, |issuer| issuer.standing = Standing::Retired(self.overlap_until));
    }

    fn told(&self) -> String {
        let Self { old, new, overlap_until, .. } = self;
        format!("issuer {old} rotated to {new}, proved; the old one retires from {overlap_until} on")
    }
}

/// The longest overlap in seconds.
pub const OVERLAP_S: u64 = 90 * 86_400;
