//! The frame of a WebAssembly file and the claims at its end.

use super::{TOKEN, assert_refused, component_of, text};
use crate::artifact::component::attach;
use crate::artifact::sections::{self, MAX_NESTING, MAX_SECTIONS, encode_custom};
use crate::artifact::{MAX_FILE, component};
use crate::digest::Digest;
use crate::reason::Reason;

const MODULE_HEADER: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT_HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

fn module() -> Vec<u8> {
    text(r#"(module (memory 1) (func (export "f") (result i32) i32.const 7) (data (i32.const 0) "hello"))"#)
}

fn component() -> Vec<u8> {
    text(
        r#"(component
            (import "a:b/c@1.0.0" (instance (export "f" (func))))
            (component $inner (core module (func (export "g"))) (core module (func (export "h"))))
            (core module $m (func (export "f") (result i32) i32.const 7))
            (core instance $i (instantiate $m))
            (func (export "run") (result u32) (canon lift (core func $i "f"))))"#,
    )
}

fn claims() -> Vec<u8> {
    encode_custom("wasmcloud_jwt", TOKEN.as_bytes())
}

fn section(id: u8, body: &[u8]) -> Vec<u8> {
    joined(&[&[id], &padded(body.len(), 0), body])
}

// A LEB128 with so many bytes more than it needs.
fn padded(mut value: usize, more: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    for _ in 0..more {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push(0);
    }
    bytes
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn claims_are_read_and_the_hash_is_that_of_the_unsigned_file() {
    for bytes in [module(), component()] {
        let signed = joined(&[&bytes, &claims()]);
        let file = component_of(&signed);
        assert_eq!(file.token(), Some(TOKEN.as_bytes()));
        assert_eq!(file.sha256(), Digest::of(&signed));
        assert_eq!(file.claims_hash(), Digest::of(&bytes));
        let unsigned = component_of(&bytes);
        assert_eq!(unsigned.token(), None);
        assert_eq!(unsigned.claims_hash(), unsigned.sha256());
        assert_eq!(unsigned.imports(), file.imports());
    }
    assert!(component_of(&component()).is_component());
    assert!(!component_of(&module()).is_component());
}

#[test]
fn t32_one_claims_section_at_the_top_and_the_end() {
    let (legacy, other) = (encode_custom("jwt", TOKEN.as_bytes()), encode_custom("name-of-mine", b"x"));
    let claims = claims();
    for bytes in [module(), component()] {
        let (header, rest) = bytes.split_at(8);
        let cases: [(&str, &[&[u8]], Reason); 9] = [
            ("two at the end", &[&bytes, &claims, &claims], Reason::ClaimsDuplicate),
            ("one first, one last", &[header, &claims, rest, &claims], Reason::ClaimsDuplicate),
            ("legacy first, honest last", &[header, &legacy, rest, &claims], Reason::ClaimsDuplicate),
            ("honest, then legacy", &[&bytes, &claims, &legacy], Reason::ClaimsDuplicate),
            ("first only", &[header, &claims, rest], Reason::ClaimsMisplaced),
            ("legacy last", &[&bytes, &legacy], Reason::ClaimsMisplaced),
            ("legacy first", &[header, &legacy, rest], Reason::ClaimsMisplaced),
            ("a section behind", &[&bytes, &claims, &other], Reason::ClaimsMisplaced),
            ("two legacy", &[&bytes, &legacy, &legacy], Reason::ClaimsDuplicate),
        ];
        for (what, parts, reason) in cases {
            assert_refused(&joined(parts), reason, what);
        }
        component_of(&joined(&[header, &other, rest, &other, &claims]));
    }
}

#[test]
fn t32_claims_within_a_nested_module_are_no_claims() {
    let legacy = encode_custom("jwt", TOKEN.as_bytes());
    for claims in [claims(), legacy] {
        let module = joined(&[&module(), &claims]);
        let one = joined(&[COMPONENT_HEADER, &section(1, &module)]);
        let two = joined(&[COMPONENT_HEADER, &section(4, &one)]);
        let beside = joined(&[COMPONENT_HEADER, &section(4, &joined(&[COMPONENT_HEADER, &claims]))]);
        for nested in [one, two, beside] {
            assert_refused(&nested, Reason::ClaimsMisplaced, "nested only");
            assert_refused(&joined(&[&nested, &self::claims()]), Reason::ClaimsDuplicate, "nested beside honest");
        }
    }
}

#[test]
fn t32_nothing_follows_the_claims() {
    for bytes in [module(), component()] {
        let signed = joined(&[&bytes, &claims()]);
        for byte in 0..=255 {
            assert_refused(&joined(&[&signed, &[byte]]), Reason::WasmMalformed, "one byte behind");
        }
        assert_refused(&joined(&[&signed, b"PK\x03\x04 and the rest of a zip"]), Reason::WasmMalformed, "a zip behind");
        assert_refused(&joined(&[&signed, &signed]), Reason::WasmMalformed, "itself behind");
        assert!(super::read(&joined(&[b"PK\x03\x04", &signed])).is_err());
    }
}

#[test]
fn t32_a_cut_file_never_carries_its_claims() {
    for bytes in [module(), component()] {
        let signed = joined(&[&bytes, &claims()]);
        let (_, sections) = sections::walk(&signed).unwrap();
        let starts: Vec<_> =
            sections.iter().filter(|section| section.depth == 0).map(|section| section.start).collect();
        for cut in 0..signed.len() {
            match super::read(&signed[..cut]) {
                Err(refusal) => assert_eq!(refusal.reason, Reason::WasmMalformed, "cut at {cut}: {refusal}"),
                // Between two sections a file may end, but then it is another file, and unsigned.
                Ok(_) => {
                    assert!(starts.contains(&cut), "cut at {cut}");
                    assert_eq!(component_of(&signed[..cut]).token(), None);
                }
            }
        }
    }
}

#[test]
fn t33_every_length_has_one_spelling() {
    for bytes in [joined(&[&module(), &claims()]), joined(&[&component(), &claims()])] {
        let (_, sections) = sections::walk(&bytes).unwrap();
        for one in sections.iter().filter(|section| section.depth == 0) {
            let body_length = one.content.len() + one.name.map_or(0, |name| name.len() + 1);
            let length = padded(body_length, 0).len();
            for more in 1..=5 {
                let (before, after) = (&bytes[..=one.start], &bytes[one.start + 1 + length..]);
                let long = joined(&[before, &padded(body_length, more), after]);
                assert_refused(&long, Reason::WasmMalformed, &format!("section {} padded by {more}", one.id));
            }
        }
    }
}

#[test]
fn t33_lengths_within_nested_modules_too() {
    let body = [0x01, 0x60, 0, 0];
    let name = |more| joined(&[&padded(1, more), b"n", b"content"]);
    for more in [0, 1, 4] {
        let type_section = joined(&[&[1], &padded(body.len(), more), &body]);
        let custom = section(0, &name(more));
        for inner in [joined(&[MODULE_HEADER, &type_section]), joined(&[MODULE_HEADER, &custom])] {
            let one = joined(&[COMPONENT_HEADER, &section(1, &inner)]);
            let two = joined(&[COMPONENT_HEADER, &section(4, &one)]);
            for bytes in [inner, one, two] {
                match more {
                    0 => drop(component_of(&bytes)),
                    _ => assert_refused(&bytes, Reason::WasmMalformed, "padded at some depth"),
                }
            }
        }
    }
    let padded_name = joined(&[&module(), &section(0, &joined(&[&padded(13, 1), b"wasmcloud_jwt", TOKEN.as_bytes()]))]);
    assert_refused(&padded_name, Reason::WasmMalformed, "the name of the claims");
}

#[test]
fn t33_lengths_that_overflow_are_refused() {
    for length in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff, 0xff, 0xff, 0xff, 0x1f], &[0x80; 5], &[0xff; 10]] {
        assert_refused(&joined(&[MODULE_HEADER, &[0], length]), Reason::WasmMalformed, "a section's length");
        let name = section(0, length);
        assert_refused(&joined(&[MODULE_HEADER, &name]), Reason::WasmMalformed, "a name's length");
    }
}

