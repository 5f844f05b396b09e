//! One gzip member, whole: inflated within limits, checked, and nothing behind it (RFC 1952).
//!
//! What is inside is left to [`super::tar`].

use miniz_oxide::deflate;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::artifact::tar::MAX_ARCHIVE;
use crate::reason::{Reason, Refusal};

/// Whether the bytes start as a gzip file does.
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// What the one member of this file holds.
///
/// Memory is taken as the bytes come, and never more than the trailer promises: a bomb is refused before it goes off.
///
/// # Errors
/// `archive_limit` when the trailer promises too much, `archive_malformed` for anything else that is not exact.
pub(super) fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let (header, rest) = bytes.split_first_chunk::<10>().ok_or_else(|| malformed("cut within the header"))?;
    // Flags would add fields that readers skip without a look: a file name, a comment, extra bytes.
    let [0x1f, 0x8b, 8, 0, ..] = header else {
        return Err(malformed("the header has another method than 8 or other flags than 0 (`gzip -n` sets none)"));
    };
    let (body, crc, size) = trailer(rest).ok_or_else(|| malformed("cut within the trailer"))?;
    let limit = limit(bytes.len());
    if size > limit {
        let detail = format!("gzip: the last bytes promise a content of {size} bytes, at most {limit}");
        return Err(Refusal::new(Reason::ArchiveLimit, detail));
    }
    // One byte more than promised, so that a stream that goes on is seen to.
    let mut content = vec![0; size + 1];
    let mut state = Box::<DecompressorOxide>::default();
    let (status, read, written) =
        decompress(&mut state, body, &mut content, 0, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF);
    if status != TINFLStatus::Done || read != body.len() || written != size {
        return Err(malformed("the member is damaged, is not of the promised size, or is not the only one"));
    }
    content.truncate(size);
    if crc32(&content) != crc {
        return Err(malformed("the checksum of the content is another than the trailer's"));
    }
    if is_gzip(&content) {
        return Err(malformed("gzip within gzip"));
    }
    Ok(content)
}

/// These bytes as one gzip member without name or time, so that equal content gives equal bytes.
pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, UNKNOWN_SYSTEM];
    packed.extend(deflate::compress_to_vec(bytes, LEVEL));
    packed.extend(crc32(bytes).to_le_bytes());
    // The length modulo 2^32, as the format has it.
    packed.extend(bytes.len().to_le_bytes().iter().take(4));
    packed
}

fn trailer(rest: &[u8]) -> Option<(&[u8], u32, usize)> {
    let (rest, size) = rest.split_last_chunk::<4>()?;
    let (body, crc) = rest.split_last_chunk::<4>()?;
    Some((body, u32::from_le_bytes(*crc), usize::try_from(u32::from_le_bytes(*size)).ok()?))
}

fn limit(packed: usize) -> usize {
    packed.saturating_mul(MAX_RATIO).clamp(FREE, MAX_ARCHIVE)
}

/// The checksum of gzip: CRC-32, reflected, polynomial 0xedb88320.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        let low = crc.to_le_bytes().first().copied().unwrap_or_default();
        (crc >> 8) ^ TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default()
    })
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Reason::ArchiveMalformed, format!("gzip: {what}"))
}

// INVARIANT: `index` runs over the table's own length; and this is evaluated while compiling.
#[allow(clippy::indexing_slicing)]
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

const MAGIC: &[u8] = b"\x1f\x8b";
const UNKNOWN_SYSTEM: u8 = 255;
const LEVEL: u8 = 9;

/// How many times its packed size a file may expand to.
pub(super) const MAX_RATIO: usize = 100;

/// To how much any file may expand: 16 MiB.
pub(super) const FREE: usize = 16 << 20;
