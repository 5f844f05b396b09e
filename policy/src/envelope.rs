//! The only file that checks a signature: `Unverified<T>` becomes `Verified<T>` or `Claimed<T>` here and nowhere else.
//!
//! Our own documents are compact JWS whose first segment is constant per type and compared as text, never parsed;
//! attachments follow one per line, named in the document by SHA-256. What a document means is left to its own file.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::Signature;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::json;
use crate::key::{Issuer, Key, Name, Role, refuse_secrets, refuse_secrets_in_json};
use crate::reason::{Reason, Refusal};

/// A document of ours that one role signs.
pub trait Document: Serialize + DeserializeOwned {
    /// The middle of its `typ`: `countersign.<TYPE>.v1`.
    const TYPE: &'static str;
    /// The most bytes a received one may have, attachments included.
    const MAX_BYTES: usize;
    /// The role whose keys sign it.
    type Signer: Role;
    /// The key it says it is signed by.
    fn signer(&self) -> &Name<Self::Signer>;
    /// The attachments it names, in order.
    fn attachments(&self) -> Vec<Digest> {
        Vec::new()
    }
}

/// Who may sign a `T`: the verifier names the key, the document only says which one it would like.
///
/// The keyrings are the warrant, the enrolled hosts, the administrators and the roots; nobody else can add one.
pub trait Keyring<T: Document>: sealed::Sealed {
    /// The key under which this document must verify.
    ///
    /// # Errors
    /// The reason why its signer is none of ours.
    fn key(&self, document: &T) -> Result<Key<T::Signer>, Refusal>;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// A well-formed document that anybody may have signed.
#[derive(Debug)]
pub struct Unverified<T> {
    document: T,
    token: Vec<u8>,
    signed: usize,
    signature: Signature,
    attachments: Vec<Vec<u8>>,
}

impl<T: Document> Unverified<T> {
    /// Reads the one form a `T` has on the wire.
    ///
    /// # Errors
    /// `token_*`, `json_*`, `schema_mismatch`, `evidence_missing` or `secret_in_input`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > T::MAX_BYTES {
            let detail = format!("{} bytes, a {} has at most {}", bytes.len(), T::TYPE, T::MAX_BYTES);
            return Err(Refusal::new(Reason::TokenOversize, detail));
        }
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let token = lines.next().unwrap_or_default();
        let segments = Segments::split(token)?;
        if segments.header != header(T::TYPE).as_bytes() {
            return Err(Refusal::new(Reason::TokenHeader, format!("not a `countersign.{}.v1`", T::TYPE)));
        }
        let payload = decode(segments.payload)?;
        refuse_secrets_in_json(&payload)?;
        let document: T = json::read(&payload)?;
        let attachments: Vec<Vec<u8>> = lines.map(<[u8]>::to_vec).collect();
        let named = document.attachments();
        if named.len() > MAX_ATTACHMENTS {
            let detail = format!("{} attachments, a document has at most {MAX_ATTACHMENTS}", named.len());
            return Err(Refusal::new(Reason::TokenOversize, detail));
        }
        if !named.iter().copied().eq(attachments.iter().map(|attachment| Digest::of(attachment))) {
            let detail = format!("{} attachments are named, other {} came", named.len(), attachments.len());
            return Err(Refusal::new(Reason::EvidenceMissing, detail));
        }
        attachments.iter().try_for_each(|attachment| refuse_secrets(attachment))?;
        let signature = segments.signature()?;
        Ok(Self { document, signed: segments.signed, token: token.to_vec(), signature, attachments })
    }

    /// What it says, for the cheap checks before its signature is worth looking at.
    pub const fn says(&self) -> &T {
        &self.document
    }

    /// The attachments as received, in the order in which the document names them: each fits its digest, no more.
    pub fn attachments(&self) -> &[Vec<u8>] {
        &self.attachments
    }

    /// Proves that a key which the verifier names signed it.
    ///
    /// A verifier is always named; there is no way around one:
    ///
    /// ```
    /// # use policy::{envelope::{Unverified, Verified}, govern::AdministratorKeys, command::Command};
    /// fn open(command: Unverified<Command>, ring: &AdministratorKeys) -> Option<Verified<Command>> {
    ///     command.verify(ring).ok()
    /// }
    /// ```
    /// ```compile_fail
    /// # // T100: a signature checked against nobody
    /// # use policy::{envelope::{Unverified, Verified}, govern::AdministratorKeys, command::Command};
    /// fn open(command: Unverified<Command>, ring: &AdministratorKeys) -> Option<Verified<Command>> {
    ///     command.verify().ok()
    /// }
    /// ```
    ///
    /// # Errors
    /// The keyring's reason, or `signature_invalid`.
    pub fn verify(self, keyring: &impl Keyring<T>) -> Result<Verified<T>, Refusal> {
        let key = keyring.key(&self.document)?;
        let signed = self.token.get(..self.signed).unwrap_or_default();
        check(&key, signed, &self.signature)?;
        let sha256 = Digest::of(&self.token);
        Ok(Verified { document: self.document, token: self.token, sha256, attachments: self.attachments })
    }
}

