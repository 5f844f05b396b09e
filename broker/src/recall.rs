//! What was proved before: verdicts on claims by their digest, and issuers' keys that were found sound.
//!
//! Both depend on bytes alone, so they never grow stale; whether anybody trusts them is judged anew each time.

use std::sync::{Mutex, PoisonError};

use policy::digest::Digest;
use policy::envelope::KnownKeys;
use policy::examine::{self, Examiner, Verdict};
use policy::key::{Issuer, Key, Name};
use policy::question::What;
use policy::reason::Refusal;

use crate::generations::Generations;

/// Verdicts and keys that are remembered.
pub struct Recall {
    verdicts: Mutex<Generations<(bool, Digest), Verdict>>,
    keys: Mutex<Generations<Name<Issuer>, Key<Issuer>>>,
}

impl Default for Recall {
    fn default() -> Self {
        let (verdicts, keys) = (Generations::weighing(HEAVIEST), Generations::weighing(HEAVIEST));
        Self { verdicts: Mutex::new(verdicts), keys: Mutex::new(keys) }
    }
}

impl Examiner for Recall {
    fn verdict(&self, what: What, token: &[u8], sha256: Digest) -> Verdict {
        // The same token may be sound for a provider and of the wrong kind for a component.
        let place = (what == What::StartProvider, sha256);
        if let Some(verdict) = find(&self.verdicts, &place) {
            return verdict;
        }
        let verdict = examine::verdict(what, token, self);
        keep(&self.verdicts, place, &verdict, token.len() + OVERHEAD);
        verdict
    }
}

impl KnownKeys for Recall {
    fn key(&self, issuer: &Name<Issuer>) -> Result<Key<Issuer>, Refusal> {
        if let Some(key) = find(&self.keys, issuer) {
            return Ok(key);
        }
        let key = issuer.usable()?;
        keep(&self.keys, *issuer, &key, OVERHEAD);
        Ok(key)
    }
}

fn find<K: Ord + Clone, V: Clone>(map: &Mutex<Generations<K, V>>, key: &K) -> Option<V> {
    map.lock().unwrap_or_else(PoisonError::into_inner).find(key)
}

fn keep<K: Ord + Clone, V: Clone>(map: &Mutex<Generations<K, V>>, key: K, value: &V, weight: usize) {
    map.lock().unwrap_or_else(PoisonError::into_inner).put(key, value.clone(), weight);
}

// Bytes of one generation; the parsed form of claims weighs about as much as their token again.
const HEAVIEST: usize = 8 * 1024 * 1024;
// What an entry weighs besides its token.
const OVERHEAD: usize = 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_token_stays_forged() {
        let recall = Recall::default();
        let token = b"e30.e30.AAAA";
        let (sha256, what) = (Digest::of(token), What::StartComponent);
        let first = recall.verdict(what, token, sha256).unwrap_err();
        assert_eq!(recall.verdict(what, token, sha256).unwrap_err(), first);
    }
}
