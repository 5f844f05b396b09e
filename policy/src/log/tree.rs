//! The RFC 6962 tree over the entries, kept as its frontier: one hash per complete subtree on the right edge.

use crate::digest::Digest;

/// The frontier of a tree: what is needed to append leaves and to know the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    // Roots of the complete subtrees, the largest first.
    peaks: Vec<Digest>,
}

impl Frontier {
    /// How many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first: with the size, all that there is of it.
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// The frontier of a tree of that size with these peaks, if a tree of that size has so many.
    pub fn of_peaks(size: u64, peaks: Vec<Digest>) -> Option<Self> {
        (u64::from(size.count_ones()) == peaks.len() as u64).then_some(Self { size, peaks })
    }

    /// Appends a leaf, by its hash.
    pub fn append(&mut self, leaf: Digest) {
        let mut node = leaf;
        // One subtree closes for each trailing one bit of the size before.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = parent(left, node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root of the tree (RFC 6962 section 2.1).
    pub fn root(&self) -> Digest {
        let folded = self.peaks.iter().rev().copied().reduce(|right, left| parent(left, right));
        folded.unwrap_or_else(|| Digest::of(b""))
    }
}

/// The hash of two subtrees side by side.
pub(super) fn parent(left: Digest, right: Digest) -> Digest {
    Digest::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::leaf_hash;

    fn naive(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::of(b""),
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                parent(naive(&leaves[..split]), naive(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_frontier_has_the_root_of_the_whole_tree() {
        let leaves: Vec<_> = (0..130_u32).map(|number| leaf_hash(&number.to_be_bytes())).collect();
        let mut frontier = Frontier::default();
        for size in 0..leaves.len() {
            assert_eq!(frontier.root(), naive(&leaves[..size]), "size {size}");
            let again = Frontier::of_peaks(frontier.size(), frontier.peaks().to_vec());
            assert_eq!(again, Some(frontier.clone()), "size {size}");
            frontier.append(leaves[size]);
        }
        assert_eq!(Frontier::of_peaks(3, frontier.peaks().get(..1).unwrap().to_vec()), None);
    }
}
