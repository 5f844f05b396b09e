//! Provider archives, one trick at a time.

use super::{TOKEN, assert_refused, read, spelled, text};
use crate::artifact::archive::{self, ArchiveFile};
use crate::artifact::tar::{self, MAX_ENTRIES};
use crate::artifact::{Artifact, MAX_FILE};
use crate::digest::Digest;
use crate::reason::Reason;

const LINUX: &str = "x86_64-linux.bin";
const END: [u8; 1024] = [0; 1024];

fn archive_of(bytes: &[u8]) -> ArchiveFile {
    match read(bytes).unwrap() {
        Artifact::Archive(file) => file,
        Artifact::Component(_) => panic!("read as a component"),
    }
}

// One entry, its header changed at will and its checksum put right.
fn entry(name: &str, bytes: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut entry = tar::write([(name, bytes)]);
    entry.truncate(entry.len() - END.len());
    change(&mut entry[..512]);
    entry[148..156].fill(b' ');
    let sum: usize = entry[..512].iter().copied().map(usize::from).sum();
    entry[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    entry
}

fn plain(name: &str, bytes: &[u8]) -> Vec<u8> {
    entry(name, bytes, |_| ())
}

fn archive(entries: &[&[u8]]) -> Vec<u8> {
    [entries.concat(), END.to_vec()].concat()
}

fn with(name: &str, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    archive(&[&plain("claims.jwt", TOKEN.as_bytes()), &entry(name, b"program", change)])
}

#[test]
fn an_archive_is_read_as_it_was_written() {
    let world = text(r#"(component (instance $e) (export "a:b/c@1.0.0" (instance $e)))"#);
    let entries = [("x86_64-linux", &b"program"[..]), ("aarch64-linux", b""), ("world.wasm", &world)];
    let bytes = archive::write(TOKEN, &entries).unwrap();
    for file in [archive_of(&bytes), archive_of(&archive::gzip(&bytes))] {
        assert_eq!(file.token(), Some(TOKEN.as_bytes()));
        let names: Vec<_> = file.entries().iter().map(|entry| entry.name()).collect();
        assert_eq!(names, ["aarch64-linux", "world.wasm", "x86_64-linux"]);
        let linux = file.entry("x86_64-linux").unwrap();
        assert_eq!((linux.bytes(), linux.sha256()), (&b"program"[..], Digest::of(b"program")));
        assert_eq!(spelled(file.world().unwrap()), ["a:b@1.0.0/c"]);
    }
    assert_eq!(archive_of(&bytes).sha256(), Digest::of(&bytes));
    let names: Vec<_> = tar::read(&bytes).unwrap().iter().map(|file| file.name).collect();
    assert_eq!(names, [&b"claims.jwt"[..], b"world.wasm", b"aarch64-linux.bin", b"x86_64-linux.bin"]);
}

#[test]
fn a_header_is_written_as_the_published_tools_write_it() {
    let bytes = archive::write(TOKEN, &[]).unwrap();
    assert_eq!(bytes.len(), 512 + 512 + 1024);
    assert!(bytes[..124].starts_with(b"claims.jwt\0") && bytes[10..124].iter().all(|byte| *byte == 0));
    assert_eq!(&bytes[124..148], b"00000000025\x0000000000000\0");
    assert_eq!(&bytes[156..265], [&[0; 101][..], b"ustar  \0"].concat());
}

#[test]
fn t35_only_entries_of_known_names() {
    let long = format!("{}-linux.bin", "a".repeat(120));
    for name in [
        "../../../../tmp/pwn/x86_64-linux.bin",
        "/tmp/pwn",
        "/x86_64-linux.bin",
        "./x86_64-linux.bin",
        "x/claims.evil",
        "..\\x86_64-linux.bin",
        "x\\claims.jwt",
        "x/claims.jwt",
        "./claims.jwt",
        "claims.txt",
        "claims",
        "CLAIMS.JWT",
        "claims.jwt ",
        "world",
        "world.wat",
        "./world.wasm",
        "x86_64-linux",
        "x86_64.bin",
        "-linux.bin",
        "x86_64-.bin",
        "X86_64-linux.bin",
        "x86_64-linux-gnu.bin",
        "x86_64-li_nux.bin",
        "x86.64-linux.bin",
        ".bin",
        "-.bin",
        "x86_64-linux.bin.bin",
        "x86_64-linux.bin\n",
        "\u{445}86_64-linux.bin",
        &long[..100],
    ] {
        assert_refused(&with(name, |_| ()), Reason::ArchiveEntry, name);
    }
    assert_refused(&with("", |_| ()), Reason::ArchiveEntry, "no name");
    assert_refused(&with(LINUX, |header| header[0] = 0xff), Reason::ArchiveEntry, "a name that is no text");
    assert!(!std::path::Path::new("/tmp/pwn").exists());
}

#[test]
fn t35_only_regular_files() {
    for kind in (1..=255).filter(|kind| *kind != b'0') {
        assert_refused(&with(LINUX, |header| header[156] = kind), Reason::ArchiveEntry, "another type");
    }
    archive_of(&with(LINUX, |header| header[156] = b'0'));
    archive_of(&with(LINUX, |header| header[156] = 0));
}

#[test]
fn t35_headers_have_one_reading() {
    let set =
        |at: usize, text: &'static [u8]| move |header: &mut [u8]| header[at..at + text.len()].copy_from_slice(text);
    let cases: [(&str, usize, &[u8]); 10] = [
        ("v7, no magic", 257, &[0; 8]),
        ("another magic", 257, b"USTAR\x0000"),
        ("a ustar of another version", 257, b"ustar\x0001"),
        ("mixed magic", 257, b"ustar \x000"),
        ("a link's target", 157, b"/etc/passwd"),
        ("a prefix", 345, b"tmp/pwn"),
        ("a GNU access time", 345, b"00000000000\0"),
        ("the last byte", 511, b"x"),
        ("bytes behind the name", 60, b"claims.jwt"),
        ("the last byte of the name", 99, b"x"),
    ];
    for (what, at, text) in cases {
        assert_refused(&with(LINUX, set(at, text)), Reason::ArchiveMalformed, what);
    }
    for (at, text) in [
        (100, &b"0000755\x000001750\x000001750\0"[..]),
        (136, b"15300573351"),
        (257, b"ustar\x0000root"),
        (329, b"0000000\x000000000\0"),
    ] {
        archive_of(&with(LINUX, |header| header[at..at + text.len()].copy_from_slice(text)));
    }
}

#[test]
fn t35_the_checksum_of_a_header_counts() {
    let good = with(LINUX, |_| ());
    for at in [1024, 1024 + 100, 1024 + 130, 1024 + 148, 1024 + 153, 1024 + 155, 1024 + 265, 1024 + 340] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert_refused(&bytes, Reason::ArchiveMalformed, &format!("byte {at}"));
    }
    for spelling in [b"        ", b"\0\0\0\0\0\0\0\0", b"+10464\0 ", b"-0010464", b"77777777"] {
        let mut bytes = good.clone();
        bytes[1024 + 148..1024 + 156].copy_from_slice(spelling);
        assert_refused(&bytes, Reason::ArchiveMalformed, "another spelling");
    }
}

#[test]
fn t35_each_entry_once() {
    let (claims, linux) = (plain("claims.jwt", TOKEN.as_bytes()), plain(LINUX, b"program"));
    let world = plain("world.wasm", &text("(component)"));
    assert_refused(&archive(&[&claims, &linux, &claims]), Reason::ClaimsDuplicate, "the same claims twice");
    let other = plain("claims.jwt", b"other.claims.here");
    assert_refused(&archive(&[&other, &claims, &linux]), Reason::ClaimsDuplicate, "other claims first");
    assert_refused(&archive(&[&claims, &linux, &plain(LINUX, b"evil")]), Reason::ArchiveEntry, "two programs");
    assert_refused(&archive(&[&claims, &world, &world, &linux]), Reason::ArchiveEntry, "two worlds");
    archive_of(&archive(&[&linux, &world, &claims]));
}

#[test]
fn t35_nothing_hides_behind_or_between() {
    let good = with(LINUX, |_| ());
    let padding = 1024 + 512 + 7;
    for at in (padding..good.len()).chain([512 + TOKEN.len(), 1023]) {
        let mut bytes = good.clone();
        bytes[at] = 1;
        assert_refused(&bytes, Reason::ArchiveMalformed, &format!("byte {at}"));
    }
    assert_refused(&[good.clone(), good.clone()].concat(), Reason::ArchiveMalformed, "a second archive");
    assert_refused(&[good.clone(), vec![0; 8704], good.clone()].concat(), Reason::ArchiveMalformed, "further on");
    assert_refused(&[good.clone(), vec![0]].concat(), Reason::ArchiveMalformed, "part of a block");
    archive_of(&[good.clone(), vec![0; 10_240 - good.len()]].concat());
}

#[test]
fn t35_a_cut_archive_is_refused() {
    let good = with(LINUX, |_| ());
    for cut in 0..good.len() {
        assert_eq!(archive::read(&good[..cut]).unwrap_err().reason, Reason::ArchiveMalformed, "cut at {cut}");
    }
    let one_block = good.len() - 512;
    assert_refused(&good[..one_block], Reason::ArchiveMalformed, "one zero block");
}

#[test]
fn t35_every_byte_counts() {
    let good = with(LINUX, |_| ());
    let honest = archive_of(&good);
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x20;
        let Ok(Artifact::Archive(file)) = read(&bytes) else { continue };
        assert!(file.token() != honest.token() || file.entries() != honest.entries(), "byte {at}");
    }
}

