//! Names and keys: what parses prints as it was read, and the grammars lie within one another as they should.

use std::fmt::Display;

use policy::key::{self, Key, Name, Role};
use policy::name::{
    ComponentId, InterfaceName, InterfaceRef, Lattice, LegacyId, LinkName, NativeName, Package, Scope, Track, Version,
};
use policy::provider::Subject;
use policy::reason::Refusal;

/// One or two names, a line each.
pub(super) fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    for text in [first, second] {
        each(text);
    }
    if let (Ok(scope), Ok(package)) = (Scope::parse(first), Package::parse(second)) {
        let covers = match first.strip_suffix('*') {
            Some(start) => second.starts_with(start),
            None => first == second,
        };
        assert_eq!(scope.covers(package.as_str()), covers, "`{first}` and `{second}`");
    }
    if let (Ok(served), Ok(wanted)) = (Version::parse(first), Version::parse(second)) {
        let same_track = served.track() == wanted.track();
        assert!(same_track || !served.answers(&wanted));
        assert_eq!(served.answers(&wanted) && wanted.answers(&served), served == wanted);
        if first.contains('-') || second.contains('-') {
            assert_eq!(served.answers(&wanted), first == second, "a pre-release answers itself alone");
        }
    }
}

fn each(text: &str) {
    let package = is_stable(text, 128, Package::parse);
    let legacy = is_stable(text, 128, LegacyId::parse);
    let scope = is_stable(text, 128, Scope::parse);
    assert!(!package || (legacy && scope), "a package is a contract id and a scope: `{text}`");
    let id = is_stable(text, 64, ComponentId::parse);
    assert_eq!(id, is_stable(text, 64, LinkName::parse));
    assert!(!id || is_stable(text, 64, Lattice::parse));
    is_stable(text, 64, Lattice::parse);
    is_stable(text, 64, InterfaceName::parse);
    let native = is_stable(text, 128, NativeName::parse);
    assert!(!native || matches!(Subject::parse(text), Ok(Subject::Native(_))));
    is_stable(text, 128, Subject::parse);
    is_stable(text, 64, Track::parse);
    if is_stable(text, 64, Version::parse) {
        let version = Version::parse(text).expect("it did before");
        assert!(version.answers(&version));
        let track = version.track();
        assert_eq!(Track::parse(track.as_str()).expect("the track of a version is one"), track);
    }
    if is_stable(text, 260, InterfaceRef::parse) {
        let parsed = InterfaceRef::parse(text).expect("it did before");
        assert!(text.starts_with(&format!("{}/{}", parsed.package, parsed.interface)));
    }
}

// Whether it parses; if so it is short, plain, and prints as it was read.
fn is_stable<T: Display>(text: &str, longest: usize, parse: fn(&str) -> Result<T, Refusal>) -> bool {
    let parsed = parse(text);
    let Ok(name) = parsed else { return false };
    assert_eq!(name.to_string(), text);
    assert!(text.len() <= longest && text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    true
}

/// The text of a key, or the 32 bytes of one.
pub(super) fn nkey(bytes: &[u8]) {
    if let Ok(raw) = <[u8; 32]>::try_from(bytes) {
        bytes_of_a_key(&raw);
    }
    assert_eq!(key::refuse_secrets(bytes).is_err(), holds_secret(bytes));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let found = [
        role::<key::Root>(text),
        role::<key::Administrator>(text),
        role::<key::Issuer>(text),
        role::<key::Host>(text),
        role::<key::Invite>(text),
        role::<key::Decision>(text),
        role::<key::Component>(text),
        role::<key::Provider>(text),
    ];
    let letters: std::collections::BTreeSet<char> = found.into_iter().flatten().collect();
    assert!(letters.len() <= 1, "one key of two roles");
    match (key::inspect(text), letters.first()) {
        (Ok((letter, _)), Some(found)) => assert_eq!(letter, *found),
        // Users, clusters' servers and curves are keys, but of none of our roles.
        (Ok((letter, _)), None) => assert!("UX".contains(letter), "`{letter}` has no role"),
        (Err(_), None) => {}
        (Err(refusal), Some(_)) => panic!("{refusal}"),
    }
}

fn role<R: Role>(text: &str) -> Option<char> {
    let name = Name::<R>::parse(text).ok()?;
    assert_eq!(name.to_string(), text, "a key has one text");
    assert_eq!(Name::<R>::from_raw(*name.raw()), name);
    assert_eq!(Key::<R>::parse(text).is_ok(), name.usable().is_ok());
    if let Ok(key) = name.usable() {
        assert_eq!(key.to_string(), text);
        assert!(ed25519_dalek::VerifyingKey::from_bytes(name.raw()).is_ok_and(|key| !key.is_weak()));
    }
    Some(R::LETTER)
}

fn bytes_of_a_key(raw: &[u8; 32]) {
    let text = Name::<key::Issuer>::from_raw(*raw).to_string();
    // A public key can spell an `S` and 57 more base32 letters only if it is longer than it is.
    assert_eq!(role::<key::Issuer>(&text), Some('A'));
    // One character changed is no key: the checksum sees every burst of up to 16 bits.
    let at = usize::from(raw[0]) % text.len();
    let other = if text.as_bytes()[at] == b'Q' { "R" } else { "Q" };
    let mut changed = text.clone();
    changed.replace_range(at..=at, other);
    assert!(key::inspect(&changed).is_err(), "`{text}` and `{changed}`");
}

// The same question, asked slowly.
fn holds_secret(bytes: &[u8]) -> bool {
    let base32 = |byte: &u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(byte);
    let seed = bytes.windows(58).any(|window| window[0] == b'S' && window.iter().all(base32));
    let text = String::from_utf8_lossy(bytes);
    seed || text.contains("-----BEGIN ") || text.contains("Bearer ")
}
