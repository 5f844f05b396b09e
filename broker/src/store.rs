//! The log on disk: its one writer, its readers, and the lock beside it. The only files that speak SQL.
//!
//! What an entry says is left to `policy::log`; when a batch is written, to `sequencer`.

mod copies;
mod current;
mod held;
mod lock;
mod packed;
mod prover;
mod reader;
mod recorded;
pub mod rehearse;
mod reserve;
mod schema;
mod shelf;
mod sqlite;
mod tiler;
mod writer;

pub use prover::{Claim, Shown};
pub(crate) use reader::{Asked, Chain, Folded, Gleaned, Opening, Reading, name_of};
pub use reader::{Kept, LogReader, Row, Segment, follow};
pub use recorded::{Act, Judgement, Recorded, Told};
pub use reserve::Room;
pub use shelf::{Note, Shelf, says};

pub(crate) use copies::{alone, copy, thin};
pub(crate) use current::Current;
pub(crate) use held::Held;
pub(crate) use lock::{Lock, Vouched};
pub(crate) use reserve::Reserve;
pub(crate) use schema::LOG;
pub(crate) use sqlite::{Pages, create};
pub(crate) use tiler::{Tiler, mend};
pub(crate) use writer::Writer;
