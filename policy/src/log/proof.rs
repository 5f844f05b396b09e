//! Proofs over the tree: that an entry is in it, and that one tree grew out of another (RFC 9162 section 2.1).
//!
//! An [`Outline`] says which complete subtrees a proof is made of; where their roots come from is left to whoever keeps
//! the log. Checking needs nothing but the proof, and takes only the one proof that the sizes call for.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::digest::Digest;
use crate::log::tree::parent;
use crate::reason::{Reason, Refusal};

/// A complete subtree: of the leaves from `index * 2^level` on, `2^level` many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its height.
    pub level: u32,
    /// Its place among those of its height, from 0.
    pub index: u64,
}

impl Node {
    /// The first of its leaves.
    pub const fn start(self) -> u64 {
        self.index << self.level
    }

    /// How many leaves it has.
    pub const fn width(self) -> u64 {
        1 << self.level
    }
}

/// Of which complete subtrees each hash of a proof is made, from left to right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline(Vec<Vec<Node>>);

impl Outline {
    /// The root of the first `size` leaves; one hash, or none where there are no leaves.
    pub fn root(size: u64) -> Self {
        Self(if size == 0 { Vec::new() } else { vec![complete(0..size)] })
    }

    /// The proof that the leaf of that index is among the first `size` (section 2.1.3.1).
    ///
    /// # Errors
    /// `proof_invalid` when it is not.
    pub fn inclusion(index: u64, size: u64) -> Result<Self, Refusal> {
        within(index, size)?;
        let (mut beside, mut rest) = (Vec::new(), 0..size);
        while rest.end - rest.start > 1 {
            let split = split(&rest);
            if index < split {
                beside.push(split..rest.end);
                rest.end = split;
            } else {
                beside.push(rest.start..split);
                rest.start = split;
            }
        }
        beside.reverse();
        Ok(Self::over(beside))
    }

    /// The proof that the tree of `size` leaves grew out of that of the first `before` (section 2.1.4.1).
    ///
    /// # Errors
    /// `proof_invalid` when it cannot have: everything grew out of nothing, so there is nothing to prove there.
    pub fn consistency(before: u64, size: u64) -> Result<Self, Refusal> {
        grown(before, size)?;
        let (mut beside, mut rest, mut whole) = (Vec::new(), 0..size, true);
        while before != rest.end {
            let split = split(&rest);
            if before <= split {
                beside.push(split..rest.end);
                rest.end = split;
            } else {
                beside.push(rest.start..split);
                rest.start = split;
                whole = false;
            }
        }
        if !whole {
            beside.push(rest);
        }
        beside.reverse();
        Ok(Self::over(beside))
    }

    /// Every subtree that it is made of: a few for each doubling of the log.
    pub fn nodes(&self) -> BTreeSet<Node> {
        self.0.iter().flatten().copied().collect()
    }

    /// The proof, once the roots of its subtrees are known; nothing while one is missing.
    pub fn filled(&self, known: impl Fn(Node) -> Option<Digest>) -> Option<Vec<Digest>> {
        let hash = |nodes: &Vec<Node>| {
            let roots: Vec<Digest> = nodes.iter().map(|node| known(*node)).collect::<Option<_>>()?;
            roots.into_iter().rev().reduce(|right, left| parent(left, right))
        };
        self.0.iter().map(hash).collect()
    }

    fn over(ranges: Vec<Range<u64>>) -> Self {
        Self(ranges.into_iter().map(complete).collect())
    }
}

/// Proves that the leaf of that index is among the first `size`, whose root that is (section 2.1.3.2).
///
/// # Errors
/// `proof_invalid` for any other proof than the one there is.
pub fn prove_inclusion(leaf: Digest, index: u64, size: u64, proof: &[Digest], root: Digest) -> Result<(), Refusal> {
    within(index, size)?;
    let (mut place, mut last, mut node) = (index, size - 1, leaf);
    for beside in proof {
        if last == 0 {
            return Err(invalid("it is longer than the way to the root"));
        }
        if place & 1 == 1 || place == last {
            node = parent(*beside, node);
            let up = if place & 1 == 1 { 0 } else { place.trailing_zeros().min(63) };
            (place, last) = (place >> up, last >> up);
        } else {
            node = parent(node, *beside);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    if last != 0 {
        return Err(invalid("it is shorter than the way to the root"));
    }
    equal(node, root)
}

/// Proves that the tree of `size` leaves with that root grew out of that of `before` leaves (section 2.1.4.2).
///
/// # Errors
/// `proof_invalid` for any other proof than the one there is; between equal sizes it is the empty one.
pub fn prove_consistency(
    (before, old): (u64, Digest),
    (size, new): (u64, Digest),
    proof: &[Digest],
) -> Result<(), Refusal> {
    grown(before, size)?;
    if before == size {
        return if proof.is_empty() {
            equal(old, new)
        } else {
            Err(invalid("nothing is to be proved, and there is more"))
        };
    }
    // Where the old tree is complete, its root is the first hash, and is left out of the proof.
    let (first, rest) = if before.is_power_of_two() {
        (old, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or_else(|| invalid("it is empty"))?;
        (*first, rest)
    };
    let up = (before - 1).trailing_ones();
    let (mut place, mut last) = ((before - 1) >> up, (size - 1) >> up);
    let (mut left, mut right) = (first, first);
    for beside in rest {
        if last == 0 {
            return Err(invalid("it is longer than the way to the root"));
        }
        if place & 1 == 1 || place == last {
            (left, right) = (parent(*beside, left), parent(*beside, right));
            let up = if place & 1 == 1 { 0 } else { place.trailing_zeros().min(63) };
            (place, last) = (place >> up, last >> up);
        } else {
            right = parent(right, *beside);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    if last != 0 {
        return Err(invalid("it is shorter than the way to the root"));
    }
    equal(left, old)?;
    equal(right, new)
}

// The complete subtrees of leaves, from left to right; the largest that fit.
fn complete(leaves: Range<u64>) -> Vec<Node> {
    let (mut start, mut nodes) = (leaves.start, Vec::new());
    while start < leaves.end {
        let level = (leaves.end - start).ilog2().min(start.trailing_zeros());
        nodes.push(Node { level, index: start >> level });
        start += 1 << level;
    }
    nodes
}

// Where the left subtree ends: after the largest power of two of leaves that leaves one over.
const fn split(leaves: &Range<u64>) -> u64 {
    leaves.start + (1 << (leaves.end - leaves.start - 1).ilog2())
}

fn within(index: u64, size: u64) -> Result<(), Refusal> {
    if index < size {
        return Ok(());
    }
    Err(invalid(&format!("of {size} entries none has index {index}")))
}

fn grown(before: u64, size: u64) -> Result<(), Refusal> {
    if before >= 1 && before <= size {
        return Ok(());
    }
    Err(invalid(&format!("a log of {size} entries does not grow out of one of {before}")))
}

fn equal(found: Digest, root: Digest) -> Result<(), Refusal> {
    if found == root {
        return Ok(());
    }
    Err(invalid(&format!("it leads to the root {found}, signed is {root}")))
}

fn invalid(why: &str) -> Refusal {
    Refusal::new(Reason::ProofInvalid, format!("the proof does not hold: {why}"))
}
