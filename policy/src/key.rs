//! Public keys in nkey text, one type per role, checked when parsed.
//!
//! [`Name`] is a canonical nkey of one role: enough to compare and to print. [`Key`] is a name whose bytes are also a
//! canonical point of prime order: the only thing a signature can be checked with. Making keys is left to others.

mod published;
mod secrets;
mod text;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::reason::{Reason, Refusal};

pub use published::refuse_published;
pub use secrets::{refuse_hidden_secrets, refuse_secrets, refuse_secrets_in_json};
use text::decode;
pub use text::{encode, inspect};

/// A role that keys are made for.
pub trait Role: 'static {
    /// The nkeys prefix byte, exact.
    const PREFIX: u8;
    /// The letter that the text starts with.
    const LETTER: char;
    /// The word for it in messages.
    const WORD: &'static str;
}

macro_rules! roles {
    ($( $(#[$doc:meta])* $name:ident = $prefix:literal, $letter:literal, $word:literal; )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {}
        impl Role for $name {
            const PREFIX: u8 = $prefix;
            const LETTER: char = $letter;
            const WORD: &'static str = $word;
        }
    )* };
}

roles! {
    /// Signs warrants; kept offline.
    Root = 0x70, 'O', "root";
    /// Signs commands; never a root.
    Administrator = 0x70, 'O', "administrator";
    /// Signs wascap claims and contracts.
    Issuer = 0x00, 'A', "issuer";
    /// Signs questions and joins.
    Host = 0x68, 'N', "host";
    /// Signs one join, once.
    Invite = 0x68, 'N', "invite";
    /// Signs answers, receipts and views.
    Decision = 0x10, 'C', "decision";
    /// Names a component.
    Component = 0x60, 'M', "component";
    /// Names a provider.
    Provider = 0xa8, 'V', "provider";
}

/// A canonical nkey of one role; its bytes may be no usable point, so nothing can be verified with it.
pub struct Name<R> {
    raw: [u8; 32],
    role: PhantomData<fn() -> R>,
}

impl<R: Role> Name<R> {
    /// Reads the one canonical text of a public key of this role.
    ///
    /// # Errors
    /// `secret_in_input` for a seed, `key_malformed` for text that is no nkey, `key_role` for another role.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let (prefix, raw) = decode(text)?;
        if prefix == R::PREFIX {
            return Ok(Self { raw, role: PhantomData });
        }
        let letter = text.chars().next().unwrap_or_default();
        let detail =
            format!("key has prefix `{letter}`, expected `{}` for {} {}", R::LETTER, article(R::WORD), R::WORD);
        Err(Refusal::new(Reason::KeyRole, detail))
    }

    /// Names the key of these raw bytes.
    pub const fn from_raw(raw: [u8; 32]) -> Self {
        Self { raw, role: PhantomData }
    }

    /// The 32 bytes without their role, by which keys are compared over all roles.
    pub const fn raw(&self) -> &[u8; 32] {
        &self.raw
    }

    /// Checks that the bytes are a key that only its owner can sign for (T08).
    ///
    /// # Errors
    /// `key_weak` when they are not the canonical encoding of a point of prime order.
    pub fn usable(&self) -> Result<Key<R>, Refusal> {
        let weak = || Refusal::new(Reason::KeyWeak, format!("`{self}` is not a canonical point of prime order"));
        let point = CompressedEdwardsY(self.raw).decompress().ok_or_else(weak)?;
        let sound = point.compress().to_bytes() == self.raw && !point.is_small_order() && point.is_torsion_free();
        if !sound {
            return Err(weak());
        }
        let verifying = VerifyingKey::from_bytes(&self.raw).map_err(|_| weak())?;
        Ok(Key { name: *self, verifying })
    }
}

