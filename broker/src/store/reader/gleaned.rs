//! What is kept of the entries that pass while a log is opened.

use std::collections::VecDeque;

use policy::digest::Digest;
use policy::govern::Event;
use policy::log::{Body, Entry};
use policy::wire::FRESHNESS_S;

use super::Row;

/// What is kept of the entries.
#[derive(Default)]
pub(crate) struct Gleaned {
    /// The bytes of the first.
    pub(crate) inception: Vec<u8>,
    /// The newest warrant: the entry that installed it, and the digest of its token.
    pub(crate) warrant: Option<(u64, Digest)>,
    /// The entries by which the roots became others.
    pub(crate) rerooted: Vec<u64>,
    /// The entries that the fold rests on.
    pub(crate) resting: Vec<u64>,
    /// What the last minutes' questions were, the oldest first.
    pub(crate) asked: VecDeque<Asked>,
}

/// A question that the log has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) request_sha256: Digest,
    pub(crate) index: u64,
    pub(crate) at_ms: u64,
}

impl Gleaned {
    /// Takes the next one. What lies in a segment is older than what is remembered, and changes no state.
    pub(crate) fn take(&mut self, row: &Row, entry: Option<&Entry>) {
        let Some(entry) = entry else { return };
        if !entry.changes_nothing() {
            self.resting.push(row.index);
        }
        match &entry.body {
            Body::Inception(_) => self.inception.clone_from(&row.bytes),
            Body::Governance(judged) => {
                let installed = judged.events.iter().find_map(installed);
                self.warrant = installed.map(|sha256| (row.index, sha256)).or(self.warrant);
                let changes = judged.events.iter().filter(|event| matches!(event, Event::RootsChanged(_)));
                self.rerooted.extend(changes.map(|_| row.index));
            }
            Body::Ruling(ruled) => {
                let (index, at_ms) = (row.index, entry.at_ms);
                self.asked.push_back(Asked { request_sha256: ruled.request_sha256, index, at_ms });
                let is_old = |first: &Asked| first.at_ms + RECENT_MS < at_ms;
                while self.asked.len() > MOST_ASKED || self.asked.front().is_some_and(is_old) {
                    self.asked.pop_front();
                }
            }
            Body::Refusal(_) | Body::Door(_) | Body::Report(_) | Body::Clock(_) | Body::Lost(_) | Body::Freeze(_) => {}
        }
    }
}

fn installed(event: &Event) -> Option<Digest> {
    if let Event::WarrantInstalled(installed) = event { Some(installed.sha256) } else { None }
}

/// A question is fresh for a minute before and after its time: older ones are turned away at the door.
pub(super) const RECENT_MS: u64 = (2 * FRESHNESS_S + 1) * 1000;
/// Half of what is remembered at most, so that a busy log leaves room for the next questions.
pub(super) const MOST_ASKED: usize = 50_000;
