//! The one canonical writer: RFC 8785 order, printable ASCII, one line.
//!
//! Reading is left to [`super`].

use serde::Serialize;
use serde_json::Value;

use super::canon;

/// Writes a document in RFC 8785 order, without white space, everything outside printable ASCII escaped, so that a
/// document is one line that no terminal acts on (T68).
pub fn write<T: Serialize>(document: &T) -> Vec<u8> {
    // INVARIANT: our documents have text keys and no bytes, which always have a canonical form.
    let mut out = String::with_capacity(1024);
    if canon::write(document, &mut out).is_err() {
        "null".clone_into(&mut out);
    }
    out.into_bytes()
}

/// Writes a value that is in memory whole.
pub(super) fn write_any(value: &Value, out: &mut String) {
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

/// Whether a text is written as it is, as nearly every one of ours.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
}

pub(super) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    if is_plain(text) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for char in text.chars() {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    // In this order, which is not the order of their names.
    #[derive(Serialize)]
    struct Sample {
        zebra: Option<u64>,
        alpha: Vec<(i32, bool)>,
        maps: BTreeMap<String, Kind>,
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<u8>,
    }

    #[derive(Serialize, Clone, Debug)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Unit,
        Wrapped(String),
        Pair(u8, char),
        Named { second: f64, first: () },
    }

    fn through_a_value(document: &impl Serialize) -> Vec<u8> {
        let mut out = String::new();
        write_any(&serde_json::to_value(document).unwrap(), &mut out);
        out.into_bytes()
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::Unit),
            any::<String>().prop_map(Kind::Wrapped),
            any::<(u8, char)>().prop_map(|(number, char)| Kind::Pair(number, char)),
            any::<f64>().prop_map(|second| Kind::Named { second, first: () }),
        ]
    }

    proptest! {
        #[test]
        fn straight_or_through_a_value_the_bytes_are_the_same(
            zebra in any::<Option<u64>>(),
            alpha in any::<Vec<(i32, bool)>>(),
            maps in proptest::collection::btree_map(any::<String>(), kinds(), 0..6),
        ) {
            let sample = Sample { zebra, alpha, maps, absent: None };
            prop_assert_eq!(write(&sample), through_a_value(&sample));
        }
    }
}