#[test]
fn t35_a_size_is_the_size_of_what_follows() {
    for size in [0, 6, 513, 1024, 1536, 4096] {
        let text = format!("{size:011o}\0");
        let bytes = with(LINUX, |header| header[124..136].copy_from_slice(text.as_bytes()));
        assert_refused(&bytes, Reason::ArchiveMalformed, &text);
    }
    // An entry within an entry is content, not an entry.
    let inner = plain("aarch64-linux.bin", b"evil");
    let outer = archive_of(&archive(&[&plain(LINUX, &inner)]));
    assert_eq!(outer.entries().len(), 1);
}

#[test]
fn t36_sizes_are_octal_and_bounded() {
    let sized = |field: &[u8; 12]| with(LINUX, |header| header[124..136].copy_from_slice(field));
    for field in [
        b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
        b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\0\0\0\0\0\0\0\0\0\0\x07",
        b"-0000000007\0",
        b"+0000000007\0",
        b"          7\0",
        b"7\0\0\0\0\0\0\0\0\0\0\0",
        b"00000000008\0",
        b"0x000000007\0",
        b"000000000007",
        b"00000000007x",
        b"            ",
        b"0000000007\0\0",
    ] {
        assert_refused(&sized(field), Reason::ArchiveMalformed, &field.escape_ascii().to_string());
    }
    assert_refused(&sized(b"77777777777\0"), Reason::ArchiveLimit, "eight gigabytes");
    archive_of(&sized(b"00000000007\0"));
    archive_of(&sized(b"00000000007 "));
}

