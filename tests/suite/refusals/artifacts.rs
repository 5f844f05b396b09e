//! Files: what is no WebAssembly, or too much of it, and archives with more in them than was signed.

use harness::vectors::guest;
use policy::artifact::archive;

use super::seen::Seen;
use super::stage::{Stage, archived, minted};

const PROGRAM: (&str, &[u8]) = ("x86_64-linux", b"program");

pub(super) fn cut_short(stage: &Stage) -> Seen {
    let mut bytes = minted(&guest("cart"), |_| ());
    bytes.truncate(bytes.len() - 40);
    stage.verify("cut-short.wasm", bytes)
}

pub(super) fn too_many_sections(stage: &Stage) -> Seen {
    // A custom section of one letter, a thousand times and one.
    let sections = [0, 2, 1, b'x'].repeat(1001);
    stage.verify("sections.wasm", [guest("cart"), sections].concat())
}

pub(super) fn machine_code(stage: &Stage) -> Seen {
    stage.verify("machine-code.wasm", b"\x7fELF and then what a machine would run")
}

pub(super) fn bare_function(stage: &Stage) -> Seen {
    stage.verify("bare-function.wasm", wat::parse_str("(component (import \"do-anything\" (func)))").unwrap())
}

pub(super) fn archive_without_an_end(stage: &Stage) -> Seen {
    let whole = archived(&[PROGRAM], &[PROGRAM]);
    stage.verify("no-end.par", &whole[..whole.len() - 1024])
}

// What would be written over a file of the host, if somebody unpacked it by name.
pub(super) fn entry_outside(stage: &Stage) -> Seen {
    let mut tar = archived(&[PROGRAM], &[PROGRAM]);
    let at = tar.windows(PROGRAM.0.len()).rposition(|window| window == PROGRAM.0.as_bytes()).unwrap();
    let header = &mut tar[at..at + 512];
    header[..20].copy_from_slice(b"../../x86_64-linux.x");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    stage.verify("entry-outside.par", tar)
}

pub(super) fn entry_slipped_in(stage: &Stage) -> Seen {
    stage.verify("slipped-in.par", archived(&[PROGRAM], &[PROGRAM, ("aarch64-linux", b"another")]))
}

// A kilobyte whose last bytes promise four gigabytes.
pub(super) fn gzip_bomb(stage: &Stage) -> Seen {
    let mut bomb = archive::gzip(&vec![0; 1 << 20]);
    let at = bomb.len() - 4;
    bomb[at..].copy_from_slice(&u32::MAX.to_le_bytes());
    stage.verify("bomb.par.gz", bomb)
}
