//! A copy of a folder while its broker works: the log as of one moment, proved, with what a restore needs.
//!
//! Made in a folder beside and then renamed, so that there is a whole copy or none.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::audit::{self, Against, Sound};
use crate::error::Error;
use crate::folder::{Folder, beside, make_durable, make_place_durable, make_private_folder, settle, write_private};
use crate::store::{Lock, LogReader, Shelf, copy};
use policy::digest::Digest;
use policy::log::Head;
use policy::reason::Reason;

/// What to copy, and where to.
#[derive(Debug, Clone)]
pub struct Backup {
    /// The folder to make.
    pub dest: PathBuf,
    /// Whether to copy keys.
    pub with_keys: bool,
}

/// What was copied.
#[derive(Debug, Clone)]
pub struct BackedUp {
    /// The log of the copy, as it was proved.
    pub sound: Sound,
    /// How many files lie beside it.
    pub files: u64,
}

/// Copies a folder.
///
/// # Errors
/// [`Error::AlreadyThere`]; `state_rollback` for a log that is behind its lock, `log_broken` for one that does not hold;
/// [`Error::Store`] or [`Error::Io`]. Then nothing is left.
pub async fn backup(folder: &Folder, asked: &Backup) -> Result<BackedUp, Error> {
    if asked.dest.symlink_metadata().is_ok() {
        return Err(Error::AlreadyThere(asked.dest.clone()));
    }
    let fresh = beside(&asked.dest)?;
    let made = fill(folder, asked, &fresh).await;
    let settled = made.and_then(|done| settle(&fresh, &asked.dest).map(|()| done));
    let left = match settled {
        Err(error) => (fresh, error),
        Ok(done) => match make_place_durable(&asked.dest) {
            Ok(()) => return Ok(done),
            // It is ours by now; one that may be gone after a crash is none.
            Err(error) => (asked.dest.clone(), error),
        },
    };
    take_away(&left.0).await;
    Err(left.1)
}

// A database that was given up half-way closes behind our back, and may still put files there.
async fn take_away(folder: &Path) {
    for _ in 0..TRIES {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => tokio::time::sleep(PAUSE).await,
            // The first error matters more than what is left of a copy that nobody knows.
            _ => return,
        }
    }
}

async fn fill(folder: &Folder, asked: &Backup, fresh: &Path) -> Result<BackedUp, Error> {
    make_private_folder(fresh)?;
    let place = Folder::at(fresh.to_owned());
    // Before the log: what it has seen, the copy must hold.
    let lock = Lock::open(&folder.lock_file()).await?;
    copy(&folder.log(), &place.log()).await?;
    let log = LogReader::open(&place.log()).await?;
    let (sound, note) = proved(&log, newest(&Shelf::beside(&folder.log()), log.size().await?)).await?;
    let head = sound.head.ok_or_else(|| Error::refused(Reason::LogBroken, "the log is empty"))?;
    let seen = log.row(lock.row()).await?;
    lock.refuse_older(head, seen.as_ref())?;
    log.close().await?;
    lock.close().await?;
    take_side_files_away(&place.log());
    lock_at(&place, head, sound.tree_root).await?;
    let mut files = 0;
    if let Some(note) = note {
        let shelf = Shelf::beside(&place.log());
        shelf.keep(&note).map_err(|source| Error::Io { act: "write", path: shelf.path().to_owned(), source })?;
        files += 1;
    }
    for name in ["warrant.jws", "artifacts", "config"] {
        files += copied(&folder.path().join(name), &fresh.join(name))?;
    }
    if asked.with_keys {
        files += copied(&folder.path().join("keys"), &fresh.join("keys"))?;
    }
    make_durable(fresh).map_err(|source| Error::Io { act: "write", path: fresh.to_owned(), source })?;
    Ok(BackedUp { sound, files })
}

// The newest end of the copy that the log's key signed for.
fn newest(shelf: &Shelf, size: u64) -> Option<Vec<u8>> {
    let kept = shelf.notes().unwrap_or_default().into_iter().filter(|note| note.size <= size);
    kept.max_by_key(|note| note.size).map(|note| note.bytes)
}

// With the checkpoint, where it holds: what is kept beside a log is nobody's word, and no reason not to copy it.
async fn proved(log: &LogReader, note: Option<Vec<u8>>) -> Result<(Sound, Option<Vec<u8>>), Error> {
    let with = Against { note: note.clone(), ..Against::default() };
    match audit::log(log, with, || ()).await? {
        Ok(sound) if sound.restored.is_none() => return Ok((sound, note)),
        Err(broken) if note.is_none() => return Err(Error::Refused(broken.refusal.within("the log"))),
        Ok(_) | Err(_) => {}
    }
    tracing::warn!("no checkpoint is copied: the newest that is kept beside the log does not hold");
    let alone = audit::log(log, Against::default(), || ()).await?;
    Ok((alone.map_err(|broken| Error::Refused(broken.refusal.within("the log")))?, None))
}

// Behind the end of the copy, so that what is cut from it is noticed.
async fn lock_at(place: &Folder, head: Head, root: Option<Digest>) -> Result<(), Error> {
    let root = root.ok_or_else(|| Error::refused(Reason::LogBroken, "the log was not read from its beginning"))?;
    Lock::create(&place.lock_file(), head, root).await
}

// Reading left them, empty; they would only puzzle whoever copies the folder on.
fn take_side_files_away(log: &Path) {
    for suffix in ["-wal", "-shm"] {
        let mut path = log.as_os_str().to_owned();
        path.push(suffix);
        // What is not there need not go.
        let _ = fs::remove_file(PathBuf::from(path));
    }
}

// A file, or a folder of files; how many. What is not there is not copied.
fn copied(from: &Path, to: &Path) -> Result<u64, Error> {
    let failed = |source| Error::Io { act: "copy", path: from.to_owned(), source };
    let Ok(found) = from.symlink_metadata() else { return Ok(0) };
    if found.is_file() {
        write_private(to, &fs::read(from).map_err(failed)?)?;
        return Ok(1);
    }
    if !found.is_dir() {
        let what = "is neither a file nor a folder; put the thing itself there".to_owned();
        return Err(Error::Unsafe { path: from.to_owned(), what });
    }
    make_private_folder(to)?;
    let mut files = 0;
    for entry in fs::read_dir(from).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        files += copied(&from.join(&name), &to.join(&name))?;
    }
    make_durable(to).map_err(failed)?;
    Ok(files)
}

const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);
