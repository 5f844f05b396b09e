//! Two signed pieces of one log that cannot both be true: the direct contradictions by which a fork is proved (T65).
//!
//! A piece that is older, repeated or late contradicts nothing by that alone. Whether whoever signed a piece may speak is
//! judged before.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::log::Checkpoint;
use crate::question::Seen;

/// What one signed piece tells of one place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The index of an entry.
    pub index: u64,
    /// Its hash.
    pub entry_sha256: Digest,
    /// The index of the newest governance event, that entry included.
    pub epoch: u64,
    /// The root of the tree over it and all before it, where a checkpoint tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Digest>,
    /// What the question named that this entry decides, where an answer tells it: the entry was made after that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seen>,
}

/// How two pieces contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contradiction {
    /// One place, two entries.
    Entry,
    /// One size, two trees.
    Root,
    /// The epochs of one line of events cannot be these.
    Epoch,
    /// An entry was made after another one, and lies at or before it.
    Order,
    /// The longer log is not proved to have grown out of what was held, by its own broker's answer.
    Growth,
}

impl Place {
    /// The pinned first entry, which is its own tree.
    pub const fn pinned(root: Digest) -> Self {
        Self { index: 0, entry_sha256: root, epoch: 0, root: Some(root), after: None }
    }

    /// The last place of a checkpoint; none where it is empty, or its epoch lies after its end.
    pub fn of_checkpoint(checkpoint: &Checkpoint) -> Option<Self> {
        let Checkpoint { size, root, epoch, last, .. } = checkpoint;
        let index = size.checked_sub(1).filter(|index| epoch <= index)?;
        Some(Self { index, entry_sha256: *last, epoch: *epoch, root: Some(*root), after: None })
    }

    fn is_named_by(&self, other: &Self) -> bool {
        other.after.is_some_and(|seen| (seen.index, seen.entry_sha256) == (self.index, self.entry_sha256))
    }
}

/// How two pieces of one log contradict each other, if they do; the order in which they are given is all one.
pub fn contradiction(one: &Place, other: &Place) -> Option<Contradiction> {
    let (first, second) = if one.index <= other.index { (one, other) } else { (other, one) };
    // A hash cannot be named before it is known: what decides such a question comes after it, in every log that has both.
    let same = first.index == second.index;
    if second.is_named_by(first) || (same && first.is_named_by(second)) {
        return Some(Contradiction::Order);
    }
    if same {
        return same_place(first, second);
    }
    // No event between them, or one behind the first: any other number was an event that the first does not know, or
    // one that the second forgot.
    //
    // Whether the longer log grew out of the shorter is told by a proof alone: `growth`.
    (second.epoch != first.epoch && second.epoch <= first.index).then_some(Contradiction::Epoch)
}

fn same_place(one: &Place, other: &Place) -> Option<Contradiction> {
    if one.entry_sha256 != other.entry_sha256 {
        return Some(Contradiction::Entry);
    }
    if one.root.zip(other.root).is_some_and(|(one, other)| one != other) {
        return Some(Contradiction::Root);
    }
    (one.epoch != other.epoch).then_some(Contradiction::Epoch)
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entry => "they tell two entries of one place",
            Self::Root => "they tell two trees of one size",
            Self::Epoch => "their epochs are not of one line of events",
            Self::Order => "one was made after the other, and lies at or before it",
            Self::Growth => "the later is not proved to have grown out of the earlier",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(index: u64, epoch: u64, text: &str) -> Place {
        Place { index, entry_sha256: Digest::of(text.as_bytes()), epoch, root: None, after: None }
    }

    fn both(one: Place, other: Place) -> Option<Contradiction> {
        let found = contradiction(&one, &other);
        assert_eq!(found, contradiction(&other, &one), "the order in which they came is all one");
        found
    }

    #[test]
    fn t65_one_log_contradicts_itself_nowhere() {
        // An event at 0, 4 and 7; each place with the epoch that it has.
        let epoch = |index: u64| [7, 4, 0].into_iter().find(|event| *event <= index).unwrap_or_default();
        let places: Vec<_> = (0..12)
            .map(|index| {
                let root = Some(Digest::of(format!("root {index}").as_bytes()));
                Place { root, ..place(index, epoch(index), &index.to_string()) }
            })
            .collect();
        for one in &places {
            for other in &places {
                assert_eq!(both(*one, *other), None, "{one:?} {other:?}");
                let seen = Seen { epoch: one.epoch, index: one.index, entry_sha256: one.entry_sha256 };
                if other.index > one.index {
                    assert_eq!(both(*one, Place { after: Some(seen), ..*other }), None);
                }
            }
        }
    }

    #[test]
    fn t65_two_entries_trees_or_epochs_of_one_place_are_a_fork() {
        let one = place(9, 7, "a");
        assert_eq!(both(one, place(9, 7, "b")), Some(Contradiction::Entry));
        let root = |text: &str| Place { root: Some(Digest::of(text.as_bytes())), ..one };
        assert_eq!(both(root("a"), root("b")), Some(Contradiction::Root));
        // An answer tells no root, which contradicts none.
        assert_eq!(both(one, root("b")), None);
        assert_eq!(both(one, Place { epoch: 6, ..one }), Some(Contradiction::Epoch));
    }

    #[test]
    fn t65_an_epoch_that_falls_or_was_unknown_in_its_time_is_a_fork() {
        assert_eq!(both(place(9, 7, "a"), place(20, 6, "b")), Some(Contradiction::Epoch));
        // An event at 8, of which the entry at 9 knew nothing.
        assert_eq!(both(place(9, 7, "a"), place(20, 8, "b")), Some(Contradiction::Epoch));
        assert_eq!(both(place(9, 7, "a"), place(20, 10, "b")), None);
        assert_eq!(both(place(9, 7, "a"), place(20, 7, "b")), None);
    }

    #[test]
    fn t65_what_was_made_after_an_entry_cannot_lie_before_it() {
        let held = place(30, 7, "held");
        let seen = Seen { epoch: 7, index: 30, entry_sha256: held.entry_sha256 };
        for index in [0, 12, 29, 30] {
            let met = Place { after: Some(seen), ..place(index, 0, "met") };
            assert_eq!(both(held, met), Some(Contradiction::Order), "{index}");
        }
        // It names another entry of that place: nobody showed that one.
        let other = Seen { entry_sha256: Digest::of(b"other"), ..seen };
        assert_eq!(both(held, Place { after: Some(other), ..place(12, 7, "met") }), None);
    }
}