/// A document signed by a key of the role it demands, which the verifier named. Keeps the bytes as received.
///
/// ```
/// # use policy::{command::Command, envelope::Verified};
/// fn hand_on(command: Verified<Command>) -> Verified<Command> {
///     command
/// }
/// ```
/// ```compile_fail
/// # // T100: a forged Verified
/// # use policy::{command::Command, envelope::Verified};
/// fn forge(command: Command) -> Verified<Command> {
///     Verified { document: command, token: vec![], sha256: policy::digest::Digest::of(b""), attachments: vec![] }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Verified<T> {
    document: T,
    token: Vec<u8>,
    sha256: Digest,
    attachments: Vec<Vec<u8>>,
}

impl<T> Verified<T> {
    /// The token as received, without its attachments.
    pub fn token(&self) -> &[u8] {
        &self.token
    }

    /// The SHA-256 of the token.
    pub const fn sha256(&self) -> Digest {
        self.sha256
    }

    /// The attachments, in the order in which the document names them.
    pub fn attachments(&self) -> &[Vec<u8>] {
        &self.attachments
    }

    /// The attachment of that digest.
    ///
    /// # Errors
    /// `evidence_missing` when the document has none such.
    pub fn attachment(&self, sha256: Digest) -> Result<&[u8], Refusal> {
        let found = self.attachments.iter().find(|attachment| Digest::of(attachment) == sha256);
        found
            .map(Vec::as_slice)
            .ok_or_else(|| Refusal::new(Reason::EvidenceMissing, format!("attachment {sha256} is not there")))
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.document
    }
}

/// Signed by the issuer it names, and trusted by nobody yet: only a decision turns it into trust.
#[derive(Debug, Clone)]
pub struct Claimed<T> {
    // Shared, because verdicts on the same claims are remembered and handed out again and again.
    statement: Arc<T>,
    issuer: Name<Issuer>,
    token: Arc<[u8]>,
    sha256: Digest,
}

impl<T> Claimed<T> {
    /// The issuer whose signature verified.
    pub const fn issuer(&self) -> &Name<Issuer> {
        &self.issuer
    }

    /// The token as received.
    pub fn token(&self) -> &[u8] {
        &self.token
    }

    /// The SHA-256 of the token.
    pub const fn sha256(&self) -> Digest {
        self.sha256
    }
}

impl<T> Deref for Claimed<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.statement
    }
}

/// A statement of an issuer in one of the two forms that issuers sign: wascap claims, or a document of ours.
pub(crate) trait Statement: Sized {
    fn header_fits(header: &[u8]) -> bool;
    fn read(payload: &[u8]) -> Result<(Self, Name<Issuer>), Refusal>;
}

/// The most attachments of one document: an entry names each, and the token too, in one array.
pub const MAX_ATTACHMENTS: usize = 1024;

/// The largest token of an issuer.
pub const MAX_TOKEN: usize = 64 * 1024;

/// Who knows issuers' keys. Whether a key is sound depends on its bytes alone, so whoever checked it once may remember it.
pub trait KnownKeys {
    /// The issuer's key, checked now or before.
    ///
    /// # Errors
    /// `key_weak`.
    fn key(&self, issuer: &Name<Issuer>) -> Result<Key<Issuer>, Refusal>;
}

/// Remembers nothing: everything is proved anew.
#[derive(Debug, Clone, Copy)]
pub struct Afresh;

impl KnownKeys for Afresh {
    fn key(&self, issuer: &Name<Issuer>) -> Result<Key<Issuer>, Refusal> {
        issuer.usable()
    }
}

