//! The strict JSON reader and the one canonical writer.
//!
//! Reading is two steps over the same bytes: [`check`] admits exactly one unambiguous text within the limits, then
//! serde gives it its type. What is ambiguous (a duplicate member, a lone surrogate, trailing data) never gets to
//! serde, so it cannot matter how serde would have read it (T03, T05, T07). A struct is an object, never an array.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::json::objects::Objects;
use crate::reason::{Reason, Refusal};

mod canon;
mod objects;
mod writer;

pub use writer::write;

/// What a text may hold besides objects, arrays, strings, booleans and whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Our own documents: whole numbers only, no null.
    Own,
    /// Wascap claims: as ours, but below a member `config_schema` any JSON goes, because a JSON Schema may need it.
    Claims,
    /// Any strict JSON.
    Any,
}

/// The limits on one text.
pub const MAX_DEPTH: usize = 16;
/// Members of one object.
pub const MAX_MEMBERS: usize = 256;
/// Elements of one array.
pub const MAX_ELEMENTS: usize = 4096;
/// Bytes of one string, escapes resolved.
pub const MAX_STRING: usize = 1024;
/// The largest whole number that every JSON reader keeps exact.
pub const MAX_INTEGER: u64 = 1 << 53;

/// Reads one of our own documents.
///
/// # Errors
/// `json_*` when the text is not strict, `schema_mismatch` or a field's own reason when it does not fit `T`.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    check(bytes, Profile::Own)?;
    typed(bytes)
}

/// Reads the JSON of wascap claims.
///
/// # Errors
/// As [`read`].
pub fn read_claims<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    check(bytes, Profile::Claims)?;
    typed(bytes)
}

/// Admits one strict JSON text within the limits, and nothing after it.
///
/// # Errors
/// `json_malformed`, `json_duplicate` or `json_limit`, with the offset.
pub fn check(bytes: &[u8], profile: Profile) -> Result<(), Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|error| malformed(error.valid_up_to(), "invalid UTF-8"))?;
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0, profile, free_below: None, open: Vec::new() };
    scanner.text()
}

/// Gives a value that was read strictly its type.
///
/// # Errors
/// `schema_mismatch` or a field's own reason.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Refusal> {
    T::deserialize(Objects(value)).map_err(mistyped)
}

fn typed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    T::deserialize(Objects(&mut serde_json::Deserializer::from_slice(bytes))).map_err(mistyped)
}

fn mistyped(error: serde_json::Error) -> Refusal {
    let text = error.to_string();
    // A field's own refusal travels through serde as text that starts with its code.
    let own = text.split_once(": ").and_then(|(code, rest)| Some((Reason::from_code(code)?, rest)));
    own.map_or_else(|| Refusal::new(Reason::SchemaMismatch, text.clone()), |(reason, rest)| Refusal::new(reason, rest))
}

enum Open<'a> {
    Object(BTreeSet<Cow<'a, str>>),
    Array(usize),
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    profile: Profile,
    // Depth below which numbers and nulls are free, while inside `config_schema`.
    free_below: Option<usize>,
    open: Vec<Open<'a>>,
}

impl<'a> Scanner<'a> {
    fn text(&mut self) -> Result<(), Refusal> {
        loop {
            self.spaces();
            let opened = self.value()?;
            if !opened && self.close()? {
                break;
            }
        }
        self.spaces();
        if self.at == self.bytes.len() { Ok(()) } else { Err(malformed(self.at, "something follows the value")) }
    }

    // One value's start; true when it opened a container that holds a first value to read.
    fn value(&mut self) -> Result<bool, Refusal> {
        match self.peek() {
            Some(b'{') => self.open_object(),
            Some(b'[') => self.open_array(),
            Some(b'"') => self.string().map(|_| false),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') if self.is_free() => self.word("null"),
            Some(b'n') => Err(malformed(self.at, "null has no meaning here")),
            _ => Err(malformed(self.at, "a value was expected")),
        }
    }

