//! How many must sign: the weighty classes of acts, their thresholds, and commands that wait for more signatures (T79).
//!
//! A command is weighed whole, by the state before it: what it would change itself lends its signers no say. Each of its
//! acts needs as many persons as its class asks for, all with the role that the act asks for. Judging is left to `handle`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AdminRole, Apply, Operation, Signer, State};
use crate::command::Command;
use crate::digest::Digest;
use crate::key::{Administrator, Name};
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;
use crate::wire::Nonce;

/// A class of acts that a lattice may want several administrators for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighty {
    /// Somebody's word begins to count: an issuer is added, activated or replaced by rotation.
    IssuerAdd,
    /// An issuer may speak for more than before.
    ScopeWidening,
    /// Something is let pass that a rule would refuse: a downgrade, a take-over, what was retired, a rule that is relaxed.
    Weakening,
    /// A log is put back to an earlier one.
    Restore,
    /// Who may do what: administrators and thresholds.
    Administration,
}

impl Weighty {
    /// Every class.
    pub const ALL: [Self; 5] =
        [Self::IssuerAdd, Self::ScopeWidening, Self::Weakening, Self::Restore, Self::Administration];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::IssuerAdd => "issuer-add",
            Self::ScopeWidening => "scope-widening",
            Self::Weakening => "weakening",
            Self::Restore => "restore",
            Self::Administration => "administration",
        }
    }
}

/// What one act needs: so many persons of that role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    pub(super) role: AdminRole,
    pub(super) persons: u64,
}

/// What a waiting command still lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lack {
    /// The id of the command that waits.
    pub id: Nonce,
    /// How many more must sign.
    pub missing: u64,
    /// The roles that some of them must have: an operator has each.
    pub roles: Vec<AdminRole>,
    /// Its last moment.
    pub until: Timestamp,
}

impl Lack {
    /// As a refusal: nothing was changed yet.
    pub fn refusal(&self) -> Refusal {
        let Self { id, missing, until, .. } = self;
        let roles: Vec<&str> = self.roles.iter().map(|role| role.word()).collect();
        let detail = format!("command {id} waits until {until} for {missing} more of: {}", roles.join(", "));
        Refusal::new(Reason::PendingApproval, detail)
    }
}

/// A command that waits for more signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// SHA-256 of its token.
    pub sha256: Digest,
    /// Who signed, its author first.
    pub signers: Vec<Signer>,
    /// What it still lacked when it was signed last.
    pub lack: Lack,
    /// The administrators that it removes, or gives other roles.
    pub about: Vec<Name<Administrator>>,
    /// The entry that recorded it, with all that it brought.
    pub index: u64,
    /// The hash of the entry before that one: the log's end as its author saw it at the latest.
    pub before: Digest,
}

/// A command waits for more signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandProposed {
    /// SHA-256 of its token.
    pub sha256: Digest,
    /// Its author.
    pub signer: Signer,
    /// What it lacks.
    pub lack: Lack,
    /// The administrators that it removes, or gives other roles: they cannot turn it down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<Name<Administrator>>,
}

impl Apply for CommandProposed {
    fn apply(&self, state: &mut State, index: u64) {
        let Self { sha256, signer, lack, about } = self.clone();
        let before = state.last();
        state.waiting.insert(lack.id, Waiting { sha256, signers: vec![signer], lack, about, index, before });
    }

    // What waits changes nothing.
    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        format!("command {} waits for {} more to sign", self.lack.id, self.lack.missing)
    }
}

impl State {
    /// How many administrators must sign an act of that class: whoever makes administrators makes whoever else must sign, so
    /// that takes the highest of all (T79).
    pub fn needed(&self, class: Weighty) -> u64 {
        match class {
            Weighty::Administration if self.law() >= HIGHEST_SINCE => self.highest_threshold(),
            _ => self.threshold(class),
        }
    }

    /// The threshold of that class, as it was put.
    pub fn threshold(&self, class: Weighty) -> u64 {
        self.thresholds.get(&class).copied().unwrap_or(self.inception().administrators.threshold)
    }