#[test]
fn t33_headers_are_exact_at_every_depth() {
    for at in 0..8 {
        for flip in [0x01, 0x0c, 0x80] {
            let mut inner = module();
            inner[at] ^= flip;
            let one = joined(&[COMPONENT_HEADER, &section(1, &inner)]);
            assert_refused(&one, Reason::WasmMalformed, "a nested header");
            if at >= 4 && inner[..8] != *COMPONENT_HEADER {
                assert_refused(&inner, Reason::WasmMalformed, "the header");
            }
        }
    }
    assert_refused(b"\0asm\x0c\0\x01\0", Reason::WasmMalformed, "a component of before 2024");
    assert_refused(&joined(&[COMPONENT_HEADER, &section(1, COMPONENT_HEADER)]), Reason::WasmMalformed, "swapped");
    assert_refused(&joined(&[COMPONENT_HEADER, &section(4, MODULE_HEADER)]), Reason::WasmMalformed, "swapped");
    assert_refused(&joined(&[COMPONENT_HEADER, &section(1, b"")]), Reason::WasmMalformed, "empty");
}

#[test]
fn t33_every_byte_is_in_a_digest() {
    for bytes in [module(), component()] {
        let signed = joined(&[&bytes, &claims()]);
        let honest = component_of(&signed);
        for at in 0..signed.len() {
            let mut other = signed.clone();
            other[at] ^= 1;
            let Ok(super::Artifact::Component(file)) = super::read(&other) else { continue };
            assert_ne!(file.sha256(), honest.sha256());
            assert!(file.claims_hash() != honest.claims_hash() || file.token() != honest.token(), "byte {at}");
        }
    }
}