    fn open_object(&mut self) -> Result<bool, Refusal> {
        self.descend(Open::Object(BTreeSet::new()))?;
        if self.take(b'}') {
            self.ascend();
            return Ok(false);
        }
        self.member()?;
        Ok(true)
    }

    fn open_array(&mut self) -> Result<bool, Refusal> {
        self.descend(Open::Array(1))?;
        if self.take(b']') {
            self.ascend();
            return Ok(false);
        }
        Ok(true)
    }

    // After a complete value: closes what ends here; true when the whole text is complete.
    fn close(&mut self) -> Result<bool, Refusal> {
        loop {
            self.spaces();
            let (at, next) = (self.at, self.peek());
            match (self.open.last_mut(), next) {
                (None, _) => return Ok(true),
                (Some(Open::Object(_)), Some(b'}')) | (Some(Open::Array(_)), Some(b']')) => {
                    self.at += 1;
                    self.ascend();
                }
                (Some(Open::Object(_)), Some(b',')) => {
                    self.at += 1;
                    return self.member().map(|()| false);
                }
                (Some(Open::Array(count)), Some(b',')) => {
                    *count += 1;
                    self.at += 1;
                    return if *count > MAX_ELEMENTS {
                        Err(limit(at, "an array has too many elements"))
                    } else {
                        Ok(false)
                    };
                }
                (Some(_), _) => return Err(malformed(at, "`,` or the end of the list was expected")),
            }
        }
    }

    fn member(&mut self) -> Result<(), Refusal> {
        self.spaces();
        let at = self.at;
        let name = self.string()?;
        self.spaces();
        if !self.take(b':') {
            return Err(malformed(self.at, "`:` was expected"));
        }
        if self.profile == Profile::Claims && self.free_below.is_none() && name == "config_schema" {
            self.free_below = Some(self.open.len());
        } else if self.free_below == Some(self.open.len()) {
            self.free_below = None;
        }
        let Some(Open::Object(names)) = self.open.last_mut() else {
            return Err(malformed(at, "a member stands outside an object"));
        };
        if !names.insert(name) {
            return Err(Refusal::new(Reason::JsonDuplicate, format!("a member is named twice at byte {at}")));
        }
        if names.len() > MAX_MEMBERS { Err(limit(at, "an object has too many members")) } else { Ok(()) }
    }

    fn descend(&mut self, open: Open<'a>) -> Result<(), Refusal> {
        if self.open.len() >= MAX_DEPTH {
            return Err(limit(self.at, "nested too deep"));
        }
        self.at += 1;
        self.open.push(open);
        self.spaces();
        Ok(())
    }

    fn ascend(&mut self) {
        self.open.pop();
        if self.free_below.is_some_and(|depth| depth > self.open.len()) {
            self.free_below = None;
        }
    }

