//! SHA-256 digests: 32 raw bytes inside, 64 lower-case hex digits outside.
//!
//! Wascap claims alone spell them in upper case; that spelling is read by [`Digest::parse_upper`] and nowhere else.

use std::fmt;

use data_encoding::{HEXLOWER, HEXUPPER};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::reason::{Reason, Refusal};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of several pieces, as if they were one.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// Thirty-two bytes that are known to be a digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads exactly 64 lower-case hex digits.
    ///
    /// # Errors
    /// `hash_malformed` for any other spelling.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        Self::decode(text, &HEXLOWER, "lower")
    }

    /// Reads exactly 64 upper-case hex digits, the spelling of wascap claims.
    ///
    /// # Errors
    /// `hash_malformed` for any other spelling.
    pub fn parse_upper(text: &str) -> Result<Self, Refusal> {
        Self::decode(text, &HEXUPPER, "upper")
    }

    /// Sixty-four upper-case hex digits, for wascap claims.
    pub fn to_upper(self) -> String {
        HEXUPPER.encode(&self.0)
    }

    fn decode(text: &str, alphabet: &data_encoding::Encoding, case: &str) -> Result<Self, Refusal> {
        let malformed = || {
            let detail = format!("a hash is exactly 64 {case}-case hex digits; this has {} characters", text.len());
            Refusal::new(Reason::HashMalformed, detail)
        };
        let bytes = alphabet.decode(text.as_bytes()).map_err(|_| malformed())?;
        Ok(Self(bytes.try_into().map_err(|_| malformed())?))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl TryFrom<String> for Digest {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t30_one_spelling_only() {
        let digest = Digest::of(b"x");
        let (lower, upper) = (digest.to_string(), digest.to_upper());
        assert_eq!(Digest::parse(&lower).unwrap(), digest);
        assert_eq!(Digest::parse_upper(&upper).unwrap(), digest);
        let mut mixed = upper.clone();
        mixed.replace_range(0..8, &lower[0..8]);
        for bad in [&upper[..], &upper[..63], "", &format!("0x{}", &lower[2..]), &lower[..40], &format!("{lower} ")] {
            assert_eq!(Digest::parse(bad).unwrap_err().reason, Reason::HashMalformed, "{bad}");
        }
        for bad in [&lower[..], &mixed[..], &upper[..40], "SHA256"] {
            assert_eq!(Digest::parse_upper(bad).unwrap_err().reason, Reason::HashMalformed, "{bad}");
        }
    }
}
