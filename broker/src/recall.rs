//! What was proved before: verdicts on claims by their digest, and issuers' keys that were found sound.
//!
//! Both depend on bytes alone, so they never grow stale; whether anybody trusts them is judged anew each time. Bounded
//! by weight in two generations: when the young one is full it becomes the old one, and what is used again stays.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use policy::digest::Digest;
use policy::envelope::KnownKeys;
use policy::examine::{self, Examiner, Verdict};
use policy::key::{Issuer, Key, Name};
use policy::question::What;
use policy::reason::Refusal;

/// Verdicts and keys that are remembered.
#[derive(Default)]
pub struct Recall {
    verdicts: Mutex<Generations<(bool, Digest), Verdict>>,
    keys: Mutex<Generations<Name<Issuer>, Key<Issuer>>>,
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

/// A map that forgets what was not used for long, and never weighs more than twice [`HEAVIEST`].
struct Generations<K, V> {
    young: BTreeMap<K, (V, usize)>,
    old: BTreeMap<K, (V, usize)>,
    weight: usize,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new(), weight: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> Generations<K, V> {
    fn find(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (value, weight) = self.old.remove(key)?;
        self.put(key.clone(), value.clone(), weight);
        Some(value)
    }

    fn put(&mut self, key: K, value: V, weight: usize) {
        if self.weight + weight > HEAVIEST {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        if self.young.insert(key, (value, weight)).is_none() {
            self.weight += weight;
        }
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
    fn what_is_used_stays_and_what_is_not_is_forgotten() {
        let mut map = Generations::default();
        let third = HEAVIEST / 3;
        map.put(0, "used", third);
        for key in 1..100 {
            map.put(key, "once", third);
            assert_eq!(map.find(&0), Some("used"));
            assert!(map.young.len() + map.old.len() <= 6);
        }
        assert_eq!(map.find(&1), None);
        assert_eq!(map.find(&99), Some("once"));
    }

    #[test]
    fn a_forged_token_stays_forged() {
        let recall = Recall::default();
        let token = b"e30.e30.AAAA";
        let (sha256, what) = (Digest::of(token), What::StartComponent);
        let first = recall.verdict(what, token, sha256).unwrap_err();
        assert_eq!(recall.verdict(what, token, sha256).unwrap_err(), first);
    }
}