    fn is_free(&self) -> bool {
        self.profile == Profile::Any || self.free_below.is_some()
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Refusal> {
        let start = self.at;
        if !self.take(b'"') {
            return Err(malformed(start, "a string was expected"));
        }
        if let Some(plain) = self.plain_string() {
            return if plain.len() > MAX_STRING { Err(limit(start, "a string is too long")) } else { Ok(plain.into()) };
        }
        let mut text: Vec<u8> = Vec::new();
        loop {
            let at = self.at;
            let Some(byte) = self.next() else {
                return Err(malformed(at, "a string does not end"));
            };
            match byte {
                b'"' => break,
                b'\\' => {
                    let char = self.escape()?;
                    text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1f => return Err(malformed(at, "a control character stands in a string")),
                _ => text.push(byte),
            }
            if text.len() > MAX_STRING {
                return Err(limit(start, "a string is too long"));
            }
        }
        String::from_utf8(text).map(Cow::Owned).map_err(|_| malformed(start, "invalid UTF-8"))
    }

    // The rest of a string that holds no escape: its own text. Whatever else it is, the long way finds out.
    fn plain_string(&mut self) -> Option<&'a str> {
        let rest = self.bytes.get(self.at..)?;
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        let plain = self.text.get(self.at..self.at + end).filter(|_| rest.get(end) == Some(&b'"'))?;
        self.at += end + 1;
        Some(plain)
    }

    fn escape(&mut self) -> Result<char, Refusal> {
        let at = self.at;
        let wrong = || malformed(at, "an unknown escape");
        Ok(match self.next().ok_or_else(wrong)? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4()?;
                if (0xd800..0xdc00).contains(&first) {
                    if !(self.take(b'\\') && self.take(b'u')) {
                        return Err(malformed(at, "a lone surrogate"));
                    }
                    let second = self.hex4()?;
                    char::decode_utf16([first, second]).next().and_then(Result::ok)
                } else {
                    char::from_u32(u32::from(first))
                }
                .ok_or_else(|| malformed(at, "a lone surrogate"))?
            }
            _ => return Err(wrong()),
        })
    }

    fn hex4(&mut self) -> Result<u16, Refusal> {
        let at = self.at;
        let digits = self.bytes.get(at..at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        self.at += 4;
        let value =
            digits.and_then(|digits| std::str::from_utf8(digits).ok()).map(|text| u16::from_str_radix(text, 16));
        value.and_then(Result::ok).ok_or_else(|| malformed(at, "four hex digits were expected"))
    }

    fn number(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        self.take(b'-');
        let (whole, negative_zero) = (self.digits(), self.bytes.get(start..self.at) == Some(b"-0".as_slice()));
        let leading_zero = whole > 1 && self.bytes.get(self.at - whole) == Some(&b'0');
        if whole == 0 || leading_zero {
            return Err(malformed(start, "not a JSON number"));
        }
        let mut plain = !negative_zero;
        if self.take(b'.') {
            plain = false;
            if self.digits() == 0 {
                return Err(malformed(start, "not a JSON number"));
            }
        }
        if self.take(b'e') || self.take(b'E') {
            plain = false;
            let _signed = self.take(b'+') || self.take(b'-');
            if self.digits() == 0 {
                return Err(malformed(start, "not a JSON number"));
            }
        }
        let text = self.bytes.get(start..self.at).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        let magnitude = text.trim_start_matches('-').parse::<u64>();
        match (plain && magnitude.is_ok_and(|value| value <= MAX_INTEGER), self.is_free()) {
            (true, _) => Ok(()),
            (false, true) if text.parse::<f64>().is_ok_and(f64::is_finite) && (!plain || text.len() <= 16) => Ok(()),
            (false, true) => Err(malformed(start, "a number is out of range")),
            (false, false) => Err(malformed(start, "a number is not whole, or out of range")),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn word(&mut self, word: &str) -> Result<bool, Refusal> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(malformed(self.at, "a value was expected"));
        }
        self.at += word.len();
        Ok(false)
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }
}

fn malformed(at: usize, why: &str) -> Refusal {
    Refusal::new(Reason::JsonMalformed, format!("{why} at byte {at}"))
}

