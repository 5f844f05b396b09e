//! One file for each class of imposter: what it tries stands in its name.

use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer, SigningKey};
use nkeys::KeyPair;
use policy::artifact::component;
use policy::claims::{Common, ComponentClaims, draft_component};
use policy::key::{Issuer, Name};
use policy::time::{Timestamp, Validity};

use super::{load, output, subject_of};

/// Writes every imposter of `from` into the folder.
pub(crate) fn write(from: &Path, issuer: &Path, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let bytes = std::fs::read(from)?;
    let account = load(issuer)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let cast = Cast { bytes: &bytes, account: &account, now };
    for (name, file) in cast.all()? {
        std::fs::write(output(folder, name), file)?;
    }
    Ok(())
}

struct Cast<'a> {
    bytes: &'a [u8],
    account: &'a KeyPair,
    now: u64,
}

impl Cast<'_> {
    fn all(&self) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
        let genuine = self.token(self.account, self.claims()?)?;
        Ok(vec![
            ("unsigned", self.bytes.to_vec()),
            ("algorithm-none", self.attach(&unsigned_token(&genuine))?),
            ("algorithm-relabelled", self.attach(&self.under(br#"{"typ":"jwt","alg":"EdDSA"}"#, &genuine)?)?),
            ("key-in-the-header", self.attach(&self.own_key_within(&genuine)?)?),
            ("padded", self.attach(&format!("{genuine}=="))?),
            ("malleable-signature", self.attach(&malleable(&genuine)?)?),
            ("forged-signature", self.attach(&self.forged()?)?),
            ("self-signed", self.attach(&self.self_signed()?)?),
            ("weak-issuer-key", self.attach(&self.weak_key()?)?),
            ("claims-have-ended", self.attach(&self.between(self.now - 7200, None, Some(self.now - 3600))?)?),
            ("claims-not-yet-valid", self.attach(&self.between(self.now - 60, Some(self.now + 3600), None)?)?),
            ("claims-from-the-future", self.attach(&self.between(self.now + 3600, None, None)?)?),
            ("claims-of-an-older-form", self.attach(&self.older(&genuine)?)?),
            ("imports-more-than-it-claims", self.attach(&self.modest()?)?),
            ("claims-of-a-provider", self.attach(&self.as_provider()?)?),
            ("issuer-named-twice", self.attach(&self.issuer_twice(&genuine)?)?),
            ("two-claims-sections", self.twice(&genuine)?),
            ("bytes-after-the-claims", [self.attach(&genuine)?, vec![0, 2, 1, b'x']].concat()),
            ("cut-short", self.cut(&genuine)?),
            ("machine-code", b"\x7fELF not WebAssembly at all".to_vec()),
        ])
    }

    fn claims(&self) -> anyhow::Result<ComponentClaims> {
        let iat = Timestamp::from_seconds(self.now - 60)?;
        let validity = Validity { iat, nbf: None, exp: Some(iat.plus(86_400)) };
        let common = Common { jti: "imposter".into(), validity, name: Some("cart".into()), rev: Some(1), ver: None };
        let hash = component::read(self.bytes)?.claims_hash();
        let subject = Name::parse(&subject_of("cart")?.public_key())?;
        Ok(ComponentClaims { common, subject, hash, tags: Vec::new(), call_alias: None, caps: None })
    }

    fn token(&self, signer: &KeyPair, claims: ComponentClaims) -> anyhow::Result<String> {
        let draft = draft_component(&Name::parse(&signer.public_key())?, &claims);
        let signature = signer.sign(draft.signing_input())?;
        Ok(draft.seal(&signature))
    }

    // Names the trusted issuer, signed by somebody else.
    fn forged(&self) -> anyhow::Result<String> {
        let draft = draft_component(&Name::parse(&self.account.public_key())?, &self.claims()?);
        let signature = KeyPair::new_account().sign(draft.signing_input())?;
        Ok(draft.seal(&signature))
    }

    fn self_signed(&self) -> anyhow::Result<String> {
        let signing = SigningKey::from_bytes(&[7; 32]);
        let raw = signing.verifying_key().to_bytes();
        let claims = ComponentClaims { subject: Name::from_raw(raw), ..self.claims()? };
        let draft = draft_component(&Name::<Issuer>::from_raw(raw), &claims);
        let signature = signing.sign(draft.signing_input()).to_bytes();
        Ok(draft.seal(&signature))
    }

    // The neutral point as a key: with it, R = S·B verifies any message in a lax verifier.
    fn weak_key(&self) -> anyhow::Result<String> {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let draft = draft_component(&Name::<Issuer>::from_raw(neutral), &self.claims()?);
        let mut signature = [0; 64];
        signature[0] = 1;
        Ok(draft.seal(&signature))
    }

    fn between(&self, iat: u64, nbf: Option<u64>, exp: Option<u64>) -> anyhow::Result<String> {
        let mut claims = self.claims()?;
        let at = |seconds: Option<u64>| seconds.map(Timestamp::from_seconds).transpose();
        claims.common.validity = Validity { iat: Timestamp::from_seconds(iat)?, nbf: at(nbf)?, exp: at(exp)? };
        self.token(self.account, claims)
    }

    // Claims of the form that lists what may be imported: one package of the two.
    fn modest(&self) -> anyhow::Result<String> {
        let caps = Some(vec!["wasi:keyvalue".parse()?]);
        self.token(self.account, ComponentClaims { caps, ..self.claims()? })
    }

    fn older(&self, genuine: &str) -> anyhow::Result<String> {
        let payload = String::from_utf8(BASE64URL_NOPAD.decode(payload(genuine).as_bytes())?)?;
        let older = payload.replace("\"wascap_revision\":3", "\"wascap_revision\":2");
        anyhow::ensure!(older != payload, "the claims name no revision");
        self.signed(header(genuine), &BASE64URL_NOPAD.encode(older.as_bytes()), self.account)
    }

    // Genuinely signed, under another label.
    fn under(&self, label: &[u8], genuine: &str) -> anyhow::Result<String> {
        self.signed(&BASE64URL_NOPAD.encode(label), payload(genuine), self.account)
    }

    // The header brings the key along that verifies it.
    fn own_key_within(&self, genuine: &str) -> anyhow::Result<String> {
        let own = KeyPair::new_account();
        let (_, raw) = nkeys::from_public_key(&own.public_key())?;
        let x = BASE64URL_NOPAD.encode(&raw);
        let label = format!(
            "{{\"typ\":\"jwt\",\"alg\":\"Ed25519\",\"jwk\":{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{x}\"}}}}"
        );
        self.signed(&BASE64URL_NOPAD.encode(label.as_bytes()), payload(genuine), &own)
    }

    fn signed(&self, header: &str, payload: &str, by: &KeyPair) -> anyhow::Result<String> {
        let input = format!("{header}.{payload}");
        let signature = by.sign(input.as_bytes())?;
        Ok(format!("{input}.{}", BASE64URL_NOPAD.encode(&signature)))
    }

    fn as_provider(&self) -> anyhow::Result<String> {
        let claims = policy::claims::ProviderClaims {
            common: self.claims()?.common,
            subject: Name::parse(&KeyPair::new_service().public_key())?,
            vendor: "imposter".into(),
            target_hashes: std::collections::BTreeMap::new(),
            config_schema: None,
            capid: Some("wasmcloud:keyvalue".parse()?),
        };
        let draft = policy::claims::draft_provider(&Name::parse(&self.account.public_key())?, &claims);
        let signature = self.account.sign(draft.signing_input())?;
        Ok(draft.seal(&signature))
    }

    // The trusted issuer first, the real signer last: which one does a reader believe?
    fn issuer_twice(&self, genuine: &str) -> anyhow::Result<String> {
        let imposter = KeyPair::new_account();
        let payload = String::from_utf8(BASE64URL_NOPAD.decode(payload(genuine).as_bytes())?)?;
        let body = payload.strip_suffix('}').unwrap_or(&payload);
        let twice = format!("{body},\"iss\":\"{}\"}}", imposter.public_key());
        self.signed(header(genuine), &BASE64URL_NOPAD.encode(twice.as_bytes()), &imposter)
    }

    fn twice(&self, genuine: &str) -> anyhow::Result<Vec<u8>> {
        let once = self.attach(genuine)?;
        let section = once.get(self.bytes.len()..).unwrap_or_default().to_vec();
        Ok([once, section].concat())
    }

    fn cut(&self, genuine: &str) -> anyhow::Result<Vec<u8>> {
        let mut whole = self.attach(genuine)?;
        whole.truncate(whole.len() - 40);
        Ok(whole)
    }

    fn attach(&self, token: &str) -> anyhow::Result<Vec<u8>> {
        Ok(component::attach(self.bytes, token)?)
    }
}

fn header(token: &str) -> &str {
    token.split('.').next().unwrap_or_default()
}

fn payload(token: &str) -> &str {
    token.split('.').nth(1).unwrap_or_default()
}

fn unsigned_token(genuine: &str) -> String {
    let header = BASE64URL_NOPAD.encode(br#"{"typ":"jwt","alg":"none"}"#);
    format!("{header}.{}.{}", payload(genuine), BASE64URL_NOPAD.encode(&[0; 64]))
}

// The same signature with the order of the group added to its second half: a lax verifier takes it as well.
fn malleable(genuine: &str) -> anyhow::Result<String> {
    let (input, signature) = genuine.rsplit_once('.').unwrap_or_default();
    let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes())?;
    let order = data_encoding::HEXLOWER.decode(GROUP_ORDER)?;
    let mut carry = 0;
    for (byte, more) in bytes.iter_mut().skip(32).zip(order) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        let [low, high] = sum.to_le_bytes();
        (*byte, carry) = (low, u16::from(high));
    }
    Ok(format!("{input}.{}", BASE64URL_NOPAD.encode(&bytes)))
}

// Little endian, as the signature is.
const GROUP_ORDER: &[u8] = b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
