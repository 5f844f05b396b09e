//! Which keys speak for a lattice's broker: the inception that names it, and the root's warrant for decision keys.
//!
//! A host pins the inception's digest, so no administrator and no broker key can change who may answer (T17).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::answer::{Receipt, StartAnswer, View};
use crate::digest::Digest;
use crate::envelope::{Document, Draft, Keyring, Verified, check_detached, sealed};
use crate::growth::Grown;
use crate::key::{Administrator, Decision, Key, Name, Role, Root};
use crate::name::Lattice;
use crate::reason::{Reason, Refusal};
use crate::skew::Clock;
use crate::time::{Timestamp, Validity};
use crate::wire::{KEY_OVERLAP_S, WARRANT_LIFETIME_S};
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
    /// How often the roots began the count of serials anew; it grows alone, so no older count comes back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reset: u64,
    /// Grows with each warrant of one count; a host never goes back.
    pub serial: u64,
    /// The keys that may sign answers.
    pub decision_keys: Vec<Key<Decision>>,
    /// When a key's say ends before the warrant does: for all of them but one, and soon.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ends: BTreeMap<Name<Decision>, Timestamp>,
    /// The log's verifier key.
    pub log_key: String,
    /// When it holds.
    pub validity: Validity,
    /// Other roots' signatures of the same statement, where one root is not enough: see [`Warrant::alone_by`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cosigned: BTreeMap<Name<Root>, String>,
}

/// Where a warrant stands among all of its lattice: the reset counts first, then the serial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// How often the count was begun anew.
    pub reset: u64,
    /// The serial in that count.
    pub serial: u64,
}

impl Warrant {
    /// Where it stands.
    pub const fn rank(&self) -> Rank {
        Rank { reset: self.reset, serial: self.serial }
    }

    /// The same statement in one root's own name: what that root signs, wherever its signature then stands.
    #[must_use]
    pub fn alone_by(&self, root: Name<Root>) -> Self {
        Self { iss: root, cosigned: BTreeMap::new(), ..self.clone() }
    }

    /// The decision key whose say lasts as long as the warrant.
    pub fn lasting_key(&self) -> Option<&Key<Decision>> {
        self.decision_keys.iter().find(|key| !self.ends.contains_key(key.name()))
    }

    // Two keys speak for a lattice no longer than it takes to change from one to the other.
    fn overlaps_briefly(&self) -> Result<(), Refusal> {
        let names: BTreeSet<_> = self.decision_keys.iter().map(Key::name).collect();
        let lasting = self.decision_keys.len().checked_sub(self.ends.len());
        if names.len() != self.decision_keys.len()
            || lasting != Some(1)
            || !self.ends.keys().all(|end| names.contains(end))
        {
            let detail = "of distinct decision keys all but one have an end";
            return Err(Refusal::new(Reason::SchemaMismatch, detail));
        }
        let latest = self.validity.nbf.unwrap_or(self.validity.iat).plus(KEY_OVERLAP_S);
        match self.ends.iter().find(|(_, end)| **end > latest) {
            None => Ok(()),
            Some((key, end)) => {
                let detail = format!("`{key}` beside another until {end}, at most {KEY_OVERLAP_S} s: until {latest}");
                Err(Refusal::new(Reason::LifetimeExceeded, detail))
            }
        }
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reset {
            0 => write!(f, "{}", self.serial),
            reset => write!(f, "{} after reset {reset}", self.serial),
        }
    }
}

// A count that is absent where nothing was counted, as in all older documents.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
pub(crate) const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Document for Warrant {
    const TYPE: &'static str = "warrant";
    const MAX_BYTES: usize = 16 * 1024;
    type Signer = Root;

    fn signer(&self) -> &Name<Root> {
        &self.iss
    }
}

/// The key of a warrant that enough of these roots of the pinned lattice signed.
pub(crate) fn under(
    warrant: &Warrant,
    lattice: &Lattice,
    sha256: Digest,
    roots: &Quorum<Root>,
) -> Result<Key<Root>, Refusal> {
    if warrant.inception_sha256 != sha256 || warrant.lattice != *lattice {
        let detail = format!("the warrant is for the lattice of {}, pinned is {sha256}", warrant.inception_sha256);
        return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
    }
    warrant.validity.sound()?.within_lifetime(WARRANT_LIFETIME_S)?;
    warrant.overlaps_briefly()?;
    enough_signed(warrant, roots)?;
    root(roots, &warrant.iss).cloned()
}

fn root<'a>(roots: &'a Quorum<Root>, name: &Name<Root>) -> Result<&'a Key<Root>, Refusal> {
    let found = roots.find(name);
    found.ok_or_else(|| Refusal::new(Reason::BrokerKeyUnknown, format!("`{name}` is no root of this lattice")))
}

// The signature of `iss` is the envelope's to check; those of the others are checked here, each of its own statement.
fn enough_signed(warrant: &Warrant, roots: &Quorum<Root>) -> Result<(), Refusal> {
    let (signed, threshold) = (warrant.cosigned.len() as u64 + 1, roots.threshold);
    if signed < threshold || warrant.cosigned.contains_key(&warrant.iss) {
        let detail = format!("{signed} signatures of roots, {threshold} different roots must sign");
        return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
    }
    for (name, signature) in &warrant.cosigned {
        let key = root(roots, name)?;
        let malformed = |_| Refusal::new(Reason::TokenMalformed, format!("no signature of `{name}`"));
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(malformed)?;
        check_detached(key, Draft::of(&warrant.alone_by(*name)).signing_input(), &signature)?;
    }
    Ok(())
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
        let speaks = |key: &&Key<Decision>| warrant.ends.get(key.name()).is_none_or(|end| now < *end);
        let keys = warrant.decision_keys.iter().filter(speaks).cloned().collect();
        Ok(Self { lattice: warrant.lattice.clone(), sha256: warrant.sha256(), keys })
    }

    /// Whether that key may sign now.
    pub fn contains(&self, name: &Name<Decision>) -> bool {
        self.keys.iter().any(|key| key.name() == name)
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

impl Keyring<Grown> for DecisionKeys {
    fn key(&self, told: &Grown) -> Result<Key<Decision>, Refusal> {
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
