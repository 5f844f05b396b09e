//! Finds the test vectors: those of the repository, or the folder that `CLAIMS_VECTORS` names.
//!
//! What they must come to is left to the suite.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A folder of `tests/vectors`.
pub fn folder(name: &str) -> PathBuf {
    repository().join("tests/vectors").join(name)
}

/// The folder of signed-claims cases: any other set in the same format runs unchanged. Relative to the repository's root.
pub fn claims() -> PathBuf {
    std::env::var_os("CLAIMS_VECTORS").map_or_else(|| folder("claims-sample"), |path| repository().join(path))
}

/// A guest component of the suite.
pub fn guest(name: &str) -> Vec<u8> {
    let path = repository().join("tests/guests").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the repository")
}

/// A JSON file.
pub fn json(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A member that must be text.
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("`{member}` is missing in {value}"))
}
