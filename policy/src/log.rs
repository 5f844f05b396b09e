//! The arithmetic of evidence: entries, the ledger that makes and replays them, the tree over them, checkpoints, forks.
//!
//! Where they are stored is left to `broker`.

mod checkpoint;
mod draft;
mod entry;
mod fork;
mod frozen;
mod ledger;
mod replay;
mod ruling;
mod tree;
mod worth;

pub use checkpoint::{Checkpoint, NoteKey};
pub use draft::Draft;
pub use entry::{Body, Entry, EntryKind, Judged, Lost, Reported, Ruled, leaf_hash};
pub use fork::{Contradiction, Place, contradiction};
pub use ledger::{Head, Ledger, Step};
pub use replay::{Evidences, Rejudge, question_anew};
pub use ruling::Ruling;
pub use tree::Frontier;
pub use worth::Worth;
