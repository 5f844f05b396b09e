//! One line of an export: an entry exactly as its bytes, with its hash, and what it rests on where that was asked for.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use policy::digest::Digest;
use policy::log::leaf_hash;
use policy::reason::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a line may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An entry.
    Line(Line),
    /// The last line of a segment.
    Seal(Seal),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its index.
    pub index: u64,
    /// Its hash.
    pub hash: Digest,
    /// Its canonical bytes; none where they lie in a segment that was not at hand.
    pub bytes: Vec<u8>,
    /// The signed document that it judged.
    pub document: Option<Vec<u8>>,
    /// What came with it, where no line before has it.
    pub evidence: BTreeMap<Digest, Vec<u8>>,
}

/// What a segment ends with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The checkpoint over its end, signed by the log's key.
    pub checkpoint: String,
    /// The index of its first entry.
    pub first: u64,
    /// The peaks of the tree over all entries up to its end, the largest first.
    pub peaks: Vec<Digest>,
    /// The peaks of the tree over all entries before it.
    pub peaks_before: Vec<Digest>,
    /// How many entries the log had at its end.
    pub size: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default)]
    document: Option<String>,
    #[serde(default)]
    entry: Option<Value>,
    #[serde(default)]
    evidence: BTreeMap<String, String>,
    hash: Digest,
    index: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSeal {
    segment: Seal,
}

impl Line {
    /// Writes it as one line of canonical JSON; its bytes stand in it as they are.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(document) = &self.document {
            put(out, &["\"document\":\"", &BASE64.encode(document), "\","]);
        }
        if !self.bytes.is_empty() {
            out.extend_from_slice(b"\"entry\":");
            out.extend_from_slice(&self.bytes);
            out.push(b',');
        }
        if !self.evidence.is_empty() {
            out.extend_from_slice(b"\"evidence\":{");
            for (at, (sha256, bytes)) in self.evidence.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                put(out, &[comma, "\"", &sha256.to_string(), "\":\"", &BASE64.encode(bytes), "\""]);
            }
            out.extend_from_slice(b"},");
        }
        put(out, &["\"hash\":\"", &self.hash.to_string(), "\",\"index\":", &self.index.to_string(), "}\n"]);
    }

    fn of(wire: Wire) -> Result<Self, Refusal> {
        let Wire { document, entry, evidence, hash, index } = wire;
        let bytes = entry.map(|entry| policy::json::write(&entry)).unwrap_or_default();
        if !bytes.is_empty() && leaf_hash(&bytes) != hash {
            return Err(broken(format!("entry {index} does not have the hash beside it")));
        }
        let evidence = evidence.iter().map(|(sha256, text)| {
            let (sha256, bytes) = (Digest::parse(sha256)?, decoded(text)?);
            if Digest::of(&bytes) != sha256 {
                return Err(broken(format!("the evidence under {sha256} was changed")));
            }
            Ok((sha256, bytes))
        });
        let document = document.as_deref().map(decoded).transpose()?;
        Ok(Self { index, hash, bytes, document, evidence: evidence.collect::<Result<_, Refusal>>()? })
    }
}

impl Seal {
    /// Writes it as one line of canonical JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&policy::json::write(&WireSeal { segment: self.clone() }));
        out.push(b'\n');
    }
}

impl Item {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// `export_mismatch` when it is none, `log_broken` when an entry or a piece of evidence was changed.
    pub fn read(line: &[u8]) -> Result<Self, Refusal> {
        let item = if line.starts_with(b"{\"segment\":") {
            let WireSeal { segment } = serde_json::from_slice(line).map_err(unread)?;
            Self::Seal(segment)
        } else {
            Self::Line(Line::of(serde_json::from_slice(line).map_err(unread)?)?)
        };
        // What is hashed stands in it byte for byte, and nothing besides: no member twice, no other spelling.
        let mut written = Vec::with_capacity(line.len() + 1);
        item.write(&mut written);
        if written.strip_suffix(b"\n") == Some(line) {
            Ok(item)
        } else {
            Err(broken("it is not in its canonical form"))
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Line(line) => line.write(out),
            Self::Seal(seal) => seal.write(out),
        }
    }
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}

fn decoded(text: &str) -> Result<Vec<u8>, Refusal> {
    BASE64.decode(text.as_bytes()).map_err(|_| broken("a piece of evidence is not base64"))
}

// By value, as `map_err` hands it over.
#[allow(clippy::needless_pass_by_value)]
fn unread(error: serde_json::Error) -> Refusal {
    Refusal::new(Reason::ExportMismatch, format!("no line of an export: {error}"))
}

fn broken(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::LogBroken, detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn sample() -> Line {
        let bytes = br#"{"a":"\u001b[31m","index":7}"#.to_vec();
        let evidence = [b"one".to_vec(), vec![0, 255, 10]].map(|bytes| (Digest::of(&bytes), bytes));
        let evidence = BTreeMap::from(evidence);
        Line { index: 7, hash: leaf_hash(&bytes), bytes, document: Some(b"a.b.c".to_vec()), evidence }
    }

    fn written(line: &Line) -> Vec<u8> {
        let mut out = Vec::new();
        line.write(&mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        out
    }

    #[test]
    fn a_line_reads_back_as_it_was_and_is_canonical() {
        for line in [sample(), Line { document: None, evidence: BTreeMap::new(), bytes: Vec::new(), ..sample() }] {
            let out = written(&line);
            let value: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(policy::json::write(&value), out);
            assert_eq!(Item::read(&out).unwrap(), Item::Line(line));
        }
    }

    #[test]
    fn what_was_changed_in_a_line_is_refused() {
        let text = String::from_utf8(written(&sample())).unwrap();
        for (from, to, reason) in [
            ("\"index\":7}", "\"index\":8}", Reason::LogBroken),
            ("b25l", "b25m", Reason::LogBroken),
            ("\"hash\":\"", "\"hash\":\"0", Reason::ExportMismatch),
            ("{\"document\"", "{\"other\":1,\"document\"", Reason::ExportMismatch),
            ("\"index\":7},", "\"index\":9,\"index\":7},", Reason::LogBroken),
            ("\"hash\":", "\"hash\": ", Reason::LogBroken),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert_eq!(Item::read(changed.as_bytes()).unwrap_err().reason, reason, "{to}");
        }
    }

    #[test]
    fn a_seal_reads_back() {
        let peaks = vec![Digest::of(b"1")];
        let seal = Seal { checkpoint: "a\n\u{2014} b\n".into(), first: 0, peaks, peaks_before: Vec::new(), size: 4 };
        let mut out = Vec::new();
        seal.write(&mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        assert!(out.iter().all(|byte| (b' '..=b'~').contains(byte)));
        assert_eq!(Item::read(&out).unwrap(), Item::Seal(seal));
    }
}