/// Reads a token and proves that the issuer it names signed it.
pub(crate) fn claim<T: Statement>(token: &[u8], keys: &impl KnownKeys) -> Result<Claimed<T>, Refusal> {
    if token.len() > MAX_TOKEN {
        let detail = format!("{} bytes, a token has at most {MAX_TOKEN}", token.len());
        return Err(Refusal::new(Reason::TokenOversize, detail));
    }
    let segments = Segments::split(token)?;
    if !T::header_fits(segments.header) {
        return Err(Refusal::new(Reason::TokenHeader, "the header is not the one exact header of this kind"));
    }
    let payload = decode(segments.payload)?;
    refuse_secrets_in_json(&payload)?;
    let (statement, issuer) = T::read(&payload)?;
    let signature = segments.signature()?;
    let signed = token.get(..segments.signed).unwrap_or_default();
    let key = keys.key(&issuer)?;
    // Whoever remembers keys may hand out a wrong one by mistake; a name that differs makes it harmless.
    if *key.name() != issuer {
        return Err(invalid(&key));
    }
    check(&key, signed, &signature)?;
    Ok(Claimed { statement: Arc::new(statement), issuer, token: token.into(), sha256: Digest::of(token) })
}

/// A document on its way to its signer.
#[derive(Debug)]
pub struct Draft(String);

impl Draft {
    /// The signing input of a document of ours.
    pub fn of<T: Document>(document: &T) -> Self {
        Self::with_header(&header(T::TYPE), &json::write(document))
    }

    pub(crate) fn with_header(header: &str, payload: &[u8]) -> Self {
        Self(format!("{header}.{}", BASE64URL_NOPAD.encode(payload)))
    }

    /// The ASCII bytes to sign with Ed25519 (RFC 8037 section 3.1).
    pub fn signing_input(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The finished token.
    pub fn seal(self, signature: &[u8]) -> String {
        format!("{}.{}", self.0, BASE64URL_NOPAD.encode(signature))
    }

    /// The finished token with its attachments, one a line.
    pub fn seal_with<'a>(self, signature: &[u8], attachments: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut bytes = self.seal(signature).into_bytes();
        for attachment in attachments {
            bytes.push(b'\n');
            bytes.extend_from_slice(attachment);
        }
        bytes
    }
}

/// The constant first segment of a document of ours.
pub(crate) fn header(typ: &str) -> String {
    BASE64URL_NOPAD.encode(format!(r#"{{"alg":"EdDSA","typ":"countersign.{typ}.v1"}}"#).as_bytes())
}

/// Checks a detached signature of a raw message.
///
/// # Errors
/// `signature_invalid`.
pub fn check_detached<R: Role>(key: &Key<R>, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
    let signature = <[u8; 64]>::try_from(signature).map_err(|_| invalid(key))?;
    check(key, message, &Signature::from_bytes(&signature))
}

// Strict, cofactorless verification under a key that was checked when parsed: S < L, canonical R of no small order.
fn check<R: Role>(key: &Key<R>, message: &[u8], signature: &Signature) -> Result<(), Refusal> {
    key.verifying().verify_strict(message, signature).map_err(|_| invalid(key))
}

fn invalid<R: Role>(key: &Key<R>) -> Refusal {
    Refusal::new(Reason::SignatureInvalid, format!("the signature does not verify under `{key}`"))
}

struct Segments<'a> {
    header: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
    // Length of `header.payload`.
    signed: usize,
}

impl<'a> Segments<'a> {
    // The total grammar of a compact token, before anything is decoded (T02).
    fn split(token: &'a [u8]) -> Result<Self, Refusal> {
        let mut dots = memchr::memchr_iter(b'.', token);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(malformed("it must have three segments"));
        };
        let (header, rest) = token.split_at(first);
        let (payload, signature) = rest.split_at(second - first);
        let (payload, signature) = (payload.get(1..).unwrap_or_default(), signature.get(1..).unwrap_or_default());
        let urlsafe = |byte: &u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'_');
        for segment in [header, payload, signature] {
            // Without a way out half-way, so that many bytes are looked at together.
            if segment.is_empty() || !segment.iter().fold(true, |all, byte| all & urlsafe(byte)) {
                return Err(malformed("a segment is one or more of `A-Z a-z 0-9 - _`"));
            }
        }
        Ok(Self { header, payload, signature, signed: header.len() + 1 + payload.len() })
    }

    fn signature(&self) -> Result<Signature, Refusal> {
        let bytes = decode(self.signature)?;
        let bytes = <[u8; 64]>::try_from(bytes).map_err(|_| malformed("a signature has 64 bytes"))?;
        Ok(Signature::from_bytes(&bytes))
    }
}

// Unused trailing bits must be zero, so that one token has one text (T04).
pub(crate) fn decode(segment: &[u8]) -> Result<Vec<u8>, Refusal> {
    BASE64URL_NOPAD.decode(segment).map_err(|_| malformed("a segment is not canonical base64url"))
}

fn malformed(why: &str) -> Refusal {
    Refusal::new(Reason::TokenMalformed, format!("not a compact token: {why}"))
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
