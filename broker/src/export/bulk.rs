//! The segments at hand while a log is replayed: each frozen entry is taken from its file, which must be the very one.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use policy::digest::Digest;
use policy::log::Entry;
use policy::reason::Reason;
use sha2::{Digest as _, Sha256};

use super::line::Item;
use super::lines::Lines;
use crate::error::Error;
use crate::store::{Kept, Row, Segment};

/// The folder of segments, and the one that is being read.
#[derive(Default)]
pub struct Bulk {
    folder: Option<PathBuf>,
    open: Option<(Segment, Option<Lines>)>,
}

impl Bulk {
    /// The segments in that folder.
    pub fn of(folder: Option<&Path>) -> Self {
        Self { folder: folder.map(Path::to_owned), open: None }
    }

    /// The row with its bytes and what it rests on; none where its segment is not here. Rows are asked for in order.
    ///
    /// # Errors
    /// `log_broken` when the segment is another than the log says, or does not hold the row; [`Error::Io`].
    pub fn find(&mut self, row: &Row, segments: &[Segment]) -> Result<Option<(Row, Kept)>, Error> {
        let (Some(folder), Some(segment)) = (&self.folder, segments.iter().find(|it| it.holds(row.index))) else {
            return Ok(None);
        };
        if self.open.as_ref().is_none_or(|(open, _)| open != segment) {
            let path = folder.join(segment.file_name());
            let lines = if path.exists() { Some(opened(&path, segment)?) } else { None };
            self.open = Some((segment.clone(), lines));
        }
        let Some((_, Some(lines))) = &mut self.open else { return Ok(None) };
        loop {
            let Some(Item::Line(line)) = lines.next_item()? else {
                return Err(lines.broken(&format!("entry {} is not here", row.index)));
            };
            if line.index < row.index {
                continue;
            }
            if line.index != row.index || line.hash != row.hash || line.bytes.is_empty() {
                return Err(lines.broken(&format!("this is not entry {} of the log", row.index)));
            }
            let entry = Entry::read(&line.bytes).map_err(|refusal| lines.named(refusal))?;
            if !entry.changes_nothing() {
                return Err(lines.broken(&format!("entry {} must stand in the log itself", row.index)));
            }
            let kept = lines.kept(&line, &entry);
            return Ok(Some((Row { bytes: line.bytes, ..row.clone() }, kept)));
        }
    }
}

/// The digest of a file of any size.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn sha256_of(path: &Path) -> Result<Digest, Error> {
    let failed = |source| Error::Io { act: "read", path: path.to_owned(), source };
    let (mut file, mut hasher) = (File::open(path).map_err(failed)?, Sha256::new());
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            read => hasher.update(piece.get(..read).unwrap_or_default()),
        }
    }
}

fn opened(path: &Path, segment: &Segment) -> Result<Lines, Error> {
    let found = sha256_of(path)?;
    if found != segment.sha256 {
        let detail = format!("`{}` has the digest {found}, the log says {}", path.display(), segment.sha256);
        return Err(Error::refused(Reason::LogBroken, detail));
    }
    Lines::open(path)
}
