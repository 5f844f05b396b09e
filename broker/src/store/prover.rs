//! Proofs out of tiles: a few reads for each, however long the log is, and nothing told that does not lead to the root.
//!
//! Where a tile lacks, or is not what it should be, the entries are read instead.

use std::collections::BTreeMap;

use policy::digest::Digest;
use policy::log::{Frontier, Node, Outline, Tile, prove_consistency, prove_inclusion};
use policy::reason::{Reason, Refusal};

use super::reader::LogReader;
use super::shelf::Shelf;
use crate::error::Error;

/// What is to be proved of the tree of the first `size` entries.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// How many entries.
    pub size: u64,
    /// That this one is among them.
    pub index: Option<u64>,
    /// That it grew out of the tree of the first so many.
    pub from: Option<u64>,
}

/// What is proved; each proof leads to `root`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The root of the tree.
    pub root: Digest,
    /// The entry's hash and the proof that it is in the tree.
    pub entry: Option<(Digest, Vec<Digest>)>,
    /// The root of the smaller tree and the proof that this one grew out of it.
    pub from: Option<(Digest, Vec<Digest>)>,
}

struct Outlines {
    root: Outline,
    inclusion: Option<Outline>,
    from: Option<(Outline, Outline)>,
    to_end: Outline,
}

impl LogReader {
    /// Proves what is asked, under the root of the first `end` entries, which is known.
    ///
    /// # Errors
    /// `proof_invalid` where there is nothing to prove, `log_broken` where the entries do not lead to that root,
    /// [`Error::Store`].
    pub async fn prove(&self, claim: Claim, (end, root): (u64, Digest)) -> Result<Shown, Error> {
        let outlines = Outlines {
            root: Outline::root(claim.size),
            inclusion: claim.index.map(|index| Outline::inclusion(index, claim.size)).transpose()?,
            from: match claim.from {
                Some(from) => Some((Outline::root(from), Outline::consistency(from, claim.size)?)),
                None => None,
            },
            to_end: Outline::consistency(claim.size, end)?,
        };
        let by_tiles = self.shown(claim, &outlines, (end, root), Some(self.shelf())).await;
        let Err(Error::Refused(refusal)) = by_tiles else { return by_tiles };
        tracing::warn!(%refusal, "the tiles beside the log are not of its entries; the entries are read instead");
        let by_rows = self.shown(claim, &outlines, (end, root), None).await;
        by_rows.map_err(|error| match error {
            Error::Refused(refusal) => Refusal { reason: Reason::LogBroken, ..refusal }.into(),
            other => other,
        })
    }

    /// The hashes of a tile out of the entries below it.
    pub(super) async fn hashes_of(&self, tile: Tile) -> Result<Vec<Digest>, Error> {
        let (mut next, count) = tile.leaves();
        let (end, each) = (next + count, count / (tile.width as u64).max(1));
        let (mut hashes, mut subtree) = (Vec::with_capacity(tile.width), Frontier::default());
        while next < end {
            let page = self.hashes(next, PAGE.min(u32::try_from(end - next).unwrap_or(PAGE))).await?;
            if page.is_empty() {
                break;
            }
            next += page.len() as u64;
            for leaf in page {
                subtree.append(leaf);
                if subtree.size() == each {
                    hashes.push(subtree.root());
                    subtree = Frontier::default();
                }
            }
        }
        Ok(hashes)
    }

    async fn shown(
        &self,
        claim: Claim,
        outlines: &Outlines,
        end: (u64, Digest),
        shelf: Option<Shelf>,
    ) -> Result<Shown, Error> {
        let mut reading = Reading { log: self, shelf, size: end.0, tiles: BTreeMap::new() };
        let only = |proof: Vec<Digest>| proof.first().copied().ok_or_else(|| missing("a root"));
        let root = only(reading.fill(&outlines.root).await?)?;
        prove_consistency((claim.size, root), end, &reading.fill(&outlines.to_end).await?)?;
        let mut shown = Shown { root, entry: None, from: None };
        if let (Some(outline), Some(index)) = (&outlines.inclusion, claim.index) {
            let (leaf, proof) = (only(self.hashes(index, 1).await?)?, reading.fill(outline).await?);
            prove_inclusion(leaf, index, claim.size, &proof, root)?;
            shown.entry = Some((leaf, proof));
        }
        if let (Some((smaller, outline)), Some(from)) = (&outlines.from, claim.from) {
            let (old, proof) = (only(reading.fill(smaller).await?)?, reading.fill(outline).await?);
            prove_consistency((from, old), (claim.size, root), &proof)?;
            shown.from = Some((old, proof));
        }
        Ok(shown)
    }
}

// The tiles that were read for one answer.
struct Reading<'a> {
    log: &'a LogReader,
    shelf: Option<Shelf>,
    size: u64,
    tiles: BTreeMap<Tile, Vec<Digest>>,
}

impl Reading<'_> {
    async fn fill(&mut self, outline: &Outline) -> Result<Vec<Digest>, Error> {
        let mut known = BTreeMap::new();
        for node in outline.nodes() {
            let tile = self.tile_of(node).await?;
            let hashes = self.tiles.get(&tile).map(Vec::as_slice).unwrap_or_default();
            known.extend(tile.node(hashes, node).map(|hash| (node, hash)));
        }
        outline.filled(|node| known.get(&node).copied()).ok_or_else(|| missing("an entry").into())
    }

    async fn tile_of(&mut self, node: Node) -> Result<Tile, Error> {
        let tile = Tile::of(node, self.size);
        if !self.tiles.contains_key(&tile) {
            let kept = self.shelf.as_ref().and_then(|shelf| shelf.tile(tile));
            let hashes = match kept {
                Some(hashes) => hashes,
                None => self.log.hashes_of(tile).await?,
            };
            self.tiles.insert(tile, hashes);
        }
        Ok(tile)
    }
}

fn missing(what: &str) -> Refusal {
    Refusal::new(Reason::ProofInvalid, format!("{what} is missing below the tree"))
}

const PAGE: u32 = 4096;
