//! Who commands: the administrators with their roles and ends, and whose signature is whose.
//!
//! Those who founded the lattice hold every role. What an act needs is said by each operation; how many must sign it is
//! left to `weight`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::State;
use crate::command::Command;
use crate::envelope::{Keyring, sealed};
use crate::key::{Administrator, Key, Name, Role};
use crate::name::PersonName;
use crate::query::Query;
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;
use crate::warrant::Quorum;

/// What an administrator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminRole {
    /// Looks, and changes nothing.
    Viewer,
    /// Puts links and defaults.
    LinkAdmin,
    /// Says whose word counts, and admits what it vouches for.
    IssuerAdmin,
    /// Does all of it, and says who may do what.
    Operator,
    /// Looks, and takes the log's evidence away.
    Auditor,
}

impl AdminRole {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::LinkAdmin, Self::IssuerAdmin, Self::Operator, Self::Auditor];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::LinkAdmin => "link-admin",
            Self::IssuerAdmin => "issuer-admin",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }

    /// Whether it may look at the state: whoever may change a part of it, and whoever is there to look.
    pub const fn may_look(self) -> bool {
        match self {
            Self::Viewer | Self::LinkAdmin | Self::IssuerAdmin | Self::Operator | Self::Auditor => true,
        }
    }
}

/// An administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminRecord {
    pub(crate) key: Key<Administrator>,
    /// Whose key it is: two keys of one name are one person, who signs once.
    pub name: Option<PersonName>,
    /// What it may do.
    pub roles: BTreeSet<AdminRole>,
    /// The end of its say.
    pub until: Option<Timestamp>,
    /// Whether it was removed; its key stays, so that what it signed before can be verified again.
    pub removed: bool,
}

impl AdminRecord {
    /// Whether it may do what asks for that role: an operator does everything, and whoever has a role may look.
    pub fn may(&self, role: AdminRole) -> bool {
        let is_look = role == AdminRole::Viewer && self.roles.iter().any(|role| role.may_look());
        is_look || self.roles.contains(&role) || self.roles.contains(&AdminRole::Operator)
    }

    /// Whether it has a say at that moment.
    pub fn stands(&self, now: Timestamp) -> bool {
        !self.removed && self.until.is_none_or(|until| now < until)
    }

    // One on whom the lattice can count for as long as nobody decides otherwise.
    fn is_lasting_operator(&self) -> bool {
        !self.removed && self.until.is_none() && self.roles.contains(&AdminRole::Operator)
    }
}

/// Somebody's signature: of this key, and of whoever it belonged to when it signed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// The key.
    pub key: Name<Administrator>,
    /// Whose key it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PersonName>,
}

impl Signer {
    /// Whether two signatures are of one person: a second key under the same name is no second person (T79).
    pub fn is(&self, other: &Self) -> bool {
        self.key == other.key || (self.name.is_some() && self.name == other.name)
    }
}

/// The administrators, as the verifier of commands and queries; a keyring can be used, and nobody else can make one.
///
/// ```
/// # use policy::{command::Command, envelope::Keyring, key::{Administrator, Key}, reason::Refusal};
/// struct Mine<K>(K);
/// impl<K: Keyring<Command>> Mine<K> {
///     fn key(&self, command: &Command) -> Result<Key<Administrator>, Refusal> { self.0.key(command) }
/// }
/// ```
/// ```compile_fail
/// # // T100: a keyring of one's own
/// # use policy::{command::Command, envelope::Keyring, key::{Administrator, Key}, reason::Refusal};
/// struct Mine<K>(K);
/// impl<K: Keyring<Command>> Keyring<Command> for Mine<K> {
///     fn key(&self, command: &Command) -> Result<Key<Administrator>, Refusal> { self.0.key(command) }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct AdministratorKeys(BTreeMap<Name<Administrator>, AdminRecord>);

impl AdministratorKeys {
    /// Those who found a lattice: each may do everything.
    pub(super) fn founding(quorum: &Quorum<Administrator>) -> Self {
        let roles = BTreeSet::from(AdminRole::ALL);
        let record = |key: &Key<Administrator>| AdminRecord {
            key: key.clone(),
            name: None,
            roles: roles.clone(),
            until: None,
            removed: false,
        };
        Self(quorum.keys.iter().map(|key| (*key.name(), record(key))).collect())
    }

    /// Whether this is, or was, an administrator.
    pub fn contains(&self, administrator: &Name<Administrator>) -> bool {
        self.0.contains_key(administrator)
    }

