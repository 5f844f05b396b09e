//! The tree in tiles of 256 hashes, laid out as c2sp.org/tlog-tiles has it, so that a proof reads a few and not all.
//!
//! Tiles are made from the entries and can be made again; nothing that they say is believed before it leads to a root
//! that was signed, or computed from the entries. Where they are kept is left to `broker`.

use std::fmt::Write as _;

use crate::digest::Digest;
use crate::log::proof::Node;
use crate::log::tree::{Frontier, parent};

/// A tile: hashes side by side, of subtrees of `256^level` leaves each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// 0 for one of leaf hashes.
    pub level: u32,
    /// Its place among those of its level, from 0.
    pub index: u64,
    /// How many hashes it holds: 256, or fewer at the right edge.
    pub width: usize,
}

impl Tile {
    /// The hashes of a whole tile.
    pub const FULL: usize = 256;

    /// The tile that tells of a subtree, in a tree of so many leaves.
    pub fn of(node: Node, size: u64) -> Self {
        let (level, first) = (node.level / HEIGHT, first(node));
        let index = first / Self::FULL as u64;
        let there = (size >> (level * HEIGHT)).saturating_sub(index * Self::FULL as u64);
        let width = usize::try_from(there).unwrap_or(Self::FULL).min(Self::FULL);
        Self { level, index, width }
    }

    /// The first of its leaves, and how many there are below it.
    pub const fn leaves(self) -> (u64, u64) {
        let each = 1 << (self.level * HEIGHT);
        (self.index * Self::FULL as u64 * each, self.width as u64 * each)
    }

    /// Where it lies: `tile/0/x001/067`, and `tile/1/000.p/12` while it is not whole.
    pub fn path(self) -> String {
        let (mut groups, mut rest) = (format!("{:03}", self.index % 1000), self.index / 1000);
        while rest > 0 {
            groups = format!("x{:03}/{groups}", rest % 1000);
            rest /= 1000;
        }
        let mut path = format!("tile/{}/{groups}", self.level);
        if self.width < Self::FULL {
            // INVARIANT: writing to a `String` cannot fail.
            let _ = write!(path, ".p/{}", self.width);
        }
        path
    }

    /// The hashes that these bytes are, if there are as many as it holds.
    pub fn read(self, bytes: &[u8]) -> Option<Vec<Digest>> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        let whole = rest.is_empty() && hashes.len() == self.width;
        whole.then(|| hashes.iter().map(|hash| Digest::from_bytes(*hash)).collect())
    }

    /// The root of a subtree that its hashes tell of.
    pub fn node(self, hashes: &[Digest], node: Node) -> Option<Digest> {
        let from = usize::try_from(first(node) % Self::FULL as u64).ok()?;
        let many = 1_usize << (node.level % HEIGHT);
        folded(hashes.get(from..from.checked_add(many)?)?)
    }
}

/// The right edge of the tree, in tiles: what is needed to make the next ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    // The hashes of the tile at the edge, by level; below, all are whole.
    open: Vec<Vec<Digest>>,
}

impl Edge {
    /// Appends a leaf, by its hash. Each time a tile of leaves is whole, it and those that it changes above it come out.
    pub fn append(&mut self, leaf: Digest) -> Vec<(Tile, Vec<Digest>)> {
        let mut changed = Vec::new();
        let mut hash = Some(leaf);
        self.size += 1;
        for level in 0.. {
            let Some(next) = hash.take() else { break };
            if self.open.len() <= level {
                self.open.push(Vec::with_capacity(Tile::FULL));
            }
            let Some(open) = self.open.get_mut(level) else { break };
            open.push(next);
            if level == 0 && open.len() < Tile::FULL {
                break;
            }
            let level = u32::try_from(level).unwrap_or(u32::MAX);
            let index = (self.size >> (level * HEIGHT)).saturating_sub(1) / Tile::FULL as u64;
            changed.push((Tile { level, index, width: open.len() }, open.clone()));
            if open.len() == Tile::FULL {
                hash = folded(open);
                open.clear();
            }
        }
        changed
    }

    /// The edge of a tree of that size, if so many hashes stand at it: of each level those that are not in a whole tile.
    pub fn of(size: u64, open: Vec<Vec<Digest>>) -> Option<Self> {
        let each = |level: usize| 1_u64.checked_shl(u32::try_from(level).unwrap_or(u32::MAX).saturating_mul(HEIGHT));
        let there = |level: usize| each(level).map_or(0, |each| size / each % Self::WIDTH);
        let fits = |(level, hashes): (usize, &Vec<Digest>)| hashes.len() as u64 == there(level);
        let whole = each(open.len()).is_none_or(|each| size < each);
        (whole && open.iter().enumerate().all(fits)).then_some(Self { size, open })
    }

    /// What stands at the edge of a tree of that size, by level; where a level ends with a whole tile, a tile of no width.
    pub fn tiles(size: u64) -> Vec<Tile> {
        let mut tiles = Vec::new();
        let (mut level, mut rest) = (0, size);
        while rest > 0 {
            let width = usize::try_from(rest % Self::WIDTH).unwrap_or_default();
            tiles.push(Tile { level, index: rest / Self::WIDTH, width });
            (level, rest) = (level + 1, rest / Self::WIDTH);
        }
        tiles
    }

    /// The frontier of the same tree.
    pub fn frontier(&self) -> Option<Frontier> {
        let mut peaks = Vec::new();
        for hashes in self.open.iter().rev() {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                // The largest power of two first, as its subtree is the largest.
                let (subtree, after) = rest.split_at_checked(1 << rest.len().ilog2())?;
                peaks.push(folded(subtree)?);
                rest = after;
            }
        }
        Frontier::of_peaks(self.size, peaks)
    }

    const WIDTH: u64 = Tile::FULL as u64;

    /// The tiles above the leaves that are not whole yet.
    pub fn open(&self) -> Vec<(Tile, Vec<Digest>)> {
        let above = self.open.iter().zip(0_u32..).skip(1).filter(|(hashes, _)| !hashes.is_empty());
        let tile = |(hashes, level): (&Vec<Digest>, u32)| {
            let index = (self.size >> (level * HEIGHT)) / Tile::FULL as u64;
            (Tile { level, index, width: hashes.len() }, hashes.clone())
        };
        above.map(tile).collect()
    }
}

// Among all subtrees of its tile's level, the first that a node is made of.
const fn first(node: Node) -> u64 {
    node.index << (node.level % HEIGHT)
}

// The root over a power of two of hashes.
fn folded(hashes: &[Digest]) -> Option<Digest> {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| parent(*left, *right)).collect();
    }
    row.first().copied()
}

// How many levels of the tree a tile spans.
const HEIGHT: u32 = 8;
