//! Each attack on a file's reading, carried out: T07, T32, T33, T35 to T37.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod archive;
mod gzip;
mod surface;
mod wasm;

use super::component::ComponentFile;
use super::{Artifact, Import, read};
use crate::reason::Reason;

const TOKEN: &str = "header.body.signature";

fn component_of(bytes: &[u8]) -> ComponentFile {
    match read(bytes).unwrap() {
        Artifact::Component(file) => file,
        Artifact::Archive(_) => panic!("read as an archive"),
    }
}

#[track_caller]
fn assert_refused(bytes: &[u8], reason: Reason, what: &str) {
    match read(bytes) {
        Ok(_) => panic!("{what}: accepted"),
        Err(refusal) => assert_eq!(refusal.reason, reason, "{what}: {refusal}"),
    }
}

fn text(bytes: &str) -> Vec<u8> {
    wat::parse_str(bytes).unwrap()
}

// `ns:pkg@version/a,b` for each group.
fn spelled(imports: &[Import]) -> Vec<String> {
    let interfaces = |import: &Import| import.interfaces.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let version = |import: &Import| import.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    imports.iter().map(|import| format!("{}{}/{}", import.package, version(import), interfaces(import))).collect()
}

#[test]
fn the_shared_samples_read_as_their_readme_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/claims-sample");
    let cases = [
        ("wasm/ok-core.wasm", None),
        ("wasm/ok-component.wasm", None),
        // No claims, or those of another file: for the caller to see.
        ("wasm/unsigned.wasm", None),
        ("wasm/replay-other-binary.wasm", None),
        ("wasm/replay-rev-missing.wasm", None),
        ("wasm/two-evil-first.wasm", Some(Reason::ClaimsDuplicate)),
        ("wasm/after-sign-code.wasm", Some(Reason::ClaimsMisplaced)),
        ("wasm/trunc-in-code.wasm", Some(Reason::WasmMalformed)),
        ("par/ok.par", None),
        ("par/ok-gz.par.gz", None),
        ("par/no-claims.par", None),
        ("par/hash-mismatch.par", None),
        ("par/extra-target.par", None),
        ("par/forged-sig.par", None),
        ("par/symlink.par", Some(Reason::ArchiveEntry)),
        ("par/trav-dotdot.par", Some(Reason::ArchiveEntry)),
    ];
    for (file, refused) in cases {
        let bytes = std::fs::read(format!("{folder}/{file}")).unwrap();
        assert_eq!(read(&bytes).err().map(|refusal| refusal.reason), refused, "{file}");
    }
}

#[test]
fn t37_precompiled_code_is_no_component() {
    for magic in [&b"\x7fELF\x02\x01\x01"[..], b"\0aot\x01\0\0\0", b"MZ\x90\0", b"\xcf\xfa\xed\xfe\x07\0\0\x01"] {
        let mut bytes = magic.to_vec();
        bytes.resize(4096, 0);
        assert_refused(&bytes, Reason::WasmPrecompiled, "machine code");
        bytes.extend(text("(component)"));
        assert_refused(&bytes, Reason::WasmPrecompiled, "machine code with a component behind it");
    }
}

#[test]
fn what_is_neither_is_refused() {
    assert_refused(b"", Reason::WasmMalformed, "nothing");
    assert_refused(b"\0as", Reason::WasmMalformed, "a cut magic");
    assert_refused(b"PK\x03\x04", Reason::ArchiveMalformed, "a zip");
    assert_refused(&[0; 1024], Reason::ArchiveMalformed, "an archive of nothing");
    assert_refused(b"(component)", Reason::ArchiveMalformed, "WebAssembly as text");
    assert_refused(&[b' '; 2048], Reason::ArchiveMalformed, "blanks");
}
