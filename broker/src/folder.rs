//! The folder of one lattice: where it is, what lies in it, and who may work in it.
//!
//! What the files say is left to `store` and `keys`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The folder of one lattice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
    lock: Option<PathBuf>,
}

/// Proof that no other broker works in the folder, for as long as it lives.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl Folder {
    /// The folder named by `--dir`, else by `COUNTERSIGN_DIR`, else `.countersign` here or above, else in the user's
    /// configuration.
    ///
    /// # Errors
    /// [`Error::NoFolder`] with the place where one was expected, or as [`Folder::open`].
    pub fn find(dir: Option<&Path>) -> Result<Self, Error> {
        if let Some(dir) = named(dir) {
            return Self::open(&dir);
        }
        let here = std::env::current_dir().unwrap_or_default();
        let above = here.ancestors().map(|place| place.join(NAME)).find(|place| place.join(LOG).exists());
        let Some(found) = above.or_else(|| users_own().filter(|place| place.join(LOG).exists())) else {
            return Err(Error::NoFolder(here.join(NAME)));
        };
        Self::open(&found)
    }

    /// Where `init` makes a folder: as named, else `.countersign` here.
    pub fn place(dir: Option<&Path>) -> PathBuf {
        named(dir).unwrap_or_else(|| std::env::current_dir().unwrap_or_default().join(NAME))
    }

    /// Opens a folder that is there.
    ///
    /// # Errors
    /// [`Error::NoFolder`], or [`Error::Unsafe`] when others may write to it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let Ok(found) = fs::metadata(path) else {
            return Err(Error::NoFolder(path.to_owned()));
        };
        if !path.join(LOG).exists() && path.join("keys/log.nk").exists() {
            let what = "is missing, and its keys are here: put it back, from a backup or from where it was moved to"
                .to_owned();
            return Err(Error::Unsafe { path: path.join(LOG), what });
        }
        if !found.is_dir() || !path.join(LOG).exists() {
            return Err(Error::NoFolder(path.to_owned()));
        }
        if found.mode() & 0o022 != 0 {
            let what = "can be written by others; take that away with `chmod go-w`".to_owned();
            return Err(Error::Unsafe { path: path.to_owned(), what });
        }
        Ok(Self::at(path.to_owned()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// The same, with its lock elsewhere: there it survives a folder that is put back whole.
    ///
    /// # Errors
    /// [`Error::Unsafe`] when others may put another in its place.
    pub fn with_lock(self, lock: Option<&Path>) -> Result<Self, Error> {
        let Some(lock) = lock else { return Ok(self) };
        let failed = |source| Error::Io { act: "find", path: lock.to_owned(), source };
        let lock = std::path::absolute(lock).map_err(failed)?;
        let place = lock.parent().unwrap_or(Path::new("/")).to_owned();
        let mode = fs::metadata(&place).map_err(failed)?.mode();
        // In a place that is sticky, others may put only their own.
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            let what = "holds the lock and can be written by others; take that away with `chmod go-w`".to_owned();
            return Err(Error::Unsafe { path: place, what });
        }
        Ok(Self { lock: Some(lock), ..self })
    }

    /// The lock: beside the log, unless it was put elsewhere.
    pub fn lock_file(&self) -> PathBuf {
        self.lock.clone().unwrap_or_else(|| self.path.join("lock.db"))
    }

    /// Whether a copy of the folder holds the lock, too.
    pub fn shares_lock(&self) -> bool {
        self.lock_file().starts_with(&self.path)
    }

    /// The space that is kept for the log.
    pub fn reserve(&self) -> PathBuf {
        self.path.join("reserve")
    }

    /// A key of that name: `admin`, `root`, `decision`, `log` or `lattice-issuer`.
    pub fn key(&self, name: &str) -> PathBuf {
        self.path.join("keys").join(format!("{name}.nk"))
    }

    /// The warrant in force, for people and for rotation.
    pub fn warrant(&self) -> PathBuf {
        self.path.join("warrant.jws")
    }

    /// Where artifacts and base contracts lie.
    pub fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }

    /// Takes the folder for this process.
    ///
    /// # Errors
    /// [`Error::Locked`] when another broker holds it (T60).
    pub fn lock(&self) -> Result<FolderLock, Error> {
        let (file, path) = self.lock_handle()?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(self.path.clone())),
            Err(TryLockError::Error(source)) => Err(Error::Io { act: "lock", path, source }),
        }
    }

    /// Whether a broker holds the folder now.
    pub fn is_locked(&self) -> bool {
        // A shared try is over at once; a broker that starts in this very instant says so and is started again.
        self.lock_handle().is_ok_and(|(file, _)| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, lock: None }
    }

    fn lock_handle(&self) -> Result<(File, PathBuf), Error> {
        let path = self.path.join("broker.lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        opened.map(|file| (file, path.clone())).map_err(|source| Error::Io { act: "open", path, source })
    }
}

/// Makes a folder that only its owner may enter.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(|source| Error::Io { act: "make", path: path.to_owned(), source })
}

/// Writes a new file that only its owner may read, and makes it durable; never overwrites.
///
/// # Errors
/// [`Error::AlreadyThere`] or [`Error::Io`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyThere(path.to_owned()),
        _ => Error::Io { act: "write", path: path.to_owned(), source },
    };
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

/// Writes a file that only its owner may read in place of what may be there: whole or not at all, and durable.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), make_durable)
}

/// Puts a file or folder where nothing is yet: of two that race, one wins.
pub(crate) fn settle(from: &Path, to: &Path) -> Result<(), Error> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyThere(to.to_owned()),
        _ => Error::Io { act: "make", path: to.to_owned(), source },
    };
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(|errno| failed(errno.into()))
}

/// Makes durable that something stands in its folder.
pub(crate) fn make_place_durable(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_durable(folder).map_err(|source| Error::Io { act: "make durable", path: path.to_owned(), source })
}

/// A name beside this one that nobody else has, hidden.
pub(crate) fn beside(path: &Path) -> Result<PathBuf, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(path.with_file_name(format!(".{name}.{}", crate::keys::nonce()?)))
}

/// Makes what was renamed in a folder durable.
pub(crate) fn make_durable(folder: &Path) -> io::Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all())
}

/// Refuses a file that is a link, or that others may read or write (T72).
///
/// # Errors
/// [`Error::Unsafe`] with what is wrong, or [`Error::Io`].
pub fn refuse_unless_private(path: &Path) -> Result<(), Error> {
    let found = fs::symlink_metadata(path);
    let found = found.map_err(|source| Error::Io { act: "look at", path: path.to_owned(), source })?;
    let wrong = |what: &str| Err(Error::Unsafe { path: path.to_owned(), what: what.to_owned() });
    if !found.file_type().is_file() {
        return wrong("is not a regular file; put the file itself there");
    }
    if found.mode() & 0o077 != 0 {
        return wrong("is open to others; take that away with `chmod 600`");
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return wrong("belongs to another user; run as its owner");
    }
    Ok(())
}

fn named(dir: Option<&Path>) -> Option<PathBuf> {
    let from_environment = || std::env::var_os("COUNTERSIGN_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    dir.map(Path::to_owned).or_else(from_environment)
}

fn users_own() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CONFIG_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".config")))
        .map(|place| place.join("countersign"))
}

const NAME: &str = ".countersign";
const LOG: &str = "log.db";
