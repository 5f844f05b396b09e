//! Entries, checkpoints and exhibits: what others hold us to must have one text, and prove what it says or nothing.

use ed25519_dalek::Signer;
use policy::digest::Digest;
use policy::json::{self, Profile};
use policy::key::Root;
use policy::log::{Checkpoint, Entry, Exhibit, NoteKey, Proven, leaf_hash};
use policy::reason::Reason;
use policy::warrant::Warrant;

use super::court::{log_key, name, seal};

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

/// The text of a note key, a signed note, or the text of a checkpoint or of a seal that the log's key signs.
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
    let (checkpoint, sealed) = (key.open(note.as_bytes()), key.open_seal(note.as_bytes()));
    let read = match (&checkpoint, &sealed) {
        (Ok(_), Ok(_)) => panic!("a checkpoint is no seal"),
        (Ok(checkpoint), Err(_)) => checkpoint.text(),
        (Err(_), Ok(sealed)) => sealed.text(),
        (Err(_), Err(_)) => return,
    };
    assert_eq!(read, text, "what is signed has one text");
    assert_eq!(key.note(text, &signature), note);
    let mut forged = signature;
    forged[0] ^= 1;
    let forged = key.note(text, &forged);
    assert!(key.open(forged.as_bytes()).is_err() && key.open_seal(forged.as_bytes()).is_err());
}

/// A proof file; and the same as if the root and the log's key had signed just what it says.
pub(super) fn exhibit(bytes: &[u8]) {
    let read = Exhibit::read(bytes);
    assert_eq!(read, Exhibit::read(bytes));
    let Ok(exhibit) = read else { return };
    assert_eq!(exhibit.to_bytes(), bytes.trim_ascii_end(), "an exhibit has one text");
    proven(&exhibit);
    proven(&signed_anew(exhibit));
}

// The warrant of that lattice by the seeded root, and a checkpoint of the root that the proof leads to.
fn signed_anew(mut exhibit: Exhibit) -> Exhibit {
    let (secret, key) = log_key();
    let payload = exhibit.warrant.split('.').nth(1).unwrap_or_default();
    let payload = data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap_or_default();
    if let Ok(warrant) = json::read::<Warrant>(&payload) {
        let inception_sha256 = leaf_hash(exhibit.inception.as_bytes());
        let warrant = Warrant { iss: name::<Root>(), inception_sha256, log_key: key.to_string(), ..warrant };
        exhibit.warrant = String::from_utf8(seal(&warrant, &[])).expect("a token is text");
    }
    if let Ok(entry) = Entry::read(exhibit.entry.as_bytes()) {
        let size = (entry.index + 1).max(exhibit.checkpoint.lines().nth(1).and_then(|it| it.parse().ok()).unwrap_or(0));
        let root = led_to(leaf_hash(exhibit.entry.as_bytes()), entry.index, size, &exhibit.inclusion);
        let origin = "countersign/default".to_owned();
        let checkpoint = Checkpoint { origin, size, root, epoch: entry.epoch, last: leaf_hash(b"") };
        exhibit.checkpoint = key.note(&checkpoint.text(), &secret.sign(checkpoint.text().as_bytes()).to_bytes());
    }
    exhibit
}

// Where a proof leads, if it is as long as it should be (RFC 9162 section 2.1.3.2).
fn led_to(leaf: Digest, index: u64, size: u64, proof: &[Digest]) -> Digest {
    let (mut place, mut last, mut node) = (index, size - 1, leaf);
    for beside in proof {
        let (left, right) = if place & 1 == 1 || place == last { (*beside, node) } else { (node, *beside) };
        while place & 1 == 0 && place == last && place != 0 {
            (place, last) = (place >> 1, last >> 1);
        }
        node = Digest::of_parts(&[&[1], left.as_bytes(), right.as_bytes()]);
        (place, last) = (place >> 1, last >> 1);
    }
    node
}

fn proven(exhibit: &Exhibit) {
    let told = exhibit.prove(None);
    let reason = |told: &Result<Proven, policy::reason::Refusal>| told.as_ref().err().map(|refusal| refusal.reason);
    assert_eq!(reason(&told), reason(&exhibit.prove(None)), "the same verdict twice");
    let Ok(proven) = told else { return };
    assert_eq!(proven.entry.to_bytes(), exhibit.entry.as_bytes());
    assert_eq!(proven.sha256, leaf_hash(exhibit.entry.as_bytes()));
    assert!(proven.entry.index < proven.checkpoint.size);
    assert!(proven.pieces.iter().map(|(sha256, _)| *sha256).eq(proven.entry.evidence.iter().copied()));
    assert_eq!(reason(&exhibit.prove(Some(proven.lattice))), None);
    assert_eq!(reason(&exhibit.prove(Some(proven.sha256))).is_none(), proven.sha256 == proven.lattice);
    // Nothing of it is there in vain.
    let longer = [exhibit.inclusion.as_slice(), &[proven.sha256]].concat();
    let mutants = [
        (Exhibit { inclusion: longer, ..exhibit.clone() }, Some(Reason::ProofInvalid)),
        (
            Exhibit { evidence: [exhibit.evidence.as_slice(), &[String::new()]].concat(), ..exhibit.clone() },
            Some(Reason::LogBroken),
        ),
        (Exhibit { entry: format!("{} ", exhibit.entry), ..exhibit.clone() }, Some(Reason::LogBroken)),
    ];
    for (mutant, expected) in mutants {
        assert_eq!(reason(&mutant.prove(None)), expected);
    }
}

// The second part of a note key's text.
fn key_id(key: &NoteKey) -> Vec<u8> {
    let text = key.to_string();
    let id = text.split('+').nth(1).expect("a note key has three parts");
    data_encoding::HEXLOWER.decode(id.as_bytes()).expect("four bytes of hex")
}