    /// Every administrator there ever was.
    pub fn iter(&self) -> impl Iterator<Item = (&Name<Administrator>, &AdminRecord)> {
        self.0.iter()
    }

    /// The record of a key, whatever became of it.
    pub fn find(&self, administrator: &Name<Administrator>) -> Option<&AdminRecord> {
        self.0.get(administrator)
    }

    /// The administrator of that key, who has a say at that moment.
    ///
    /// # Errors
    /// `administrator_unknown`.
    pub fn standing(&self, administrator: &Name<Administrator>, now: Timestamp) -> Result<&AdminRecord, Refusal> {
        let no = |detail: String| Refusal::new(Reason::AdministratorUnknown, detail);
        let found = self.0.get(administrator).filter(|record| !record.removed);
        let found = found.ok_or_else(|| no(format!("`{administrator}` is no administrator here")))?;
        match found.until.filter(|until| *until <= now) {
            None => Ok(found),
            Some(until) => Err(no(format!("`{administrator}` was administrator until {until}; the clock says {now}"))),
        }
    }

    pub(super) fn signer(&self, administrator: &Name<Administrator>) -> Signer {
        let name = self.0.get(administrator).and_then(|record| record.name.clone());
        Signer { key: *administrator, name }
    }

    pub(super) fn put(&mut self, key: &Key<Administrator>, record: AdminRecord) {
        self.0.insert(*key.name(), record);
    }

    pub(super) fn remove(&mut self, administrator: &Name<Administrator>) {
        if let Some(record) = self.0.get_mut(administrator) {
            record.removed = true;
        }
    }

    /// How many persons are operators without an end.
    pub fn lasting_operators(&self) -> u64 {
        let operators = self.0.iter().filter(|(_, record)| record.is_lasting_operator());
        self.persons(operators.map(|(key, _)| self.signer(key)))
    }

    /// How many persons these signatures are of.
    pub(super) fn persons(&self, signers: impl Iterator<Item = Signer>) -> u64 {
        let mut persons: Vec<Signer> = Vec::new();
        for signer in signers {
            if !persons.iter().any(|person| self.one_person(person, &signer)) {
                persons.push(signer);
            }
        }
        persons.len() as u64
    }

    /// Whether two signatures are of one person, by the names they had when they signed and by those they have now.
    pub(super) fn one_person(&self, left: &Signer, right: &Signer) -> bool {
        let forms = |signer: &Signer| [signer.clone(), self.signer(&signer.key)];
        let (left, right) = (forms(left), forms(right));
        left.iter().any(|left| right.iter().any(|right| left.is(right)))
    }
}

impl State {
    /// Refuses what would leave too few operators to undo it.
    pub(super) fn keeps_operators(&self, after: &AdministratorKeys) -> Result<(), Refusal> {
        let (left, needed) = (after.lasting_operators(), self.highest_threshold());
        if left == 0 {
            let detail = "nobody would be left who is operator without an end";
            return Err(Refusal::new(Reason::LastOperator, detail));
        }
        if left < needed {
            let detail = format!("{left} operators without an end would be left, an act needs {needed} signatures");
            return Err(Refusal::new(Reason::ThresholdUnmet, detail));
        }
        Ok(())
    }

    /// Checks that a key can become an administrator's: nobody's yet, no root's, no example's, sound.
    pub(super) fn becomes_administrator(&self, key: &Name<Administrator>) -> Result<Key<Administrator>, Refusal> {
        let usable = key.usable()?;
        self.unused(key.raw(), Administrator::WORD)?;
        Ok(usable)
    }
}

impl sealed::Sealed for AdministratorKeys {}

impl Keyring<Command> for AdministratorKeys {
    fn key(&self, command: &Command) -> Result<Key<Administrator>, Refusal> {
        self.ever(&command.iss)
    }
}

impl Keyring<Query> for AdministratorKeys {
    fn key(&self, query: &Query) -> Result<Key<Administrator>, Refusal> {
        self.ever(&query.iss)
    }
}

impl AdministratorKeys {
    // Whoever was removed still signed what it signed; whether it has a say is judged with the state (T64).
    fn ever(&self, administrator: &Name<Administrator>) -> Result<Key<Administrator>, Refusal> {
        let found = self.0.get(administrator).map(|record| record.key.clone());
        found.ok_or_else(|| {
            Refusal::new(Reason::AdministratorUnknown, format!("`{administrator}` is no administrator here"))
        })
    }
}
