//! The canonical text of an nkey: base32 of a prefix byte, 32 bytes and a CRC-16/XMODEM.

use std::sync::LazyLock;

use data_encoding::BASE32_NOPAD;

use super::secrets::refuse_secrets;
use crate::reason::{Reason, Refusal};

/// Reads any nkey's role letter and bytes, for `keys show` and its like.
///
/// # Errors
/// As [`Name::parse`], without the role.
pub fn inspect(text: &str) -> Result<(char, [u8; 32]), Refusal> {
    let (_, raw) = decode(text)?;
    let letter = text.chars().next().unwrap_or_default();
    Ok((letter, raw))
}

/// The canonical text of a prefix byte and 32 bytes: base32 of both and a CRC-16/XMODEM, little endian.
pub fn encode(prefix: u8, raw: &[u8; 32]) -> String {
    let mut bytes = Vec::with_capacity(35);
    bytes.push(prefix);
    bytes.extend_from_slice(raw);
    let crc = crc16(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    BASE32_NOPAD.encode(&bytes)
}

// The prefixes of public keys that exist; every other is refused, never mapped to a default.
pub(super) const PREFIXES: [u8; 8] = [0x00, 0x10, 0x60, 0x68, 0x70, 0xa0, 0xa8, 0xb8];

pub(super) fn decode(text: &str) -> Result<(u8, [u8; 32]), Refusal> {
    refuse_secrets(text.as_bytes())?;
    let malformed = |why: &str| Refusal::new(Reason::KeyMalformed, format!("not a public nkey: {why}"));
    if text.len() != 56 {
        return Err(malformed("it must have 56 characters"));
    }
    let bytes = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| malformed("it must be upper-case base32"))?;
    let (Some((head, crc)), true) = (bytes.split_last_chunk::<2>(), bytes.len() == 35) else {
        return Err(malformed("it must hold 35 bytes"));
    };
    if u16::from_le_bytes(*crc) != crc16(head) {
        return Err(malformed("its checksum is wrong"));
    }
    let (Some((prefix, _)), Some(raw)) = (head.split_first(), head.last_chunk::<32>()) else {
        return Err(malformed("it must hold 35 bytes"));
    };
    if !PREFIXES.contains(prefix) {
        return Err(malformed("its prefix is unknown"));
    }
    Ok((*prefix, *raw))
}

fn crc16(bytes: &[u8]) -> u16 {
    let step = |crc: u16, byte: &u8| {
        let [high, low] = crc.to_be_bytes();
        (u16::from(low) << 8) ^ CRC16.get(usize::from(high ^ byte)).copied().unwrap_or_default()
    };
    bytes.iter().fold(0, step)
}

// What each byte alone leaves of the polynomial 0x1021.
static CRC16: LazyLock<[u16; 256]> = LazyLock::new(|| {
    let of =
        |byte: usize| (0..8).fold((byte as u16) << 8, |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 });
    std::array::from_fn(of)
});
