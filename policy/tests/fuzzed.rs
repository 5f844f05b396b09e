//! Every input that fuzzing ever found, and the captured documents, fed once more to the bodies of the fuzz targets.
//!
//! What the bodies assert is theirs to say, in `fuzz/src`; how inputs are found is left to `make fuzz`.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

#[allow(dead_code, unreachable_pub, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[path = "../../fuzz/src/lib.rs"]
mod bodies;

#[test]
fn what_was_found_once_stays_mended() {
    let folder = vectors().join("fuzz");
    let mut fed = 0;
    for target in files(&folder).into_iter().filter(|path| path.is_dir()) {
        let name = target.file_name().unwrap().to_str().unwrap().to_owned();
        for path in files(&target) {
            println!("{name}: {}", path.display());
            bodies::feed(&name, &std::fs::read(path).unwrap());
            fed += 1;
        }
    }
    assert!(fed >= bodies::TARGETS.len(), "{fed} inputs");
}

#[test]
fn every_target_has_an_input_here() {
    for (name, _) in bodies::TARGETS {
        assert!(!files(&vectors().join("fuzz").join(name)).is_empty(), "no input for `{name}`");
    }
}

#[test]
fn every_captured_document_is_sound_as_everything() {
    for path in files(&vectors().join("documents")) {
        let bytes = std::fs::read(path).unwrap();
        for (name, _) in bodies::TARGETS {
            bodies::feed(name, &bytes);
        }
    }
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.file_name().is_some_and(|name| name != "README.md"));
    found.sort();
    found
}