/// A key of one role that signatures can be checked with: canonical text, canonical point, prime order.
///
/// A key of one role is no key of another:
///
/// ```
/// use policy::key::{Issuer, Key};
/// fn issued_by(_: &Key<Issuer>) {}
/// let key = Key::<Issuer>::parse("ACODERUVFFAWZQDSS6SBIACUA5O6SXF7HJ3YTYXBALHZP3P7R4BUO4J2").unwrap();
/// issued_by(&key);
/// ```
/// ```compile_fail
/// # // T100: a host's key where an issuer's belongs
/// use policy::key::{Host, Issuer, Key};
/// fn issued_by(_: &Key<Issuer>) {}
/// let key = Key::<Host>::parse("ACODERUVFFAWZQDSS6SBIACUA5O6SXF7HJ3YTYXBALHZP3P7R4BUO4J2").unwrap();
/// issued_by(&key);
/// ```
pub struct Key<R> {
    name: Name<R>,
    verifying: VerifyingKey,
}

impl<R: Role> Key<R> {
    /// Reads a public key of this role and checks its point.
    ///
    /// # Errors
    /// As [`Name::parse`] and [`Name::usable`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        Name::parse(text)?.usable()
    }

    /// The key's name.
    pub const fn name(&self) -> &Name<R> {
        &self.name
    }

    // Only `envelope` checks signatures.
    pub(crate) const fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'i']) { "an" } else { "a" }
}

