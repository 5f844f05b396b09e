//! What a signer said of a binary: wascap claims of components and providers, today's form and the older one.
//!
//! Read strictly and proved to be signed by the issuer they name; whether that issuer is trusted is left to
//! [`crate::issuer`], and what the binary really is to [`crate::artifact`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact::archive::ArchiveFile;
use crate::artifact::component::ComponentFile;
use crate::digest::Digest;
use crate::envelope::{Afresh, Claimed, Draft, KnownKeys, Statement, claim, decode};
use crate::json;
use crate::key::{self, Component, Issuer, Name, Provider};
use crate::name::LegacyId;
use crate::reason::{Reason, Refusal};
use crate::time::{Timestamp, Validity};

/// The revision of wascap whose rules always check the hash; no other is accepted (T31).
pub const WASCAP_REVISION: u32 = 3;

/// What both kinds of claims say.
#[derive(Debug, Clone, PartialEq)]
pub struct Common {
    /// The token's own id.
    pub jti: String,
    /// When the claims hold.
    pub validity: Validity,
    /// A name for people.
    pub name: Option<String>,
    /// A number meant to grow with each release.
    pub rev: Option<i32>,
    /// A version for people.
    pub ver: Option<String>,
}

/// Claims about a component.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentClaims {
    /// What both kinds say.
    pub common: Common,
    /// The component's key.
    pub subject: Name<Component>,
    /// SHA-256 of the file without its claims section.
    pub hash: Digest,
    /// Text for people.
    pub tags: Vec<String>,
    /// Another name to call it by.
    pub call_alias: Option<String>,
    /// The older form's bound on what it may import: an upper bound, never a permission.
    pub caps: Option<Vec<LegacyId>>,
}

/// Claims about a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderClaims {
    /// What both kinds say.
    pub common: Common,
    /// The provider's key.
    pub subject: Name<Provider>,
    /// Who made it, for people.
    pub vendor: String,
    /// SHA-256 of each file of the archive, by target or as `world.wasm`.
    pub target_hashes: BTreeMap<String, Digest>,
    /// A JSON Schema of its configuration.
    pub config_schema: Option<Value>,
    /// The older form's contract id.
    pub capid: Option<LegacyId>,
}

/// Reads claims of a component and proves who signed them; there is no other way to signed claims.
///
/// ```
/// # use policy::{claims::{self, ComponentClaims}, envelope::Claimed};
/// fn claimed(token: &[u8]) -> Option<Claimed<ComponentClaims>> {
///     claims::read_component(token).ok()
/// }
/// ```
/// ```compile_fail
/// # // T100: claims that nobody signed
/// # use policy::{claims::{self, ComponentClaims}, envelope::Claimed};
/// fn claimed(claims: ComponentClaims) -> Option<Claimed<ComponentClaims>> {
///     Some(Claimed { statement: claims })
/// }
/// ```
///
/// # Errors
/// The reason why the token is malformed, of another kind, or not signed by the issuer it names.
pub fn read_component(token: &[u8]) -> Result<Claimed<ComponentClaims>, Refusal> {
    read_component_knowing(token, &Afresh)
}

/// As [`read_component`], for whoever knows issuers' keys already.
///
/// # Errors
/// As [`read_component`].
pub fn read_component_knowing(token: &[u8], keys: &impl KnownKeys) -> Result<Claimed<ComponentClaims>, Refusal> {
    claim(token, keys)
}

/// Reads claims of a provider and proves who signed them.
///
/// # Errors
/// As [`read_component`].
pub fn read_provider(token: &[u8]) -> Result<Claimed<ProviderClaims>, Refusal> {
    read_provider_knowing(token, &Afresh)
}

/// As [`read_provider`], for whoever knows issuers' keys already.
///
/// # Errors
/// As [`read_component`].
pub fn read_provider_knowing(token: &[u8], keys: &impl KnownKeys) -> Result<Claimed<ProviderClaims>, Refusal> {
    claim(token, keys)
}

impl Claimed<ComponentClaims> {
    /// Checks that the claims are about these bytes.
    ///
    /// # Errors
    /// `hash_mismatch`.
    pub fn about(&self, file: &ComponentFile) -> Result<(), Refusal> {
        if self.hash == file.claims_hash() {
            return Ok(());
        }
        let detail = format!("the claims are about {}, the file is {}", self.hash, file.claims_hash());
        Err(Refusal::new(Reason::HashMismatch, detail))
    }
}

