//! The two moments of a narrowing act: *recorded*, and *effective*, from when on no host binds what it took away (T23).
//!
//! A host that signed that it holds an epoch has it on its disk and binds nothing older. One that has not can do harm
//! only with a permit that it got before the act, and a permit lives a few seconds, a standby permit until its end. So an act
//! is effective once each host that may hold one from before it has signed that it holds its epoch, or those are over.
//! Time here is the broker's monotonic clock; what it reads and who is told are left to the broker.

use std::collections::BTreeMap;

use crate::key::{Host, Name};
use crate::wire::PERMIT_TTL_MS;

/// Who may still hold an older permit, act by act.
#[derive(Debug, Clone)]
pub struct Effects {
    began_ms: u64,
    // The newest act that was on record by then, and what is waited for on behalf of all up to it.
    epoch: u64,
    before: Act,
    // When each host's newest permit is over at the latest.
    permits: BTreeMap<Name<Host>, u64>,
    held: BTreeMap<Name<Host>, u64>,
    acts: BTreeMap<u64, Act>,
}

#[derive(Debug, Clone)]
struct Act {
    recorded_ms: u64,
    // Until when a permit of a process before this one may live, whoever holds it.
    unknown_until_ms: u64,
    waiting: BTreeMap<Name<Host>, u64>,
    // When the last of those that no longer wait stopped doing so.
    settled_ms: u64,
}

/// How far an act has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// How long after it was recorded it was effective; none while it is not.
    pub after_ms: Option<u64>,
    /// How much longer it can take at most.
    pub within_ms: u64,
}

impl Effects {
    /// Nothing is known of what was permitted before that moment.
    pub fn since(now_ms: u64) -> Self {
        Self::standing_by(now_ms, 0, BTreeMap::new())
    }

    /// Of what was permitted before that moment, no more is known than when each host's standby permits are over, and the
    /// newest epoch.
    pub fn standing_by(now_ms: u64, epoch: u64, permits: BTreeMap<Name<Host>, u64>) -> Self {
        let before = Act {
            recorded_ms: now_ms,
            unknown_until_ms: now_ms + PERMIT_TTL_MS,
            waiting: permits.clone(),
            settled_ms: now_ms,
        };
        Self { began_ms: now_ms, epoch, before, permits, held: BTreeMap::new(), acts: BTreeMap::new() }
    }

    /// A permit for a host is on record that lives so long, a standby permit with it included.
    pub fn permitted(&mut self, host: Name<Host>, now_ms: u64, life_ms: u64) {
        let over_ms = self.permits.entry(host).or_default();
        *over_ms = now_ms.saturating_add(life_ms).max(*over_ms);
    }

    /// An act is on record, at that index.
    pub fn recorded(&mut self, index: u64, now_ms: u64) {
        self.permits.retain(|_, until| *until > now_ms);
        let act = Act {
            recorded_ms: now_ms,
            unknown_until_ms: self.began_ms + PERMIT_TTL_MS,
            waiting: self.permits.clone(),
            settled_ms: now_ms,
        };
        self.acts.insert(index, act);
        while self.acts.len() > MOST {
            self.forget_first();
        }
    }

    // Whoever is still waited for on behalf of an act that is forgotten is waited for on behalf of all before it: rather
    // too long than effective too early.
    fn forget_first(&mut self) {
        let Some((index, act)) = self.acts.pop_first() else { return };
        for (host, until) in act.waiting {
            let latest = self.before.waiting.entry(host).or_default();
            *latest = until.max(*latest);
        }
        self.before.settled_ms = act.settled_ms.max(self.before.settled_ms);
        self.epoch = index.max(self.epoch);
    }

    /// A host signed that it holds an epoch.
    pub fn acknowledged(&mut self, host: Name<Host>, epoch: u64, now_ms: u64) {
        let held = self.held.entry(host).or_default();
        *held = epoch.max(*held);
        let before = Some(&mut self.before).filter(|_| epoch >= self.epoch);
        for act in self.acts.range_mut(..=epoch).map(|(_, act)| act).chain(before) {
            if let Some(until) = act.waiting.remove(&host) {
                act.settled_ms = act.settled_ms.max(until.min(now_ms));
            }
        }
    }

    /// The newest epoch that a host signed to hold.
    pub fn held(&self, host: &Name<Host>) -> Option<u64> {
        self.held.get(host).copied()
    }

    /// How far the act at that index has come. One from before this process was recorded when that began, at the latest.
    pub fn of(&self, index: u64, now_ms: u64) -> Effect {
        let act = self.acts.get(&index).unwrap_or(&self.before);
        let unknown = Some(act.unknown_until_ms).filter(|until| *until > act.recorded_ms);
        let end = act.waiting.values().copied().chain(unknown).chain([act.settled_ms]).max().unwrap_or_default();
        let after_ms = (end <= now_ms).then(|| end.saturating_sub(act.recorded_ms));
        Effect { after_ms, within_ms: end.saturating_sub(now_ms) }
    }
}

