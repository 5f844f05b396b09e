//! What looks like a secret has no place in anything that is stored or repeated: seeds, PEM blocks, bearer tokens.

use std::sync::LazyLock;

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

// The letters of an nkey seed.
const SEED: usize = 58;
