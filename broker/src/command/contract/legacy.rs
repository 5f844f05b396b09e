//! The contract ids of wasmCloud before 1.0, and the packages that took their place.

use policy::name::{LegacyId, Package};
use policy::reason::Refusal;

/// The old contract ids that stood for a package in wasmCloud before 1.0.
pub(super) fn legacy_ids(package: &Package) -> Result<Vec<LegacyId>, Refusal> {
    let ids: &[&str] = match package.as_str() {
        "wasi:keyvalue" => &["wasmcloud:keyvalue"],
        "wasi:blobstore" => &["wasmcloud:blobstore"],
        "wasi:http" => &["wasmcloud:httpserver", "wasmcloud:httpclient"],
        "wasi:logging" => &["wasmcloud:builtin:logging", "wasmcloud:logging", "wascc:logging"],
        "wasi:random" => &["wasmcloud:builtin:numbergen", "wasmcloud:extras"],
        _ => &[],
    };
    ids.iter().map(|id| LegacyId::parse(id)).collect()
}
