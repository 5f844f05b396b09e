//! Entries and checkpoints: what others hold us to must have one text.

use ed25519_dalek::Signer;
use policy::json::{self, Profile};
use policy::log::{Entry, NoteKey, leaf_hash};

use super::court::log_key;

/// The bytes of an entry.
pub(super) fn entry(bytes: &[u8]) {
    let read = Entry::read(bytes);
    assert_eq!(read, Entry::read(bytes));
    let Ok(entry) = read else { return };
    assert_eq!(entry.to_bytes(), bytes, "an entry has one text");
    assert!(json::check(bytes, Profile::Own).is_ok());
    assert!(bytes.iter().all(|byte| (b' '..=b'~').contains(byte)), "an entry is one printable line");
    for longer in [[bytes, b" "].concat(), [b" ", bytes].concat()] {
        assert!(Entry::read(&longer).is_err());
        assert_ne!(leaf_hash(&longer), leaf_hash(bytes));
    }
}

/// The text of a note key, a signed note, or the text of a checkpoint that the log's key signs.
pub(super) fn checkpoint(bytes: &[u8]) {
    let (secret, key) = log_key();
    let Ok(text) = std::str::from_utf8(bytes) else {
        assert!(key.open(bytes).is_err());
        return;
    };
    if let Ok(key) = NoteKey::parse(text) {
        assert_eq!(key.to_string(), text, "a note key has one text");
        assert!(key.open(bytes).is_err());
    }
    if let Ok(checkpoint) = key.open(bytes) {
        assert!(text.starts_with(&checkpoint.text()));
    }
    let signature = secret.sign(bytes).to_bytes();
    let line = data_encoding::BASE64.encode(&[key_id(&key), signature.to_vec()].concat());
    let note = format!("{text}\n\u{2014} countersign/default {line}\n");
    let Ok(checkpoint) = key.open(note.as_bytes()) else { return };
    assert_eq!(checkpoint.text(), text, "a checkpoint has one text");
    assert_eq!(key.note(&checkpoint, &signature), note);
    let mut forged = signature;
    forged[0] ^= 1;
    assert!(key.open(key.note(&checkpoint, &forged).as_bytes()).is_err());
}

// The second part of a note key's text.
fn key_id(key: &NoteKey) -> Vec<u8> {
    let text = key.to_string();
    let id = text.split('+').nth(1).expect("a note key has three parts");
    data_encoding::HEXLOWER.decode(id.as_bytes()).expect("four bytes of hex")
}