    /// The commands that wait, by their ids; some may have ended since the last entry.
    pub const fn waiting(&self) -> &BTreeMap<Nonce, Waiting> {
        &self.waiting
    }

    /// What a command lacks that waits, or one that it approves.
    pub fn lack_of(&self, command: &Command) -> Option<&Lack> {
        let id = match command.operations.as_slice() {
            [Operation::ApproveCommand(approve)] => approve.id,
            _ => command.jti,
        };
        self.waiting.get(&id).map(|waiting| &waiting.lack)
    }

    /// The most administrators that any act needs.
    pub fn highest_threshold(&self) -> u64 {
        Weighty::ALL.into_iter().map(|class| self.threshold(class)).max().unwrap_or(1)
    }

    /// How many more must sign, and who could; nothing where enough did.
    pub(super) fn lacks(&self, needs: &[Need], signers: &[Signer], now: Timestamp) -> Option<(u64, Vec<AdminRole>)> {
        let having = |role: AdminRole| {
            let standing = |signer: &&Signer| {
                self.administrators().standing(&signer.key, now).is_ok_and(|record| record.may(role))
            };
            self.administrators().persons(signers.iter().filter(standing).cloned())
        };
        let short = needs.iter().filter(|need| having(need.role) < need.persons);
        let missing = short.clone().map(|need| need.persons - having(need.role)).max()?;
        let mut roles: Vec<AdminRole> = short.map(|need| need.role).collect();
        roles.sort();
        roles.dedup();
        Some((missing, roles))
    }

    /// The administrators whose own say a command would change.
    pub(super) fn is_about(&self, command: &Command) -> Vec<Name<Administrator>> {
        let whom = |operation: &Operation| match operation {
            Operation::RemoveAdministrator(remove) => Some(remove.key),
            Operation::PutAdministrator(put) => self.administrators().find(&put.key).map(|_| put.key),
            _ => None,
        };
        command.operations.iter().filter_map(whom).filter(|_| self.law() >= TURNED_SINCE).collect()
    }

    /// Refuses one more where this person has as many waiting as there may be.
    pub(super) fn may_wait(&self, author: &Signer, now: Timestamp) -> Result<(), Refusal> {
        let theirs = |waiting: &&Waiting| waiting.signers.first().is_some_and(|first| first.is(author));
        let count = self.waiting.values().filter(|waiting| waiting.lack.until >= now).filter(theirs).count();
        if count < MAX_WAITING {
            return Ok(());
        }
        let detail = format!("{count} commands of `{}` wait already, at most {MAX_WAITING} may", author.key);
        Err(Refusal::new(Reason::WaitingLimit, detail))
    }

    /// The waiting command of that id, which this administrator may still sign or turn down.
    pub(super) fn waits(&self, id: Nonce, now: Timestamp) -> Result<&Waiting, Refusal> {
        let found = self.waiting.get(&id).filter(|waiting| waiting.lack.until >= now);
        found.ok_or_else(|| Refusal::new(Reason::NotFound, format!("no command {id} waits, or it has ended")))
    }

    /// Whether any of the roles that a waiting command asks for is this administrator's.
    pub(super) fn could_sign(
        &self,
        waiting: &Waiting,
        administrator: &Name<Administrator>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let record = self.administrators().standing(administrator, now)?;
        if waiting.lack.roles.iter().any(|role| record.may(*role)) {
            return Ok(());
        }
        let roles: Vec<&str> = waiting.lack.roles.iter().map(|role| role.word()).collect();
        let detail = format!("`{administrator}` has none of the roles that it waits for: {}", roles.join(", "));
        Err(Refusal::new(Reason::RoleMissing, detail))
    }

    // What ended can never be signed again, so memory stays bounded (I10).
    pub(crate) fn forget_ended(&mut self, now: Timestamp) {
        self.waiting.retain(|_, waiting| waiting.lack.until >= now);
    }
}

const HIGHEST_SINCE: u64 = 4;
const TURNED_SINCE: u64 = 5;
/// The most commands of one person that wait at once.
pub const MAX_WAITING: usize = 32;
