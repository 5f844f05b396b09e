//! What a file is, read strictly from its bytes: a WebAssembly file or a provider archive, its digest, its token.
//!
//! The token is carried out unparsed and nothing is judged here: [`crate::claims`] compares what was signed with what was read.
//! A file has one reading or none. Whatever two readers could take differently is refused, never sanitised (T32, T33, T35).

pub mod archive;
pub mod component;
mod gzip;
mod sections;
mod surface;
mod tar;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::artifact::archive::ArchiveFile;
use crate::artifact::component::ComponentFile;
use crate::name::{InterfaceName, Package, Version};
use crate::reason::{Reason, Refusal};

/// A file, by what its first bytes say it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Artifact {
    /// A WebAssembly component, or a core module.
    Component(ComponentFile),
    /// A provider archive, packed or not.
    Archive(ArchiveFile),
}

/// One package at one version, and the interfaces of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The package.
    pub package: Package,
    /// Its version, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Its interfaces, sorted, each once.
    pub interfaces: Vec<InterfaceName>,
}

/// Reads a file whole. What is neither WebAssembly nor precompiled is read as an archive.
///
/// # Errors
/// The `wasm_*`, `claims_*`, `archive_*`, `import_unsupported` and `name_malformed` reasons; see the two readers.
pub fn read(bytes: &[u8]) -> Result<Artifact, Refusal> {
    if PRECOMPILED.iter().any(|magic| bytes.starts_with(magic)) {
        return Err(Refusal::new(Reason::WasmPrecompiled, "the file starts as machine code does, not as WebAssembly"));
    }
    // A file cut within the magic is a cut WebAssembly file, not an odd archive.
    if bytes.starts_with(sections::MAGIC) || sections::MAGIC.starts_with(bytes) {
        return component::read(bytes).map(Artifact::Component);
    }
    archive::read(bytes).map(Artifact::Archive)
}

/// The largest WebAssembly file, and the largest file within an archive: 256 MiB.
pub const MAX_FILE: usize = 256 << 20;

// ELF is what wasmtime writes as `.cwasm`; the others are the images of other runtimes and systems.
const PRECOMPILED: &[&[u8]] = &[b"\x7fELF", b"\0aot", b"\xcf\xfa\xed\xfe", b"MZ"];
