//! A WebAssembly file: the digests that the decision and the claims bind, the token, and what it asks for and serves.
//!
//! The claims are the custom section `wasmcloud_jwt`, once, at the top level, and the file ends with it (wasmcloud.md, section 4).

use crate::artifact::sections::{self, Layer, Section};
use crate::artifact::{Import, surface};
use crate::digest::Digest;
use crate::reason::{Reason, Refusal};

/// A WebAssembly file that has one reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentFile {
    sha256: Digest,
    claims_hash: Digest,
    token: Option<Vec<u8>>,
    imports: Vec<Import>,
    exports: Vec<Import>,
    is_component: bool,
}

impl ComponentFile {
    /// The digest of the whole file as given: what a decision binds.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    /// The digest of what precedes the claims: what the claims sign.
    pub fn claims_hash(&self) -> Digest {
        self.claims_hash
    }

    /// The claims as they lie in the file, unparsed; `None` when it is unsigned.
    pub fn token(&self) -> Option<&[u8]> {
        self.token.as_deref()
    }

    /// What must be answered before it may run, sorted; interfaces of plain types alone need no answer.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// What it serves, sorted.
    pub fn exports(&self) -> &[Import] {
        &self.exports
    }

    /// Whether it is a component; a core module has neither imports nor exports of this kind.
    pub fn is_component(&self) -> bool {
        self.is_component
    }
}

/// Reads a WebAssembly file and checks all of it, function bodies included.
///
/// # Errors
/// `wasm_malformed`, `wasm_limit`, `claims_duplicate`, `claims_misplaced`, `import_unsupported`, and `name_malformed`
/// for an import or export whose name is an interface's but breaks our grammar.
pub fn read(bytes: &[u8]) -> Result<ComponentFile, Refusal> {
    let (layer, sections) = sections::walk(bytes)?;
    let claims = claims_of(bytes, &sections)?;
    let surface = surface::read(bytes, layer, &sections)?;
    Ok(ComponentFile {
        sha256: Digest::of(bytes),
        claims_hash: Digest::of(unsigned(bytes, claims)),
        token: claims.map(|section| section.content.to_vec()),
        imports: surface.imports,
        exports: surface.exports,
        is_component: layer == Layer::Component,
    })
}

/// The file with this token as its claims, in place of those it had.
///
/// Whether the token signs this file is for the caller to have seen to: [`ComponentFile::claims_hash`] does not change by it.
///
/// # Errors
/// Those of the frame: `wasm_malformed`, `wasm_limit`, and `claims_duplicate` or `claims_misplaced` when the file carries
/// claims anywhere but at its very end.
pub fn attach(bytes: &[u8], token: &str) -> Result<Vec<u8>, Refusal> {
    let (_, sections) = sections::walk(bytes)?;
    let mut signed = unsigned(bytes, claims_of(bytes, &sections)?).to_vec();
    signed.extend(sections::encode_custom(CLAIMS, token.as_bytes()));
    sections::walk(&signed)?;
    Ok(signed)
}

/// What a provider's `world.wasm` says the provider serves: the exports of its one world, or its own as a component.
pub(super) fn read_world(bytes: &[u8]) -> Result<Vec<Import>, Refusal> {
    let (layer, sections) = sections::walk(bytes)?;
    claims_of(bytes, &sections)?;
    let surface = surface::read(bytes, layer, &sections)?;
    let mut worlds = surface.worlds.into_iter();
    Ok(match (worlds.next(), worlds.next()) {
        (None, _) => surface.exports,
        (Some(only), None) => only,
        // Of several worlds none is named as the provider's, and order never decides.
        (Some(_), Some(_)) => Vec::new(),
    })
}

fn claims_of<'s, 'a>(bytes: &[u8], sections: &'s [Section<'a>]) -> Result<Option<&'s Section<'a>>, Refusal> {
    let mut named = sections.iter().filter(|section| section.name.is_some_and(is_claims_name));
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return Err(Refusal::new(Reason::ClaimsDuplicate, "the file has more than one claims section"));
    }
    let Some(section) = first else { return Ok(None) };
    if section.depth > 0 || section.name != Some(CLAIMS.as_bytes()) || section.end != bytes.len() {
        let detail = format!("the claims are not a section `{CLAIMS}` at the top level and the end of the file");
        return Err(Refusal::new(Reason::ClaimsMisplaced, detail));
    }
    Ok(Some(section))
}

// Wascap hashes the file re-encoded without claims. Lengths are shortest and claims last, so that is what precedes them.
fn unsigned<'a>(bytes: &'a [u8], claims: Option<&Section<'_>>) -> &'a [u8] {
    claims.and_then(|section| bytes.get(..section.start)).unwrap_or(bytes)
}

// `jwt` is the name before wascap 0.9, and some readers still honour it.
fn is_claims_name(name: &[u8]) -> bool {
    name == CLAIMS.as_bytes() || name == b"jwt"
}

const CLAIMS: &str = "wasmcloud_jwt";
