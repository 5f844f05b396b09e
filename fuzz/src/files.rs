//! WebAssembly files and provider archives: what reads once reads the same after its claims were put in again.

use policy::artifact::archive::{self, ArchiveFile};
use policy::artifact::component::{self, ComponentFile};
use policy::artifact::{self, Artifact};

/// A WebAssembly file.
pub(super) fn wasm(bytes: &[u8]) {
    let first = component::read(bytes);
    assert_eq!(first, component::read(bytes), "one file has one reading");
    let Ok(file) = first else { return };
    assert!(matches!(artifact::read(bytes), Ok(Artifact::Component(ref same)) if *same == file));
    let signed = component::attach(bytes, "one.claims.token").expect("what was read takes claims");
    let read = component::read(&signed).expect("what was signed is read");
    assert_eq!(read.token(), Some(b"one.claims.token".as_slice()));
    assert_eq!(surface(&read), surface(&file), "claims change nothing but themselves");
    assert!(signed.starts_with(b"\0asm"));
    // Signed again with the same token, the same bytes; with the token it had, the file it was.
    assert_eq!(component::attach(&signed, "one.claims.token").expect("signed twice"), signed);
    if let Some(token) = file.token().and_then(|token| std::str::from_utf8(token).ok()) {
        assert_eq!(component::attach(&signed, token).expect("signed as before"), bytes);
    }
}

fn surface(file: &ComponentFile) -> impl PartialEq + std::fmt::Debug {
    (file.claims_hash(), file.imports().to_vec(), file.exports().to_vec(), file.is_component())
}

/// A provider archive, packed or not.
pub(super) fn archive(bytes: &[u8]) {
    let first = archive::read(bytes);
    assert_eq!(first, archive::read(bytes), "one file has one reading");
    let Ok(file) = first else { return };
    let Some(token) = file.token().and_then(|token| std::str::from_utf8(token).ok()) else { return };
    let entries: Vec<_> = file.entries().iter().map(|entry| (entry.name(), entry.bytes())).collect();
    let written = archive::write(token, &entries).expect("what was read can be written");
    let read = archive::read(&written).expect("what was written is read");
    assert_eq!(contents(&read), contents(&file));
    assert_eq!(archive::write(token, &entries).expect("written twice"), written);
    let packed = archive::gzip(&written);
    assert_eq!(contents(&archive::read(&packed).expect("what was packed is read")), contents(&file));
    for name in entries.iter().map(|(name, _)| name) {
        assert!(!name.contains(['/', '\\']) && !name.contains(".."), "`{name}` is a path");
    }
}

fn contents(file: &ArchiveFile) -> impl PartialEq + std::fmt::Debug {
    (file.token().map(<[u8]>::to_vec), file.entries().to_vec(), file.world().map(<[_]>::to_vec))
}