impl Claimed<ProviderClaims> {
    /// Checks that the claims are about these files: a signed hash for every file, a file for every signed hash.
    ///
    /// # Errors
    /// `archive_unsigned` or `hash_mismatch`, naming the entry.
    pub fn about(&self, archive: &ArchiveFile) -> Result<(), Refusal> {
        for entry in archive.entries() {
            let signed = self.target_hashes.get(entry.name());
            match signed {
                Some(signed) if *signed == entry.sha256() => {}
                Some(signed) => {
                    let detail = format!("`{}` is {}, its signed hash is {signed}", entry.name(), entry.sha256());
                    return Err(Refusal::new(Reason::HashMismatch, detail));
                }
                None => return Err(unsigned(format!("`{}` has no signed hash", entry.name()))),
            }
        }
        let missing = self.target_hashes.keys().find(|name| archive.entry(name).is_none());
        missing.map_or(Ok(()), |name| Err(unsigned(format!("`{name}` has a signed hash and no file"))))
    }
}

fn unsigned(detail: String) -> Refusal {
    Refusal::new(Reason::ArchiveUnsigned, detail)
}

/// Claims to be signed: the signing input that the published wasmCloud crates read.
pub fn draft_component(issuer: &Name<Issuer>, claims: &ComponentClaims) -> Draft {
    let wascap = WascapComponent {
        name: claims.common.name.clone(),
        hash: claims.hash.to_upper(),
        tags: Some(claims.tags.clone()),
        rev: claims.common.rev,
        ver: claims.common.ver.clone(),
        call_alias: claims.call_alias.clone(),
        prov: Some(false),
        caps: claims.caps.clone(),
    };
    draft(issuer, &claims.common, claims.subject.to_string(), wascap)
}

/// As [`draft_component`], for a provider.
pub fn draft_provider(issuer: &Name<Issuer>, claims: &ProviderClaims) -> Draft {
    let wascap = WascapProvider {
        name: claims.common.name.clone(),
        vendor: claims.vendor.clone(),
        rev: claims.common.rev,
        ver: claims.common.ver.clone(),
        target_hashes: claims.target_hashes.iter().map(|(name, hash)| (name.clone(), hash.to_upper())).collect(),
        config_schema: claims.config_schema.clone(),
        capid: claims.capid.clone(),
    };
    draft(issuer, &claims.common, claims.subject.to_string(), wascap)
}

fn draft<W: Serialize>(issuer: &Name<Issuer>, common: &Common, sub: String, wascap: W) -> Draft {
    let payload = Payload {
        jti: common.jti.clone(),
        iat: common.validity.iat,
        iss: issuer.to_string(),
        sub,
        exp: common.validity.exp,
        nbf: common.validity.nbf,
        wascap,
        wascap_revision: Some(WASCAP_REVISION),
    };
    let header = data_encoding::BASE64URL_NOPAD.encode(HEADER);
    Draft::with_header(&header, &json::write(&payload))
}