// Acts that are remembered; older ones have long been effective.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u8) -> Name<Host> {
        Name::from_raw([number; 32])
    }

    #[test]
    fn t23_an_act_waits_for_those_who_may_hold_an_older_permit_and_no_longer() {
        let mut effects = Effects::since(0);
        effects.permitted(host(1), 10_000, PERMIT_TTL_MS);
        effects.permitted(host(2), 12_000, PERMIT_TTL_MS);
        effects.recorded(7, 13_000);
        assert_eq!(effects.of(7, 13_000), Effect { after_ms: None, within_ms: 4000 });
        // What is granted later knows of the act.
        effects.permitted(host(3), 13_001, PERMIT_TTL_MS);
        // An older epoch is no acknowledgement.
        effects.acknowledged(host(2), 6, 13_100);
        assert_eq!(effects.of(7, 13_200).after_ms, None);
        effects.acknowledged(host(2), 7, 13_300);
        assert_eq!(effects.of(7, 14_999).after_ms, None);
        assert_eq!(effects.of(7, 15_000).after_ms, Some(2000));
        // Once told, it stays so.
        effects.acknowledged(host(1), 9, 99_000);
        assert_eq!(effects.of(7, 99_000).after_ms, Some(2000));
        assert_eq!(effects.held(&host(1)), Some(9));
    }

    #[test]
    fn t23_an_act_that_many_came_after_is_not_told_as_effective_too_early() {
        let mut effects = Effects::since(0);
        effects.permitted(host(1), 10_000, 600_000);
        (0..2000).for_each(|number| effects.recorded(7 + number, 11_000 + number));
        assert_eq!(effects.of(7, 20_000).after_ms, None, "a standby permit from before it is good for minutes yet");
        effects.acknowledged(host(1), 7, 20_000);
        assert_eq!(effects.of(7, 20_000).after_ms, None, "what it holds is older than another act that is forgotten");
        effects.acknowledged(host(1), 2006, 21_000);
        assert!([7, 1000, 2006].into_iter().all(|act| effects.of(act, 21_000).after_ms.is_some()));
    }

    #[test]
    fn t23_where_nobody_holds_a_permit_an_act_is_effective_at_once() {
        let mut effects = Effects::since(0);
        effects.permitted(host(1), 10_000, PERMIT_TTL_MS);
        effects.recorded(7, 15_000);
        assert_eq!(effects.of(7, 15_000).after_ms, Some(0));
    }

    #[test]
    fn t23_an_act_waits_for_a_standby_permit_until_its_host_holds_the_epoch_or_it_is_over() {
        let mut effects = Effects::since(0);
        effects.permitted(host(1), 10_000, 600_000);
        // A shorter one after it takes nothing of it back.
        effects.permitted(host(1), 11_000, PERMIT_TTL_MS);
        effects.permitted(host(2), 11_000, 300_000);
        effects.recorded(7, 20_000);
        assert_eq!(effects.of(7, 100_000), Effect { after_ms: None, within_ms: 510_000 });
        effects.acknowledged(host(1), 7, 100_000);
        assert_eq!(effects.of(7, 100_000), Effect { after_ms: None, within_ms: 211_000 });
        assert_eq!(effects.of(7, 311_000).after_ms, Some(291_000));
    }

    #[test]
    fn t23_standby_permits_of_a_process_before_are_waited_for() {
        let mut effects = Effects::standing_by(1000, 9, BTreeMap::from([(host(1), 600_000)]));
        assert_eq!(effects.of(3, 50_000), Effect { after_ms: None, within_ms: 550_000 });
        effects.recorded(10, 60_000);
        effects.acknowledged(host(1), 8, 70_000);
        assert_eq!(effects.of(3, 70_000).after_ms, None);
        effects.acknowledged(host(1), 9, 80_000);
        assert_eq!((effects.of(3, 80_000).after_ms, effects.of(10, 80_000).after_ms), (Some(79_000), None));
        effects.acknowledged(host(1), 10, 90_000);
        assert_eq!(effects.of(10, 90_000).after_ms, Some(30_000));
    }

    #[test]
    fn t23_what_a_process_before_permitted_is_waited_for() {
        let mut effects = Effects::since(1000);
        effects.recorded(7, 2000);
        effects.acknowledged(host(1), 7, 2100);
        assert_eq!(effects.of(7, 5999).after_ms, None);
        assert_eq!(effects.of(7, 6000).after_ms, Some(4000));
        // Acts of that process, too.
        assert_eq!(effects.of(3, 5999).after_ms, None);
        assert!(effects.of(3, 6000).after_ms.is_some());
    }
}
