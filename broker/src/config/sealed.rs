//! Where configuration lies in the folder: each document under its digest, sealed by a key beside the others.
//!
//! The seal is ChaCha20-Poly1305 with a random nonce, bound to the digest, so that no file stands in for another.

use std::path::{Path, PathBuf};

use policy::digest::Digest;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::error::Error;
use crate::folder::{Folder, beside, make_place_durable, make_private_folder, refuse_unless_private, write_private};

/// The sealed configurations of one folder.
pub(crate) struct Sealed {
    place: PathBuf,
    key: PathBuf,
}

impl Sealed {
    /// Those of this folder; nothing is made until something is kept.
    pub(crate) fn of(folder: &Folder) -> Self {
        Self { place: folder.path().join("config"), key: folder.path().join("keys").join("config.key") }
    }

    /// Keeps a document under its digest, durably: a command that names it is recorded next. One that is there and whole
    /// stays as it is; what else lies there can be opened by nobody, and gives way.
    ///
    /// # Errors
    /// Why the key or the file could not be written or read.
    pub(crate) fn keep(&self, sha256: Digest, document: &[u8]) -> Result<(), Error> {
        if matches!(self.find(sha256), Ok(Some(_))) {
            return Ok(());
        }
        match make_private_folder(&self.place) {
            Err(error) if !self.place.is_dir() => return Err(error),
            // Somebody made it before, or meanwhile.
            Err(_) => {}
            Ok(()) => make_place_durable(&self.place)?,
        }
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        let mut bytes = document.to_vec();
        let sealed = self.cipher()?.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(sha256.as_bytes()),
            &mut bytes,
        );
        sealed.map_err(|_| self.broken(sha256))?;
        let path = self.file(sha256);
        let fresh = beside(&path)?;
        let written = write_private(&fresh, &[nonce.as_slice(), &bytes].concat());
        let settled = written.and_then(|()| {
            std::fs::rename(&fresh, &path).map_err(|source| Error::Io { act: "write", path: path.clone(), source })
        });
        settled.and_then(|()| make_place_durable(&path)).inspect_err(|_| {
            // The first error matters more than what is left of a file that nobody knows.
            let _ = std::fs::remove_file(&fresh);
        })
    }

    /// The document of a digest, if it was kept here.
    ///
    /// # Errors
    /// [`Error::Unsafe`] when the file is open to others, or is not what was sealed.
    pub(crate) fn find(&self, sha256: Digest) -> Result<Option<Vec<u8>>, Error> {
        let path = self.file(sha256);
        if !path.exists() {
            return Ok(None);
        }
        refuse_unless_private(&path)?;
        let bytes = read(&path)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or_else(|| self.broken(sha256))?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened =
            self.cipher()?.open_in_place(nonce, Aad::from(sha256.as_bytes()), &mut sealed).map(|it| it.to_vec());
        opened.ok().filter(|document| Digest::of(document) == sha256).map(Some).ok_or_else(|| self.broken(sha256))
    }

    fn cipher(&self) -> Result<LessSafeKey, Error> {
        if !self.key.exists() {
            let mut fresh = [0; 32];
            random(&mut fresh)?;
            match write_private(&self.key, &fresh) {
                // Without it everything that it sealed is lost.
                Ok(()) => make_place_durable(&self.key)?,
                // Somebody made one meanwhile: that one counts.
                Err(Error::AlreadyThere(_)) => {}
                Err(error) => return Err(error),
            }
        }
        refuse_unless_private(&self.key)?;
        let what = "holds no key of 32 bytes; what was sealed under the old one is lost".to_owned();
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, &read(&self.key)?);
        unbound.map(LessSafeKey::new).map_err(|_| Error::Unsafe { path: self.key.clone(), what })
    }

    fn file(&self, sha256: Digest) -> PathBuf {
        self.place.join(format!("{sha256}.sealed"))
    }

    fn broken(&self, sha256: Digest) -> Error {
        Error::Unsafe { path: self.file(sha256), what: "is not what was sealed under its name".to_owned() }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Io { act: "read", path: path.to_owned(), source })
}

fn random(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::Unavailable(format!("the system gives no randomness: {error}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_sealed_private_and_stands_for_nothing_else() {
        let room = tempfile::tempdir().unwrap();
        std::fs::create_dir(room.path().join("keys")).unwrap();
        let sealed = Sealed::of(&Folder::at(room.path().to_owned()));
        let document = br#"{"salt":"00","values":{"bucket":"eu"}}"#;
        let sha256 = Digest::of(document);
        assert_eq!(sealed.find(sha256).unwrap(), None);
        sealed.keep(sha256, document).unwrap();
        sealed.keep(sha256, document).unwrap();
        assert_eq!(sealed.find(sha256).unwrap().as_deref(), Some(document.as_slice()));
        for path in [sealed.file(sha256), sealed.key.clone()] {
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(!String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("bucket"));
        }
        let another = Digest::of(b"another");
        std::fs::copy(sealed.file(sha256), sealed.file(another)).unwrap();
        assert!(matches!(sealed.find(another), Err(Error::Unsafe { .. })));
        let mut bytes = std::fs::read(sealed.file(sha256)).unwrap();
        bytes[20] ^= 1;
        std::fs::write(sealed.file(sha256), bytes).unwrap();
        assert!(matches!(sealed.find(sha256), Err(Error::Unsafe { .. })));
    }

    #[test]
    fn what_a_crash_left_of_a_file_gives_way_to_the_whole_one() {
        let room = tempfile::tempdir().unwrap();
        std::fs::create_dir(room.path().join("keys")).unwrap();
        let sealed = Sealed::of(&Folder::at(room.path().to_owned()));
        let document = br#"{"salt":"00","values":{"bucket":"eu"}}"#;
        let sha256 = Digest::of(document);
        sealed.keep(sha256, document).unwrap();
        for torn in [b"".as_slice(), b"torn", &[7; 64]] {
            std::fs::write(sealed.file(sha256), torn).unwrap();
            sealed.keep(sha256, document).unwrap();
            assert_eq!(sealed.find(sha256).unwrap().as_deref(), Some(document.as_slice()));
        }
        assert_eq!(std::fs::read_dir(&sealed.place).unwrap().count(), 1, "something is left beside it");
    }
}
