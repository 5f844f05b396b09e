//! Which keys speak for a lattice's broker: the inception that names it, and the root's warrant for decision keys.
//!
//! A host pins the inception's digest, so no administrator and no broker key can change who may answer (T17).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::answer::{Receipt, StartAnswer, View};
use crate::digest::Digest;
use crate::envelope::{Document, Keyring, Verified, sealed};
use crate::key::{Administrator, Decision, Key, Name, Role, Root};
use crate::name::Lattice;
use crate::reason::{Reason, Refusal};
use crate::skew::Clock;
use crate::time::{Timestamp, Validity};
use crate::wire::WARRANT_LIFETIME_S;
use crate::withdrawal::Withdrawals;

/// The first entry's body: what a lattice is. Its entry's hash is the lattice's name and the pinned root digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inception {
    /// The lattice.
    pub lattice: Lattice,
    /// Who signs warrants.
    pub roots: Quorum<Root>,
    /// Who commands.
    pub administrators: Quorum<Administrator>,
    /// The public half of the log's key, as a C2SP note verifier key.
    pub log_key: String,
}

/// So many of these keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "R: Role")]
pub struct Quorum<R: Role> {
    /// How many must sign.
    pub threshold: u64,
    /// Who may.
    pub keys: Vec<Key<R>>,
}

impl<R: Role> Quorum<R> {
    /// The key of that name.
    pub fn find(&self, name: &Name<R>) -> Option<&Key<R>> {
        self.keys.iter().find(|key| key.name() == name)
    }

    /// Checks that as many as must can sign.
    pub(crate) fn sound(&self) -> Result<(), Refusal> {
        let distinct: BTreeSet<_> = self.keys.iter().map(|key| key.name().raw()).collect();
        let reachable = self.threshold >= 1 && self.threshold <= distinct.len() as u64;
        if reachable && distinct.len() == self.keys.len() {
            return Ok(());
        }
        let detail = format!("{} of {} distinct {} keys can never sign", self.threshold, distinct.len(), R::WORD);
        Err(Refusal::new(Reason::ThresholdUnmet, detail))
    }
}

/// The root's word for the broker's decision keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warrant {
    /// The root.
    pub iss: Name<Root>,
    /// The lattice.
    pub lattice: Lattice,
    /// The entry hash of its inception.
    pub inception_sha256: Digest,
    /// Grows with each warrant; a host never goes back.
    pub serial: u64,
    /// The keys that may sign answers.
    pub decision_keys: Vec<Key<Decision>>,
    /// The log's verifier key.
    pub log_key: String,
    /// When it holds.
    pub validity: Validity,
}

impl Document for Warrant {
    const TYPE: &'static str = "warrant";
    const MAX_BYTES: usize = 16 * 1024;
    type Signer = Root;

    fn signer(&self) -> &Name<Root> {
        &self.iss
    }
}

/// The roots of an inception, as the verifier of warrants.
#[derive(Debug, Clone)]
pub struct Roots<'a> {
    /// The inception that was pinned.
    pub inception: &'a Inception,
    /// Its entry hash.
    pub sha256: Digest,
}

impl sealed::Sealed for Roots<'_> {}

impl Keyring<Warrant> for Roots<'_> {
    fn key(&self, warrant: &Warrant) -> Result<Key<Root>, Refusal> {
        under(warrant, &self.inception.lattice, self.sha256, &self.inception.roots)
    }
}

/// The key of a warrant under these roots of the pinned lattice.
pub(crate) fn under(
    warrant: &Warrant,
    lattice: &Lattice,
    sha256: Digest,
    roots: &Quorum<Root>,
) -> Result<Key<Root>, Refusal> {
    let wrong = |detail: String| Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
    if warrant.inception_sha256 != sha256 || warrant.lattice != *lattice {
        return wrong(format!("the warrant is for the lattice of {}, pinned is {sha256}", warrant.inception_sha256));
    }
    warrant.validity.sound()?.within_lifetime(WARRANT_LIFETIME_S)?;
    match roots.find(&warrant.iss) {
        Some(key) if roots.threshold == 1 => Ok(key.clone()),
        Some(_) => wrong(format!("one root signed, {} must", roots.threshold)),
        None => wrong(format!("`{}` is no root of this lattice", warrant.iss)),
    }
}

/// The decision keys of a warrant that holds now: the verifier of answers, receipts and views.
#[derive(Debug, Clone)]
pub struct DecisionKeys {
    lattice: Lattice,
    sha256: Digest,
    keys: Vec<Key<Decision>>,
}

impl DecisionKeys {
    /// The keys of this warrant, if it holds at `now`.
    ///
    /// # Errors
    /// `broker_key_unknown` outside its validity.
    pub fn of(warrant: &Verified<Warrant>, now: Timestamp) -> Result<Self, Refusal> {
        let outside = |refusal: Refusal| {
            let refusal = refusal.within("the warrant").between(Clock::Root, Clock::ThisMachine);
            Refusal { reason: Reason::BrokerKeyUnknown, ..refusal }
        };
        warrant.validity.covers(now).map_err(outside)?;
        let (lattice, keys) = (warrant.lattice.clone(), warrant.decision_keys.clone());
        Ok(Self { lattice, sha256: warrant.sha256(), keys })
    }

    fn find(&self, name: &Name<Decision>, lattice: &Lattice, warrant_sha256: Digest) -> Result<Key<Decision>, Refusal> {
        if *lattice != self.lattice {
            let detail = format!("the answer is from lattice `{lattice}`, expected `{}`", self.lattice);
            return Err(Refusal::new(Reason::LatticeMismatch, detail));
        }
        let found = self.keys.iter().find(|key| key.name() == name).filter(|_| warrant_sha256 == self.sha256);
        found.cloned().ok_or_else(|| {
            Refusal::new(Reason::BrokerKeyUnknown, format!("`{name}` stands in no warrant of the pinned root"))
        })
    }
}

impl sealed::Sealed for DecisionKeys {}

impl Keyring<StartAnswer> for DecisionKeys {
    fn key(&self, answer: &StartAnswer) -> Result<Key<Decision>, Refusal> {
        self.find(&answer.iss, &answer.lattice, answer.warrant_sha256)
    }
}

impl Keyring<Withdrawals> for DecisionKeys {
    fn key(&self, told: &Withdrawals) -> Result<Key<Decision>, Refusal> {
        self.find(&told.iss, &told.lattice, told.warrant_sha256)
    }
}

impl Keyring<Receipt> for DecisionKeys {
    fn key(&self, receipt: &Receipt) -> Result<Key<Decision>, Refusal> {
        self.find(&receipt.iss, &receipt.lattice, receipt.warrant_sha256)
    }
}

impl Keyring<View> for DecisionKeys {
    fn key(&self, view: &View) -> Result<Key<Decision>, Refusal> {
        self.find(&view.iss, &view.lattice, view.warrant_sha256)
    }
}
