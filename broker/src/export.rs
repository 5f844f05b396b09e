//! The log as lines of JSON: written beside whoever writes it, gone on with where a file ends, read back without it.
//!
//! The form is that of docs/log-format.md. A segment is such a file with a seal as its last line.

mod bulk;
mod file;
mod freeze;
mod line;
mod lines;
mod writing;

pub use bulk::Bulk;
pub use file::ExportFile;
pub use freeze::{Freeze, Frozen, Until, freeze};
pub use line::{Item, Line, Seal};
pub use lines::Lines;
pub use writing::{Pieces, Writing};
