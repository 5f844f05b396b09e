//! Space beside the log that is kept for it, so that on a full disk what only takes away is still recorded (T70, T90).
//!
//! It is given up in parts when there is little space, and taken back when there is enough; only a whole reserve lets
//! grants be recorded. What is recorded with how much is `policy`'s rule, and asking it is left to `sequencer`.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use policy::log::Worth;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::error::Error;
use crate::folder::refuse_unless_private;

/// How much room there is for the log, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// For everything: the reserve is whole.
    Ample,
    /// For whatever grants nothing.
    Short,
    /// For what only takes away: refusals can no longer use up what a ban will need.
    Last,
}

impl Room {
    /// The least that is recorded.
    pub(crate) const fn least(self) -> Worth {
        match self {
            Self::Ample => Worth::Grants,
            Self::Short => Worth::Notes,
            Self::Last => Worth::Safety,
        }
    }
}

/// The reserve of one log.
pub(crate) struct Reserve {
    path: PathBuf,
    kept: u64,
    // Not before this moment is it taken back: where a write just failed, there is no space, whatever else says so.
    not_before: Option<Instant>,
}

impl Reserve {
    /// Opens the reserve beside a log, or makes it; a full disk is no error.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        if path.symlink_metadata().is_ok() {
            refuse_unless_private(path)?;
        }
        let kept = path.metadata().map_or(0, |found| kept(&found));
        Ok(Self { path: path.to_owned(), kept, not_before: None })
    }

    /// What a broker has room for, as the reserve shows to whoever looks at its folder; one that was never made says nothing.
    pub(crate) fn shows(path: &Path) -> Room {
        path.symlink_metadata().map_or(Room::Ample, |found| room(kept(&found)))
    }

    /// Looks at the disk before something is written: gives up a part where there is little space, and takes all back
    /// where there is enough.
    pub(crate) fn look(&mut self) -> Room {
        let free = self.free();
        let waits = self.not_before.is_some_and(|moment| Instant::now() < moment);
        if self.kept < WHOLE && !waits && free >= (WHOLE - self.kept) + PART {
            self.take_back();
        } else if free < PART {
            self.give();
        }
        self.room()
    }

    /// A write failed. Where that was for want of space, a part is given up.
    pub(crate) fn after(&mut self, error: &Error) {
        if is_full(error) || !self.grows() {
            self.give();
            self.not_before = Some(Instant::now() + PAUSE);
        }
    }

    /// What there is room for.
    pub(crate) const fn room(&self) -> Room {
        room(self.kept)
    }

    fn give(&mut self) {
        let less = self.kept.saturating_sub(PART);
        let given = OpenOptions::new().write(true).open(&self.path).and_then(|file| file.set_len(less));
        match given {
            Ok(()) => self.kept = less,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.kept = 0,
            Err(error) => tracing::error!(%error, "the reserved space could not be given up"),
        }
    }

    fn take_back(&mut self) {
        match self.extend(WHOLE) {
            Ok(()) => (self.kept, self.not_before) = (WHOLE, None),
            Err(error) => {
                tracing::warn!(%error, "there is no space for the reserve yet");
                self.shrink();
                self.not_before = Some(Instant::now() + PAUSE);
            }
        }
    }

    // Whether there is room for one part more; for limits that are no property of the disk, such as quotas.
    fn grows(&self) -> bool {
        let grown = self.extend(self.kept + PART).is_ok();
        self.shrink();
        grown
    }

    // A longer file with its blocks, not only its length.
    fn extend(&self, size: u64) -> io::Result<()> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&self.path)?;
        file.set_len(size)?;
        match fallocate(&file, FallocateFlags::empty(), 0, size) {
            Err(rustix::io::Errno::OPNOTSUPP) => fill(&file, size),
            allocated => Ok(allocated?),
        }
    }

    fn shrink(&self) {
        let shrunk = OpenOptions::new().write(true).open(&self.path).and_then(|file| file.set_len(self.kept));
        // More than is counted is kept then; the next look says it again.
        if let Err(error) = shrunk {
            tracing::warn!(%error, "a part of the reserve could not be given back");
        }
    }

    // Bytes that anybody may use. Where nobody can say, nothing is granted.
    fn free(&self) -> u64 {
        let folder = self.path.parent().unwrap_or(&self.path);
        statvfs(folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

// What came back from a copy may be a length without blocks.
fn kept(found: &Metadata) -> u64 {
    found.len().min(found.blocks() * 512).min(WHOLE)
}

const fn room(kept: u64) -> Room {
    match kept {
        WHOLE => Room::Ample,
        kept if kept > LAST => Room::Short,
        _ => Room::Last,
    }
}

// Where blocks cannot be had without writing them: bytes that no file system makes smaller.
fn fill(mut file: &File, size: u64) -> io::Result<()> {
    let mut noise = [0_u8; 4096];
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..size.div_ceil(4096) {
        for bytes in noise.chunks_mut(8) {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        file.write_all(&noise)?;
    }
    file.set_len(size)
}

fn is_full(error: &Error) -> bool {
    let Error::Store { source: sqlx::Error::Database(error), .. } = error else {
        return false;
    };
    error.code().is_some_and(|code| FULL.contains(&code.as_ref()))
}

// SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: the index of the log's side file could not grow.
const FULL: [&str; 2] = ["13", "4874"];
// What is reserved when all is well.
const WHOLE: u64 = 16 * 1024 * 1024;
// Room for the greatest batch twice, in the log's side file and in the log. As much is given up at once.
const PART: u64 = 2 * 1024 * 1024;
// What is left for acts that take away alone.
const LAST: u64 = WHOLE / 2;
const PAUSE: Duration = Duration::from_millis(100);
