//! A signed document as it lies beside its entry: without its base64, and without what its entry says already.
//!
//! A recorded start is a third smaller for it. What comes out is what went in, byte for byte, or it is kept as it came;
//! hashes and signatures are over the bytes that come out. Documented in `docs/log-format.md`.

use data_encoding::BASE64URL_NOPAD;
use lz4_flex::block::{compress_with_dict, decompress_with_dict};
use policy::reason::{Reason, Refusal};

/// The bytes to store for a token, beside the bytes of its entry.
pub(super) fn pack(token: &[u8], entry: &[u8]) -> Vec<u8> {
    packed(token, entry).filter(|packed| packed.len() < token.len()).unwrap_or_else(|| token.to_vec())
}

/// The token that was stored as these bytes, beside the bytes of its entry.
///
/// # Errors
/// `log_broken` when they are none.
pub(super) fn unpack(stored: Vec<u8>, entry: &[u8]) -> Result<Vec<u8>, Refusal> {
    match stored.split_first() {
        Some((&PACKED, packed)) => unpacked(packed, entry)
            .ok_or_else(|| Refusal::new(Reason::LogBroken, "the document beside it is not packed as documents are")),
        _ => Ok(stored),
    }
}

fn packed(token: &[u8], entry: &[u8]) -> Option<Vec<u8>> {
    // Strict: only what comes out again as it was is read at all.
    let parts = token.splitn(3, |byte| *byte == b'.').map(|part| BASE64URL_NOPAD.decode(part));
    let parts: [Vec<u8>; 3] = parts.collect::<Result<Vec<_>, _>>().ok()?.try_into().ok()?;
    // JSON has it but escaped.
    if parts.iter().take(2).any(|text| text.contains(&END)) {
        return None;
    }
    let plain = parts.join(&END);
    let size = u32::try_from(plain.len()).ok()?;
    Some([&[PACKED][..], &size.to_le_bytes(), &compress_with_dict(&plain, &known(entry))].concat())
}

fn unpacked(packed: &[u8], entry: &[u8]) -> Option<Vec<u8>> {
    let (size, packed) = packed.split_first_chunk()?;
    let size = usize::try_from(u32::from_le_bytes(*size)).ok().filter(|size| *size <= MOST)?;
    let plain = decompress_with_dict(packed, size, &known(entry)).ok().filter(|plain| plain.len() == size)?;
    let mut parts = plain.splitn(3, |byte| *byte == END).map(|part| BASE64URL_NOPAD.encode(part));
    let token = [parts.next()?, parts.next()?, parts.next()?].join(".");
    Some(token.into_bytes())
}

// What is before the text, as if it had been written already: what questions have in common, and the entry.
fn known(entry: &[u8]) -> Vec<u8> {
    [USUAL.as_bytes(), entry].concat()
}

const USUAL: &str = concat!(
    r#"{"alg":"EdDSA","typ":"countersign.start.v1"}"#,
    "\0",
    r#"{"aud":"default","component":{"claims_sha256":"","id":"","sha256":"","subject":"M"},"iat":17,"#,
    r#""imports":[{"interfaces":[""],"package":"wasi:","version":"0.2.0"}],"inventory_sha256":"","iss":"N","#,
    r#""jti":"","seen":{"entry_sha256":"","epoch":,"index":}}"#,
    "\0",
);
// No token begins with it.
const PACKED: u8 = 0;
const END: u8 = 0;
// No token is as long; what a damaged row says of its length must not be believed.
const MOST: usize = 1024 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
        [header, payload, signature].map(|part| BASE64URL_NOPAD.encode(part)).join(".").into_bytes()
    }

    #[test]
    fn a_request_is_half_as_long_beside_its_entry_and_comes_out_as_it_went_in() {
        let digest = "0123456789abcdef".repeat(4);
        let payload = format!(r#"{{"aud":"default","component":{{"claims_sha256":"{digest}","id":"cart"}}}}"#);
        let entry = format!(r#"{{"body":{{"id":"cart"}},"evidence":["{digest}"]}}"#);
        let token = token(br#"{"alg":"EdDSA","typ":"countersign.start.v1"}"#, payload.as_bytes(), &[7; 64]);
        let stored = pack(&token, entry.as_bytes());
        assert!(stored.len() * 2 < token.len(), "{} of {}", stored.len(), token.len());
        assert_eq!(unpack(stored.clone(), entry.as_bytes()).unwrap(), token);
        assert_ne!(unpack(stored, &[b'x'; 140]).ok(), Some(token));
    }

    #[test]
    fn what_is_no_token_or_gains_nothing_is_kept_as_it_came() {
        for odd in [&b""[..], b"a.b", b"e30.e30.AAAB.AA", b"e30.e30.A", b"e30=.e30.AA", &token(b"{\0}", b"{}", b"s")] {
            assert_eq!(pack(odd, b"{}"), odd);
            assert_eq!(unpack(odd.to_vec(), b"{}").unwrap(), odd);
        }
    }

    #[test]
    fn t63_what_is_not_packed_is_refused_and_no_length_is_believed() {
        for torn in [&[0][..], &[0, 1], &[0, 1, 0, 0, 0], b"\0\xff\xff\xff\xff\x10a", b"\0\x02\0\0\0\x20{}"] {
            assert_eq!(unpack(torn.to_vec(), b"{}").unwrap_err().reason, Reason::LogBroken, "{torn:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_goes_in_comes_out(header in "[ -~]{0,60}", payload in "[ -~]{0,300}", signature: Vec<u8>, from: u8) {
            let entry = payload.as_bytes().get(usize::from(from)..).unwrap_or_default();
            let token = token(header.as_bytes(), payload.as_bytes(), &signature);
            prop_assert_eq!(unpack(pack(&token, entry), entry).unwrap(), token);
        }

        #[test]
        fn bytes_of_anybody_are_unpacked_or_refused(stored: Vec<u8>, size in 0..2000_u32, entry: Vec<u8>) {
            let _ = unpack([&[PACKED][..], &size.to_le_bytes(), &stored].concat(), &entry);
        }
    }
}
