//! Files that the commands read and write: regular files of bounded size, and folders of builtins by T46's rules.
//!
//! What the bytes mean is left to `policy`.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use policy::reason::{Reason, Refusal};
use rustix::fs::OFlags;

/// The most bytes of a file that are read: more than any artifact may have.
pub const MAX_BYTES: u64 = (1 << 30) + 1;

/// Reads a regular file, through links, once.
///
/// # Errors
/// When it is none, or cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_open(OpenOptions::new().read(true).custom_flags(flags(OFlags::NONBLOCK)).open(path), path)
}

/// As [`read`], or all of standard input for `-`.
///
/// # Errors
/// As [`read`].
pub fn read_or_input(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path.as_os_str() != "-" {
        return read(path);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file of a builtin folder: no link, and nobody else may write to it (T46).
///
/// # Errors
/// `file_unsafe`, or the file's own error.
pub fn read_builtin(path: &Path) -> anyhow::Result<Vec<u8>> {
    refuse_unsafe(path)?;
    // A link put there since is refused by the system.
    read_open(OpenOptions::new().read(true).custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)).open(path), path)
}

/// The files of a builtin folder by name, once the folder itself is safe (T46).
///
/// # Errors
/// `file_unsafe`, or the folder's own error.
pub fn list_builtins(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    refuse_unsafe(folder)?;
    let context = || format!("folder `{}`", folder.display());
    let entries = std::fs::read_dir(folder).with_context(context)?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(context)?;
    if paths.len() > MAX_FILES {
        return Err(Refusal::new(Reason::ArchiveLimit, format!("{} files, at most {MAX_FILES}", paths.len())).into());
    }
    paths.sort();
    Ok(paths)
}

/// Writes a file that appears whole or not at all, in place of one that may be there.
///
/// # Errors
/// The file's own error.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let context = || format!("file `{}`", path.display());
    let mut name = path.file_name().with_context(context)?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    // In a folder of everybody's, somebody may have put a link under that name.
    let opened = OpenOptions::new().write(true).create_new(true).open(&temporary);
    let written = opened.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    let renamed = written.and_then(|()| std::fs::rename(&temporary, path));
    let settled = renamed.inspect_err(|_| {
        // What is left of it, if anything, is only a temporary file.
        let _ = std::fs::remove_file(&temporary);
    });
    settled.with_context(context)
}

fn read_open(file: std::io::Result<File>, path: &Path) -> anyhow::Result<Vec<u8>> {
    let context = || format!("file `{}`", path.display());
    let file = file.with_context(context)?;
    let metadata = file.metadata().with_context(context)?;
    anyhow::ensure!(metadata.is_file(), "`{}` is not a regular file", path.display());
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or_default());
    file.take(MAX_BYTES).read_to_end(&mut bytes).with_context(context)?;
    Ok(bytes)
}

fn refuse_unsafe(path: &Path) -> anyhow::Result<()> {
    let metadata = path.symlink_metadata().with_context(|| format!("`{}`", path.display()))?;
    let unsafe_because =
        |why: &str| Err(Refusal::new(Reason::FileUnsafe, format!("`{}` {why}", path.display())).into());
    if metadata.is_symlink() {
        return unsafe_because("is a symbolic link");
    }
    if metadata.mode() & 0o022 != 0 {
        return unsafe_because("may be written to by its group or by everybody");
    }
    Ok(())
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

const MAX_FILES: usize = 1000;
