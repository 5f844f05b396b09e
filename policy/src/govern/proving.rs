//! What the operations on issuers share: who is meant, whether a key was proved, and ends that lie ahead.

use super::{Case, State};
use crate::digest::Digest;
use crate::examine::Evidence;
use crate::issuer::Issuer;
use crate::key::{self, Name};
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;

impl State {
    /// The issuer of that key, whatever became of it.
    pub(super) fn issuer(&self, key: &Name<key::Issuer>) -> Result<&Issuer, Refusal> {
        let never = || Refusal::new(Reason::NotFound, format!("issuer `{key}` was never trusted here"));
        self.issuers.find(key).ok_or_else(never)
    }
}

impl Case<'_> {
    /// The attached proof that somebody holds this key.
    pub(super) fn proof(&self, sha256: Digest, key: &Name<key::Issuer>, state: &State) -> Result<Digest, Refusal> {
        let Evidence::KeyProof(proof) = self.evidence(sha256)? else {
            return Err(Refusal::new(Reason::ClaimsKind, format!("statement {sha256} is no proof of a key")));
        };
        proof.is_of(key)?;
        state.is_meant("the proof", &proof.aud, proof.inception_sha256)?;
        proof.is_fresh(self.now)?;
        Ok(sha256)
    }

    /// The attached proof, or the one that was shown when the issuer was added.
    pub(super) fn proof_now_or_before(
        &self,
        sha256: Option<Digest>,
        key: &Name<key::Issuer>,
        state: &State,
    ) -> Result<Digest, Refusal> {
        if let Some(sha256) = sha256 {
            return self.proof(sha256, key, state);
        }
        let before = state.issuers.find(key).and_then(|issuer| issuer.proof);
        before.ok_or_else(|| Refusal::new(Reason::ProofMissing, format!("nobody proved to hold the key `{key}`")))
    }
}

/// Checks that an end lies ahead, where there is one.
pub(super) fn begins_before(end: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    match end.filter(|end| *end <= now) {
        None => Ok(()),
        Some(end) => {
            let detail = format!("the end {end} does not lie ahead; the clock here says {now}");
            Err(Refusal::new(Reason::TimeMalformed, detail))
        }
    }
}
