//! Private keys: made, kept in files of mode 0600, and used to sign; never printed.
//!
//! One type per role, so that a key signs only what its role may. Checking signatures is left to `policy`.

use std::fmt;
use std::fs;
use std::marker::PhantomData;
use std::path::Path;

use data_encoding::BASE64;
use ed25519_dalek::Signer as _;
use nkeys::KeyPairType;
use policy::contract::Contract;
use policy::delegation::Delegation;
use policy::envelope::{Document, Draft};
use policy::key::{Issuer, Key, Name, Role, refuse_published};
use policy::log::{Checkpoint, NoteKey, Sealed};
use policy::name::Lattice;
use policy::possession::KeyProof;
use policy::reason::{Reason, Refusal};
use policy::wire::Nonce;

use crate::error::Error;
use crate::folder::{refuse_unless_private, write_private};

/// A private key of one role; its bytes are wiped when it goes.
pub struct SigningKey<R> {
    key: ed25519_dalek::SigningKey,
    role: PhantomData<fn() -> R>,
}

impl<R: Role> SigningKey<R> {
    /// A new key, from the operating system's randomness.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate() -> Result<Self, Error> {
        let mut seed = random::<32>()?;
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        wipe(&mut seed);
        Ok(Self { key, role: PhantomData })
    }

    /// Reads the key of a seed file.
    ///
    /// # Errors
    /// [`Error::Unsafe`] for a file that others may read, [`Error::Refused`] for a seed of another role.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut text = read_secret(path)?;
        let key = Self::from_seed(String::from_utf8_lossy(&text).trim());
        wipe(&mut text);
        key.map_err(|refusal| Error::Refused(refusal.within(format!("`{}`", path.display()))))
    }

    /// Reads a seed.
    ///
    /// # Errors
    /// `key_malformed` or `key_role`; the message never repeats the text.
    pub fn from_seed(seed: &str) -> Result<Self, Refusal> {
        let malformed =
            |_| Refusal::new(Reason::KeyMalformed, "not the seed of an nkey: 58 characters that start with `S`");
        let (prefix, mut raw) = nkeys::decode_seed(seed).map_err(malformed)?;
        let key = ed25519_dalek::SigningKey::from_bytes(&raw);
        wipe(&mut raw);
        if prefix != R::PREFIX {
            let letter = seed.chars().nth(1).unwrap_or_default();
            let detail = format!("the seed has prefix `S{letter}`, expected `S{}` for {}", R::LETTER, R::WORD);
            return Err(Refusal::new(Reason::KeyRole, detail));
        }
        Ok(Self { key, role: PhantomData })
    }

    /// Writes its seed to a new file of mode 0600.
    ///
    /// # Errors
    /// As [`write_private`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut text = self.seed()?.into_bytes();
        text.push(b'\n');
        let written = write_private(path, &text);
        wipe(&mut text);
        written
    }

    /// Its seed, for the one line of an invitation; everything else keeps it in a file.
    ///
    /// # Errors
    /// [`Error::Refused`] for a role that nkeys has no seeds for.
    pub fn seed(&self) -> Result<String, Error> {
        let unknown = || Error::refused(Reason::KeyRole, format!("no seed is written for {}", R::WORD));
        let pair = nkeys::KeyPair::new_from_raw(kind::<R>().ok_or_else(unknown)?, self.key.to_bytes());
        pair.and_then(|pair| pair.seed()).map_err(|_| unknown())
    }

    /// Its public half, by name.
    pub fn name(&self) -> Name<R> {
        Name::from_raw(self.key.verifying_key().to_bytes())
    }

    /// Its public half.
    ///
    /// # Errors
    /// As [`Name::usable`]; a key made here never is weak.
    pub fn public(&self) -> Result<Key<R>, Refusal> {
        self.name().usable()
    }

    /// Signs a document of ours, and puts its attachments behind it.
    pub fn sign<'a, T: Document<Signer = R>>(
        &self,
        document: &T,
        attachments: impl IntoIterator<Item = &'a [u8]>,
    ) -> Vec<u8> {
        let draft = Draft::of(document);
        let signature = self.key.sign(draft.signing_input());
        draft.seal_with(&signature.to_bytes(), attachments)
    }

    /// Signs raw bytes whose form the caller vouches for.
    pub fn sign_draft(&self, draft: Draft) -> String {
        let signature = self.key.sign(draft.signing_input());
        draft.seal(&signature.to_bytes())
    }
}

