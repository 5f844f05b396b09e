//! Two folders of components: builtins that this host offers, and artifacts that are found by digest.
//!
//! A file counts by the SHA-256 of the bytes that were read, never by its name or place (T34, T46). What is offered
//! also belongs to this user or to root, and nobody else may write to it.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use policy::digest::Digest;
use policy::question::Offer;
use policy::reason::{Reason, Refusal};
use rustix::fs::OFlags;

use crate::component::{read_whole, verified};
use crate::error::Error;

/// A folder of component files.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    owners: Owners,
}

/// By what a file is known to be the one that was read: its number, length and time.
pub(crate) type Print = (u64, u64, i64, i64);

/// Whose files are taken.
#[derive(Debug, Clone, Copy)]
enum Owners {
    /// Anybody's: somebody else names the digest.
    Anybody,
    /// This user's and root's, where nobody else may write.
    Trusted { user: u32 },
}

impl Folder {
    /// A folder whose files are only ever used by a digest that somebody else named.
    pub fn of_artifacts(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), owners: Owners::Anybody }
    }

    /// A folder whose files this host offers: it is this user's or root's, and nobody else may write to it.
    ///
    /// # Errors
    /// `file_unsafe` when it is no folder, a symbolic link, a stranger's, or others may write to it.
    pub fn of_builtins(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let (path, owners) = (path.into(), Owners::Trusted { user: rustix::process::geteuid().as_raw() });
        let found = fs::symlink_metadata(&path).map_err(|source| Error::file("read the folder", &path, source))?;
        let sound = if found.is_dir() { owners.accept(&found) } else { Err("is not a folder of its own") };
        sound.map_err(|why| {
            let detail = format!("builtins in `{}` are not offered: it {why}", path.display());
            Refusal::new(Reason::FileUnsafe, detail)
        })?;
        Ok(Self { path, owners })
    }

    /// What this host offers out of it; what is no sound component is left out, and said.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn offers(&self) -> Result<Vec<Offer>, Error> {
        let mut offers = Vec::new();
        for path in self.files()? {
            match self.offer(&path) {
                Ok(offer) => offers.push(offer),
                Err(error) => tracing::warn!("`{}` is not offered: {error}", path.display()),
            }
        }
        Ok(offers)
    }

    /// The bytes of that digest, if a file here has them.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn find(&self, sha256: Digest) -> Result<Option<Vec<u8>>, Error> {
        // A file that carries the digest as its name is looked at first, and believed no more than any other.
        let named = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()) != Some(&sha256.to_string());
        let mut files = self.files()?;
        files.retain(|path| is_wasm(path));
        files.sort_by_key(named);
        for path in files {
            match self.read(&path) {
                Ok(bytes) if Digest::of(&bytes) == sha256 => return Ok(Some(bytes)),
                Ok(_) => {}
                Err(error) => tracing::warn!("`{}` is left out: {error}", path.display()),
            }
        }
        Ok(None)
    }

    /// The digest of each file that could be started, read anew only where it is another than `known` says.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn digests(&self, known: &mut BTreeMap<PathBuf, (Print, Digest)>) -> Result<Vec<Digest>, Error> {
        let mut files = self.files()?;
        files.retain(|path| is_wasm(path));
        known.retain(|path, _| path.parent() != Some(&self.path) || files.contains(path));
        let mut found = Vec::new();
        for path in files {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let print = (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
            if known.get(&path).is_none_or(|(held, _)| *held != print) {
                let Ok(bytes) = self.read(&path) else { continue };
                known.insert(path.clone(), (print, Digest::of(&bytes)));
            }
            found.extend(known.get(&path).map(|(_, sha256)| *sha256));
        }
        Ok(found)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn offer(&self, path: &Path) -> Result<Offer, Error> {
        if !is_wasm(path) {
            return Err(Refusal::new(Reason::WasmMalformed, "only files that end in `.wasm` are").into());
        }
        let (file, subject, _) = verified(&self.read(path)?)?;
        Ok(Offer { subject, sha256: file.sha256() })
    }

    // Looked at only once it is open, so that what is read is what was looked at. A link is refused by the system, and
    // a pipe keeps nobody waiting.
    fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let refuse = |why: &str| Refusal::new(Reason::FileUnsafe, format!("`{}` {why}", path.display()));
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
            return Err(refuse("is a symbolic link").into());
        }
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let open = || -> std::io::Result<(File, Metadata)> {
            let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
            let found = file.metadata()?;
            Ok((file, found))
        };
        let (file, found) = open().map_err(|source| Error::file("read", path, source))?;
        let sound = if found.is_file() { self.owners.accept(&found) } else { Err("is no plain file") };
        sound.map_err(refuse)?;
        read_whole(file, path)
    }

    // Everything in it, in the order of the names.
    fn files(&self) -> Result<Vec<PathBuf>, Error> {
        let failed = |source| Error::file("read the folder", &self.path, source);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            files.push(entry.map_err(failed)?.path());
            if files.len() > MAX_FILES {
                let detail = format!("`{}` holds more than {MAX_FILES} files", self.path.display());
                return Err(Refusal::new(Reason::ArtifactUnavailable, detail).into());
            }
        }
        files.sort();
        Ok(files)
    }
}

impl Owners {
    fn accept(self, found: &Metadata) -> Result<(), &'static str> {
        match self {
            Self::Anybody => Ok(()),
            Self::Trusted { user } if found.uid() != user && found.uid() != ROOT => {
                Err("belongs to another user: `chown` it")
            }
            Self::Trusted { .. } if found.mode() & 0o022 != 0 => Err("may be written to by others: `chmod go-w` it"),
            Self::Trusted { .. } => Ok(()),
        }
    }
}

