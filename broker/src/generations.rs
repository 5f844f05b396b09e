//! A bounded memory in two generations: when the young one is full it becomes the old one, and what is used again stays.

use std::collections::BTreeMap;

/// A map that forgets what was not used for long, and never weighs more than twice its bound.
pub(crate) struct Generations<K, V> {
    young: BTreeMap<K, (V, usize)>,
    old: BTreeMap<K, (V, usize)>,
    weight: usize,
    heaviest: usize,
}

impl<K: Ord + Clone, V: Clone> Generations<K, V> {
    /// A map of two generations that weigh so much at most.
    pub(crate) const fn weighing(heaviest: usize) -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new(), weight: 0, heaviest }
    }

    /// What is remembered under a key, which thereby stays.
    pub(crate) fn find(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (value, weight) = self.old.remove(key)?;
        self.put(key.clone(), value.clone(), weight);
        Some(value)
    }

    /// Remembers something of that weight.
    pub(crate) fn put(&mut self, key: K, value: V, weight: usize) {
        if self.weight + weight > self.heaviest {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        if self.young.insert(key, (value, weight)).is_none() {
            self.weight += weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_is_forgotten() {
        let (mut map, third) = (Generations::weighing(300), 100);
        map.put(0, "used", third);
        for key in 1..100 {
            map.put(key, "once", third);
            assert_eq!(map.find(&0), Some("used"));
            assert!(map.young.len() + map.old.len() <= 6);
        }
        assert_eq!(map.find(&1), None);
        assert_eq!(map.find(&99), Some("once"));
    }
}
