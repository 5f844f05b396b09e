//! What is derived from the log and lies beside it: the tree in tiles, and checkpoints that were signed.
//!
//! Laid out as c2sp.org/tlog-tiles has it: `tree/tile/…`, `tree/checkpoint`, and older checkpoints by their size. Tiles
//! may be lost or changed at any time: they are made again from the entries, and whatever is read here is proved.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use policy::digest::Digest;
use policy::log::Tile;

use crate::folder::replace_private;

/// The folder of what is derived from one log.
#[derive(Debug, Clone)]
pub struct Shelf(PathBuf);

/// A signed checkpoint that lies beside the log; nothing of it is proved yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// How many entries it says there are.
    pub size: u64,
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub bytes: Vec<u8>,
}

impl Shelf {
    /// The one beside a log.
    pub fn beside(log: &Path) -> Self {
        Self(log.with_file_name(FOLDER))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The hashes of a tile, as they lie there, if they do; a wider one begins with the same.
    pub fn tile(&self, tile: Tile) -> Option<Vec<Digest>> {
        let whole = Tile { width: Tile::FULL, ..tile };
        let mut hashes = self.exactly(tile).or_else(|| self.exactly(whole)).or_else(|| self.wider(tile))?;
        hashes.truncate(tile.width);
        Some(hashes)
    }

    /// Whether just this tile lies there with these hashes; nothing where it does not lie there.
    pub fn fits(&self, tile: Tile, hashes: &[Digest]) -> Option<bool> {
        let bytes = fs::read(self.0.join(tile.path())).ok()?;
        Some(tile.read(&bytes).is_some_and(|found| found == hashes))
    }

    /// Takes the tiles away, for a log that is about to go another way: the next start makes them of what it then is.
    pub(crate) fn forget_tiles(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.0.join("tile")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn exactly(&self, tile: Tile) -> Option<Vec<Digest>> {
        tile.read(&fs::read(self.0.join(tile.path())).ok()?)
    }

    // A tile at the edge grows while it is read.
    fn wider(&self, tile: Tile) -> Option<Vec<Digest>> {
        let folder = self.0.join(tile.path()).parent()?.to_owned();
        let widths = fs::read_dir(folder).ok()?.flatten();
        let widths = widths.filter_map(|file| file.file_name().to_str()?.parse::<usize>().ok());
        let width = widths.filter(|width| (tile.width..Tile::FULL).contains(width)).max()?;
        self.exactly(Tile { width, ..tile })
    }

    /// Puts a tile there, whole or not at all, and takes away the narrower one that it grew out of.
    pub(super) fn put(&self, tile: Tile, hashes: &[Digest]) -> io::Result<()> {
        let path = self.0.join(tile.path());
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.as_bytes()).copied().collect();
        let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
        private_folders(folder)?;
        // Nobody waits for the disk: after a crash a tile that is short is made again.
        let new = folder.join(format!("{}.new", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::write(&new, bytes)?;
        fs::rename(&new, &path)?;
        self.take_narrower(tile)
    }

    fn take_narrower(&self, tile: Tile) -> io::Result<()> {
        let narrower = Tile { width: tile.width.saturating_sub(1), ..tile };
        let gone = |done: io::Result<()>| match done {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        };
        if tile.level == 0 || narrower.width == 0 {
            return Ok(());
        }
        let narrower = self.0.join(narrower.path());
        if tile.width < Tile::FULL {
            return gone(fs::remove_file(narrower));
        }
        gone(narrower.parent().map_or(Ok(()), fs::remove_dir_all))
    }

    /// The newest signed checkpoint, as it lies there.
    pub fn newest(&self) -> Option<Vec<u8>> {
        fs::read(self.0.join(NEWEST)).ok().filter(|note| !note.is_empty())
    }

    /// Every checkpoint that lies there, by the size that it says, the smallest first.
    ///
    /// # Errors
    /// When one cannot be read, or is no checkpoint by its looks.
    pub fn notes(&self) -> io::Result<Vec<Note>> {
        let mut paths = Vec::new();
        match fs::read_dir(self.0.join(OLDER)) {
            Ok(files) => paths.extend(files.map(|file| Ok(file?.path())).collect::<io::Result<Vec<_>>>()?),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // One that is being written has a name of its own, and so has what somebody else left there.
        let is_kept = |name: &str| name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit());
        paths.retain(|path| path.file_name().and_then(std::ffi::OsStr::to_str).is_some_and(is_kept));
        paths.extend(Some(self.0.join(NEWEST)).filter(|path| path.exists()));
        let note = |path: PathBuf| {
            let odd = || io::Error::new(ErrorKind::InvalidData, format!("`{}` is no checkpoint", path.display()));
            let bytes = fs::read(&path)?;
            Ok(Note { size: says(&bytes).ok_or_else(odd)?, path, bytes })
        };
        let mut notes = paths.into_iter().map(note).collect::<io::Result<Vec<_>>>()?;
        notes.sort();
        Ok(notes)
    }

    /// Keeps the newest signed checkpoint, and one of each hour; one of more entries is not lost by it.
    pub(crate) fn keep(&self, note: &[u8]) -> io::Result<()> {
        let Some(size) = says(note) else { return Ok(()) };
        private_folders(&self.0.join(OLDER))?;
        let before = self.newest();
        if before.as_deref() == Some(note) {
            return Ok(());
        }
        // Of a longer log than this one: evidence, and not to be written over.
        if let Some((longer, held)) =
            before.and_then(|held| Some((says(&held)?, held))).filter(|(held, _)| *held > size)
        {
            self.keep_older(longer, &held)?;
        }
        replace_private(&self.0.join(NEWEST), note)?;
        if self.is_due() { self.keep_older(size, note) } else { Ok(()) }
    }

    fn keep_older(&self, size: u64, note: &[u8]) -> io::Result<()> {
        let path = self.0.join(OLDER).join(format!("{size:0DIGITS$}"));
        if path.exists() { Ok(()) } else { replace_private(&path, note) }
    }

    // The folder changes each time one is put there.
    fn is_due(&self) -> bool {
        let folder = self.0.join(OLDER);
        let is_empty = fs::read_dir(&folder).is_ok_and(|mut files| files.next().is_none());
        let changed = fs::metadata(folder).and_then(|found| found.modified());
        is_empty || changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|past| past >= EACH))
    }
}

/// How many entries a checkpoint says there are; whether that is so is for its signature to tell.
pub fn says(note: &[u8]) -> Option<u64> {
    std::str::from_utf8(note).ok()?.lines().nth(1)?.parse().ok()
}

fn private_folders(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

static NEXT: AtomicU64 = AtomicU64::new(0);
const FOLDER: &str = "tree";
const NEWEST: &str = "checkpoint";
const OLDER: &str = "checkpoints";
// Of the name of a kept one.
const DIGITS: usize = 20;
const EACH: Duration = Duration::from_secs(3600);