fn is_wasm(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wasm")
}

const MAX_FILES: usize = 1000;
const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::tests::guests;

    fn reason(folder: &Folder, name: &str) -> Option<Reason> {
        folder.offer(&folder.path().join(name)).unwrap_err().reason()
    }

    #[test]
    fn t46_a_folder_that_others_may_write_to_offers_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(Folder::of_builtins(dir.path()).unwrap_err().reason(), Some(Reason::FileUnsafe));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Folder::of_builtins(dir.path()).is_ok());
        let beside = tempfile::tempdir().unwrap();
        let link = beside.path().join("builtins");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert_eq!(Folder::of_builtins(&link).unwrap_err().reason(), Some(Reason::FileUnsafe));
        fs::write(beside.path().join("file"), "").unwrap();
        assert_eq!(Folder::of_builtins(beside.path().join("file")).unwrap_err().reason(), Some(Reason::FileUnsafe));
    }

    #[test]
    fn t46_links_strangers_and_changed_files_are_left_out() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let good = guests::signed("logger");
        let mut changed = good.clone();
        changed[20] ^= 1;
        fs::write(dir.path().join("b.wasm"), &good).unwrap();
        fs::set_permissions(dir.path().join("b.wasm"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(dir.path().join("a.wasm"), &changed).unwrap();
        fs::write(dir.path().join("c.wasm"), guests::unsigned("logger")).unwrap();
        fs::write(outside.path().join("d.wasm"), &good).unwrap();
        std::os::unix::fs::symlink(outside.path().join("d.wasm"), dir.path().join("d.wasm")).unwrap();
        let offers = Folder::of_builtins(dir.path()).unwrap().offers().unwrap();
        assert_eq!(offers.iter().map(|offer| offer.sha256).collect::<Vec<_>>(), [Digest::of(&good)]);
    }

    #[test]
    fn t34_a_file_counts_by_its_bytes_and_never_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let good = guests::signed("logger");
        let sha256 = Digest::of(&good);
        fs::write(dir.path().join(format!("{sha256}.wasm")), b"other bytes under the right name").unwrap();
        let folder = Folder::of_artifacts(dir.path());
        assert!(folder.find(sha256).unwrap().is_none());
        fs::write(dir.path().join("whatever.wasm"), &good).unwrap();
        assert_eq!(folder.find(sha256).unwrap().unwrap(), good);
    }

    #[test]
    fn t46_each_file_is_refused_for_what_is_wrong_with_it() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        let good = guests::signed("logger");
        for name in ["good.wasm", "group.wasm", "world.wasm", "other.txt"] {
            fs::write(at(name), &good).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(at("group.wasm"), fs::Permissions::from_mode(0o664)).unwrap();
        fs::set_permissions(at("world.wasm"), fs::Permissions::from_mode(0o646)).unwrap();
        fs::write(outside.path().join("out.wasm"), &good).unwrap();
        std::os::unix::fs::symlink(outside.path().join("out.wasm"), at("out.wasm")).unwrap();
        std::os::unix::fs::symlink(at("good.wasm"), at("in.wasm")).unwrap();
        fs::create_dir(at("folder.wasm")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe.wasm"), rustix::fs::Mode::from_bits_truncate(0o644)).unwrap();
        fs::write(at("machine.wasm"), b"\x7fELF").unwrap();
        fs::write(at("unsigned.wasm"), guests::unsigned("logger")).unwrap();
        let folder = Folder::of_builtins(dir.path()).unwrap();
        for name in ["group.wasm", "world.wasm", "out.wasm", "in.wasm", "folder.wasm", "pipe.wasm"] {
            assert_eq!(reason(&folder, name), Some(Reason::FileUnsafe), "{name}");
        }
        assert_eq!(reason(&folder, "other.txt"), Some(Reason::WasmMalformed));
        assert_eq!(reason(&folder, "machine.wasm"), Some(Reason::WasmPrecompiled));
        assert_eq!(reason(&folder, "unsigned.wasm"), Some(Reason::ClaimsMissing));
        // One bad file says nothing about the next, and none of them keeps the host waiting.
        assert_eq!(folder.offers().unwrap().len(), 1);
        assert!(folder.find(Digest::of(&good)).unwrap().is_some());
    }

    #[test]
    fn t46_a_strangers_file_is_not_offered_and_roots_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.wasm"), guests::signed("logger")).unwrap();
        fs::set_permissions(dir.path().join("a.wasm"), fs::Permissions::from_mode(0o644)).unwrap();
        let found = fs::metadata(dir.path().join("a.wasm")).unwrap();
        // Somebody else looks at the very file: whoever runs this test, the file is a stranger's then.
        let stranger = Owners::Trusted { user: found.uid().wrapping_add(1) };
        assert_eq!(stranger.accept(&found).is_ok(), found.uid() == ROOT);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path().join("a.wasm"), Some(12345), None).unwrap();
            let folder = Folder::of_builtins(dir.path()).unwrap();
            assert_eq!(reason(&folder, "a.wasm"), Some(Reason::FileUnsafe));
            assert!(folder.offers().unwrap().is_empty());
            std::os::unix::fs::chown(dir.path(), Some(12345), None).unwrap();
            assert_eq!(Folder::of_builtins(dir.path()).unwrap_err().reason(), Some(Reason::FileUnsafe));
        }
        // What others name by digest may lie anywhere and belong to anybody.
        let artifacts = Folder::of_artifacts(dir.path());
        assert!(artifacts.find(Digest::of(&guests::signed("logger"))).unwrap().is_some());
    }
}