fn limit(at: usize, why: &str) -> Refusal {
    Refusal::new(Reason::JsonLimit, format!("{why} at byte {at}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason(text: &[u8]) -> Reason {
        check(text, Profile::Any).unwrap_err().reason
    }

    #[test]
    fn t03_duplicates_are_refused_at_every_level_and_after_unescaping() {
        for text in [
            r#"{"iss":1,"iss":2}"#,
            r#"{"iss":1,"\u0069ss":2}"#,
            r#"{"a":{"b":[{"exp":1,"exp":1}]}}"#,
            r#"{"unknown":{"k":1,"x":2,"k":3}}"#,
        ] {
            assert_eq!(reason(text.as_bytes()), Reason::JsonDuplicate, "{text}");
        }
        assert!(check(br#"{"iss":1,"ISS":2,"a":{"iss":3}}"#, Profile::Any).is_ok());
    }

    #[test]
    fn t05_each_leniency_is_refused() {
        let lax: [&[u8]; 30] = [
            b"",
            b" ",
            b"{",
            b"[1,]",
            b"{\"a\":1,}",
            b"{a:1}",
            b"{'a':1}",
            b"// c\n1",
            b"/* c */1",
            b"NaN",
            b"Infinity",
            b"1 2",
            b"{}{}",
            b"\xef\xbb\xbf{}",
            b"{\0\"\0a",
            b"\"\xff\"",
            b"\"\\ud800\"",
            b"\"\\udc00x\"",
            b"\"\\ud800\\u0041\"",
            b"+1",
            b"01",
            b"-01",
            b"0x10",
            b"1.",
            b".5",
            b"1e",
            b"\"a\nb\"",
            b"\"\\x41\"",
            b"tru",
            b"[1 2]",
        ];
        for text in lax {
            assert_eq!(reason(text), Reason::JsonMalformed, "{:?}", String::from_utf8_lossy(text));
        }
        for text in ["1e999", "123456789012345678901"] {
            assert_eq!(reason(text.as_bytes()), Reason::JsonMalformed, "{text}");
        }
        for own in ["null", "{\"a\":null}", "1.0", "1e3", "-0", "9007199254740993"] {
            assert_eq!(check(own.as_bytes(), Profile::Own).unwrap_err().reason, Reason::JsonMalformed, "{own}");
        }
    }

    #[test]
    fn t07_limits_hold_on_both_sides() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let members = |count: usize| {
            let members: Vec<_> = (0..count).map(|index| format!("\"{index}\":1")).collect();
            format!("{{{}}}", members.join(","))
        };
        let elements = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        let string = |length: usize| format!("\"{}\"", "x".repeat(length));
        for (at, above) in [
            (nested(MAX_DEPTH), nested(MAX_DEPTH + 1)),
            (members(MAX_MEMBERS), members(MAX_MEMBERS + 1)),
            (elements(MAX_ELEMENTS), elements(MAX_ELEMENTS + 1)),
            (string(MAX_STRING), string(MAX_STRING + 1)),
            (nested(1), nested(MAX_DEPTH * 1000)),
            (string(1), string(MAX_STRING * 1000)),
        ] {
            assert!(check(at.as_bytes(), Profile::Own).is_ok());
            assert_eq!(reason(above.as_bytes()), Reason::JsonLimit);
        }
    }

    #[test]
    fn only_a_config_schema_is_free() {
        let ok = r#"{"wascap":{"config_schema":{"minimum":0.5,"default":null,"a":[{"b":-1e2}]},"rev":3},"exp":1}"#;
        assert!(check(ok.as_bytes(), Profile::Claims).is_ok());
        assert!(check(ok.as_bytes(), Profile::Own).is_err());
        for bad in [
            r#"{"wascap":{"config_schema":{},"rev":0.5}}"#,
            r#"{"wascap":{"config_schema":null,"rev":null}}"#,
            r#"{"wascap":{"config_schema":{"a":1}},"exp":null}"#,
        ] {
            assert!(check(bad.as_bytes(), Profile::Claims).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_writer_sorts_and_escapes() {
        let value = serde_json::json!({"b": "\u{1b}[31m\u{202e}é\"", "a": [1, true], "A": {"😀": "x"}});
        assert_eq!(write(&value), br#"{"A":{"\ud83d\ude00":"x"},"a":[1,true],"b":"\u001b[31m\u202e\u00e9\""}"#);
    }

    proptest! {
        #[test]
        fn the_reader_agrees_with_serde_on_what_it_admits(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if check(&bytes, Profile::Any).is_ok() {
                prop_assert!(serde_json::from_slice::<Value>(&bytes).is_ok());
            }
        }

        #[test]
        fn what_is_written_reads_back(text in ".*", number in 0..MAX_INTEGER) {
            let value = serde_json::json!({"text": text, "number": number});
            if text.len() <= MAX_STRING {
                prop_assert_eq!(read::<Value>(&write(&value)).unwrap(), value);
            }
        }
    }
}
