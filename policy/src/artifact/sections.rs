//! The frame of a WebAssembly file: every section at every depth, each in the one shortest encoding.
//!
//! What stands inside a section is left to [`super::surface`]; where the claims lie is left to [`super::component`].

use crate::artifact::MAX_FILE;
use crate::reason::{Reason, Refusal};

/// The first four bytes of a module and of a component.
pub(super) const MAGIC: &[u8] = b"\0asm";

/// How deep modules, components and the types of components may nest.
pub(super) const MAX_NESTING: usize = 32;

/// How many sections a file may have, at all depths together.
pub(super) const MAX_SECTIONS: usize = 1000;

/// Whether sections are those of a core module or of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// A core module.
    Module,
    /// A component.
    Component,
}

/// One section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    /// How many components it stands in, less the outermost.
    pub(super) depth: usize,
    /// What it is a section of.
    pub(super) layer: Layer,
    /// Its number; 0 is a custom section.
    pub(super) id: u8,
    /// Where its first byte stands in the file.
    pub(super) start: usize,
    /// Where the next one starts.
    pub(super) end: usize,
    /// The name, of a custom section.
    pub(super) name: Option<&'a [u8]>,
    /// What follows the size and, in a custom section, the name.
    pub(super) content: &'a [u8],
}

/// The outermost layer, and all sections in the order of the file.
///
/// # Errors
/// `wasm_malformed` for anything but exact headers and shortest lengths, `wasm_limit` for too much of anything.
pub(super) fn walk(bytes: &[u8]) -> Result<(Layer, Vec<Section<'_>>), Refusal> {
    if bytes.len() > MAX_FILE {
        return Err(Refusal::new(Reason::WasmLimit, format!("{} bytes, at most {MAX_FILE}", bytes.len())));
    }
    let outermost = layer_of(bytes, 0)?;
    let mut sections = Vec::new();
    let mut open = vec![(outermost, bytes.len())];
    let mut at = HEADER;
    while let Some((layer, end)) = open.last().copied() {
        if at == end {
            open.pop();
            continue;
        }
        if sections.len() == MAX_SECTIONS {
            return Err(Refusal::new(Reason::WasmLimit, format!("more than {MAX_SECTIONS} sections")));
        }
        let section = section(bytes, at, end, layer, open.len() - 1)?;
        at = section.end;
        if let Some(inner) = section.nested() {
            if open.len() > MAX_NESTING {
                return Err(Refusal::new(Reason::WasmLimit, format!("nested deeper than {MAX_NESTING}")));
            }
            let start = section.end - section.content.len();
            if layer_of(section.content, start)? != inner {
                return Err(malformed(start, "a module where a component belongs, or the reverse"));
            }
            open.push((inner, section.end));
            at = start + HEADER;
        }
        sections.push(section);
    }
    Ok((outermost, sections))
}

/// A section with this id and content, as the file spells it.
pub(super) fn encode_custom(name: &str, content: &[u8]) -> Vec<u8> {
    let mut body = varint_of(name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content);
    let mut section = vec![0];
    section.extend(varint_of(body.len()));
    section.extend(body);
    section
}

impl Section<'_> {
    fn nested(&self) -> Option<Layer> {
        match (self.layer, self.id) {
            (Layer::Component, 1) => Some(Layer::Module),
            (Layer::Component, 4) => Some(Layer::Component),
            _ => None,
        }
    }
}

fn section(bytes: &[u8], start: usize, end: usize, layer: Layer, depth: usize) -> Result<Section<'_>, Refusal> {
    let cut = || malformed(start, "a section is cut short, or its length is not in the shortest form");
    let within = bytes.get(start..end).ok_or_else(cut)?;
    let (&id, rest) = within.split_first().ok_or_else(cut)?;
    let body = sized(rest).ok_or_else(cut)?;
    let name = if id == 0 { Some(sized(body).ok_or_else(cut)?) } else { None };
    let named = name.map_or(0, |name| varint_of(name.len()).len() + name.len());
    let content = body.get(named..).ok_or_else(cut)?;
    let end = start + 1 + varint_of(body.len()).len() + body.len();
    Ok(Section { depth, layer, id, start, end, name, content })
}

// The bytes that a shortest-form length counts off the front.
fn sized(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = varint(bytes)?;
    rest.get(..length)
}

// An unsigned 32-bit LEB128 in its one shortest spelling: padding would hide bytes from the hash in the claims (T33).
fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().copied().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let shortest = byte != 0 || index == 0;
            let value = u32::try_from(value).ok().filter(|_| shortest)?;
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

fn varint_of(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

fn layer_of(bytes: &[u8], at: usize) -> Result<Layer, Refusal> {
    match bytes.get(..HEADER) {
        Some(b"\0asm\x01\0\0\0") => Ok(Layer::Module),
        Some(b"\0asm\x0d\0\x01\0") => Ok(Layer::Component),
        _ => Err(malformed(at, "neither the header of a core module nor that of a component")),
    }
}

fn malformed(at: usize, what: &str) -> Refusal {
    Refusal::new(Reason::WasmMalformed, format!("{what}, at byte {at}"))
}

const HEADER: usize = 8;