impl SigningKey<Issuer> {
    /// Signs a contract.
    pub fn sign_contract(&self, contract: &Contract) -> String {
        self.sign_draft(contract.draft())
    }

    /// Proves that this key is held by somebody, for one lattice.
    pub fn prove(&self, proof: &KeyProof) -> String {
        self.sign_draft(proof.draft())
    }

    /// Lends a part of this issuer's say.
    pub fn delegate(&self, delegation: &Delegation) -> String {
        self.sign_draft(delegation.draft())
    }
}

impl<R: Role> fmt::Debug for SigningKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.name())
    }
}

/// The log's private key: a C2SP note key, no nkey; it signs checkpoints and nothing else.
pub struct LogKey {
    key: ed25519_dalek::SigningKey,
    note: NoteKey,
}

impl LogKey {
    /// A new key for the log of a lattice.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate(lattice: &Lattice) -> Result<Self, Error> {
        let mut seed = random::<32>()?;
        let made = Self::of(lattice, &seed);
        wipe(&mut seed);
        made.map_err(Error::Refused)
    }

    /// Reads the key from its file, in the form `PRIVATE+KEY+<origin>+<id>+<key>` (c2sp.org/signed-note).
    ///
    /// # Errors
    /// [`Error::Unsafe`], or [`Error::Refused`] when it is no key of this lattice's log.
    pub fn load(path: &Path, lattice: &Lattice) -> Result<Self, Error> {
        let mut text = read_secret(path)?;
        let read = Self::read(&text, lattice);
        wipe(&mut text);
        read.map_err(|refusal| Error::Refused(refusal.within(format!("`{}`", path.display()))))
    }

    /// Writes it to a new file of mode 0600.
    ///
    /// # Errors
    /// As [`write_private`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut text = format!("{}\n", self.private_text()).into_bytes();
        let written = write_private(path, &text);
        wipe(&mut text);
        written
    }

    /// Its public half.
    pub const fn note(&self) -> &NoteKey {
        &self.note
    }

    /// The raw bytes of its public half, by which keys are compared over all roles.
    pub fn raw(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// Signs a checkpoint.
    pub fn sign(&self, checkpoint: &Checkpoint) -> Vec<u8> {
        self.sign_text(&checkpoint.text())
    }

    /// Signs the seal of a segment.
    pub fn seal(&self, sealed: &Sealed) -> Vec<u8> {
        self.sign_text(&sealed.text())
    }

    fn sign_text(&self, text: &str) -> Vec<u8> {
        let signature = self.key.sign(text.as_bytes());
        self.note.note(text, &signature.to_bytes()).into_bytes()
    }

    fn of(lattice: &Lattice, seed: &[u8; 32]) -> Result<Self, Refusal> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let note = NoteKey::of(lattice, &key.verifying_key().to_bytes())?;
        Ok(Self { key, note })
    }

    fn read(text: &[u8], lattice: &Lattice) -> Result<Self, Refusal> {
        let malformed =
            || Refusal::new(Reason::KeyMalformed, format!("not the private note key of `countersign/{lattice}`"));
        let text = std::str::from_utf8(text).map_err(|_| malformed())?.trim();
        // Base64 has a `+` of its own, so only the first two separate.
        let encoded =
            text.strip_prefix("PRIVATE+KEY+").and_then(|rest| rest.splitn(3, '+').nth(2)).ok_or_else(malformed)?;
        let mut bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| malformed())?;
        let seed =
            bytes.split_first().filter(|(first, _)| **first == ED25519).and_then(|(_, seed)| seed.try_into().ok());
        let read = seed.map(|seed: [u8; 32]| Self::of(lattice, &seed));
        wipe(&mut bytes);
        let key = read.ok_or_else(malformed)??;
        if key.private_text() == text { Ok(key) } else { Err(malformed()) }
    }

    fn private_text(&self) -> String {
        let public = self.note.to_string();
        let mut parts = public.splitn(3, '+');
        let (origin, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        format!("PRIVATE+KEY+{origin}+{id}+{}", BASE64.encode(&[&[ED25519], self.key.to_bytes().as_slice()].concat()))
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.note)
    }
}

/// The seed of a `U…` key, which answers login handshakes and signs nothing of ours (T09).
pub struct LoginKey {
    seed: String,
    public: String,
    raw: [u8; 32],
}

