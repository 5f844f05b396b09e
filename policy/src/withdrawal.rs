//! What becomes of what runs already when an act takes its ground away: kept, drained, or stopped (T26).
//!
//! A withdrawal is derived from the fold alone, so a host that was away learns it when it comes back. What hosts say
//! they run is left to `inventory`, what they do about it to `host`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::Document;
use crate::govern::LinkKey;
use crate::inventory::Runs;
use crate::key::{self, Decision, Host, Name};
use crate::name::{ComponentId, Lattice, Package};

/// What a narrowing act says of bindings that lose their ground by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Running {
    /// They go on, and are shown.
    Keep,
    /// Calls under way may finish, no new one begins.
    Drain,
    /// They end at once.
    Stop,
}

/// How a binding is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// Calls under way may finish; no new one begins.
    Drain,
    /// What runs over it is stopped.
    Stop,
}

impl Running {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drain => "drain",
            Self::Stop => "stop",
        }
    }

    /// What a host is to do about it.
    pub const fn close(self) -> Option<Close> {
        match self {
            Self::Keep => None,
            Self::Drain => Some(Close::Drain),
            Self::Stop => Some(Close::Stop),
        }
    }
}

/// What an act says of what runs, for a list; nothing where it says nothing.
pub(crate) fn told(running: Option<Running>) -> String {
    running.map(|running| format!(", what runs: {}", running.word())).unwrap_or_default()
}

/// What a binding rests on, and an act can take away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ground {
    Issuer(Name<key::Issuer>),
    Contract(Package),
    Provider(Digest),
    Component(ComponentId),
    Link(LinkKey),
    Host(Name<Host>),
}

/// The grounds that were taken away, each with the newest act of each kind.
#[derive(Debug, Clone, Default)]
pub struct Withdrawn(BTreeMap<Ground, BTreeMap<Running, u64>>);

/// Why something that runs should not, and what is to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// What the act said.
    pub running: Running,
    /// The index of the act.
    pub since: u64,
}

impl Withdrawn {
    pub(crate) fn take(&mut self, ground: Ground, running: Running, index: u64) {
        self.0.entry(ground).or_default().insert(running, index);
    }

    /// Whether something that runs on a host lost its ground after it was permitted; the sternest act counts.
    pub fn of(&self, host: &Name<Host>, runs: &Runs) -> Option<Lost> {
        if self.0.is_empty() {
            return None;
        }
        let start = [Ground::Host(*host), Ground::Component(runs.component.clone()), Ground::Provider(runs.sha256)];
        let start = start.into_iter().chain(runs.issuer.map(Ground::Issuer));
        let start = start.filter_map(|ground| self.after(&ground, runs.index));
        let bindings = runs.bindings.iter().flat_map(|binding| {
            let key = LinkKey {
                component: runs.component.clone(),
                package: binding.package.clone(),
                name: binding.link.clone(),
            };
            let grounds =
                [Ground::Contract(binding.package.clone()), Ground::Provider(binding.sha256), Ground::Link(key)];
            grounds.into_iter().filter_map(|ground| self.after(&ground, binding.index)).collect::<Vec<_>>()
        });
        start.chain(bindings).max()
    }

    fn after(&self, ground: &Ground, permitted: u64) -> Option<Lost> {
        let acts = self.0.get(ground)?.iter().filter(|(_, index)| **index > permitted);
        acts.map(|(running, since)| Lost { running: *running, since: *since }).max()
    }
}

/// The broker's word on an inventory: what is to be closed there, and up to where it recorded what was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawals {
    /// The broker's decision key.
    pub iss: Name<Decision>,
    /// The host that reported.
    pub aud: Name<Host>,
    /// The lattice.
    pub lattice: Lattice,
    /// SHA-256 of the attached warrant that names `iss`.
    pub warrant_sha256: Digest,
    /// SHA-256 of the inventory's token.
    pub request_sha256: Digest,
    /// Index of the newest governance event that it knows.
    pub epoch: u64,
    /// What is to be closed.
    pub withdrawn: Vec<Withdrawal>,
    /// The closings of this process up to that number are on record.
    pub noted: u64,
}

/// One running thing that is to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// The id it runs under.
    pub component: ComponentId,
    /// The entry that permitted it.
    pub index: u64,
    /// How it is to be closed.
    pub close: Close,
    /// The entry of the act that took its ground away.
    pub since: u64,
}

impl Document for Withdrawals {
    const TYPE: &'static str = "withdrawals";
    const MAX_BYTES: usize = 256 * 1024;
    type Signer = Decision;

    fn signer(&self) -> &Name<Decision> {
        &self.iss
    }

    fn attachments(&self) -> Vec<Digest> {
        vec![self.warrant_sha256]
    }
}
