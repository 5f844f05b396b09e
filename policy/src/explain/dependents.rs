//! Who depends on what an act changes: delegates, components, providers, contracts, defaults, links, and what runs.
//!
//! Found by comparing the state before an act with the one after it, so that no kind of act is forgotten. Which starts
//! would come out otherwise is left to whoever decides them again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::digest::Digest;
use crate::govern::{LinkKey, State};
use crate::inventory::Runs;
use crate::key::{self, Host, Name};
use crate::name::{ComponentId, Package};

/// What an act changes, and all that rests on it.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    changed: BTreeSet<Name<key::Issuer>>,
    // Those, and whoever has their say from them.
    issuers: BTreeSet<Name<key::Issuer>>,
    components: BTreeSet<ComponentId>,
    providers: BTreeSet<Digest>,
    contracts: BTreeSet<Package>,
    links: BTreeSet<LinkKey>,
    hosts: BTreeSet<Name<Host>>,
}

/// Who depends on what an act changes, as state tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependents {
    /// The issuers that have their say from one that changes.
    pub delegates: Listed<Name<key::Issuer>>,
    /// The admitted components.
    pub components: Listed<ComponentId>,
    /// The admitted providers.
    pub providers: Listed<ComponentId>,
    /// The contracts.
    pub contracts: Listed<Package>,
    /// The packages that the lattice's default answers.
    pub defaults: Listed<Package>,
    /// The live links.
    pub links: Listed<String>,
}

/// How many there are, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed<T> {
    /// How many.
    pub count: usize,
    /// The first of them.
    pub listed: Vec<T>,
}

impl Touched {
    /// What is not the same after as before, and what stands on it.
    pub fn between(before: &State, after: &State) -> Self {
        let changed = before.issuers().iter().filter(|(key, issuer)| after.issuers().find(key) != Some(*issuer));
        let changed: BTreeSet<_> = changed.map(key_of).collect();
        let lent = before.issuers().iter().filter(|(_, it)| it.delegator.is_some_and(|from| changed.contains(&from)));
        let issuers: BTreeSet<_> = changed.iter().copied().chain(lent.map(key_of)).collect();
        let components = before.components().iter().filter(|(_, record)| issuers.contains(&record.issuer));
        let signed = |by: Option<&Name<key::Issuer>>| by.is_some_and(|by| issuers.contains(by));
        let providers = before.providers().iter();
        let providers = providers.filter(|(_, record)| signed(record.signed.as_ref().map(|(by, _)| by)));
        let contracts = before.contracts().iter().filter(|(_, published)| signed(Some(&published.contract.iss)));
        let defaults = differing(before.defaults(), after.defaults());
        Self {
            components: components.map(key_of).chain(differing(before.components(), after.components())).collect(),
            providers: providers.map(key_of).chain(differing(before.providers(), after.providers())).collect(),
            contracts: contracts
                .map(key_of)
                .chain(differing(before.contracts(), after.contracts()))
                .chain(defaults)
                .collect(),
            links: differing(before.links(), after.links()).collect(),
            hosts: differing(before.hosts(), after.hosts()).collect(),
            changed,
            issuers,
        }
    }

    /// Who depends on it in a state.
    pub fn dependents(&self, state: &State) -> Dependents {
        let delegates = self.issuers.iter().filter(|key| !self.changed.contains(*key)).copied();
        let components =
            state.components().iter().filter(|(id, record)| !record.retired && self.components.contains(*id));
        let providers = state.providers().iter();
        let providers = providers.filter(|(sha256, record)| !record.retired && self.providers.contains(*sha256));
        let contracts = state.contracts().iter();
        let contracts = contracts.filter(|(package, it)| !it.withdrawn && self.contracts.contains(*package));
        let defaults = state.defaults().keys().filter(|package| self.contracts.contains(*package)).cloned();
        let links = state.links().iter().filter(|(key, slot)| {
            slot.live().is_some_and(|link| self.is_under(key, &link.sha256) || self.components.contains(&key.component))
        });
        Dependents {
            delegates: Listed::of(delegates),
            components: Listed::of(components.map(key_of)),
            providers: Listed::of(providers.map(|(_, record)| record.id.clone())),
            contracts: Listed::of(contracts.map(key_of)),
            defaults: Listed::of(defaults),
            links: Listed::of(links.map(|(key, _)| key.to_string())),
        }
    }

    /// Whether something that runs on a host rests on it: by itself, or by one of its bindings.
    pub fn is_ground_of(&self, host: &Name<Host>, runs: &Runs) -> bool {
        let bound = runs.bindings.iter().any(|binding| {
            let (component, package, name) = (runs.component.clone(), binding.package.clone(), binding.link.clone());
            self.is_under(&LinkKey { component, package, name }, &binding.sha256)
        });
        bound
            || self.hosts.contains(host)
            || self.components.contains(&runs.component)
            || self.providers.contains(&runs.sha256)
            || runs.issuer.is_some_and(|issuer| self.issuers.contains(&issuer))
    }

    fn is_under(&self, key: &LinkKey, provider: &Digest) -> bool {
        self.providers.contains(provider) || self.contracts.contains(&key.package) || self.links.contains(key)
    }
}

impl<T> Listed<T> {
    /// Counts them, and keeps the first hundred.
    pub fn of(items: impl Iterator<Item = T>) -> Self {
        Self::at_most(LISTED, items)
    }

    /// Counts them, and keeps as many of the first.
    pub fn at_most(most: usize, items: impl Iterator<Item = T>) -> Self {
        let mut found = Self { count: 0, listed: Vec::new() };
        for item in items {
            found.count += 1;
            if found.listed.len() < most {
                found.listed.push(item);
            }
        }
        found
    }
}

fn key_of<K: Clone, V>((key, _): (&K, &V)) -> K {
    key.clone()
}

// The keys of what was changed or taken away; what is new has nobody who depends on it yet.
fn differing<K: Ord + Clone, V: PartialEq>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> impl Iterator<Item = K> {
    // A list that both states share is the same in both, however long it is.
    let same = std::ptr::eq(before, after);
    before.iter().filter(move |(key, value)| !same && after.get(key) != Some(*value)).map(key_of)
}

// The most of a kind that are listed.
const LISTED: usize = 100;
