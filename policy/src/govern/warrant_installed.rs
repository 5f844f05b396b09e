//! A warrant comes into force: an event that no administrator signs; the roots' signatures were checked before.

use serde::{Deserialize, Serialize};

use super::{Apply, Event, State};
use crate::digest::Digest;
use crate::envelope::Verified;
use crate::key::{Decision, Name, Role};
use crate::log::NoteKey;
use crate::reason::{Reason, Refusal};
use crate::warrant::{Rank, Warrant, is_zero};

/// A warrant of the roots is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarrantInstalled {
    /// SHA-256 of its token.
    pub sha256: Digest,
    /// How often the count of serials was begun anew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reset: u64,
    /// Its serial.
    pub serial: u64,
    /// The keys that may sign answers.
    pub decision_keys: Vec<Name<Decision>>,
    /// The log's verifier key from here on, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_key: Option<String>,
}

impl Apply for WarrantInstalled {
    fn apply(&self, state: &mut State, _index: u64) {
        let log_key = self.log_key.as_deref();
        state.put_warrant(Rank { reset: self.reset, serial: self.serial }, self.sha256, log_key);
        for key in &self.decision_keys {
            state.claim_key(*key.raw(), Decision::WORD);
        }
        if let Some(key) = log_key.and_then(|key| NoteKey::parse(key).ok()) {
            state.claim_key(*key.raw(), LOG);
            // What the old key said of the log's end may be a thief's word, and proves nothing any more (T66).
            state.disorder.ahead = None;
        }
    }

    fn told(&self) -> String {
        let rank = Rank { reset: self.reset, serial: self.serial };
        let log = self.log_key.as_ref().map(|key| format!(", the log's key is {key}")).unwrap_or_default();
        format!("warrant {rank} installed{log}")
    }
}

impl State {
    /// Judges a warrant that enough roots signed.
    ///
    /// # Errors
    /// `state_rollback` when it does not follow the one in force, `key_in_use` or `key_published` for its keys,
    /// `key_malformed` for a log key that is none of this lattice's.
    pub(crate) fn judge_warrant(&self, warrant: &Verified<Warrant>) -> Result<Event, Refusal> {
        let (held, rank) = (self.warrant_rank(), warrant.rank());
        // One reset at a time: a count that ran away must not use up the resets, too.
        if rank <= held || rank.reset > held.reset + 1 {
            return Err(Refusal::new(Reason::StateRollback, format!("warrant serial {rank}, {held} is in force")));
        }
        for key in &warrant.decision_keys {
            let unused = self.unused(key.name().raw(), Decision::WORD);
            unused.or_else(|refusal| if refusal.reason == Reason::AlreadyExists { Ok(()) } else { Err(refusal) })?;
        }
        let log_key = Some(warrant.log_key.clone()).filter(|key| key != self.log_key());
        log_key.as_deref().map_or(Ok(()), |key| self.new_log_key(key, warrant))?;
        let decision_keys = warrant.decision_keys.iter().map(|key| *key.name()).collect();
        let (sha256, Rank { reset, serial }) = (warrant.sha256(), rank);
        Ok(Event::WarrantInstalled(WarrantInstalled { sha256, reset, serial, decision_keys, log_key }))
    }

    fn new_log_key(&self, text: &str, warrant: &Warrant) -> Result<(), Refusal> {
        let key = NoteKey::parse(text)?;
        if NoteKey::of(self.lattice(), key.raw())? != key {
            let detail = format!("`{text}` is not the key of `countersign/{}`", self.lattice());
            return Err(Refusal::new(Reason::KeyMalformed, detail));
        }
        if warrant.decision_keys.iter().any(|decision| decision.name().raw() == key.raw()) {
            return Err(Refusal::new(Reason::KeyInUse, "the log key is a decision key, too; make one for each"));
        }
        // A log key that was replaced does not come back either: `already_exists`.
        self.unused(key.raw(), LOG)
    }
}

// The word for a role whose keys are no nkeys.
const LOG: &str = "log";
