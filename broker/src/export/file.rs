//! A file that lines are added to: gone on with where it ends, and only if it is this log's.
//!
//! One process at a time; a last line that was torn is taken away before anything is added.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use policy::reason::{Reason, Refusal};

use super::line::{Item, Line};
use crate::error::Error;
use crate::store::LogReader;

/// An export on disk.
pub struct ExportFile {
    file: File,
    path: PathBuf,
    first: Option<u64>,
    next: Option<u64>,
}

impl ExportFile {
    /// Opens it, or makes it, for this process alone; what is in it must be this log's.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process writes it, `export_mismatch` when it is something else, `state_rollback`
    /// when it goes further than the log, [`Error::Io`].
    pub async fn open(path: &Path, log: &LogReader) -> Result<Self, Error> {
        let failed = |source| Error::Io { act: "open", path: path.to_owned(), source };
        let options = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
        let mut file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let named = |refusal: Refusal| Error::from(refusal.within(format!("`{}`", path.display())));
        // Before its end is looked for, which may be far from here in a file of something else.
        if !is_torn_line(&begin_of(&mut file).map_err(failed)?) {
            return Err(named(Refusal::new(Reason::ExportMismatch, "it does not begin as an export")));
        }
        let End { whole, last, torn } = end_of(&mut file).map_err(failed)?;
        if !is_torn_line(&torn) {
            return Err(named(Refusal::new(Reason::ExportMismatch, "it does not end as an export")));
        }
        let (mut first, mut next) = (None, None);
        if let Some(last) = last {
            let last = line_of(&last).map_err(named)?;
            refuse_other(&last, log).await?.map_err(named)?;
            next = Some(last.index + 1);
            first = Some(line_of(&first_line(&mut file).map_err(failed)?).map_err(named)?.index);
        }
        if !torn.is_empty() {
            file.set_len(whole).map_err(failed)?;
        }
        Ok(Self { file, path: path.to_owned(), first, next })
    }

    /// The index of its first entry, if it has any.
    pub const fn first(&self) -> Option<u64> {
        self.first
    }

    /// The index after its last entry, if it has any.
    pub const fn next(&self) -> Option<u64> {
        self.next
    }

    /// Adds lines.
    ///
    /// # Errors
    /// [`Error::Io`]; what was written of them is repaired by the next [`ExportFile::open`].
    pub fn append(&mut self, lines: &[u8]) -> Result<(), Error> {
        self.file.write_all(lines).map_err(|source| Error::Io { act: "write", path: self.path.clone(), source })
    }

    /// Makes what was added durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn make_durable(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(|source| Error::Io { act: "write", path: self.path.clone(), source })
    }
}

struct End {
    // How long it is without what is torn.
    whole: u64,
    last: Option<Vec<u8>>,
    torn: Vec<u8>,
}

fn begin_of(file: &mut File) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    Read::by_ref(file).take(BEGIN).read_to_end(&mut begin)?;
    Ok(begin)
}

// Read backwards, however long the file is.
fn end_of(file: &mut File) -> io::Result<End> {
    let length = file.seek(SeekFrom::End(0))?;
    let (mut tail, mut at) = (Vec::new(), length);
    let ends = |tail: &[u8]| tail.iter().filter(|byte| **byte == b'\n').count();
    while at > 0 && ends(&tail) < 2 {
        let from = at.saturating_sub(CHUNK);
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        Read::by_ref(file).take(at - from).read_to_end(&mut piece)?;
        piece.append(&mut tail);
        (tail, at) = (piece, from);
    }
    let mut lines = tail.rsplit(|byte| *byte == b'\n');
    let torn = lines.next().unwrap_or_default().to_vec();
    let last = lines.next().map(<[u8]>::to_vec);
    Ok(End { whole: length - torn.len() as u64, last, torn })
}

fn first_line(file: &mut File) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    BufReader::new(file).read_until(b'\n', &mut line)?;
    line.pop();
    Ok(line)
}

// Whatever else is there is somebody's, and must not be cut away.
fn is_torn_line(torn: &[u8]) -> bool {
    STARTS.iter().any(|start| torn.starts_with(start) || start.starts_with(torn))
}

fn line_of(line: &[u8]) -> Result<Line, Refusal> {
    match Item::read(line)? {
        Item::Line(line) => Ok(line),
        Item::Seal(_) => Err(Refusal::new(Reason::ExportMismatch, "it is a segment, which is sealed")),
    }
}

async fn refuse_other(last: &Line, log: &LogReader) -> Result<Result<(), Refusal>, Error> {
    let found = log.row(last.index).await?;
    Ok(match found {
        Some(row) if row.hash == last.hash => Ok(()),
        Some(row) => {
            let detail = format!("its entry {} is {}, the log's is {}", last.index, last.hash, row.hash);
            Err(Refusal::new(Reason::ExportMismatch, detail))
        }
        None => {
            let detail = format!("it goes to entry {}, the log has {}", last.index, log.size().await?);
            Err(Refusal::new(Reason::StateRollback, detail))
        }
    })
}

const CHUNK: u64 = 64 * 1024;
// More than any of the starts of a line.
const BEGIN: u64 = 64;
const STARTS: [&[u8]; 4] = [b"{\"document\":\"", b"{\"entry\":{", b"{\"hash\":\"", b"{\"evidence\":{"];
