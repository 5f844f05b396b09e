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
            ("forged-signature", self.attach(&self.forged()?)?),
            ("self-signed", self.attach(&self.self_signed()?)?),
            ("weak-issuer-key", self.attach(&self.weak_key()?)?),
            ("claims-have-ended", self.attach(&self.ended()?)?),
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

    fn ended(&self) -> anyhow::Result<String> {
        let mut claims = self.claims()?;
        let iat = Timestamp::from_seconds(self.now - 7200)?;
        claims.common.validity = Validity { iat, nbf: None, exp: Some(iat.plus(3600)) };
        self.token(self.account, claims)
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
        let mut segments = genuine.split('.');
        let (header, payload) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
        let payload = String::from_utf8(BASE64URL_NOPAD.decode(payload.as_bytes())?)?;
        let body = payload.strip_suffix('}').unwrap_or(&payload);
        let twice = format!("{body},\"iss\":\"{}\"}}", imposter.public_key());
        let input = format!("{header}.{}", BASE64URL_NOPAD.encode(twice.as_bytes()));
        let signature = imposter.sign(input.as_bytes())?;
        Ok(format!("{input}.{}", BASE64URL_NOPAD.encode(&signature)))
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

fn unsigned_token(genuine: &str) -> String {
    let payload = genuine.split('.').nth(1).unwrap_or_default();
    let header = BASE64URL_NOPAD.encode(br#"{"typ":"jwt","alg":"none"}"#);
    format!("{header}.{payload}.{}", BASE64URL_NOPAD.encode(&[0; 64]))
}
