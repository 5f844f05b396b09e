//! Files that hold one seed: made once with mode 0600, never overwritten, never printed.
//!
//! Which role a key must have is the caller's to say, as the type it asks for.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use nkeys::{KeyPair, KeyPairType};
use policy::key::{self, Name, Role};
use policy::log::NoteKey;
use policy::name::Lattice;
use policy::reason::{Reason, Refusal};

/// The private half of a key of one role.
pub struct Signer<R> {
    pair: KeyPair,
    name: Name<R>,
}

impl<R: Role> Signer<R> {
    /// Makes a key and keeps its seed in a new file.
    ///
    /// # Errors
    /// `already_exists` when there is such a file, or the file's own error.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let pair = KeyPair::new(pair_type(R::PREFIX)?);
        keep(path, &pair.seed().map_err(|_| anyhow::anyhow!("the key was made without a seed"))?)?;
        Self::of(pair)
    }

    /// Reads the file of a key of this role.
    ///
    /// # Errors
    /// `key_malformed`, `key_role`, or the file's own error; its content is never repeated.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let context = || format!("key file `{}`", path.display());
        Self::of(read_pair(path).with_context(context)?).with_context(context)
    }

    /// Reads the file of a key, and makes it where there is none; true when it was made.
    ///
    /// # Errors
    /// As [`Self::load`] and [`Self::create`].
    pub fn load_or_create(path: &Path) -> anyhow::Result<(Self, bool)> {
        if path.try_exists()? { Ok((Self::load(path)?, false)) } else { Ok((Self::create(path)?, true)) }
    }

    /// The public half.
    pub const fn name(&self) -> &Name<R> {
        &self.name
    }

    /// Signs.
    ///
    /// # Errors
    /// Never for a key that was loaded from a seed.
    pub fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.pair.sign(message).map_err(|_| anyhow::anyhow!("the key has no private half"))
    }

    fn of(pair: KeyPair) -> anyhow::Result<Self> {
        let name = Name::parse(&pair.public_key())?;
        Ok(Self { pair, name })
    }
}

impl<R: Role> std::fmt::Debug for Signer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.name)
    }
}

/// Makes a NATS user's key, which no role of ours takes, and returns its public half.
///
/// # Errors
/// As [`Signer::create`].
pub fn create_user(path: &Path) -> anyhow::Result<String> {
    let pair = KeyPair::new_user();
    keep(path, &pair.seed().map_err(|_| anyhow::anyhow!("the key was made without a seed"))?)?;
    Ok(pair.public_key())
}

/// Makes the key of a lattice's log, a C2SP note key, and returns its public half.
///
/// # Errors
/// As [`Signer::create`].
pub fn create_log(path: &Path, lattice: &Lattice) -> anyhow::Result<NoteKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let public = NoteKey::of(lattice, SigningKey::from_bytes(&seed).verifying_key().as_bytes())?;
    let text = public.to_string();
    // The verifier key's own spelling, with the seed in place of the public bytes (c2sp.org/signed-note).
    let (named, _) = split_note(&text).context("a note key has three parts")?;
    keep(path, &format!("{PRIVATE}{named}+{}", BASE64.encode(&[&[ED25519], seed.as_slice()].concat())))?;
    Ok(public)
}

/// The public half of whatever key a file holds.
///
/// # Errors
/// `key_malformed`, or the file's own error; its content is never repeated.
pub fn public(path: &Path) -> anyhow::Result<String> {
    let text = read_text(path)?;
    let Some(note) = text.strip_prefix(PRIVATE) else {
        return Ok(pair_of(&text)?.public_key());
    };
    let (named, key) = split_note(note).ok_or_else(malformed)?;
    let bytes = BASE64.decode(key.as_bytes()).map_err(|_| malformed())?;
    let seed = bytes.strip_prefix(&[ED25519]).and_then(|seed| <[u8; 32]>::try_from(seed).ok()).ok_or_else(malformed)?;
    let raw = SigningKey::from_bytes(&seed).verifying_key();
    let text = format!("{named}+{}", BASE64.encode(&[&[ED25519], raw.as_bytes().as_slice()].concat()));
    Ok(NoteKey::parse(&text)?.to_string())
}

// `<origin>+<id>` and the key, whose base64 may hold a `+` of its own.
fn split_note(text: &str) -> Option<(&str, &str)> {
    let second = text.match_indices('+').nth(1)?.0;
    text.split_at_checked(second).and_then(|(named, key)| Some((named, key.strip_prefix('+')?)))
}

fn keep(path: &Path, seed: &str) -> anyhow::Result<()> {
    key::refuse_secrets(path.as_os_str().as_encoded_bytes())?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            let detail = format!("`{}` exists and is never overwritten: choose another file", path.display());
            anyhow::Error::from(Refusal::new(Reason::AlreadyExists, detail))
        }
        _ => anyhow::Error::from(error).context(format!("key file `{}`", path.display())),
    })?;
    file.write_all(seed.as_bytes())?;
    file.write_all(b"\n")?;
    Ok(file.sync_all()?)
}

fn read_pair(path: &Path) -> anyhow::Result<KeyPair> {
    pair_of(&read_text(path)?)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    // The seed itself in place of a file's name would come back in the message about that file.
    key::refuse_secrets(path.as_os_str().as_encoded_bytes())?;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE).read_to_string(&mut text).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => anyhow::Error::from(malformed()),
        _ => error.into(),
    })?;
    Ok(text.trim().to_owned())
}

fn pair_of(text: &str) -> anyhow::Result<KeyPair> {
    // The cause is dropped on purpose: nobody knows what it might repeat.
    KeyPair::from_seed(text).map_err(|_| malformed().into())
}

fn malformed() -> Refusal {
    Refusal::new(Reason::KeyMalformed, "the file does not hold one seed, as `countersign keys gen` writes it")
}

fn pair_type(prefix: u8) -> anyhow::Result<KeyPairType> {
    let types = [
        (key::Issuer::PREFIX, KeyPairType::Account),
        (key::Administrator::PREFIX, KeyPairType::Operator),
        (key::Host::PREFIX, KeyPairType::Server),
        (key::Decision::PREFIX, KeyPairType::Cluster),
        (key::Component::PREFIX, KeyPairType::Module),
        (key::Provider::PREFIX, KeyPairType::Service),
    ];
    let found = types.into_iter().find(|(known, _)| *known == prefix);
    found.map(|(_, kind)| kind).context("no key is made for that role")
}

const PRIVATE: &str = "PRIVATE+KEY+";
const ED25519: u8 = 1;
const MAX_FILE: u64 = 4096;
