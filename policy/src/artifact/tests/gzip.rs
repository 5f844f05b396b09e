//! Packed archives: one member, whole, and not too much of it.

use super::{TOKEN, assert_refused};
use crate::artifact::archive;
use crate::artifact::gzip::{FREE, MAX_RATIO, crc32, inflate, pack};
use crate::reason::Reason;

fn packed() -> Vec<u8> {
    archive::gzip(&archive::write(TOKEN, &[("x86_64-linux", b"program")]).unwrap())
}

fn reason(bytes: &[u8]) -> Reason {
    inflate(bytes).unwrap_err().reason
}

// Whatever bytes then stand where the promise belongs may promise too much.
#[track_caller]
fn assert_cut_or_long(bytes: &[u8], what: &str) {
    assert!(matches!(reason(bytes), Reason::ArchiveMalformed | Reason::ArchiveLimit), "{what}");
    assert!(crate::artifact::read(bytes).is_err(), "{what}");
}

// Bytes that do not pack.
fn noise(length: usize) -> Vec<u8> {
    let next = |state: &u64| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 7);
        Some(state ^ (state << 17))
    };
    std::iter::successors(Some(88_172_645_463_325_252), next).map(|state| (state >> 32) as u8).take(length).collect()
}

#[test]
fn the_checksum_is_that_of_the_format() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(crc32(b""), 0);
}

#[test]
fn what_is_packed_is_read_again() {
    for content in [vec![], b"x".to_vec(), vec![0; 100_000], noise(100_000)] {
        assert_eq!(inflate(&pack(&content)).unwrap(), content);
    }
    assert_eq!(pack(b"same"), pack(b"same"));
}

#[test]
fn t36_a_member_must_be_whole() {
    let good = packed();
    for cut in 2..good.len() {
        assert_cut_or_long(&good[..cut], &format!("cut at {cut}"));
    }
}

#[test]
fn t36_checksum_and_length_count() {
    let good = packed();
    for at in good.len() - 8..good.len() - 4 {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert_refused(&bytes, Reason::ArchiveMalformed, "another checksum");
    }
    let size = good.len() - 4;
    for change in [1_u8, 255] {
        let mut bytes = good.clone();
        bytes[size] = bytes[size].wrapping_add(change);
        assert_refused(&bytes, Reason::ArchiveMalformed, "another length");
    }
    let content = noise(300);
    let honest = pack(&content);
    for at in 10..honest.len() {
        let mut bytes = honest.clone();
        bytes[at] ^= 4;
        // A bit may be one that the format leaves free; what is read is then the same.
        assert!(inflate(&bytes).is_err() || inflate(&bytes).unwrap() == content, "byte {at}");
    }
}

#[test]
fn t36_one_member_and_nothing_behind_it() {
    let good = packed();
    assert_refused(&[good.clone(), good.clone()].concat(), Reason::ArchiveMalformed, "two members");
    assert_refused(&[good.clone(), pack(b"")].concat(), Reason::ArchiveMalformed, "an empty member behind");
    assert_refused(&[pack(b""), good.clone()].concat(), Reason::ArchiveMalformed, "an empty member before");
    for tail in [&[0][..], &[0; 8], &[0; 512], b"x", &good[good.len() - 8..]] {
        assert_cut_or_long(&[&good, tail].concat(), "bytes behind");
    }
    assert_refused(&pack(&good), Reason::ArchiveMalformed, "gzip in gzip");
}

#[test]
fn t36_the_header_has_no_optional_fields() {
    let good = packed();
    for flags in 1..=255 {
        let mut bytes = good.clone();
        bytes[3] = flags;
        assert_eq!(reason(&bytes), Reason::ArchiveMalformed, "flags {flags}");
    }
    let named = [&good[..3], &[8], &good[4..10], b"kv.par\0", &good[10..]].concat();
    assert_refused(&named, Reason::ArchiveMalformed, "a file name");
    let mut method = good.clone();
    method[2] = 7;
    assert_eq!(reason(&method), Reason::ArchiveMalformed);
    // Time, level and system say nothing about the content.
    let mut noted = good.clone();
    noted[4..10].copy_from_slice(&[1, 2, 3, 4, 2, 3]);
    assert_eq!(inflate(&noted).unwrap(), inflate(&good).unwrap());
}

#[test]
fn t36_expansion_has_a_limit() {
    assert_eq!(inflate(&pack(&vec![0; FREE])).unwrap().len(), FREE);
    assert_eq!(reason(&pack(&vec![0; FREE + 1])), Reason::ArchiveLimit);
    // Beyond what is free, the packed size counts.
    let mut content = noise(200_000);
    content.resize(FREE + FREE / 8, 0);
    let large = pack(&content);
    assert!(content.len() < large.len() * MAX_RATIO);
    assert_eq!(inflate(&large).unwrap(), content);
    content.resize(large.len() * (MAX_RATIO + 2), 0);
    assert_eq!(reason(&pack(&content)), Reason::ArchiveLimit);
}

#[test]
fn t36_a_bomb_that_lies_about_its_size_stops_at_the_lie() {
    let mut bomb = pack(&vec![0; FREE + 1]);
    for claimed in [0_u32, 1, 1024, FREE as u32] {
        let at = bomb.len() - 4;
        bomb[at..].copy_from_slice(&claimed.to_le_bytes());
        assert_eq!(reason(&bomb), Reason::ArchiveMalformed, "claims {claimed}");
    }
    let at = bomb.len() - 4;
    bomb[at..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(reason(&bomb), Reason::ArchiveLimit);
}
