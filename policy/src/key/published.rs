//! Keys whose private halves are printed in texts and test suites: whoever can read can sign for them (T84).
//!
//! They are refused where a key is given a role. Checking an example's signature with one stays possible.

use data_encoding::HEXLOWER;

use crate::reason::{Reason, Refusal};

/// Refuses the raw bytes of a key that was published together with its seed.
///
/// # Errors
/// `key_published`.
pub fn refuse_published(raw: &[u8; 32], role: &str) -> Result<(), Refusal> {
    let hex = HEXLOWER.encode(raw);
    let Some((_, origin)) = PUBLISHED.iter().find(|(published, _)| *published == hex) else { return Ok(()) };
    let detail = format!("the key is an example {origin}, whose seed anybody can read; it cannot serve as {role}");
    Err(Refusal::new(Reason::KeyPublished, detail))
}

// A test holds this list to `tests/vectors`: every key there that stands beside its seed.
const PUBLISHED: &[(&str, &str)] = &[
    ("9c32469529416cc07297a4140054075de95cbf3a7789e2e102cf97edff8f0347", "of the nkeys test vectors"),
    ("d88c52f2aed7d4866fa92f6fab4eeef0b343d2a401f43d9a88766514ad22ff64", "of the nkeys test vectors"),
    ("aad6e82f1330c3db0ef24f0172d98af25baddf13cc732363ee15dff6e6418252", "of the nkeys test vectors"),
    ("c273b2a2c3367409bb81f9a45bec511444016b94e6989ae6c3af461846aac08f", "of the nkeys test vectors"),
    ("aa909db7ee383f2e9bf189d49b92afe18d7315a4c307249ca0a52d110d14607c", "of the nkeys test vectors"),
    ("a37b3f0fd0ac687bd101e885aabfec58c352003ad9ca3f08870a7fb47094c500", "of the nkeys test vectors"),
    ("f2a77b99b0ec5175987d6059172ad7d58fd9f3c12de157ffdec4ff1894cfad46", "of the nkeys test vectors"),
    ("38cf4a8ba6aed2fd2c9fa2e536a1016df45e7469e43ef5850cf2092db67c3a21", "of the nkeys test vectors"),
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "of RFC 8037 and RFC 8032"),
];
