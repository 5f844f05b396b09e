//! The tree over a test broker's log, whole: every proof that can be asked of it.

use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::growth::{Grown, Growth, Included, Restored, Tree};
use policy::log::{Frontier, Outline};

use super::broker::{Broker, decision, name, seal};

/// The hash of each entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leaves(Vec<Digest>);

impl Leaves {
    pub(crate) fn append(&mut self, leaf: Digest) {
        self.0.push(leaf);
    }

    pub(crate) fn root(&self) -> Digest {
        self.root_of(0, self.0.len())
    }

    fn root_of(&self, start: usize, width: usize) -> Digest {
        let mut tree = Frontier::default();
        self.0[start..start + width].iter().for_each(|leaf| tree.append(*leaf));
        tree.root()
    }

    fn filled(&self, outline: &Outline) -> Vec<Digest> {
        let root = |node: policy::log::Node| Some(self.root_of(node.start() as usize, node.width() as usize));
        outline.filled(root).unwrap()
    }

    fn inclusion(&self, index: u64) -> Vec<Digest> {
        self.filled(&Outline::inclusion(index, self.0.len() as u64).unwrap())
    }
}

impl Broker {
    /// The genuine answer to a question whether this log only grew.
    pub(crate) fn grown(&self, question: &[u8]) -> Vec<u8> {
        self.grown_but(question, |_| ())
    }

    /// The same with something changed, signed by the broker's own key.
    pub(crate) fn grown_but(&self, question: &[u8], change: impl FnOnce(&mut Grown)) -> Vec<u8> {
        let (ledger, warrant) = (self.ledger(), self.warrant());
        let asked = Unverified::<Growth>::parse(question).unwrap().verify(ledger.state().host_keys()).unwrap();
        // Others ask meanwhile, and the log grows: all of one answer is of one end.
        let (leaves, note) = loop {
            let note = String::from_utf8(self.notice()).unwrap();
            let leaves = self.leaves.lock().unwrap().clone();
            if note.lines().nth(1) == Some(&leaves.0.len().to_string()) {
                break (leaves, note);
            }
        };
        let end = leaves.0.len() as u64;
        let tree = |size: &u64| Tree {
            size: *size,
            root: leaves.root_of(0, *size as usize),
            consistency: leaves.filled(&Outline::consistency(*size, end).unwrap()),
        };
        let entry =
            |index: u64| Included { index, entry_sha256: leaves.0[index as usize], inclusion: leaves.inclusion(index) };
        let restores = self.restores.lock().unwrap().clone();
        let restored = restores.iter().map(|(index, bytes, command)| Restored {
            index: *index,
            inclusion: leaves.inclusion(*index),
            bytes_sha256: Digest::of(bytes),
            evidence: vec![Digest::of(command)],
        });
        let mut grown = Grown {
            iss: name(&decision()),
            aud: asked.iss,
            lattice: self.lattice(),
            warrant_sha256: Digest::of(&warrant),
            request_sha256: asked.sha256(),
            checkpoint: note,
            trees: asked.sizes.iter().filter(|size| **size <= end).map(tree).collect(),
            entry: asked.index.filter(|index| *index < end).map(entry),
            restored: restored.collect(),
        };
        change(&mut grown);
        let attached = restores.iter().flat_map(|(_, bytes, command)| [bytes.as_slice(), command]);
        let attached: Vec<&[u8]> = std::iter::once(warrant.as_slice()).chain(attached).collect();
        seal(&decision(), &grown, &attached)
    }
}
