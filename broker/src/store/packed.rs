//! A signed document as it lies beside its entry: without its base64, and its digests as the bytes that they are.
//!
//! A recorded start is a third smaller for it. What comes out is what went in, byte for byte, or it is kept as it came;
//! signatures are over the bytes that come out. Documented in `docs/log-format.md`.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use policy::reason::{Reason, Refusal};

/// The bytes to store for a token.
pub(super) fn pack(token: &[u8]) -> Vec<u8> {
    packed(token).unwrap_or_else(|| token.to_vec())
}

/// The token that was stored as these bytes.
///
/// # Errors
/// `log_broken` when they are none.
pub(super) fn unpack(stored: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    match stored.split_first() {
        Some((&PACKED, packed)) => unpacked(packed)
            .ok_or_else(|| Refusal::new(Reason::LogBroken, "the document beside it is not packed as documents are")),
        _ => Ok(stored),
    }
}

fn packed(token: &[u8]) -> Option<Vec<u8>> {
    let mut parts = token.splitn(3, |byte| *byte == b'.');
    // Strict: only what comes out again as it was is read at all.
    let mut next = || BASE64URL_NOPAD.decode(parts.next()?).ok();
    let (header, payload, signature) = (next()?, next()?, next()?);
    let mut packed = Vec::with_capacity(token.len());
    packed.push(PACKED);
    for text in [header, payload] {
        // JSON has neither of them but escaped.
        if text.iter().any(|byte| matches!(*byte, END | DIGITS)) {
            return None;
        }
        squeeze(&text, &mut packed);
        packed.push(END);
    }
    packed.extend(signature);
    Some(packed)
}

fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = expand(packed)?;
    let (payload, signature) = expand(rest)?;
    let encoded = [&header, &payload, signature].map(|part| BASE64URL_NOPAD.encode(part));
    Some(encoded.join(".").into_bytes())
}

// Runs of hexadecimal digits become a mark, how many bytes they are, and these.
fn squeeze(text: &[u8], into: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(byte) = rest.first() {
        let run = rest.iter().take(2 * LONGEST).take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count();
        let (digits, behind) = rest.split_at(run & !1);
        if digits.len() >= WORTH
            && let (Ok(bytes), Ok(count)) = (HEXLOWER.decode(digits), u8::try_from(digits.len() / 2))
        {
            into.extend([DIGITS, count]);
            into.extend(bytes);
            rest = behind;
        } else {
            let (plain, behind) = rest.split_at(run.max(1));
            debug_assert!(plain.first() == Some(byte));
            into.extend(plain);
            rest = behind;
        }
    }
}

// A text up to its end, and what comes behind.
fn expand(packed: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut text, mut rest) = (Vec::with_capacity(packed.len() * 2), packed);
    loop {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        match *byte {
            END => return Some((text, rest)),
            DIGITS => {
                let (count, behind) = rest.split_first()?;
                let (bytes, behind) = behind.split_at_checked(usize::from(*count))?;
                text.extend(HEXLOWER.encode(bytes).into_bytes());
                rest = behind;
            }
            plain => text.push(plain),
        }
    }
}

// No token begins with it.
const PACKED: u8 = 0;
const END: u8 = 0;
const DIGITS: u8 = 1;
// A shorter run is left as it is.
const WORTH: usize = 16;
// How many bytes one mark tells of.
const LONGEST: usize = 255;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
        [header, payload, signature].map(|part| BASE64URL_NOPAD.encode(part)).join(".").into_bytes()
    }

    #[test]
    fn a_request_is_a_third_smaller_and_comes_out_as_it_went_in() {
        let digest = "0123456789abcdef".repeat(4);
        let payload = format!(r#"{{"aud":"default","component":{{"claims_sha256":"{digest}","sha256":"{digest}"}}}}"#);
        let token = token(br#"{"alg":"EdDSA","typ":"countersign.start.v1"}"#, payload.as_bytes(), &[7; 64]);
        let stored = pack(&token);
        assert!(stored.len() * 3 < token.len() * 2, "{} of {}", stored.len(), token.len());
        assert_eq!(unpack(stored).unwrap(), token);
    }

    #[test]
    fn what_is_no_token_or_could_be_mistaken_is_kept_as_it_came() {
        for odd in [&b""[..], b"a.b", b"e30.e30.AAAB.AA", b"e30.e30.A", b"e30=.e30.AA", &token(b"{\0}", b"{}", b"s")] {
            assert_eq!(pack(odd), odd);
            assert_eq!(unpack(pack(odd)).unwrap(), odd);
        }
        for torn in [&[0][..], &[0, 1], &[0, 1, 9, 9], b"\0{}", b"\0{}\0{}"] {
            assert_eq!(unpack(torn.to_vec()).unwrap_err().reason, Reason::LogBroken, "{torn:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_goes_in_comes_out(
            header in "[a-f0-9x{}]{0,40}", payload in "[ -~]{0,80}[a-f0-9]{0,600}[ -~]{0,40}", signature: Vec<u8>
        ) {
            let token = token(header.as_bytes(), payload.as_bytes(), &signature);
            let stored = pack(&token);
            prop_assert!(stored.len() <= token.len() + 3);
            prop_assert_eq!(unpack(stored).unwrap(), token);
        }

        #[test]
        fn bytes_of_anybody_are_unpacked_or_refused(stored: Vec<u8>) {
            let _ = unpack([&[PACKED][..], &stored].concat());
        }
    }
}
