//! Two folders of components: builtins that this host offers, and artifacts that are found by digest.
//!
//! A file counts by the SHA-256 of the bytes that were read, never by its name or place (T34, T46).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use policy::digest::Digest;
use policy::question::Offer;
use policy::reason::{Reason, Refusal};

use crate::component::{read_once, verified};
use crate::error::Error;

/// A folder of component files.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder whose files are only ever used by a digest that somebody else named.
    pub fn of_artifacts(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// A folder whose files this host offers: nobody but its owner may write to it.
    ///
    /// # Errors
    /// When it is no folder, a symbolic link, or others may write to it.
    pub fn of_builtins(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let found = fs::symlink_metadata(&path).map_err(|source| Error::file("read the folder", &path, source))?;
        let refuse = |why: &str| {
            let detail = format!("builtins in `{}` are not offered: {why}", path.display());
            Err(Refusal::new(Reason::ArtifactUnavailable, detail).into())
        };
        match found {
            found if !found.is_dir() => refuse("it is not a folder of its own"),
            found if found.permissions().mode() & 0o022 != 0 => refuse("others may write to it: `chmod go-w` it"),
            _ => Ok(Self(path)),
        }
    }

    /// What this host offers out of it; what is no sound component is left out, and said.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn offers(&self) -> Result<Vec<Offer>, Error> {
        let mut offers = Vec::new();
        for path in self.files()? {
            let offer = read_once(&path).and_then(|bytes| {
                let (file, subject, _) = verified(&bytes)?;
                Ok(Offer { subject, sha256: file.sha256() })
            });
            match offer {
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
        files.sort_by_key(named);
        for path in files {
            match read_once(&path) {
                Ok(bytes) if Digest::of(&bytes) == sha256 => return Ok(Some(bytes)),
                Ok(_) => {}
                Err(error) => tracing::warn!("`{}` is left out: {error}", path.display()),
            }
        }
        Ok(None)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    // Regular files that end in `.wasm`, in the order of their names; never a link to somewhere else.
    fn files(&self) -> Result<Vec<PathBuf>, Error> {
        let failed = |source| Error::file("read the folder", &self.0, source);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_wasm = entry.path().extension().is_some_and(|extension| extension == "wasm");
            if is_wasm && entry.file_type().map_err(failed)?.is_file() {
                files.push(entry.path());
            }
            if files.len() > MAX_FILES {
                let detail = format!("`{}` holds more than {MAX_FILES} components", self.0.display());
                return Err(Refusal::new(Reason::ArtifactUnavailable, detail).into());
            }
        }
        files.sort();
        Ok(files)
    }
}

const MAX_FILES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::guests;

    #[test]
    fn t46_a_folder_that_others_may_write_to_offers_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(Folder::of_builtins(dir.path()).unwrap_err().reason(), Some(Reason::ArtifactUnavailable));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Folder::of_builtins(dir.path()).is_ok());
    }

    #[test]
    fn t46_links_strangers_and_changed_files_are_left_out() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let good = guests::signed("logger");
        let mut changed = good.clone();
        changed[20] ^= 1;
        fs::write(dir.path().join("b.wasm"), &good).unwrap();
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
}