impl<R> Clone for Name<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for Name<R> {}
impl<R> PartialEq for Name<R> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}
impl<R> Eq for Name<R> {}
impl<R> PartialOrd for Name<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<R> Ord for Name<R> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.raw.cmp(&other.raw)
    }
}
impl<R> Hash for Name<R> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.raw.hash(state);
    }
}
impl<R: Role> fmt::Display for Name<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(R::PREFIX, &self.raw))
    }
}
impl<R: Role> fmt::Debug for Name<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl<R: Role> std::str::FromStr for Name<R> {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::parse(text)
    }
}
impl<R: Role> Serialize for Name<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, R: Role> Deserialize<'de> for Name<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl<R> Clone for Key<R> {
    fn clone(&self) -> Self {
        Self { name: self.name, verifying: self.verifying }
    }
}
impl<R> PartialEq for Key<R> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl<R> Eq for Key<R> {}
impl<R: Role> fmt::Display for Key<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}
impl<R: Role> fmt::Debug for Key<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}
impl<R: Role> Serialize for Key<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.name.serialize(serializer)
    }
}
impl<'de, R: Role> Deserialize<'de> for Key<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Name::deserialize(deserializer)?.usable().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use data_encoding::BASE64URL_NOPAD;

    use super::text::PREFIXES;
    use super::*;

    const ACCOUNT: &str = "ACODERUVFFAWZQDSS6SBIACUA5O6SXF7HJ3YTYXBALHZP3P7R4BUO4J2";

    #[test]
    fn t10_only_the_one_canonical_text_of_the_role() {
        let key = Key::<Issuer>::parse(ACCOUNT).unwrap();
        assert_eq!(key.to_string(), ACCOUNT);
        for prefix in PREFIXES.into_iter().filter(|prefix| *prefix != Issuer::PREFIX) {
            let text = encode(prefix, key.name().raw());
            assert_eq!(Name::<Issuer>::parse(&text).unwrap_err().reason, Reason::KeyRole, "{text}");
        }
        // A prefix byte that still prints `A…` but is not an account.
        for prefix in 1..8 {
            let text = encode(prefix, key.name().raw());
            assert!(text.starts_with('A'));
            assert_eq!(Name::<Issuer>::parse(&text).unwrap_err().reason, Reason::KeyMalformed, "{text}");
        }
        let spaced = format!(" {}", &ACCOUNT[1..]);
        let homoglyph = ACCOUNT.replacen('A', "\u{410}", 1);
        for bad in [
            &ACCOUNT.to_lowercase(),
            &ACCOUNT[..55],
            &spaced,
            &homoglyph,
            &format!("{ACCOUNT}="),
            &ACCOUNT.replace("J2", "J3"),
        ] {
            assert_eq!(Name::<Issuer>::parse(bad).unwrap_err().reason, Reason::KeyMalformed, "{bad}");
        }
    }

    #[test]
    fn t08_points_that_others_could_sign_for_are_refused() {
        let honest = CompressedEdwardsY(*Key::<Issuer>::parse(ACCOUNT).unwrap().name().raw()).decompress().unwrap();
        let mut weak: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
        weak.extend(EIGHT_TORSION.iter().skip(1).map(|point| (honest + point).compress().to_bytes()));
        // Non-canonical encodings: y + p for the small y, and a sign bit on x = 0.
        for low in 0..19_u8 {
            for sign in [0x7f, 0xff] {
                let mut bytes = [0xff; 32];
                bytes[0] = 0xed_u8.wrapping_add(low);
                bytes[31] = sign;
                weak.push(bytes);
            }
        }
        let mut identity = [0; 32];
        (identity[0], identity[31]) = (1, 0x80);
        weak.push(identity);
        for raw in weak {
            let refused = Key::<Issuer>::parse(&encode(Issuer::PREFIX, &raw)).unwrap_err();
            assert_eq!(refused.reason, Reason::KeyWeak, "{raw:02x?}");
        }
    }

    #[test]
    fn t69_a_seed_is_refused_and_never_repeated() {
        let seed = "SAALLO2B7TGNPCPIT3ECXRH2PIGW4E7GUJODF4LHCOQA535JVCICI7GIEI";
        let refused = Key::<Issuer>::parse(seed).unwrap_err();
        assert_eq!(refused.reason, Reason::SecretInInput);
        assert!(!refused.to_string().contains(&seed[..12]));
        for bad in [
            format!("x{seed}y"),
            format!("MS{seed}"),
            "a -----BEGIN PRIVATE KEY".into(),
            "Authorization: Bearer abc".into(),
        ] {
            assert_eq!(refuse_secrets(bad.as_bytes()).unwrap_err().reason, Reason::SecretInInput, "{bad}");
        }
        assert!(refuse_secrets(ACCOUNT.as_bytes()).is_ok());
        let hidden = format!(r#"{{"because":"\u0053{}"}}"#, &seed[1..]);
        assert!(refuse_secrets(hidden.as_bytes()).is_ok());
        assert_eq!(refuse_secrets_in_json(hidden.as_bytes()).unwrap_err().reason, Reason::SecretInInput);
    }

    #[test]
    fn t69_a_seed_behind_escapes_or_in_a_token_is_found() {
        let seed = "SAALLO2B7TGNPCPIT3ECXRH2PIGW4E7GUJODF4LHCOQA535JVCICI7GIEI";
        let escaped = |one: &dyn Fn(char) -> String| seed.chars().map(one).collect::<String>();
        let long = escaped(&|char| format!("\\u{:04x}", u32::from(char)));
        let braced = escaped(&|char| format!("\\u{{{:X}}}", u32::from(char)));
        let short = escaped(&|char| format!("\\x{:02x}", u32::from(char)));
        let slashed = format!("\\{}", seed.replace('B', "\\B"));
        let token = |payload: &str| {
            let [header, payload] = [r#"{"typ":"jwt"}"#, payload].map(|it| BASE64URL_NOPAD.encode(it.as_bytes()));
            format!("{header}.{payload}.c2lnbmVk")
        };
        for hidden in [&long, &braced, &short, &slashed, &"Bear\\u0065r x".to_owned()] {
            for around in
                [format!(r#"{{"description":"the key is {hidden}, keep it"}}"#), format!("forbid // {hidden}\n")]
            {
                assert!(refuse_secrets(around.as_bytes()).is_ok());
                for piece in [around.clone(), token(&around)] {
                    let refused = refuse_hidden_secrets(piece.as_bytes()).unwrap_err();
                    assert_eq!(refused.reason, Reason::SecretInInput, "{piece}");
                }
            }
        }
        let plain = token(&format!(r#"{{"name":"{seed}"}}"#));
        assert!(refuse_hidden_secrets(plain.as_bytes()).is_err());
        let public = format!(r#"{{"iss":"{ACCOUNT}","name":"a \\ b \\u0053 \\u{{5 \\xz \\"}}"#);
        for harmless in [public.clone(), token(&public), "..".to_owned(), "a.b.c".to_owned(), String::new()] {
            assert!(refuse_hidden_secrets(harmless.as_bytes()).is_ok(), "{harmless}");
        }
    }
}