const HEADER: &[u8] = br#"{"typ":"jwt","alg":"Ed25519"}"#;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<W> {
    jti: String,
    iat: Timestamp,
    iss: String,
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exp: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<Timestamp>,
    wascap: W,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wascap_revision: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WascapComponent {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rev: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ver: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call_alias: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prov: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caps: Option<Vec<LegacyId>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WascapProvider {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    vendor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rev: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ver: Option<String>,
    target_hashes: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config_schema: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capid: Option<LegacyId>,
}

// Enough of a payload to tell its kind before its schema can be asked for.
#[derive(Deserialize)]
struct Peek {
    sub: Option<String>,
}

impl Statement for ComponentClaims {
    fn header_fits(header: &[u8]) -> bool {
        is_wascap_header(header)
    }

    fn read(bytes: &[u8]) -> Result<(Self, Name<Issuer>), Refusal> {
        let payload: Payload<WascapComponent> = read_kind(bytes, 'V', "component")?;
        let subject = Name::parse(&payload.sub).map_err(|refusal| refusal.within("`sub`"))?;
        let (common, issuer) =
            read_common(&payload, payload.wascap.name.clone(), payload.wascap.rev, payload.wascap.ver.clone())?;
        refuse_self_signed(issuer.raw(), subject.raw())?;
        let wascap = payload.wascap;
        if wascap.prov == Some(true) {
            return Err(Refusal::new(Reason::ClaimsKind, "a component's claims say `prov`: true"));
        }
        if wascap.tags.as_ref().is_some_and(|tags| tags.len() > MAX_TAGS) {
            return Err(Refusal::new(Reason::JsonLimit, format!("more than {MAX_TAGS} tags")));
        }
        if wascap.call_alias.as_ref().is_some_and(|alias| key::inspect(alias).is_ok()) {
            return Err(Refusal::new(
                Reason::NameMalformed,
                "`call_alias` is shaped like a key, so calls to it could be taken for calls to that key",
            ));
        }
        let hash = Digest::parse_upper(&wascap.hash).map_err(|refusal| refusal.within("`hash`"))?;
        let tags = wascap.tags.unwrap_or_default();
        Ok((Self { common, subject, hash, tags, call_alias: wascap.call_alias, caps: wascap.caps }, issuer))
    }
}

impl Statement for ProviderClaims {
    fn header_fits(header: &[u8]) -> bool {
        is_wascap_header(header)
    }

    fn read(bytes: &[u8]) -> Result<(Self, Name<Issuer>), Refusal> {
        let payload: Payload<WascapProvider> = read_kind(bytes, 'M', "provider")?;
        let subject = Name::parse(&payload.sub).map_err(|refusal| refusal.within("`sub`"))?;
        let (common, issuer) =
            read_common(&payload, payload.wascap.name.clone(), payload.wascap.rev, payload.wascap.ver.clone())?;
        refuse_self_signed(issuer.raw(), subject.raw())?;
        let wascap = payload.wascap;
        let target_hashes = wascap.target_hashes.into_iter().map(|(name, hash)| {
            let hash = Digest::parse_upper(&hash)
                .map_err(|refusal| refusal.within(format!("`target_hashes` of `{}`", name.escape_default())))?;
            Ok((name, hash))
        });
        let target_hashes = target_hashes.collect::<Result<_, Refusal>>()?;
        let (vendor, config_schema, capid) = (wascap.vendor, wascap.config_schema, wascap.capid);
        Ok((Self { common, subject, vendor, target_hashes, config_schema, capid }, issuer))
    }
}

/// The most tags that claims may carry.
pub const MAX_TAGS: usize = 100;

// Two members, any order, nothing else: no header member may name, carry or fetch a key (T01).
fn is_wascap_header(header: &[u8]) -> bool {
    if header == USUAL_HEADER {
        return true;
    }
    let Ok(bytes) = decode(header) else {
        return false;
    };
    json::read::<Header>(&bytes).is_ok_and(|header| header.typ == "jwt" && header.alg == "Ed25519")
}

// `{"typ":"jwt","alg":"Ed25519"}`, as every signer of today writes it.
const USUAL_HEADER: &[u8] = b"eyJ0eXAiOiJqd3QiLCJhbGciOiJFZDI1NTE5In0";

fn read_kind<W: serde::de::DeserializeOwned>(bytes: &[u8], other: char, kind: &str) -> Result<Payload<W>, Refusal> {
    let read: Result<Payload<W>, Refusal> = json::read_claims(bytes);
    let subject = match &read {
        Ok(payload) => Some(payload.sub.clone()),
        // What is no strict JSON has no subject to speak of; what does not fit may be of the other kind.
        Err(refusal) if is_about_json(refusal.reason) => None,
        Err(_) => serde_json::from_slice::<Peek>(bytes).ok().and_then(|peek| peek.sub),
    };
    if subject.is_some_and(|subject| subject.starts_with(other)) {
        return Err(Refusal::new(
            Reason::ClaimsKind,
            format!("the subject's key starts with `{other}`: these are no {kind}'s claims"),
        ));
    }
    read
}

fn read_common<W>(
    payload: &Payload<W>,
    name: Option<String>,
    rev: Option<i32>,
    ver: Option<String>,
) -> Result<(Common, Name<Issuer>), Refusal> {
    let issuer = Name::parse(&payload.iss).map_err(|refusal| refusal.within("`iss`"))?;
    if payload.wascap_revision != Some(WASCAP_REVISION) {
        let found = payload.wascap_revision.map_or_else(|| "none".to_owned(), |revision| revision.to_string());
        return Err(Refusal::new(
            Reason::ClaimsRevision,
            format!("`wascap_revision` is {found}, expected {WASCAP_REVISION}"),
        ));
    }
    let validity = Validity { iat: payload.iat, nbf: payload.nbf, exp: payload.exp }.sound()?;
    Ok((Common { jti: payload.jti.clone(), validity, name, rev, ver }, issuer))
}

fn is_about_json(reason: Reason) -> bool {
    matches!(reason, Reason::JsonMalformed | Reason::JsonDuplicate | Reason::JsonLimit)
}

fn refuse_self_signed(issuer: &[u8; 32], subject: &[u8; 32]) -> Result<(), Refusal> {
    if issuer == subject { Err(Refusal::new(Reason::SelfSigned, "`iss` and `sub` are one key")) } else { Ok(()) }
}
