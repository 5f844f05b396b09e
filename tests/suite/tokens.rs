//! Attacks on tokens, carried out as well as an attacker can, each refused with its reason.
//!
//! Keys are seeded and known to the attacker where the attack allows it. Limits of single readers are unit tests of
//! `policy`; here a whole token goes through the whole verifier.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};
use harness::mint::{self, HEADER, NOW, claims, component, issuer, nkey, now, provider, token, trust};
use policy::issuer::{Issuers, Kind};
use policy::key::{self, Role};
use policy::reason::Reason;
use policy::time::Timestamp;
use policy::verify::{self, Form};
use proptest::prelude::*;
use serde_json::{Value, json};

fn judge_at(token: &[u8], kind: Kind, issuers: &Issuers, now: Timestamp) -> Option<Reason> {
    let reading = verify::read(token, Form::Token, Some(kind));
    reading.judge(issuers, now).err().map(|refusal| refusal.reason)
}

fn judge(token: impl AsRef<[u8]>, kind: Kind) -> Option<Reason> {
    judge_at(token.as_ref(), kind, &trust(&issuer(), &["*"]), now())
}

fn refused(token: impl AsRef<[u8]>, kind: Kind, reason: Reason) {
    let token = token.as_ref();
    assert_eq!(judge(token, kind), Some(reason), "{}", String::from_utf8_lossy(token));
}

// The sound payloads, by kind.
fn both() -> [(Kind, Value); 2] {
    [(Kind::Component, component()), (Kind::Provider, provider())]
}

fn with(mut payload: Value, pointer: &str, value: Value) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    payload.pointer_mut(parent).unwrap()[member] = value;
    payload
}

fn without(mut payload: Value, pointer: &str) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    payload.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(member);
    payload
}

