//! Which files a database was opened from. One that is deleted or replaced meanwhile goes on taking writes, which nobody
//! finds afterwards: so whoever writes looks whether they still lie there before it says that anything is durable (T67).
//!
//! What follows from it is left to whoever looks.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A database and its `-wal`, as they lay there at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    path: PathBuf,
    database: Option<File>,
    wal: Option<File>,
}

// A file, whatever its name: while it is open, no other gets its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct File {
    device: u64,
    inode: u64,
}

impl Held {
    /// What lies there now.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), database: File::at(path), wal: File::at(&wal(path)) }
    }

    /// The same files, and the `-wal` that the opening may have made.
    ///
    /// # Errors
    /// [`Error::Unsafe`] when another database lies there by now, or no `-wal`.
    pub(super) fn opened(self) -> Result<Self, Error> {
        let now = Self::at(&self.path);
        if self.database.is_none() || now.database != self.database {
            return Err(gone(self.path));
        }
        if now.wal.is_none() { Err(gone(wal(&self.path))) } else { Ok(now) }
    }

    /// Refuses when they do not lie there any more.
    ///
    /// # Errors
    /// [`Error::Unsafe`], which names the file.
    pub(super) fn still(&self) -> Result<(), Error> {
        let now = Self::at(&self.path);
        if now.database != self.database {
            return Err(gone(self.path.clone()));
        }
        if now.wal != self.wal { Err(gone(wal(&self.path))) } else { Ok(()) }
    }

    /// Whether another file lies there now; where none does, there is nothing better to read.
    pub(super) fn is_replaced(&self) -> bool {
        let wal = File::at(&wal(&self.path));
        self.is_another() || (wal.is_some() && wal != self.wal)
    }

    /// Whether another database lies there now, whatever became of its `-wal`.
    pub(crate) fn is_another(&self) -> bool {
        let database = File::at(&self.path);
        database.is_some() && database != self.database
    }
}

impl File {
    // What cannot be looked at is not there: whoever needs it is refused.
    fn at(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?;
        Some(Self { device: found.dev(), inode: found.ino() })
    }
}

/// The file beside a database that holds its newest rows.
pub(super) fn wal(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-wal");
    beside.into()
}

fn gone(path: PathBuf) -> Error {
    let what = "was taken away or replaced while it was open; put the very file back where it was".to_owned();
    Error::Unsafe { path, what }
}
