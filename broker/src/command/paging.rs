//! Options of every list that may be long: where a page begins, and how many rows it has; without them, all of it.

use serde_json::Value;

use crate::command::acting::member;
use crate::output;
use crate::view::{NEXT, Page};

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Paged {
    /// Those after this one, as the page before named it.
    #[arg(long, value_name = "ROW")]
    after: Option<String>,
    /// A page of so many at most [default: all of them].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: Option<u64>,
}

impl Paged {
    pub(super) fn page(self) -> Page {
        Page { after: self.after, limit: self.limit }
    }
}

/// Where the next page begins, as a line for people; nothing on the last one.
pub(super) fn next(view: &Value) -> String {
    let next = member(view, NEXT);
    if next.is_empty() { next } else { format!("there are more; next: --after {}\n", output::shown(&next)) }
}