/// Reads the seed file of a login key.
///
/// # Errors
/// [`Error::Unsafe`], or [`Error::Refused`] with `key_role` for a key that signs documents: the server chooses what a
/// login signs.
pub fn load_login(path: &Path) -> Result<LoginKey, Error> {
    let mut text = read_secret(path)?;
    let read = LoginKey::read(String::from_utf8_lossy(&text).trim());
    wipe(&mut text);
    read.map_err(|refusal| Error::Refused(refusal.within(format!("`{}`", path.display()))))
}

/// Reads a NATS credentials file: its one login key, and its whole text for the handshake.
///
/// # Errors
/// As [`load_login`], or `key_malformed` when it does not hold exactly one seed.
pub fn load_creds(path: &Path) -> Result<(LoginKey, String), Error> {
    let bytes = read_secret(path)?;
    let within = |refusal: Refusal| Error::Refused(refusal.within(format!("`{}`", path.display())));
    let malformed = |what: String| within(Refusal::new(Reason::KeyMalformed, what));
    let text = String::from_utf8(bytes).map_err(|_| malformed("not a text".to_owned()))?;
    // Every line that is a seed is looked at, so that no reading of the file finds another one.
    let seeds: Vec<&str> = text.lines().map(str::trim).filter(|line| nkeys::decode_seed(line).is_ok()).collect();
    let [seed] = seeds.as_slice() else {
        return Err(malformed(format!("{} seeds, expected 1 in a credentials file", seeds.len())));
    };
    let key = LoginKey::read(seed).map_err(within)?;
    Ok((key, text))
}

impl LoginKey {
    /// The public key, as a NATS server names it.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The raw public key.
    pub const fn raw(&self) -> [u8; 32] {
        self.raw
    }

    /// The seed, for the one handshake.
    pub fn into_seed(self) -> String {
        self.seed
    }

    fn read(seed: &str) -> Result<Self, Refusal> {
        let malformed =
            |_| Refusal::new(Reason::KeyMalformed, "not the seed of an nkey: 58 characters that start with `S`");
        let (prefix, mut secret) = nkeys::decode_seed(seed).map_err(malformed)?;
        let raw = ed25519_dalek::SigningKey::from_bytes(&secret).verifying_key().to_bytes();
        wipe(&mut secret);
        if prefix != USER {
            return Err(Refusal::new(Reason::KeyRole, "a NATS login takes a key of its own, with the prefix `SU`"));
        }
        let pair = nkeys::KeyPair::from_seed(seed).map_err(malformed)?;
        Ok(Self { seed: seed.to_owned(), public: pair.public_key(), raw })
    }
}

/// Refuses keys of which two are the same 32 bytes: one key, one purpose (T09). And those that are published (T84).
///
/// # Errors
/// `key_in_use`, with both roles, or `key_published`.
pub fn refuse_equal<'a>(keys: impl IntoIterator<Item = (&'a str, [u8; 32])>) -> Result<(), Refusal> {
    let mut known = std::collections::BTreeMap::new();
    for (role, raw) in keys {
        refuse_published(&raw, role)?;
        if let Some(taken) = known.insert(raw, role) {
            return Err(Refusal::new(
                Reason::KeyInUse,
                format!("the {role} key is the {taken} key; make one for each purpose"),
            ));
        }
    }
    Ok(())
}

/// A nonce from the operating system.
///
/// # Errors
/// [`Error::Randomness`].
pub fn nonce() -> Result<Nonce, Error> {
    random::<16>().map(Nonce::from_random)
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Error::Randomness)?;
    Ok(bytes)
}

fn read_secret(path: &Path) -> Result<Vec<u8>, Error> {
    refuse_unless_private(path)?;
    let bytes = fs::read(path).map_err(|source| Error::Io { act: "read", path: path.to_owned(), source })?;
    if bytes.len() > MAX_KEY_FILE {
        return Err(Error::Unsafe { path: path.to_owned(), what: "is too large for a key".to_owned() });
    }
    Ok(bytes)
}

// Without unsafe code the compiler may keep a copy elsewhere; what we hold we wipe, and hide the wiping from it.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

fn kind<R: Role>() -> Option<KeyPairType> {
    Some(match R::LETTER {
        'O' => KeyPairType::Operator,
        'A' => KeyPairType::Account,
        'N' => KeyPairType::Server,
        'C' => KeyPairType::Cluster,
        'M' => KeyPairType::Module,
        'V' => KeyPairType::Service,
        _ => return None,
    })
}

// The nkeys prefix of users, `U`.
const USER: u8 = 0xa0;
const ED25519: u8 = 1;
const MAX_KEY_FILE: usize = 16 * 1024;
