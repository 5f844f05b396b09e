//! What the broker speaks with: the keys of its folder that a warrant names, and that warrant.
//!
//! A key that is to take another's place waits beside it as `NAME-next.nk`; the warrant alone decides which is used, so
//! the change is one act, and a crash in the middle of it leaves both files and the log's word (T17).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use policy::envelope::Verified;
use policy::govern::State;
use policy::key::{self, Key, Name};
use policy::lineage::{Changes, Lineage};
use policy::log::leaf_hash;
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::warrant::{DecisionKeys, Warrant};

use crate::error::Error;
use crate::folder::{Folder, make_durable, replace_private};
use crate::keys::{LogKey, SigningKey, refuse_equal};
use crate::signer::{Papers, Signer};

/// Keys and papers that fit each other.
pub(super) struct Voice {
    pub(super) signer: Signer,
    pub(super) log: Arc<LogKey>,
    // Every key that this process holds, by role, so that none is used for anything else.
    pub(super) held: Vec<(&'static str, [u8; 32])>,
    next: Vec<&'static str>,
}

/// What warrants of one lattice are held against.
#[derive(Clone, Copy)]
pub(super) struct Pinned<'a> {
    /// Its state, which names whoever signs anything here.
    pub(super) state: &'a State,
    /// The bytes of its first entry, whose hash is pinned.
    pub(super) inception: &'a [u8],
    /// The changes of its roots since.
    pub(super) changes: &'a Changes,
}

impl Pinned<'_> {
    /// Reads a warrant that is to come into force: enough of today's roots signed it.
    pub(super) fn read(&self, token: &[u8]) -> Result<Verified<Warrant>, Refusal> {
        self.lineage().read(token, None)
    }

    /// Reads a warrant that is in force, or was: enough roots of its day signed it, who may be others than today's.
    pub(super) fn read_again(&self, token: &[u8]) -> Result<Verified<Warrant>, Refusal> {
        self.lineage().read_any(token)
    }

    fn lineage(&self) -> Lineage {
        self.state.lineage(leaf_hash(self.inception))
    }

    // Every key that the log gave a role of trust, once: a root that stayed stands in more than one set.
    fn known(&self) -> BTreeSet<(&'static str, [u8; 32])> {
        let roots = self.state.root_sets().iter().flat_map(|roots| &roots.keys);
        let administrators = self.state.administrators().iter().map(|(name, _)| ("administrator", *name.raw()));
        roots.map(|key| ("root", *key.name().raw())).chain(administrators).collect()
    }
}

impl Voice {
    /// Finds the keys that a warrant names among those of the folder.
    ///
    /// # Errors
    /// `broker_key_unknown` when it names none of them, `key_in_use` or `key_published`.
    pub(super) fn of(
        folder: &Folder,
        pinned: Pinned<'_>,
        warrant: &Verified<Warrant>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let lattice = pinned.state.lattice();
        let decisions = waiting_first(folder, DECISION, SigningKey::<key::Decision>::load)?;
        let logs = waiting_first(folder, LOG, |path| LogKey::load(path, lattice))?;
        let mut held: Vec<_> = decisions.iter().map(|(key, _)| (DECISION, *key.name().raw())).collect();
        held.extend(logs.iter().map(|(key, _)| (LOG, key.raw())));
        held.extend(pinned.known());
        refuse_equal(held.iter().copied())?;
        let (decision, decision_is_next) = decision_key(decisions, warrant, now)?;
        let (log, log_is_next) = log_key(logs, warrant)?;
        let papers = Papers::new(warrant.token(), pinned.inception, pinned.changes.clone());
        let signer = Signer::new(decision, lattice.clone(), papers);
        let next = [(DECISION, decision_is_next), (LOG, log_is_next)];
        let next = next.into_iter().filter_map(|(name, is_next)| is_next.then_some(name)).collect();
        Ok(Self { signer, log: Arc::new(log), held, next })
    }

    /// Puts the keys that took another's place where that one was, and the warrant beside the log, for people.
    pub(super) fn settle(&self, folder: &Folder) {
        let moved = |name: &str| std::fs::rename(folder.key(&next(name)), folder.key(name));
        for name in &self.next {
            // The next start finds both files, and takes the one that the warrant names.
            if let Err(error) = moved(name).and_then(|()| make_durable(&folder.path().join("keys"))) {
                tracing::error!(%error, name, "the new key is in use, but its file could not be put in the place of the old");
            }
        }
        if std::fs::read(folder.warrant()).is_ok_and(|held| held.trim_ascii_end() == self.signer.warrant()) {
            return;
        }
        let text = [self.signer.warrant(), b"\n"].concat();
        if let Err(error) = replace_private(&folder.warrant(), &text) {
            tracing::error!(%error, "the warrant is in force, but could not be written beside the log");
        }
    }
}

/// The name of the file of a key that is to take the place of this one.
pub(crate) fn next(name: &str) -> String {
    format!("{name}-next")
}

// The key that waits to take another's place, if there is one, and that one; and whether it is the first of these.
fn waiting_first<K>(
    folder: &Folder,
    name: &str,
    load: impl Fn(&Path) -> Result<K, Error>,
) -> Result<Vec<(K, bool)>, Error> {
    let (waiting, used) = (folder.key(&next(name)), folder.key(name));
    let mut found = Vec::new();
    if waiting.exists() {
        found.push((load(&waiting)?, true));
    }
    // After a theft the old one may be gone already.
    if found.is_empty() || used.exists() {
        found.push((load(&used)?, false));
    }
    Ok(found)
}

fn decision_key(
    found: Vec<(SigningKey<key::Decision>, bool)>,
    warrant: &Verified<Warrant>,
    now: Timestamp,
) -> Result<(SigningKey<key::Decision>, bool), Error> {
    let speaks = |name: &Name<key::Decision>| {
        // A warrant that does not hold now still says whose it is: what narrows must stay recordable.
        DecisionKeys::of(warrant, now).map_or_else(|_| named(warrant, name), |keys| keys.contains(name))
    };
    let names: Vec<String> = found.iter().map(|(key, _)| format!("`{}`", key.name())).collect();
    found.into_iter().find(|(key, _)| speaks(&key.name())).ok_or_else(|| {
        let detail = format!("{} stands in no warrant that holds; have the root sign one for it", names.join(" or "));
        Error::refused(Reason::BrokerKeyUnknown, detail)
    })
}

fn named(warrant: &Warrant, name: &Name<key::Decision>) -> bool {
    warrant.decision_keys.iter().map(Key::name).any(|key| key == name)
}

fn log_key(found: Vec<(LogKey, bool)>, warrant: &Warrant) -> Result<(LogKey, bool), Error> {
    let names: Vec<String> = found.iter().map(|(key, _)| format!("`{}`", key.note())).collect();
    found.into_iter().find(|(key, _)| key.note().to_string() == warrant.log_key).ok_or_else(|| {
        let detail = format!("the log key is {}, the warrant names `{}`", names.join(" or "), warrant.log_key);
        Error::refused(Reason::BrokerKeyUnknown, detail)
    })
}

const DECISION: &str = "decision";
const LOG: &str = "log";
