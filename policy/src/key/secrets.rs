//! What looks like a secret has no place in anything that is stored or repeated: seeds, PEM blocks, bearer tokens.

use std::sync::LazyLock;

use data_encoding::BASE64URL_NOPAD;
use memchr::memmem::Finder;

use crate::reason::{Reason, Refusal};

/// Refuses text that holds what looks like a seed, a PEM or a bearer token (T69).
///
/// # Errors
/// `secret_in_input`; the message never repeats the text.
pub fn refuse_secrets(bytes: &[u8]) -> Result<(), Refusal> {
    let found = |what: &str| {
        Err(Refusal::new(Reason::SecretInInput, format!("the input holds {what}; it was neither stored nor repeated")))
    };
    if PEM.find(bytes).is_some() {
        return found("a PEM block");
    }
    if BEARER.find(bytes).is_some() {
        return found("a bearer token");
    }
    if holds_seed(bytes) { found("an nkey seed") } else { Ok(()) }
}

/// As [`refuse_secrets`], for strict JSON: also what escapes hide in its strings.
///
/// # Errors
/// `secret_in_input`.
pub fn refuse_secrets_in_json(bytes: &[u8]) -> Result<(), Refusal> {
    refuse_secrets(bytes)?;
    if !bytes.contains(&b'\\') {
        return Ok(());
    }
    // Written anew, every character that can be plain is plain.
    let plain = serde_json::from_slice::<serde_json::Value>(bytes).map(|value| crate::json::write(&value));
    plain.map_or(Ok(()), |plain| refuse_secrets(&plain))
}

/// Refuses what comes along with a document and hides a secret: behind escapes of JSON or of rules, in the payload of a
/// token.
///
/// It is asked where bytes come in. A log is judged again without it: what is recorded is judged as it was.
///
/// # Errors
/// `secret_in_input`.
pub fn refuse_hidden_secrets(piece: &[u8]) -> Result<(), Refusal> {
    let mut segments = piece.split(|byte| *byte == b'.');
    let (_, second, third, more) = (segments.next(), segments.next(), segments.next(), segments.next());
    let payload = second.filter(|_| third.is_some() && more.is_none());
    if let Some(payload) = payload.and_then(|payload| BASE64URL_NOPAD.decode(payload).ok()) {
        refuse_secrets(&payload)?;
        refuse_escaped(&payload)?;
    }
    refuse_escaped(piece)
}

fn refuse_escaped(text: &[u8]) -> Result<(), Refusal> {
    if text.contains(&b'\\') { refuse_secrets(&plain(text)) } else { Ok(()) }
}

// Without its escapes: each ASCII letter that can be plain is, whatever the text is.
fn plain(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let escape = if *byte == b'\\' { escaped(after) } else { None };
        let (byte, after) = escape.unwrap_or((*byte, after));
        plain.push(byte);
        rest = after;
    }
    plain
}

// The letter that is escaped, and what follows it; a space stands for whatever is no ASCII. What is no escape is left.
fn escaped(after: &[u8]) -> Option<(u8, &[u8])> {
    let (kind, digits) = after.split_first()?;
    let (hex, rest) = match (kind, digits.split_first()) {
        (b'u', Some((b'{', digits))) => {
            let end = digits.iter().take(MOST_DIGITS).position(|byte| *byte == b'}')?;
            let (hex, rest) = digits.split_at_checked(end)?;
            (hex, rest.get(1..)?)
        }
        (b'u', _) => digits.split_at_checked(4)?,
        (b'x', _) => digits.split_at_checked(2)?,
        _ => return Some((*kind, digits)),
    };
    let number = u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?;
    Some((u8::try_from(number).ok().filter(u8::is_ascii).unwrap_or(b' '), rest))
}

// Made once: a search costs less than to prepare it.
static PEM: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"-----BEGIN "));
static BEARER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"Bearer "));

// `S[A-Z2-7]{57}`, whatever its checksum: a mistyped seed is a secret too. So long a run holds one of every 58 bytes.
fn holds_seed(bytes: &[u8]) -> bool {
    let in_run = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'2'..=b'7');
    let mut at = SEED - 1;
    while let (Some(before), Some(after)) = (bytes.get(..at), bytes.get(at..)) {
        let length = after.iter().take_while(|byte| in_run(byte)).count();
        if length > 0 {
            let start = at - before.iter().rev().take_while(|byte| in_run(byte)).count();
            let run = bytes.get(start..at + length).unwrap_or_default();
            if run.iter().position(|byte| *byte == b'S').is_some_and(|first| run.len() - first >= SEED) {
                return true;
            }
        }
        at += length + SEED;
    }
    false
}

// More digits than any letter has.
const MOST_DIGITS: usize = 8;
// The letters of an nkey seed.
const SEED: usize = 58;
