//! A tar file of regular files, in one spelling, with every byte accounted for.
//!
//! Which names are welcome is left to [`super::archive`]. Mode, owner and time are ignored; all else is exact (T35).

use crate::artifact::MAX_FILE;
use crate::reason::{Reason, Refusal};

/// One file of a tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct File<'a> {
    /// The name, as bytes: nothing is known of it yet.
    pub(super) name: &'a [u8],
    /// The content.
    pub(super) bytes: &'a [u8],
}

/// The files, in order.
///
/// # Errors
/// `archive_malformed`; `archive_entry` for what is not a regular file; `archive_limit`.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<File<'_>>, Refusal> {
    if bytes.len() > MAX_ARCHIVE {
        return Err(limit(format!("{} bytes, at most {MAX_ARCHIVE}", bytes.len())));
    }
    let mut files = Vec::new();
    let mut rest = bytes;
    loop {
        let (header, after) = rest.split_at_checked(BLOCK).ok_or_else(|| malformed("no two zero blocks end it"))?;
        if is_zero(header) {
            end(after)?;
            return Ok(files);
        }
        if files.len() == MAX_ENTRIES {
            return Err(limit(format!("more than {MAX_ENTRIES} entries")));
        }
        let (name, size) = read_header(header).map_err(|refusal| refusal.within(format!("entry {}", files.len())))?;
        let (bytes, next) = content(after, size)?;
        files.push(File { name, bytes });
        rest = next;
    }
}

/// These files as a tar, spelled as provider-archive spells it: GNU headers without mode, owner or time.
///
/// What [`read`] would refuse of it is for the caller to have found by reading it.
pub(super) fn write<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in files {
        tar.extend(header_of(name, bytes.len()));
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

// The name and size, once all that a reader could take otherwise is ruled out.
fn read_header(header: &[u8]) -> Result<(&[u8], usize), Refusal> {
    if !matches!(field(header, MAGIC_AT, 8), GNU | USTAR) {
        return Err(malformed("the header is neither a GNU nor a ustar one"));
    }
    if checksum_in(header) != Some(checksum_of(header)) {
        return Err(malformed("the checksum of the header is wrong"));
    }
    // Links, devices, directories, long names, PAX and sparse files all have other types.
    if !matches!(field(header, TYPE_AT, 1), b"0" | b"\0") {
        let found = field(header, TYPE_AT, 1).escape_ascii();
        return Err(Refusal::new(Reason::ArchiveEntry, format!("of type `{found}`, expected a regular file")));
    }
    if !is_zero(field(header, LINK_AT, 100)) || !is_zero(field(header, PREFIX_AT, BLOCK)) {
        return Err(malformed("the header has a link's target, a name prefix or an extension"));
    }
    let name = terminated(field(header, 0, 100)).ok_or_else(|| malformed("the name has bytes behind its end"))?;
    Ok((name, size_in(header)?))
}

// Eleven octal digits and an end: signs, base-256 and blanks are how two readers come to see two sizes.
fn size_in(header: &[u8]) -> Result<usize, Refusal> {
    let (digits, end) = field(header, SIZE_AT, 12).split_at_checked(11).unwrap_or_default();
    let size = octal(digits).filter(|_| matches!(end, b"\0" | b" "));
    let size = size.ok_or_else(|| malformed("the size is not eleven octal digits"))?;
    if size > MAX_FILE {
        return Err(limit(format!("{size} bytes, at most {MAX_FILE}")));
    }
    Ok(size)
}

// GNU tar and Python end six digits with NUL and blank, the tar crate seven with NUL.
fn checksum_in(header: &[u8]) -> Option<usize> {
    match field(header, CHECKSUM_AT, 8) {
        [digits @ .., 0, b' '] => octal(digits),
        [digits @ .., 0] => octal(digits),
        _ => None,
    }
}

fn checksum_of(header: &[u8]) -> usize {
    let sum = |bytes: &[u8]| bytes.iter().copied().map(usize::from).sum::<usize>();
    // The checksum counts itself as eight blanks.
    sum(header) - sum(field(header, CHECKSUM_AT, 8)) + 8 * usize::from(b' ')
}

fn content(after: &[u8], size: usize) -> Result<(&[u8], &[u8]), Refusal> {
    let cut = || malformed("an entry is cut short");
    let (padded, next) = after.split_at_checked(size.next_multiple_of(BLOCK)).ok_or_else(cut)?;
    let (bytes, padding) = padded.split_at_checked(size).ok_or_else(cut)?;
    if !is_zero(padding) {
        return Err(malformed("bytes hide in the padding of an entry"));
    }
    Ok((bytes, next))
}

// After the first zero block: one more, then whole blocks of zeros, as other tar writers add.
fn end(after: &[u8]) -> Result<(), Refusal> {
    if after.is_empty() || !after.len().is_multiple_of(BLOCK) {
        return Err(malformed("it does not end with two zero blocks and whole blocks"));
    }
    if is_zero(after) { Ok(()) } else { Err(malformed("bytes behind the end")) }
}

fn header_of(name: &str, size: usize) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    put(&mut header, 0, name.as_bytes());
    put(&mut header, SIZE_AT, format!("{size:011o}\0").as_bytes());
    put(&mut header, TIME_AT, b"00000000000\0");
    put(&mut header, MAGIC_AT, GNU);
    let checksum = checksum_of(&header);
    put(&mut header, CHECKSUM_AT, format!("{checksum:07o}\0").as_bytes());
    header
}

fn put(header: &mut [u8], at: usize, text: &[u8]) {
    for (to, from) in header.iter_mut().skip(at).zip(text) {
        *to = *from;
    }
}

fn field(header: &[u8], at: usize, length: usize) -> &[u8] {
    header.get(at..(at + length).min(header.len())).unwrap_or_default()
}

// A text that fills its field, or ends with NUL and has only NULs behind it.
fn terminated(field: &[u8]) -> Option<&[u8]> {
    let length = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let (text, rest) = field.split_at_checked(length)?;
    is_zero(rest).then_some(text)
}

fn octal(digits: &[u8]) -> Option<usize> {
    let all_octal = !digits.is_empty() && digits.iter().all(|digit| matches!(digit, b'0'..=b'7'));
    let text = std::str::from_utf8(digits).ok().filter(|_| all_octal)?;
    usize::from_str_radix(text, 8).ok()
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Reason::ArchiveMalformed, what)
}

fn limit(what: String) -> Refusal {
    Refusal::new(Reason::ArchiveLimit, what)
}

const BLOCK: usize = 512;
const SIZE_AT: usize = 124;
const TIME_AT: usize = 136;
const CHECKSUM_AT: usize = 148;
const TYPE_AT: usize = 156;
const LINK_AT: usize = 157;
const MAGIC_AT: usize = 257;
const PREFIX_AT: usize = 345;
const GNU: &[u8] = b"ustar  \0";
const USTAR: &[u8] = b"ustar\x0000";

/// How many entries an archive may have.
pub(super) const MAX_ENTRIES: usize = 64;

/// How large an archive may be in all, unpacked: 1 GiB.
pub(super) const MAX_ARCHIVE: usize = 1 << 30;
