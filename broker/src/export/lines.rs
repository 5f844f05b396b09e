//! Reads the lines of an export in order, remembering the evidence that later lines rest on.
//!
//! Memory holds each distinct statement once; documents pass by.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use policy::digest::Digest;
use policy::log::Entry;
use policy::reason::{Reason, Refusal};

use super::line::{Item, Line};
use crate::error::Error;
use crate::store::Kept;

/// The lines of one file.
pub struct Lines {
    file: BufReader<File>,
    path: PathBuf,
    number: u64,
    statements: BTreeMap<Digest, Vec<u8>>,
}

impl Lines {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let opened = File::open(path);
        let file = opened.map_err(|source| Error::Io { act: "open", path: path.to_owned(), source })?;
        Ok(Self { file: BufReader::new(file), path: path.to_owned(), number: 0, statements: BTreeMap::new() })
    }

    /// The next line; none at the end. A torn last line is none either.
    ///
    /// # Errors
    /// [`Error::Io`], or as [`Item::read`], with the file and the line's number.
    pub fn next_item(&mut self) -> Result<Option<Item>, Error> {
        let mut line = Vec::new();
        let read = self.file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        read.map_err(|source| Error::Io { act: "read", path: self.path.clone(), source })?;
        self.number += 1;
        if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
            let detail = format!("it has more than {} MiB", MAX_LINE >> 20);
            return Err(self.named(Refusal::new(Reason::ExportMismatch, detail)).into());
        }
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        let item = Item::read(&line).map_err(|refusal| self.named(refusal))?;
        if let Item::Line(line) = &item {
            self.statements.extend(line.evidence.iter().map(|(sha256, bytes)| (*sha256, bytes.clone())));
        }
        Ok(Some(item))
    }

    /// What an entry of a line rests on, as far as the file has it.
    pub fn kept(&self, line: &Line, entry: &Entry) -> Kept {
        let Some((document, statements)) = entry.evidence.split_first() else {
            return Kept::default();
        };
        let found = statements.iter().filter_map(|sha256| Some((*sha256, self.statements.get(sha256)?.clone())));
        Kept(found.chain(line.document.clone().map(|bytes| (*document, bytes))).collect())
    }

    /// A refusal, told with the file and the line that it is about.
    pub fn named(&self, refusal: Refusal) -> Refusal {
        refusal.within(format!("`{}` line {}", self.path.display(), self.number))
    }

    /// As [`Lines::named`], for a row that does not follow.
    pub fn broken(&self, what: &str) -> Error {
        self.named(Refusal::new(Reason::LogBroken, what)).into()
    }
}

// More than any entry with all that it rests on.
const MAX_LINE: u64 = 64 << 20;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn t62_a_line_that_is_too_long_is_no_torn_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // As far as it goes it could be one; what stands behind it would be passed by.
        file.as_file().set_len(MAX_LINE + 1).unwrap();
        let told = Lines::open(file.path()).unwrap().next_item().unwrap_err();
        assert_eq!(told.reason(), Some(Reason::ExportMismatch), "{told}");
        file.as_file().set_len(1000).unwrap();
        assert_eq!(Lines::open(file.path()).unwrap().next_item().unwrap(), None, "a torn last line says nothing");
    }
}
