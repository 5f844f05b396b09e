//! Turns a core module into a component without custom sections, and says what it imports and exports.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use wasmparser::{Encoding, Parser, Payload, Validator};
use wit_component::ComponentEncoder;

/// Magic and version of a module or component.
const HEADER: usize = 8;
/// The layer field of the header: 0 for a module, 1 for a component.
const LAYER: usize = 6;
const CUSTOM: u8 = 0;
/// Sections of a component that hold a whole module or component.
const NESTED: [u8; 2] = [1, 4];

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(module), Some(output), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: encode MODULE OUTPUT".into());
    };
    let encoded = ComponentEncoder::default().module(&fs::read(module)?)?.validate(true).encode()?;
    let bare = bare(&encoded)?;
    Validator::new().validate_all(&bare)?;
    list(&bare)?;
    fs::write(output, bare)?;
    Ok(())
}

/// The same binary without custom sections, every section size in its shortest form, at every level.
fn bare(binary: &[u8]) -> Outcome<Vec<u8>> {
    let (header, mut rest) = binary.split_at_checked(HEADER).ok_or("no header")?;
    let is_component = header[LAYER] == 1;
    let mut out = header.to_vec();
    while let Some((&id, after)) = rest.split_first() {
        let (size, after) = read_size(after)?;
        let (body, after) = after.split_at_checked(size).ok_or("section is cut off")?;
        rest = after;
        if id == CUSTOM {
            continue;
        }
        out.push(id);
        if is_component && NESTED.contains(&id) {
            let body = bare(body)?;
            push_size(&mut out, body.len());
            out.extend(body);
        } else {
            push_size(&mut out, size);
            out.extend(body);
        }
    }
    Ok(out)
}

fn read_size(bytes: &[u8]) -> Outcome<(usize, &[u8])> {
    let mut size = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        size |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((size, &bytes[index + 1..]));
        }
    }
    Err("size is malformed".into())
}

fn push_size(out: &mut Vec<u8>, mut size: usize) {
    while size >= 0x80 {
        out.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    out.push(size as u8);
}

/// Prints the imports and exports of the outermost component.
fn list(component: &[u8]) -> Outcome<()> {
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { encoding, .. } if depth == 0 && encoding != Encoding::Component => {
                return Err("not a component".into());
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    println!("  import {}", import?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    println!("  export {}", export?.name.name);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
