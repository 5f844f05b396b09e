//! Every set of roots that a lattice had, from its inception on: what a warrant is held against.
//!
//! What is pinned stays the inception; each change was agreed by enough of the roots before it, so whoever has the
//! changes arrives at the roots of today, and no word of roots that were replaced moves him any more (T17).

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{Unverified, Verified};
use crate::key::Root;
use crate::reason::{Reason, Refusal};
use crate::root::{Agreed, RootLine};
use crate::warrant::{Inception, Quorum, Warrant};

/// The changes of a lattice's roots as they travel and are kept: for each, its signers' tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Changes(Vec<Vec<String>>);

impl Changes {
    /// Reads what [`Changes::to_bytes`] wrote.
    ///
    /// # Errors
    /// `schema_mismatch`, or what the strict reader says of JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        crate::json::read(bytes)
    }

    /// One line of JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        crate::json::write(self)
    }

    /// Whether the roots are those of the inception.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these are the others, and more.
    pub fn extend(&self, others: &Self) -> bool {
        self.count() > others.count() && self.0.starts_with(&others.0)
    }

    /// How many there were.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// The next change: a token and, in lines of their own, those of its other signers.
    ///
    /// # Errors
    /// `schema_mismatch` when it is no text.
    pub fn push(&mut self, document: &[u8]) -> Result<(), Refusal> {
        let text = std::str::from_utf8(document);
        let text = text.map_err(|_| Refusal::new(Reason::SchemaMismatch, "a change of the roots is text"))?;
        self.0.push(text.lines().map(str::to_owned).collect());
        Ok(())
    }

    /// Each change, as [`RootLine::follow`] reads it.
    pub fn documents(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.0.iter().map(|tokens| tokens.join("\n").into_bytes())
    }
}

/// The sets of roots of one lattice, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    before: Vec<RootLine>,
    today: RootLine,
}

impl Lineage {
    /// As the lattice began.
    pub fn of(inception: &Inception, inception_sha256: Digest) -> Self {
        let (lattice, roots) = (inception.lattice.clone(), inception.roots.clone());
        Self { before: Vec::new(), today: RootLine { lattice, inception_sha256, serial: 0, roots } }
    }

    /// All of them, from the log.
    pub(crate) fn recorded(sets: &[Quorum<Root>], today: RootLine) -> Self {
        let older = sets.iter().rev().skip(1).rev().zip(0..);
        let before = older.map(|(roots, serial)| RootLine { serial, roots: roots.clone(), ..today.clone() }).collect();
        Self { before, today }
    }

    /// The roots of today.
    pub const fn today(&self) -> &RootLine {
        &self.today
    }

    /// How many changes there were.
    pub const fn changes(&self) -> usize {
        self.before.len()
    }

    /// Goes one change further.
    ///
    /// # Errors
    /// As [`RootLine::follow`].
    pub fn follow(&mut self, change: &[u8]) -> Result<Agreed, Refusal> {
        let agreed = self.today.follow(change)?;
        let after = self.today.clone().after(&agreed);
        self.before.push(std::mem::replace(&mut self.today, after));
        Ok(agreed)
    }

    /// Goes on by those of the changes, counted from inception, that are not followed yet.
    ///
    /// # Errors
    /// As [`RootLine::follow`]; those before it are followed.
    pub fn follow_all(&mut self, changes: &Changes) -> Result<(), Refusal> {
        for change in changes.documents().skip(self.changes()) {
            self.follow(&change)?;
        }
        Ok(())
    }

    /// Reads a warrant of today's roots, or the one that is in force already, which roots of its day signed.
    ///
    /// # Errors
    /// As the envelope; `broker_key_unknown` for a warrant of other roots.
    pub fn read(&self, token: &[u8], in_force: Option<Digest>) -> Result<Verified<Warrant>, Refusal> {
        if in_force == Some(Digest::of(token)) { self.read_any(token) } else { read(token, &self.today) }
    }

    /// Reads a warrant of the roots of any day: for whoever has seen none, and has the papers alone.
    ///
    /// # Errors
    /// As [`Lineage::read`].
    pub fn read_any(&self, token: &[u8]) -> Result<Verified<Warrant>, Refusal> {
        let older = || self.before.iter().rev().find_map(|line| read(token, line).ok());
        read(token, &self.today).or_else(|refusal| older().ok_or(refusal))
    }
}

fn read(token: &[u8], line: &RootLine) -> Result<Verified<Warrant>, Refusal> {
    Unverified::<Warrant>::parse(token)?.verify(line)
}
