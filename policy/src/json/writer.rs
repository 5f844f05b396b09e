//! The one canonical writer: RFC 8785 order, printable ASCII, one line.
//!
//! Reading is left to [`super`].

use serde::Serialize;
use serde_json::Value;

/// Writes a document in RFC 8785 order, without white space, everything outside printable ASCII escaped, so that a
/// document is one line that no terminal acts on (T68).
pub fn write<T: Serialize>(document: &T) -> Vec<u8> {
    // INVARIANT: our documents have text keys and whole numbers, which serde_json always represents.
    write_value(&serde_json::to_value(document).unwrap_or(Value::Null))
}

/// As [`write()`], for what is a value already.
pub fn write_value(value: &Value) -> Vec<u8> {
    let mut out = String::with_capacity(1024);
    write_any(value, &mut out);
    out.into_bytes()
}

fn write_any(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_any(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            // Sorted here, whatever map serde_json was built with; RFC 8785 section 3.2.3 sorts by UTF-16 units.
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_string(name, out);
                out.push(':');
                write_any(member, out);
            }
            out.push('}');
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    // Nearly every string of ours is a key, a digest or a name.
    let plain = text.bytes().take_while(|byte| matches!(byte, b' '..=b'~') && *byte != b'"' && *byte != b'\\').count();
    let (plain, rest) = text.split_at(plain);
    out.push_str(plain);
    for char in rest.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(char),
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}