#[test]
fn t36_a_file_has_a_limit() {
    let mut bytes = archive(&[&entry(LINUX, b"", |header| {
        header[124..135].copy_from_slice(format!("{MAX_FILE:011o}").as_bytes())
    })]);
    bytes.resize(512 + MAX_FILE + 1024, 0);
    assert_eq!(tar::read(&bytes).unwrap()[0].bytes.len(), MAX_FILE);
    let more = MAX_FILE + 1;
    let head = entry(LINUX, b"", |header| header[124..135].copy_from_slice(format!("{more:011o}").as_bytes()));
    bytes[..512].copy_from_slice(&head);
    bytes.resize(512 + MAX_FILE + 512 + 1024, 0);
    assert_eq!(tar::read(&bytes).unwrap_err().reason, Reason::ArchiveLimit);
    let too_large = vec![0; tar::MAX_ARCHIVE + 1];
    assert_eq!(tar::read(&too_large).unwrap_err().reason, Reason::ArchiveLimit);
}

#[test]
fn t36_entries_have_a_limit() {
    let many = |count: usize| {
        let entries: Vec<_> = (1..count).map(|index| plain(&format!("a{index}-linux.bin"), b"")).collect();
        archive(&[&plain("claims.jwt", TOKEN.as_bytes()), &entries.concat()])
    };
    assert_eq!(archive_of(&many(MAX_ENTRIES)).entries().len(), MAX_ENTRIES - 1);
    assert_refused(&many(MAX_ENTRIES + 1), Reason::ArchiveLimit, "one entry more");
    assert_refused(&many(MAX_ENTRIES * 100), Reason::ArchiveLimit, "a hundredfold");
}

#[test]
fn what_is_missing_is_for_the_caller_to_see() {
    let unsigned = archive_of(&archive(&[&plain(LINUX, b"program")]));
    assert_eq!((unsigned.token(), unsigned.world()), (None, None));
    let empty = archive_of(&archive(&[&plain("claims.jwt", TOKEN.as_bytes())]));
    assert!(empty.entries().is_empty());
}

#[test]
fn a_world_is_read_as_strictly_as_a_component() {
    let world = |bytes: &[u8]| archive(&[&plain("claims.jwt", TOKEN.as_bytes()), &plain("world.wasm", bytes)]);
    assert_refused(&world(b"interface world {}"), Reason::WasmMalformed, "text");
    assert_refused(&world(b""), Reason::WasmMalformed, "nothing");
    assert_refused(&world(b"\0asm\x0d\0\x01\0\x00\x04\x03jwt"), Reason::ClaimsMisplaced, "claims of its own");
}

#[test]
fn nothing_is_written_that_would_not_be_read() {
    let reason = |entries: &[(&str, &[u8])]| archive::write(TOKEN, entries).unwrap_err().reason;
    for name in ["", "x86_64", "../x86_64-linux", "x86_64-linux.bin", "claims.jwt", "World.wasm"] {
        assert_eq!(reason(&[(name, b"")]), Reason::ArchiveEntry, "{name}");
    }
    let long = format!("{}-linux", "a".repeat(100));
    assert!(archive::write(TOKEN, &[(&long, b"")]).is_err());
    assert_eq!(reason(&[("x86_64-linux", b"1"), ("x86_64-linux", b"2")]), Reason::ArchiveEntry);
    let names: Vec<_> = (0..MAX_ENTRIES).map(|index| format!("a{index}-linux")).collect();
    let entries: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    assert_eq!(reason(&entries), Reason::ArchiveLimit);
    assert!(archive::write(TOKEN, &entries[1..]).is_ok());
}
