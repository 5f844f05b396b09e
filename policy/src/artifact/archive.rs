//! A provider archive: its token, its executables by target, and what its `world.wasm` says it serves.
//!
//! That every entry has a signed hash, and the reverse, is compared by [`crate::claims`]; nothing is ever unpacked to a path.

use std::collections::BTreeMap;

use crate::artifact::{Import, component, gzip, tar};
use crate::digest::Digest;
use crate::reason::{Reason, Refusal};

/// A provider archive that has one reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveFile {
    sha256: Digest,
    token: Option<Vec<u8>>,
    entries: Vec<ArchiveEntry>,
    world: Option<Vec<Import>>,
}

impl ArchiveFile {
    /// The digest of the whole file as given, packed or not: what a decision binds.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    /// The claims as they lie in the archive, unparsed; `None` when it is unsigned.
    pub fn token(&self) -> Option<&[u8]> {
        self.token.as_deref()
    }

    /// The entries that must have a signed hash, sorted by name.
    pub fn entries(&self) -> &[ArchiveEntry] {
        &self.entries
    }

    /// The entry of this name: `x86_64-linux`, or `world.wasm`.
    pub fn entry(&self, name: &str) -> Option<&ArchiveEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// What `world.wasm` says the provider serves; `None` when there is no such entry.
    pub fn world(&self) -> Option<&[Import]> {
        self.world.as_deref()
    }
}

/// One entry beside the claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveEntry {
    name: String,
    sha256: Digest,
    bytes: Vec<u8>,
}

impl ArchiveEntry {
    /// The name under which the claims sign it: a target without `.bin`, or `world.wasm`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest of its bytes.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a provider archive, `.par` or `.par.gz`, told apart by the first two bytes.
///
/// # Errors
/// `archive_malformed`, `archive_entry`, `archive_limit`, `claims_duplicate`; and what the reader of `world.wasm` refuses.
pub fn read(bytes: &[u8]) -> Result<ArchiveFile, Refusal> {
    let sha256 = Digest::of(bytes);
    let inflated = if gzip::is_gzip(bytes) { Some(gzip::inflate(bytes)?) } else { None };
    let contents = contents(inflated.as_deref().unwrap_or(bytes))?;
    let world = contents.signed.get(WORLD).map(|bytes| component::read_world(bytes));
    let entry = |(name, bytes): (_, &[u8])| ArchiveEntry { name, sha256: Digest::of(bytes), bytes: bytes.to_vec() };
    Ok(ArchiveFile {
        sha256,
        token: contents.token.map(<[u8]>::to_vec),
        world: world.transpose().map_err(|refusal| refusal.within(format!("`{WORLD}`")))?,
        entries: contents.signed.into_iter().map(entry).collect(),
    })
}

/// An archive of these entries, each under the name that [`ArchiveEntry::name`] gives; equal input gives equal bytes.
///
/// # Errors
/// What [`read`] would refuse of it: `archive_entry` for a name that is no target or stands twice, `archive_limit`.
pub fn write(token: &str, entries: &[(&str, &[u8])]) -> Result<Vec<u8>, Refusal> {
    let mut named = vec![(CLAIMS.to_owned(), token.as_bytes())];
    named.extend(entries.iter().map(|(name, bytes)| (file_name(name), *bytes)));
    // The claims first, then the world, then the targets by name, as the published tools write them.
    named.sort_by_key(|(name, _)| (name != CLAIMS, name != WORLD, name.clone()));
    let tar = tar::write(named.iter().map(|(name, bytes)| (name.as_str(), *bytes)));
    contents(&tar)?;
    Ok(tar)
}

/// The archive in gzip, `.par.gz`; equal input gives equal bytes.
pub fn gzip(archive: &[u8]) -> Vec<u8> {
    gzip::pack(archive)
}

struct Contents<'a> {
    token: Option<&'a [u8]>,
    signed: BTreeMap<String, &'a [u8]>,
}

fn contents(tar: &[u8]) -> Result<Contents<'_>, Refusal> {
    let mut contents = Contents { token: None, signed: BTreeMap::new() };
    for file in tar::read(tar)? {
        if file.name == CLAIMS.as_bytes() {
            if contents.token.replace(file.bytes).is_some() {
                return Err(Refusal::new(Reason::ClaimsDuplicate, format!("more than one entry `{CLAIMS}`")));
            }
            continue;
        }
        let name = signed_name(file.name).ok_or_else(|| unexpected(file.name, "is no expected name"))?;
        if contents.signed.insert(name, file.bytes).is_some() {
            return Err(unexpected(file.name, "stands there twice"));
        }
    }
    if contents.token.is_none() && contents.signed.is_empty() {
        return Err(Refusal::new(Reason::ArchiveMalformed, "the archive holds nothing"));
    }
    Ok(contents)
}

// The name in the claims for a file name: whole, in one spelling, without any path.
fn signed_name(file_name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(file_name).ok()?;
    if name == WORLD {
        return Some(WORLD.to_owned());
    }
    let target = name.strip_suffix(BINARY)?;
    let (arch, os) = target.split_once('-')?;
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_arch = !arch.is_empty() && arch.bytes().all(|byte| lower(byte) || byte == b'_');
    let is_os = !os.is_empty() && os.bytes().all(lower);
    (is_arch && is_os).then(|| target.to_owned())
}

fn file_name(signed: &str) -> String {
    if signed == WORLD { WORLD.to_owned() } else { format!("{signed}{BINARY}") }
}

fn unexpected(name: &[u8], what: &str) -> Refusal {
    Refusal::new(Reason::ArchiveEntry, format!("`{}` {what}", name.escape_ascii()))
}

const CLAIMS: &str = "claims.jwt";
const WORLD: &str = "world.wasm";
const BINARY: &str = ".bin";
