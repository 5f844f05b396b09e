//! The log on disk: its one writer, its readers, and the lock beside it. The only files that speak SQL.
//!
//! What an entry says is left to `policy::log`; when a batch is written, to `sequencer`.

mod lock;
mod prover;
mod reader;
mod recorded;
pub mod rehearse;
mod shelf;
mod sqlite;
mod tiler;
mod writer;

pub use prover::{Claim, Shown};
pub use reader::{Kept, LogReader, Row};
pub use recorded::{Act, Judgement, Recorded, Told};
pub use shelf::{Note, Shelf, says};

pub(crate) use lock::Lock;
pub(crate) use sqlite::{LOG, create};
pub(crate) use tiler::{Retiler, Tiler};
pub(crate) use writer::Writer;
