//! The arithmetic of evidence: entries, the ledger that makes and replays them, the tree over them, checkpoints, forks.
//!
//! Where they are stored is left to `broker`.

mod checkpoint;
mod draft;
mod entry;
mod exhibit;
mod fork;
mod glance;
mod ledger;
mod proof;
mod replay;
mod rests;
mod ruling;
mod skim;
mod tile;
mod tree;
mod worth;

pub use checkpoint::{Checkpoint, NoteKey, Sealed};
pub use draft::Draft;
pub use entry::{Body, Entry, EntryKind, Freezing, Judged, Lost, Observed, Reported, Ruled, leaf_hash};
pub use exhibit::{Exhibit, Proven};
pub use fork::{Contradiction, Place, contradiction};
pub use glance::Glance;
pub use ledger::{Head, Ledger, Step};
pub use proof::{Node, Outline, prove_consistency, prove_inclusion};
pub(crate) use replay::question_as_asked;
pub use replay::{Evidences, Rejudge, is_timely, question_anew};
pub use rests::resting;
pub use ruling::Ruling;
pub use tile::{Edge, Tile};
pub use tree::Frontier;
pub use worth::Worth;