#[test]
fn bytes_that_do_not_validate_are_refused() {
    let mut module = module();
    let at = module.windows(2).position(|pair| pair == [0x41, 7]).unwrap();
    module[at] = 0x42;
    assert_refused(&module, Reason::WasmMalformed, "an i64 where an i32 belongs");
}

#[test]
fn t07_nesting_has_a_limit() {
    let nested = |depth: usize| {
        (0..depth).fold(COMPONENT_HEADER.to_vec(), |inner, _| joined(&[COMPONENT_HEADER, &section(4, &inner)]))
    };
    component_of(&nested(MAX_NESTING));
    assert_refused(&nested(MAX_NESTING + 1), Reason::WasmLimit, "one deeper");
    on_small_stack(move || assert_refused(&nested(5_000), Reason::WasmLimit, "much deeper"));
}

#[test]
fn t07_types_nest_no_deeper() {
    for kind in [0x41, 0x42] {
        let nested = move |depth: usize| {
            let mut body = vec![1];
            body.extend([kind, 1, 1].repeat(depth - 1));
            body.extend([kind, 0]);
            joined(&[COMPONENT_HEADER, &section(7, &body)])
        };
        component_of(&nested(MAX_NESTING));
        assert_refused(&nested(MAX_NESTING + 1), Reason::WasmLimit, "one deeper");
        on_small_stack(move || assert_refused(&nested(1_000_000), Reason::WasmLimit, "much deeper"));
    }
}