#[test]
fn honest_tokens_are_accepted() {
    for (kind, payload) in both() {
        assert_eq!(judge(claims(&payload), kind), None);
        let turned = r#"{"alg":"Ed25519","typ":"jwt"}"#;
        assert_eq!(judge(token(turned, payload.to_string().as_bytes(), 1), kind), None);
        assert_eq!(
            judge(token(r#" { "typ" : "jwt", "alg":"Ed25519" } "#, payload.to_string().as_bytes(), 1), kind),
            None
        );
    }
}

#[test]
fn t01_every_other_header_is_refused_however_well_it_is_signed() {
    let key = BASE64URL_NOPAD.encode(mint::pair(9).verifying_key().as_bytes());
    let mut headers: Vec<String> = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "HS256",
        "ES256",
        "RS256",
        "EdDSA",
        "ed25519",
        "ED25519",
        "ed25519-nkey",
        "Ed25519 ",
        " Ed25519",
        "Ed25519\\u0000",
        "Ed448",
        "",
    ]
    .iter()
    .map(|alg| format!(r#"{{"typ":"jwt","alg":"{alg}"}}"#))
    .collect();
    headers.extend(
        ["JWT", "Jwt", "jwt ", "", "jose", "at+jwt"].iter().map(|typ| format!(r#"{{"typ":"{typ}","alg":"Ed25519"}}"#)),
    );
    let extra = [
        r#""crit":["exp"]"#.to_owned(),
        r#""crit":[]"#.to_owned(),
        format!(r#""jwk":{{"kty":"OKP","crv":"Ed25519","x":"{key}"}}"#),
        r#""jku":"https://example.org/k""#.to_owned(),
        r#""x5u":"https://example.org/c""#.to_owned(),
        r#""x5c":["AA"]"#.to_owned(),
        format!(r#""kid":"{}""#, nkey::<key::Issuer>(9)),
        r#""zip":"DEF""#.to_owned(),
        r#""b64":false"#.to_owned(),
        r#""cty":"JWT""#.to_owned(),
        r#""x":1"#.to_owned(),
        r#""alg":"none""#.to_owned(),
        r#""typ":"jwt""#.to_owned(),
        r#""ALG":"none""#.to_owned(),
    ];
    headers.extend(extra.iter().flat_map(|extra| {
        [format!(r#"{{"typ":"jwt","alg":"Ed25519",{extra}}}"#), format!(r#"{{{extra},"typ":"jwt","alg":"Ed25519"}}"#)]
    }));
    headers.extend(
        [
            "{}",
            "[]",
            "null",
            "\"jwt\"",
            "1",
            r#"{"alg":"Ed25519"}"#,
            r#"{"typ":"jwt"}"#,
            r#"{"typ":"jwt","alg":["Ed25519"]}"#,
            r#"{"typ":"jwt","alg":null}"#,
            r#"["jwt","Ed25519"]"#,
            "{\"typ\":\"jwt\",\"alg\":\"Ed25519\"}{}",
            "\u{feff}{\"typ\":\"jwt\",\"alg\":\"Ed25519\"}",
        ]
        .map(str::to_owned),
    );
    for (kind, payload) in both() {
        for header in &headers {
            // Signed by the trusted key, and by the very key that the header carries.
            for signer in [1, 9] {
                refused(token(header, payload.to_string().as_bytes(), signer), kind, Reason::TokenHeader);
            }
        }
    }
}

#[test]
fn t02_segment_games_are_refused() {
    for (kind, payload) in both() {
        let good = claims(&payload);
        let parts: Vec<&str> = good.split('.').collect();
        let (header, body, signature) = (parts[0], parts[1], parts[2]);
        let standard = |text: &str| text.replace('-', "+").replace('_', "/");
        let malformed = [
            String::new(),
            ".".into(),
            "..".into(),
            format!("{header}.{body}"),
            format!("{header}.{body}."),
            format!(".{body}.{signature}"),
            format!("{header}..{signature}"),
            format!("{good}."),
            format!(".{good}"),
            format!("{good}.{signature}"),
            format!(" {good}"),
            format!("{good} "),
            format!("{good}\n"),
            format!("{good}\r\n"),
            format!("{good}\0"),
            format!("\t{good}"),
            format!("{header} .{body}.{signature}"),
            format!("{header}.\n{body}.{signature}"),
            format!("Bearer {good}"),
            format!("\"{good}\""),
            format!("{good}="),
            format!("{good}=="),
            format!("{header}=.{body}.{signature}"),
            format!("{header}.{body}=.{signature}"),
            good.replacen('.', "\u{2024}", 1),
            good.replacen('.', "\u{ff0e}", 1),
            good.replacen('.', ",", 1),
            json!({"protected": header, "payload": body, "signature": signature}).to_string(),
            json!({"payload": body, "signatures": [{"protected": header, "signature": signature}]}).to_string(),
            format!("{header}.{body}.{}", &signature[..85]),
            format!("{header}.{body}.{signature}AA"),
            format!("{header}.{body}.{}", BASE64URL_NOPAD.encode(&[0; 63])),
            format!("{header}.{body}.{}", BASE64URL_NOPAD.encode(&[0; 65])),
            format!("{header}.{body}.{}", &signature[..84]),
        ];
        for bad in malformed {
            refused(bad, kind, Reason::TokenMalformed);
        }
        // The other alphabet, and padding that was signed as such.
        let tilde = with(payload.clone(), "/wascap/name", json!("???>>>~~~\u{ff}"));
        let other = claims(&tilde);
        let body = other.split('.').nth(1).unwrap();
        assert_ne!(standard(body), body, "the case must use the alphabet");
        refused(other.replace(body, &standard(body)), kind, Reason::TokenMalformed);
        for signed in [
            format!("{}.{}", BASE64.encode(HEADER.as_bytes()), parts[1]),
            format!("{}=.{}", parts[0], parts[1]),
            format!("{}.{}=", parts[0], parts[1]),
        ] {
            assert!(signed.contains('='));
            refused(resign(&signed), kind, Reason::TokenMalformed);
        }
    }
}

// A signature of the trusted issuer over whatever text.
fn resign(signed: &str) -> String {
    use ed25519_dalek::Signer as _;
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&mint::pair(1).sign(signed.as_bytes()).to_bytes()))
}

#[test]
fn t02_every_flipped_bit_and_every_swapped_payload_is_refused() {
    for (kind, payload) in both() {
        let good = claims(&payload);
        for at in 0..good.len() {
            for bit in [1, 2, 4, 8, 16, 32, 64, 128_u8] {
                let mut bytes = good.clone().into_bytes();
                bytes[at] ^= bit;
                assert!(judge(&bytes, kind).is_some(), "byte {at}, bit {bit}");
            }
        }
        let swapped = with(
            payload.clone(),
            "/sub",
            json!(match kind {
                Kind::Component => nkey::<key::Component>(7),
                Kind::Provider | Kind::Contract => nkey::<key::Provider>(7),
            }),
        );
        let body = BASE64URL_NOPAD.encode(swapped.to_string().as_bytes());
        let parts: Vec<&str> = good.split('.').collect();
        refused(format!("{}.{body}.{}", parts[0], parts[2]), kind, Reason::SignatureInvalid);
    }
}

// Every path to a member of a value.
fn members(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    if let Value::Object(object) = value {
        for (name, member) in object {
            found.push((format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), member.clone()));
            members(member, &format!("{path}/{name}"), found);
        }
    }
}

#[test]
fn t03_every_member_duplicated_at_every_level_is_refused() {
    for (kind, payload) in both() {
        let mut found = Vec::new();
        members(&payload, "", &mut found);
        assert!(found.len() > 10);
        for (path, value) in found {
            let name = path.rsplit('/').next().unwrap();
            let escaped: String = name
                .chars()
                .enumerate()
                .map(|(at, char)| if at == 0 { format!("\\u{:04x}", u32::from(char)) } else { char.to_string() })
                .collect();
            let text = payload.to_string();
            let plain = format!("\"{name}\":{value}");
            assert!(text.contains(&plain), "{plain}");
            for second in [
                plain.clone(),
                format!("\"{escaped}\":{value}"),
                format!("\"{name}\":\"attacker\""),
                format!("\"{escaped}\":7"),
            ] {
                for both in [format!("{plain},{second}"), format!("{second},{plain}")] {
                    let doubled = text.replacen(&plain, &both, 1);
                    refused(token(HEADER, doubled.as_bytes(), 1), kind, Reason::JsonDuplicate);
                }
            }
            // Another case is another member, and an unknown one.
            let cased = text.replacen(&plain, &format!("{plain},\"{}\":{value}", name.to_uppercase()), 1);
            if name.to_uppercase() != name && !path.starts_with("/wascap/target_hashes/") {
                refused(token(HEADER, cased.as_bytes(), 1), kind, Reason::SchemaMismatch);
            }
        }
        let unknown = with(payload.clone(), "/wascap/extra", json!(1));
        refused(claims(&unknown), kind, Reason::SchemaMismatch);
        let twice = payload.to_string().replacen('{', r#"{"extra":{"a":1,"a":2},"#, 1);
        refused(token(HEADER, twice.as_bytes(), 1), kind, Reason::JsonDuplicate);
    }
}

#[test]
fn t04_unused_trailing_bits_are_refused() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let siblings = |segment: &str| -> Vec<String> {
        let bits = match segment.len() % 4 {
            2 => 4,
            3 => 2,
            _ => 0,
        };
        let last = ALPHABET.iter().position(|byte| *byte == segment.as_bytes()[segment.len() - 1]).unwrap();
        let spelled = |index: usize| format!("{}{}", &segment[..segment.len() - 1], ALPHABET[index] as char);
        (1..1_usize << bits).map(|unused| spelled(last | unused)).collect()
    };
    let mut tried = 0;
    for (kind, payload) in both() {
        for filler in ["", "x", "xx"] {
            let payload = with(payload.clone(), "/wascap/name", json!(filler));
            let good = claims(&payload);
            let parts: Vec<&str> = good.split('.').collect();
            for other in siblings(parts[2]) {
                refused(format!("{}.{}.{other}", parts[0], parts[1]), kind, Reason::TokenMalformed);
                tried += 1;
            }
            for other in siblings(parts[1]) {
                refused(resign(&format!("{}.{other}", parts[0])), kind, Reason::TokenMalformed);
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn t05_lax_json_is_refused_though_well_signed() {
    let good = component().to_string();
    let inner = &good[1..good.len() - 1];
    let lax: Vec<Vec<u8>> = [
        format!("{good}x"),
        format!("{good}{good}"),
        format!("{good} null"),
        format!("// c\n{good}"),
        format!("{good}/**/"),
        format!("{{{inner},}}"),
        format!("\u{feff}{good}"),
        good.replacen("\"jti\"", "jti", 1),
        good.replace('"', "'"),
        good.replacen("\"rev\":1", "\"rev\":01", 1),
        good.replacen("\"rev\":1", "\"rev\":+1", 1),
        good.replacen("\"rev\":1", "\"rev\":0x1", 1),
        good.replacen("\"rev\":1", "\"rev\":NaN", 1),
        good.replacen("\"rev\":1", "\"rev\":1.0", 1),
        good.replacen("\"rev\":1", "\"rev\":1e0", 1),
        good.replacen("\"rev\":1", "\"rev\":-0", 1),
        good.replacen("\"cart\"", "\"\\ud800\"", 1),
        good.replacen("\"cart\"", "\"\\udc00\\ud800\"", 1),
        good.replacen("\"cart\"", "\"a\nb\"", 1),
        good.replacen("\"cart\"", "\"\\x41\"", 1),
        good.replacen("\"cart\"", "null", 1),
        good.replacen("false", "False", 1),
        String::new(),
        " ".into(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([good.encode_utf16().flat_map(u16::to_le_bytes).collect(), good.replacen("cart", "\u{1}", 1).into_bytes()])
    .chain([
        [good.as_bytes(), b"\0"].concat(),
        good.bytes().map(|byte| if byte == b'c' { 0xff } else { byte }).collect(),
    ])
    .collect();
    for payload in lax {
        if payload.is_empty() {
            continue;
        }
        refused(token(HEADER, &payload, 1), Kind::Component, Reason::JsonMalformed);
    }
    for header in [format!("{HEADER} "), HEADER.replace(',', " ,\t")] {
        assert_eq!(judge(token(&header, good.as_bytes(), 1), Kind::Component), None, "white space is strict JSON");
    }
    for header in [format!("{HEADER}x"), HEADER.replace(',', ",,"), HEADER.replace('"', "'"), format!("/**/{HEADER}")] {
        refused(token(&header, good.as_bytes(), 1), Kind::Component, Reason::TokenHeader);
    }
}

#[test]
fn t06_a_malleable_signature_is_refused() {
    let good = claims(&component());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    // S + L, where L is the order of the base point.
    let order = BASE64.decode(b"7dP1XBpjEljWnPei3vneFAAAAAAAAAAAAAAAAAAAABA=").unwrap();
    let mut carry = 0;
    for (byte, more) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    refused(format!("{signed}.{}", BASE64URL_NOPAD.encode(&bytes)), Kind::Component, Reason::SignatureInvalid);
}

#[test]
fn t07_oversize_tokens_are_refused_at_the_limit_and_far_beyond() {
    let padded = |length: usize| with(component(), "/wascap/tags", json!(vec!["x".repeat(length); 60]));
    assert_eq!(judge(claims(&padded(700)), Kind::Component), None);
    refused(claims(&padded(1000)), Kind::Component, Reason::TokenOversize);
    refused("e".repeat(64 * 1024 * 1000), Kind::Component, Reason::TokenOversize);
    let tags = |count: usize| with(component(), "/wascap/tags", json!(vec!["t"; count]));
    assert_eq!(judge(claims(&tags(100)), Kind::Component), None);
    for above in [101, 1000] {
        refused(claims(&tags(above)), Kind::Component, Reason::JsonLimit);
    }
    let name = |length: usize| with(component(), "/wascap/name", json!("n".repeat(length)));
    assert_eq!(judge(claims(&name(1024)), Kind::Component), None);
    for above in [1025, 30_000] {
        refused(claims(&name(above)), Kind::Component, Reason::JsonLimit);
    }
}

#[test]
fn t07_deep_json_needs_no_stack() {
    let judged = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        for open in ["[", "{\"a\":"] {
            let count = 45_000 / open.len();
            for closed in [true, false] {
                let close = if open == "[" { "]" } else { "}" };
                let deep = open.repeat(count) + "1" + &close.repeat(if closed && open == "[" { 0 } else { 1 });
                refused(token(HEADER, deep.as_bytes(), 1), Kind::Component, Reason::JsonLimit);
                let schema = format!(r#"{{"wascap":{{"config_schema":{deep}}}}}"#);
                refused(token(HEADER, schema.as_bytes(), 1), Kind::Provider, Reason::JsonLimit);
                refused(token(&deep, b"{}", 1), Kind::Component, Reason::TokenHeader);
            }
        }
    });
    judged.unwrap().join().expect("no overflow, no panic");
}

#[test]
fn t08_a_weak_key_on_the_trust_list_lets_nobody_in() {
    let honest = mint::pair(1).verifying_key().to_bytes();
    let honest = CompressedEdwardsY(honest).decompress().unwrap();
    let mut weak: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    weak.extend(EIGHT_TORSION.iter().skip(1).map(|point| (honest + point).compress().to_bytes()));
    for low in 0..19_u8 {
        for sign in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed_u8.wrapping_add(low), sign);
            weak.push(bytes);
        }
    }
    let mut tried = 0;
    for raw in &weak {
        let name = key::encode(key::Issuer::PREFIX, raw);
        assert_eq!(
            Issuers::read_trust(json!({"issuers": [{"key": name, "scope": ["*"]}]}).to_string().as_bytes())
                .unwrap_err()
                .reason,
            Reason::KeyWeak
        );
        let payload = with(component(), "/iss", json!(name));
        let signed = claims(&payload);
        let (text, by_honest) = signed.rsplit_once('.').unwrap();
        // Under a small-order key R of small order and S = 0 often verify; else the honest half's own signature.
        let forged = EIGHT_TORSION.iter().map(|point| [point.compress().to_bytes(), [0; 32]].concat());
        let forged = forged.chain([vec![0; 64], BASE64URL_NOPAD.decode(by_honest.as_bytes()).unwrap()]);
        for signature in forged {
            let token = format!("{text}.{}", BASE64URL_NOPAD.encode(&signature));
            let found = judge_at(token.as_bytes(), Kind::Component, &mint::forced_trust(&name), now());
            assert_eq!(found, Some(Reason::KeyWeak), "{raw:02x?}");
            tried += 1;
        }
    }
    println!("t08: {} weak keys, {tried} forged tokens, none accepted", weak.len());
}

#[test]
fn t09_a_decision_shaped_payload_is_no_claims_and_the_reverse() {
    let answer = json!({"iss": nkey::<key::Decision>(1), "aud": nkey::<key::Host>(4), "lattice": "default", "verdict": "permitted"});
    for header in
        [r#"{"alg":"EdDSA","typ":"countersign.answer.v1"}"#, r#"{"alg":"EdDSA","typ":"countersign.start.v1"}"#]
    {
        refused(token(header, answer.to_string().as_bytes(), 1), Kind::Component, Reason::TokenHeader);
    }
    refused(claims(&answer), Kind::Component, Reason::SchemaMismatch);
    let claims = claims(&component());
    let found = policy::envelope::Unverified::<policy::answer::StartAnswer>::parse(claims.as_bytes());
    assert_eq!(found.map(drop).unwrap_err().reason, Reason::TokenHeader);
}

#[test]
fn t10_every_wrong_issuer_is_refused() {
    let raw = *mint::pair(1).verifying_key().as_bytes();
    for (kind, payload) in both() {
        let by =
            |iss: &str, signer| token(HEADER, with(payload.clone(), "/iss", json!(iss)).to_string().as_bytes(), signer);
        refused(by(&nkey::<key::Issuer>(9), 9), kind, Reason::IssuerUnknown);
        refused(by(&issuer(), 9), kind, Reason::SignatureInvalid);
        for prefix in [0x10, 0x60, 0x68, 0x70, 0xa0, 0xa8, 0xb8] {
            refused(by(&key::encode(prefix, &raw), 1), kind, Reason::KeyRole);
        }
        for prefix in 1..8 {
            let odd = key::encode(prefix, &raw);
            assert!(odd.starts_with('A'));
            refused(by(&odd, 1), kind, Reason::KeyMalformed);
        }
        let good = issuer();
        let homoglyph = good.replacen('A', "\u{410}", 1);
        let mut crc = BASE32_NOPAD.decode(good.as_bytes()).unwrap();
        crc[34] ^= 1;
        let wrong = [
            good.to_lowercase(),
            homoglyph,
            BASE32_NOPAD.encode(&crc),
            format!("{good}="),
            format!(" {good}"),
            good[..55].to_owned(),
            String::new(),
        ];
        for bad in wrong {
            refused(by(&bad, 1), kind, Reason::KeyMalformed);
        }
        let seed = ::nkeys::KeyPair::new_account().seed().unwrap();
        refused(by(&seed, 1), kind, Reason::SecretInInput);
        for bad in [json!(null), json!(1), json!([issuer()]), json!({"key": issuer()})] {
            let found = judge(claims(&with(payload.clone(), "/iss", bad)), kind);
            assert!(matches!(found, Some(Reason::SchemaMismatch | Reason::JsonMalformed)), "{found:?}");
        }
        refused(claims(&without(payload.clone(), "/iss")), kind, Reason::SchemaMismatch);
    }
}

#[test]
fn t11_each_kind_is_refused_as_the_other() {
    refused(claims(&component()), Kind::Provider, Reason::ClaimsKind);
    refused(claims(&provider()), Kind::Component, Reason::ClaimsKind);
    // The other's subject over one's own members, and one's own subject over the other's.
    let crossed = with(component(), "/sub", provider()["sub"].clone());
    refused(claims(&crossed), Kind::Component, Reason::ClaimsKind);
    refused(claims(&crossed), Kind::Provider, Reason::SchemaMismatch);
    let crossed = with(provider(), "/sub", component()["sub"].clone());
    refused(claims(&crossed), Kind::Provider, Reason::ClaimsKind);
    refused(claims(&crossed), Kind::Component, Reason::SchemaMismatch);
    for (kind, payload) in both() {
        let mut fits_both = payload.clone();
        for member in [component(), provider()].iter().filter_map(|payload| payload["wascap"].as_object()).flatten() {
            fits_both["wascap"][member.0] = member.1.clone();
        }
        refused(claims(&fits_both), kind, Reason::SchemaMismatch);
        for sub in [json!(""), json!("x"), json!(nkey::<key::Host>(5)), json!(nkey::<key::Issuer>(5)), json!(1)] {
            let found = judge(claims(&with(payload.clone(), "/sub", sub.clone())), kind);
            let fit = matches!(found, Some(Reason::KeyMalformed | Reason::KeyRole | Reason::SchemaMismatch));
            assert!(fit, "{sub}: {found:?}");
        }
        refused(claims(&without(payload, "/sub")), kind, Reason::SchemaMismatch);
    }
    refused(claims(&with(component(), "/wascap/prov", json!(true))), Kind::Component, Reason::ClaimsKind);
}

#[test]
fn t12_claims_delegate_nothing() {
    // Claims make nobody an issuer: only a delegation that an administrator published does.
    let account = with(component(), "/sub", json!(nkey::<key::Issuer>(9)));
    refused(claims(&account), Kind::Component, Reason::KeyRole);
    let valid_signers = json!({"jti": "x", "iat": NOW - 100, "iss": issuer(), "sub": nkey::<key::Issuer>(9),
        "wascap": {"name": "acme", "valid_signers": [nkey::<key::Issuer>(8)]}, "wascap_revision": 3});
    refused(claims(&valid_signers), Kind::Provider, Reason::SchemaMismatch);
    let by_nine = with(component(), "/iss", json!(nkey::<key::Issuer>(9)));
    refused(token(HEADER, by_nine.to_string().as_bytes(), 9), Kind::Component, Reason::IssuerUnknown);
}

#[test]
fn t13_scope_is_whole_segments_and_case_sensitive() {
    let judged = |scope: &[&str], capid: &str| {
        let payload = with(provider(), "/wascap/capid", json!(capid));
        judge_at(claims(&payload).as_bytes(), Kind::Provider, &trust(&issuer(), scope), now())
    };
    for (scope, capid) in [
        ("*", "wasmcloud:keyvalue"),
        ("wasmcloud:*", "wasmcloud:keyvalue"),
        ("wasmcloud:keyvalue", "wasmcloud:keyvalue"),
        ("wasmcloud:*", "wasmcloud:builtin:logging"),
    ] {
        assert_eq!(judged(&[scope], capid), None, "{scope} {capid}");
    }
    for (scope, capid) in [
        ("wasmcloud:keyvalue", "wasmcloud:httpserver"),
        ("wasmcloud:keyvalue", "wasmcloud:keyvalue-evil"),
        ("wasmcloud:keyvalue", "evil:keyvalue"),
        ("wasmcloud:*", "wasmcloud-evil:keyvalue"),
        ("wasmcloud:*", "wasm:cloud"),
        ("wasmcloud:keyvalue-evil", "wasmcloud:keyvalue"),
    ] {
        assert_eq!(judged(&[scope], capid), Some(Reason::IssuerScope), "{scope} {capid}");
    }
    for capid in ["*", "wasmcloud:*", "Wasmcloud:keyvalue", "WASMCLOUD:KEYVALUE", "wasmcloud:Keyvalue", "wasmcloud"] {
        assert_eq!(judged(&["*"], capid), Some(Reason::NameMalformed), "{capid}");
    }
    assert_eq!(judged(&[], "wasmcloud:keyvalue"), Some(Reason::IssuerScope), "an empty scope permits nothing");
    let serves_nothing = judge_at(claims(&component()).as_bytes(), Kind::Component, &trust(&issuer(), &[]), now());
    assert_eq!(serves_nothing, Some(Reason::IssuerScope), "not even what serves nothing");
    for scope in ["wasmcloud:", ":*", "*:*", "wasm*:x", "wasmcloud:key*", "Wasmcloud:*", "", " *"] {
        let list = json!({"issuers": [{"key": issuer(), "scope": [scope]}]}).to_string();
        assert_eq!(Issuers::read_trust(list.as_bytes()).unwrap_err().reason, Reason::NameMalformed, "{scope}");
    }
    // `caps` are bounded by the scope as well.
    let caps = with(component(), "/wascap/caps", json!(["wasmcloud:keyvalue", "wasmcloud:httpserver"]));
    let judged = |scope: &[&str]| judge_at(claims(&caps).as_bytes(), Kind::Component, &trust(&issuer(), scope), now());
    assert_eq!((judged(&["wasmcloud:*"]), judged(&["wasmcloud:keyvalue"])), (None, Some(Reason::IssuerScope)));
}

#[test]
fn t14_self_signed_claims_are_refused_even_when_the_subject_is_listed() {
    for (kind, payload) in both() {
        let raw = mint::pair(1).verifying_key().to_bytes();
        let prefix = if kind == Kind::Component { key::Component::PREFIX } else { key::Provider::PREFIX };
        let own = with(payload.clone(), "/sub", json!(key::encode(prefix, &raw)));
        refused(claims(&own), kind, Reason::SelfSigned);
        let by_subject = with(own, "/iss", json!(key::encode(prefix, &raw)));
        refused(claims(&by_subject), kind, Reason::KeyRole);
        let list = json!({"issuers": [{"key": key::encode(prefix, &raw), "scope": ["*"]}]}).to_string();
        assert_eq!(Issuers::read_trust(list.as_bytes()).unwrap_err().reason, Reason::KeyRole);
    }
}

#[test]
fn t15_t21_the_truth_table_of_revocation() {
    let since = NOW - 500;
    for (reason, iat, expected) in [
        (Some("compromise"), since - 1, Some(Reason::IssuerRevoked)),
        (Some("compromise"), since + 1, Some(Reason::IssuerRevoked)),
        (None, since - 1, Some(Reason::IssuerRevoked)),
        (Some("retired"), since - 1, None),
        (Some("retired"), since, Some(Reason::IssuerRetired)),
        (Some("retired"), since + 1, Some(Reason::IssuerRetired)),
    ] {
        for exp in [None, Some(NOW + 100), Some(NOW)] {
            let mut entry = json!({"key": issuer(), "scope": ["*"], "revoked_at": since});
            entry["reason"] = json!(reason.unwrap_or("compromise"));
            if reason.is_none() {
                entry.as_object_mut().unwrap().remove("reason");
            }
            let issuers = Issuers::read_trust(json!({"issuers": [entry]}).to_string().as_bytes()).unwrap();
            let mut payload = with(component(), "/iat", json!(iat));
            if let Some(exp) = exp {
                payload["exp"] = json!(exp);
            }
            let expected = if expected.is_none() && exp == Some(NOW) { Some(Reason::Expired) } else { expected };
            assert_eq!(
                judge_at(claims(&payload).as_bytes(), Kind::Component, &issuers, now()),
                expected,
                "{reason:?} {iat} {exp:?}"
            );
        }
    }
}

#[test]
fn t20_every_form_of_time_is_refused_but_one() {
    for member in ["iat", "nbf", "exp"] {
        for (text, expected) in [
            ("-1", &[Reason::SchemaMismatch, Reason::TimeMalformed][..]),
            ("1.5", &[Reason::JsonMalformed]),
            ("1e9", &[Reason::JsonMalformed]),
            ("1750000000.0", &[Reason::JsonMalformed]),
            ("\"1750000000\"", &[Reason::SchemaMismatch]),
            ("9007199254740993", &[Reason::JsonMalformed]),
            ("18446744073709551616", &[Reason::JsonMalformed]),
            ("null", &[Reason::JsonMalformed]),
            ("true", &[Reason::SchemaMismatch]),
            ("[1750000000]", &[Reason::SchemaMismatch]),
            ("{}", &[Reason::SchemaMismatch]),
            ("\"\"", &[Reason::SchemaMismatch]),
        ] {
            let payload = without(component(), &format!("/{member}")).to_string();
            let payload = payload.replacen('{', &format!("{{\"{member}\":{text},"), 1);
            let found = judge(token(HEADER, payload.as_bytes(), 1), Kind::Component);
            assert!(found.is_some_and(|found| expected.contains(&found)), "{member} {text}: {found:?}");
        }
    }
    refused(claims(&without(component(), "/iat")), Kind::Component, Reason::SchemaMismatch);
    refused(claims(&with(component(), "/iat", json!(NOW * 1000))), Kind::Component, Reason::IssuedInFuture);
    refused(claims(&with(component(), "/nbf", json!(NOW * 1000))), Kind::Component, Reason::NotYetValid);
    refused(
        claims(&with(with(component(), "/nbf", json!(NOW - 10)), "/exp", json!(NOW - 10))),
        Kind::Component,
        Reason::TimeMalformed,
    );
    for (member, at, expected) in [
        ("exp", NOW - 1, Some(Reason::Expired)),
        ("exp", NOW, Some(Reason::Expired)),
        ("exp", NOW + 1, None),
        ("nbf", NOW - 1, None),
        ("nbf", NOW, None),
        ("nbf", NOW + 1, Some(Reason::NotYetValid)),
        ("iat", NOW - 1, None),
        ("iat", NOW, None),
        ("iat", NOW + 1, Some(Reason::IssuedInFuture)),
    ] {
        assert_eq!(
            judge(claims(&with(component(), &format!("/{member}"), json!(at))), Kind::Component),
            expected,
            "{member} {at}"
        );
    }
    let list = json!({"issuers": [{"key": issuer(), "scope": ["*"], "max_lifetime_s": 150}]}).to_string();
    let issuers = Issuers::read_trust(list.as_bytes()).unwrap();
    for (exp, expected) in [
        (Some(NOW + 50), None),
        (Some(NOW + 51), Some(Reason::LifetimeExceeded)),
        (None, Some(Reason::LifetimeExceeded)),
    ] {
        let payload = exp.map_or_else(component, |exp| with(component(), "/exp", json!(exp)));
        assert_eq!(judge_at(claims(&payload).as_bytes(), Kind::Component, &issuers, now()), expected, "{exp:?}");
    }
}

#[test]
fn t30_every_other_spelling_of_a_hash_is_refused() {
    let upper = "AB".repeat(32);
    let spellings = [
        upper.to_lowercase(),
        format!("0x{}", &upper[2..]),
        upper[..40].to_owned(),
        upper[..63].to_owned(),
        format!("{upper}AB"),
        format!("ab{}", &upper[2..]),
        String::new(),
        format!(" {}", &upper[1..]),
        format!("G{}", &upper[1..]),
        format!("sha256:{upper}"),
    ];
    for spelling in spellings {
        refused(claims(&with(component(), "/wascap/hash", json!(spelling))), Kind::Component, Reason::HashMalformed);
        for target in ["x86_64-linux", "world.wasm"] {
            refused(
                claims(&with(provider(), &format!("/wascap/target_hashes/{target}"), json!(spelling))),
                Kind::Provider,
                Reason::HashMalformed,
            );
        }
    }
    refused(claims(&without(component(), "/wascap/hash")), Kind::Component, Reason::SchemaMismatch);
    refused(claims(&without(provider(), "/wascap/target_hashes")), Kind::Provider, Reason::SchemaMismatch);
}

#[test]
fn t31_only_revision_three_is_read() {
    for (kind, payload) in both() {
        for revision in [json!(0), json!(1), json!(2), json!(4), json!(300)] {
            refused(claims(&with(payload.clone(), "/wascap_revision", revision)), kind, Reason::ClaimsRevision);
        }
        refused(claims(&without(payload.clone(), "/wascap_revision")), kind, Reason::ClaimsRevision);
        refused(claims(&with(payload, "/wascap_revision", json!("3"))), kind, Reason::SchemaMismatch);
    }
}

#[test]
fn t40_look_alikes_of_a_trusted_contract_are_refused() {
    let trusted = "wasmcloud:keyvalue";
    let mut ids: Vec<String> = trusted
        .char_indices()
        .filter_map(|(at, char)| {
            let look_alike = match char {
                'a' => '\u{430}',
                'c' => '\u{441}',
                'o' => '\u{43e}',
                'e' => '\u{435}',
                's' => '\u{455}',
                'y' => '\u{443}',
                'u' => '\u{ff55}',
                'l' => 'I',
                ':' => '\u{a789}',
                'm' => '\u{ff4d}',
                'w' => '\u{461}',
                'd' => '\u{501}',
                'k' => '\u{138}',
                'v' => '\u{3bd}',
                _ => return None,
            };
            Some(format!("{}{look_alike}{}", &trusted[..at], &trusted[at + char.len_utf8()..]))
        })
        .collect();
    for hidden in
        ["\u{200b}", "\u{200d}", "\u{202e}", "\u{2066}", "\u{feff}", "\u{ad}", " ", "\u{a0}", "\0", "\n", "\u{301}"]
    {
        ids.extend([format!("{trusted}{hidden}"), format!("{hidden}{trusted}"), format!("wasm{hidden}cloud:keyvalue")]);
    }
    ids.extend(
        [
            "wasmcloud",
            "wasmcloud:",
            ":keyvalue",
            "wasmcloud::keyvalue",
            "wasmcloud:key_value",
            "wasmcloud:key--value",
            "wasmcloud:-keyvalue",
            "wasmcloud:keyvalue-",
            "wasmcloud:1keyvalue",
            "wasmcloud/keyvalue",
            "wasmcloud:a:b",
            "../x:y",
            "",
        ]
        .map(str::to_owned),
    );
    ids.push(format!("wasmcloud:{}", "k".repeat(119)));
    for id in ids {
        refused(claims(&with(provider(), "/wascap/capid", json!(id))), Kind::Provider, Reason::NameMalformed);
        refused(claims(&with(component(), "/wascap/caps", json!([id]))), Kind::Component, Reason::NameMalformed);
        let list = json!({"issuers": [{"key": issuer(), "scope": [id]}]}).to_string();
        assert_eq!(Issuers::read_trust(list.as_bytes()).unwrap_err().reason, Reason::NameMalformed, "{id:?}");
    }
    let longest = format!("wasmcloud:{}", "k".repeat(118));
    assert_eq!(judge(claims(&with(provider(), "/wascap/capid", json!(longest))), Kind::Provider), None);
}

#[test]
fn t42_an_alias_is_never_shaped_like_a_key() {
    let alias = |alias: String| judge(claims(&with(component(), "/wascap/call_alias", json!(alias))), Kind::Component);
    assert_eq!(alias("shop/cart".into()), None);
    for shaped in [nkey::<key::Provider>(3), nkey::<key::Component>(2), issuer()] {
        assert_eq!(alias(shaped), Some(Reason::NameMalformed));
    }
}

#[test]
fn t69_a_secret_in_claims_is_refused_whoever_signed_them() {
    let seed = ::nkeys::KeyPair::new_user().seed().unwrap();
    for secret in [seed.as_str(), "-----BEGIN PRIVATE KEY-----", "Bearer abcdef"] {
        for (kind, payload) in both() {
            refused(
                claims(&with(payload.clone(), "/wascap/name", json!(format!("x {secret}")))),
                kind,
                Reason::SecretInInput,
            );
            refused(claims(&with(payload, "/jti", json!(secret))), kind, Reason::SecretInInput);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn mutated_tokens_are_never_accepted(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6), which in 0..2_usize) {
        let (kind, payload) = both()[which].clone();
        let good = claims(&payload).into_bytes();
        let mut bytes = good.clone();
        for (at, byte, how) in edits {
            let at = at.index(bytes.len().max(1));
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if at < bytes.len() => { bytes.remove(at); }
                _ => bytes.truncate(at),
            }
        }
        prop_assume!(bytes != good);
        prop_assert!(judge(&bytes, kind).is_some());
    }

    #[test]
    fn t13_a_wider_scope_never_permits_another_issuer(scopes in proptest::collection::vec("[a-z]{1,6}:([a-z]{1,6}|\\*)|\\*", 0..6)) {
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let by_nine = with(provider(), "/iss", json!(nkey::<key::Issuer>(9)));
        let token = token(HEADER, by_nine.to_string().as_bytes(), 9);
        prop_assert_eq!(judge_at(token.as_bytes(), Kind::Provider, &trust(&issuer(), &scopes), now()), Some(Reason::IssuerUnknown));
    }
}
