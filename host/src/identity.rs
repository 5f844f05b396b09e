//! The host's own key: made once, kept in the host's folder with mode 0600, never overwritten and never printed.
//!
//! It signs joins and questions and nothing else. Verifying is left to `policy`.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nkeys::KeyPair;
use policy::envelope::{Document, Draft};
use policy::key::{Host, Invite, Name, Role};
use policy::reason::{Reason, Refusal};
use policy::wire::Nonce;

use crate::error::Error;

/// A private key of one role, with its public name.
pub struct Signer<R> {
    pair: KeyPair,
    name: Name<R>,
}

/// The host's own key.
pub type HostKey = Signer<Host>;

impl<R: Role> Signer<R> {
    /// Reads a seed.
    ///
    /// # Errors
    /// `key_malformed` or `key_role`; the seed is never repeated.
    pub fn from_seed(seed: &str) -> Result<Self, Refusal> {
        let malformed = || Refusal::new(Reason::KeyMalformed, "not the seed of a key");
        let pair = KeyPair::from_seed(seed.trim()).map_err(|_| malformed())?;
        let name = Name::parse(&pair.public_key())?;
        Ok(Self { pair, name })
    }

    /// Its public half.
    pub const fn name(&self) -> &Name<R> {
        &self.name
    }

    /// The document as it goes onto the wire: signed, with its attachments.
    pub(crate) fn sign<T: Document<Signer = R>>(&self, document: &T, attachments: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let draft = Draft::of(document);
        let signature = self.pair.sign(draft.signing_input());
        let signature = signature.map_err(|_| Error::Guest("the private key cannot sign".to_owned()))?;
        Ok(draft.seal_with(&signature, attachments.iter().copied()))
    }
}

impl HostKey {
    /// Reads the key of a host's folder.
    ///
    /// # Errors
    /// When there is none, when others may read it, or when it is no host key.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(KEY);
        let seed = read_secret("read the host's key", &path)?;
        Ok(Self::from_seed(&seed).map_err(|refusal| refusal.within(format!("`{}`", path.display())))?)
    }

    /// Reads the key of a host's folder, or makes one where none is.
    ///
    /// # Errors
    /// As [`HostKey::load`], or when it cannot be written.
    pub fn load_or_make(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(KEY);
        if path.exists() {
            return Self::load(dir);
        }
        let failed = |source| Error::file("write the host's key", &path, source);
        let seed = KeyPair::new_server().seed().map_err(|error| failed(std::io::Error::other(error)))?;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        writeln!(file, "{seed}").and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(Self::from_seed(&seed)?)
    }
}

/// The one-time key of an invitation.
pub(crate) type InviteKey = Signer<Invite>;

/// The text of a small file that nobody else may read.
///
/// # Errors
/// When it cannot be read, or `key_in_use` when others may read it.
pub(crate) fn read_secret(doing: &str, path: &Path) -> Result<String, Error> {
    let failed = |source| Error::file(doing, path, source);
    let file = fs::File::open(path).map_err(failed)?;
    refuse_open(path)?;
    let mut text = String::new();
    file.take(MAX_SECRET).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Refuses a file that others may read.
///
/// # Errors
/// `key_in_use`, or when it cannot be looked at.
pub(crate) fn refuse_open(path: &Path) -> Result<(), Error> {
    let file = fs::metadata(path).map_err(|source| Error::file("look at", path, source))?;
    if file.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let detail = format!("`{}` may be read by others: `chmod 600` it", path.display());
    Err(Refusal::new(Reason::KeyInUse, detail).into())
}

/// 128 bits from the operating system.
///
/// # Errors
/// When the system gives none.
pub(crate) fn nonce() -> Result<Nonce, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::Guest(format!("the system gives no randomness: {error}")))?;
    Ok(Nonce::from_random(bytes))
}

impl<R: Role> std::fmt::Debug for Signer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.name)
    }
}

const KEY: &str = "host.nk";
const MAX_SECRET: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_with_mode_0600_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let first = HostKey::load_or_make(dir.path()).unwrap();
        let again = HostKey::load_or_make(dir.path()).unwrap();
        assert_eq!(first.name(), again.name());
        assert!(first.name().to_string().starts_with('N'));
        let mode = fs::metadata(dir.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let seed = fs::read_to_string(dir.path().join(KEY)).unwrap();
        assert!(!format!("{first:?}").contains(seed.trim()));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        HostKey::load_or_make(dir.path()).unwrap();
        fs::set_permissions(dir.path().join(KEY), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(HostKey::load(dir.path()).unwrap_err().reason(), Some(Reason::KeyInUse));
    }

    #[test]
    fn t53_nonces_do_not_repeat() {
        let count = std::env::var("COUNTERSIGN_NONCES").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000);
        let mut many: Vec<_> = (0..count).map(|_| nonce().unwrap()).collect();
        many.sort_unstable();
        assert!(many.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_seed_of_another_role_is_refused_and_never_repeated() {
        let seed = KeyPair::new_user().seed().unwrap();
        let refused = HostKey::from_seed(&seed).unwrap_err();
        assert_eq!(refused.reason, Reason::KeyRole);
        assert!(!refused.to_string().contains(&seed));
    }
}