#[test]
fn t07_types_deep_by_reference_end_no_thread() {
    // Type 0 is empty; each further one aliases its predecessor and exports an item of that type.
    let types = |kind: u8, item: u8, count: usize| {
        let mut body = joined(&[&padded(count, 0), &[kind, 0]]);
        for index in 0..count - 1 {
            body.extend([kind, 2, 0x02, 0x03, 0x02, 0x01]);
            body.extend(padded(index, 0));
            body.extend([0x04, 0x00, 1, b'x', item, 0]);
        }
        joined(&[COMPONENT_HEADER, &section(7, &body)])
    };
    // Each instance exports its predecessor.
    let instances = |count: usize| {
        let mut body = joined(&[&padded(count, 0), &[0x01, 0]]);
        for index in 0..count - 1 {
            body.extend([0x01, 1, 0x00, 1, b'x', 0x05]);
            body.extend(padded(index, 0));
        }
        joined(&[COMPONENT_HEADER, &section(5, &body)])
    };
    for (short, long) in [
        (types(0x41, 0x04, 90), types(0x41, 0x04, 10_000)),
        (types(0x42, 0x05, 90), types(0x42, 0x05, 10_000)),
        (instances(90), instances(900)),
    ] {
        on_small_stack(move || {
            component_of(&short);
            assert_refused(&long, Reason::WasmLimit, "a chain of types");
        });
    }
}

#[test]
fn t07_sections_and_sizes_have_a_limit() {
    let many = |count: usize| joined(&[MODULE_HEADER, &encode_custom("x", b"").repeat(count)]);
    component_of(&many(MAX_SECTIONS));
    assert_refused(&many(MAX_SECTIONS + 1), Reason::WasmLimit, "one section more");
    assert_refused(&many(MAX_SECTIONS * 1000), Reason::WasmLimit, "a thousandfold");
    let nested = joined(&[COMPONENT_HEADER, &section(1, &many(MAX_SECTIONS - 1))]);
    component_of(&nested);
    assert_refused(&joined(&[&nested, &claims()]), Reason::WasmLimit, "at all depths together");
    // A header, a section's number, five bytes of length, an empty name.
    let mut large = joined(&[MODULE_HEADER, &[0], &padded(MAX_FILE - 13, 0)]);
    large.resize(MAX_FILE + 1, 0);
    assert_eq!(sections::walk(&large).unwrap_err().reason, Reason::WasmLimit);
    large.truncate(MAX_FILE);
    assert_eq!(sections::walk(&large).unwrap().1.len(), 1);
}

#[test]
fn attaching_again_replaces_the_claims_and_nothing_else() {
    for bytes in [module(), component()] {
        let once = attach(&bytes, TOKEN).unwrap();
        assert_eq!(once, joined(&[&bytes, &claims()]));
        let twice = attach(&once, "another.token.altogether").unwrap();
        assert_eq!(component_of(&twice).token(), Some(&b"another.token.altogether"[..]));
        assert_eq!(component_of(&twice).claims_hash(), Digest::of(&bytes));
        assert_eq!(attach(&twice, TOKEN).unwrap(), once);
    }
}

#[test]
fn nothing_is_attached_to_a_file_with_claims_elsewhere() {
    let reason = |bytes: &[u8]| attach(bytes, TOKEN).unwrap_err().reason;
    let legacy = encode_custom("jwt", TOKEN.as_bytes());
    assert_eq!(reason(&joined(&[&module(), &legacy])), Reason::ClaimsMisplaced);
    assert_eq!(reason(&joined(&[MODULE_HEADER, &claims(), &module()[8..]])), Reason::ClaimsMisplaced);
    assert_eq!(reason(&joined(&[&module(), &claims(), &claims()])), Reason::ClaimsDuplicate);
    assert_eq!(reason(b"\x7fELF"), Reason::WasmMalformed);
    let full = joined(&[MODULE_HEADER, &encode_custom("x", b"").repeat(MAX_SECTIONS)]);
    assert_eq!(reason(&full), Reason::WasmLimit);
    assert!(component::read(&full).is_ok());
}

fn on_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap().join().unwrap();
}
