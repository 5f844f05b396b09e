//! The key that logs in to a NATS server: a `U…` key, which answers handshakes and signs nothing of ours (T09).
//!
//! Using it is left to `transport`.

use std::path::PathBuf;

use async_nats::ConnectOptions;
use nkeys::KeyPair;
use policy::key::refuse_published;
use policy::reason::{Reason, Refusal};

use crate::error::Error;
use crate::identity::read_secret;

/// Where a login is kept.
#[derive(Debug, Clone)]
pub enum LoginFile {
    /// The seed of a `U…` key.
    Nkey(PathBuf),
    /// A credentials file: a user's token and its seed.
    Creds(PathBuf),
}

/// A login, as it was read.
pub(crate) struct Login {
    text: String,
    is_creds: bool,
    public: String,
    raw: [u8; 32],
}

impl Login {
    /// Reads it.
    ///
    /// # Errors
    /// When the file cannot be read, when others may read it, or when its key is of another role; its text is never
    /// repeated.
    pub(crate) fn load(file: &LoginFile) -> Result<Self, Error> {
        let (LoginFile::Nkey(path) | LoginFile::Creds(path)) = file;
        let text = read_secret("read the login", path)?;
        let read = match file {
            LoginFile::Nkey(_) => Self::read(text.trim().to_owned(), text.trim(), false),
            LoginFile::Creds(_) => the_seed(&text).and_then(|seed| Self::read(text.clone(), seed, true)),
        };
        Ok(read.map_err(|refusal| refusal.within(format!("`{}`", path.display())))?)
    }

    /// Its public key, as a NATS server names it.
    pub(crate) fn public(&self) -> &str {
        &self.public
    }

    /// The 32 bytes without their role, by which keys are compared over all roles.
    pub(crate) const fn raw(&self) -> &[u8; 32] {
        &self.raw
    }

    /// Has it answer the server's handshakes.
    pub(crate) fn enter(self, connect: ConnectOptions) -> std::io::Result<ConnectOptions> {
        if self.is_creds { connect.credentials(&self.text) } else { Ok(connect.nkey(self.text)) }
    }

    fn read(text: String, seed: &str, is_creds: bool) -> Result<Self, Refusal> {
        let malformed =
            |_| Refusal::new(Reason::KeyMalformed, "not the seed of an nkey: 58 characters that start with `S`");
        let public = KeyPair::from_seed(seed).map_err(malformed)?.public_key();
        let (_, raw) = nkeys::from_public_key(&public).map_err(malformed)?;
        if !public.starts_with('U') {
            return Err(Refusal::new(Reason::KeyRole, "a NATS login takes a key of its own, with the prefix `SU`"));
        }
        refuse_published(&raw, "NATS login")?;
        Ok(Self { text, is_creds, public, raw })
    }
}

// Every line that is a seed is looked at, so that no reading of the file finds another one.
fn the_seed(text: &str) -> Result<&str, Refusal> {
    let seeds: Vec<&str> = text.lines().map(str::trim).filter(|line| nkeys::decode_seed(line).is_ok()).collect();
    let [seed] = seeds.as_slice() else {
        let detail = format!("{} seeds, expected 1 in a credentials file", seeds.len());
        return Err(Refusal::new(Reason::KeyMalformed, detail));
    };
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn written(dir: &Path, text: &str, mode: u32) -> PathBuf {
        let path = dir.join("login");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn creds(seeds: &[&str]) -> String {
        let seeds = seeds
            .iter()
            .map(|seed| format!("-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n"));
        let token = "-----BEGIN NATS USER JWT-----\neyJ0.e30.AA\n------END NATS USER JWT------\n\n";
        token.to_owned() + &seeds.collect::<String>()
    }

    #[test]
    fn t09_only_a_users_key_logs_in_from_either_kind_of_file() {
        let dir = tempfile::tempdir().unwrap();
        let user = KeyPair::new_user();
        let seed = user.seed().unwrap();
        for text in [format!("{seed}\n"), creds(&[&seed])] {
            let path = written(dir.path(), &text, 0o600);
            let file = if text.len() < 80 { LoginFile::Nkey(path) } else { LoginFile::Creds(path) };
            let login = Login::load(&file).unwrap();
            assert_eq!((login.public(), login.is_creds), (user.public_key().as_str(), text.len() > 80));
            assert!(login.enter(ConnectOptions::new()).is_ok());
        }
        for other in [KeyPair::new_server(), KeyPair::new_account(), KeyPair::new_operator()] {
            let seed = other.seed().unwrap();
            let nkey = LoginFile::Nkey(written(dir.path(), &seed, 0o600));
            assert_eq!(Login::load(&nkey).err().and_then(|error| error.reason()), Some(Reason::KeyRole));
            let creds = LoginFile::Creds(written(dir.path(), &creds(&[&seed]), 0o600));
            let refused = Login::load(&creds).err().unwrap();
            assert_eq!(refused.reason(), Some(Reason::KeyRole));
            assert!(!refused.to_string().contains(&seed));
        }
    }

    #[test]
    fn t09_a_login_is_private_and_a_credentials_file_holds_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (KeyPair::new_user().seed().unwrap(), KeyPair::new_server().seed().unwrap());
        let open = LoginFile::Nkey(written(dir.path(), &one, 0o640));
        assert_eq!(Login::load(&open).err().and_then(|error| error.reason()), Some(Reason::KeyInUse));
        for seeds in [&[one.as_str(), &other][..], &[]] {
            let file = LoginFile::Creds(written(dir.path(), &creds(seeds), 0o600));
            assert_eq!(Login::load(&file).err().and_then(|error| error.reason()), Some(Reason::KeyMalformed));
        }
    }
}
