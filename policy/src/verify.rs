//! Offline verification of one file against a trust list: what it is, who signed it, and whether that counts.
//!
//! The readers and [`Issuers::judge`] are those of a live decision. Where files and trust lists come from is left to the
//! caller, and so is everything that needs state: contracts, admission, links.

use std::collections::BTreeSet;

use crate::artifact::{self, Artifact, Import};
use crate::claims::{self, Common};
use crate::digest::Digest;
use crate::envelope::Claimed;
use crate::examine::{self, Evidence};
use crate::issuer::{Issuers, Kind, Signed};
use crate::key::{self, Name};
use crate::provider::Subject;
use crate::reason::{Reason, Refusal};
use crate::skew::Clock;
use crate::time::Timestamp;

/// How the bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A compact token alone, without the bytes it is about.
    Token,
    /// A WebAssembly file or a provider archive.
    File,
}

impl Form {
    /// What the first bytes promise: JSON in base64url starts with `ey`, no file of ours does.
    ///
    /// White space and a scheme in front are looked through only to refuse such a token as what it is.
    pub fn of(bytes: &[u8]) -> Self {
        let text = bytes.trim_ascii_start();
        let text = text.strip_prefix(b"Bearer ").unwrap_or(text);
        if text.starts_with(b"ey") { Self::Token } else { Self::File }
    }
}

/// One file, read: what is proved by its bytes alone.
#[derive(Debug, Clone)]
pub struct Reading {
    sha256: Digest,
    kind: Option<Kind>,
    artifact: Option<Artifact>,
    evidence: Option<Evidence>,
    sound: Result<(), Refusal>,
}

/// Reads a file or a token and proves who signed it, and that it is about these bytes.
pub fn read(bytes: &[u8], form: Form, expected: Option<Kind>) -> Reading {
    let mut reading = Reading { sha256: Digest::of(bytes), kind: None, artifact: None, evidence: None, sound: Ok(()) };
    reading.sound = match form {
        Form::Token => reading.read_token(bytes, expected),
        Form::File => reading.read_file(bytes, expected),
    };
    reading
}

impl Reading {
    /// Whether its issuer's word for it counts at `now`: the first reason why not.
    ///
    /// # Errors
    /// The reason why the file is malformed, unsigned, not what was signed, or not signed by anybody who may.
    pub fn judge(&self, issuers: &Issuers, now: Timestamp) -> Result<(), Refusal> {
        self.sound.clone()?;
        let (Some(kind), Some(issuer), Some(common)) = (self.kind, self.issuer(), self.common()) else {
            return Err(missing());
        };
        let signed = Signed { issuer, kind, validity: &common.validity };
        let speaks_for = [self.contracts(), self.caps()].concat();
        let judged = issuers.judge(signed, speaks_for.iter().map(String::as_str), now);
        judged.map(drop).map_err(|refusal| refusal.between(Clock::Issuer, Clock::ThisMachine))
    }

    /// Whether it is whole, signed by the issuer it names, and about these bytes; trust apart.
    ///
    /// # Errors
    /// The reason why not.
    pub fn sound(&self) -> Result<(), &Refusal> {
        self.sound.as_ref().copied()
    }

    /// The digest of all that was read.
    pub const fn sha256(&self) -> Digest {
        self.sha256
    }

    /// A component or a provider, once that is known.
    pub const fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// The file, unless it was a token alone.
    pub const fn artifact(&self) -> Option<&Artifact> {
        self.artifact.as_ref()
    }

    /// The claims whose signature verified.
    pub const fn evidence(&self) -> Option<&Evidence> {
        self.evidence.as_ref()
    }

    /// Who signed it.
    pub fn issuer(&self) -> Option<&Name<key::Issuer>> {
        self.evidence.as_ref().map(Evidence::issuer)
    }

    /// What it is said to be.
    pub fn subject(&self) -> Option<Subject> {
        match self.evidence.as_ref()? {
            Evidence::Component(claimed) => Some(Subject::Component(claimed.subject)),
            Evidence::Provider(claimed) => Some(Subject::Provider(claimed.subject)),
            Evidence::Contract(_) | Evidence::KeyProof(_) | Evidence::Delegation(_) => None,
        }
    }

    /// What claims of either kind say.
    pub fn common(&self) -> Option<&Common> {
        match self.evidence.as_ref()? {
            Evidence::Component(claimed) => Some(&claimed.common),
            Evidence::Provider(claimed) => Some(&claimed.common),
            Evidence::Contract(_) | Evidence::KeyProof(_) | Evidence::Delegation(_) => None,
        }
    }

    /// What the file imports.
    pub fn imports(&self) -> &[Import] {
        match &self.artifact {
            Some(Artifact::Component(file)) => file.imports(),
            Some(Artifact::Archive(_)) | None => &[],
        }
    }

    /// What it serves, read from signed bytes: exports, the archive's world, or the older contract id.
    pub fn contracts(&self) -> Vec<String> {
        let mut contracts = BTreeSet::new();
        let served = match &self.artifact {
            Some(Artifact::Component(file)) => file.exports(),
            Some(Artifact::Archive(archive)) => archive.world().unwrap_or_default(),
            None => &[],
        };
        contracts.extend(served.iter().map(|import| import.package.to_string()));
        if let Some(Evidence::Provider(claimed)) = &self.evidence {
            contracts.extend(claimed.capid.as_ref().map(ToString::to_string));
        }
        contracts.into_iter().collect()
    }

    /// The older claims' bound on what a component may import.
    pub fn caps(&self) -> Vec<String> {
        match &self.evidence {
            Some(Evidence::Component(claimed)) => claimed.caps.iter().flatten().map(ToString::to_string).collect(),
            Some(_) | None => Vec::new(),
        }
    }

    fn read_token(&mut self, bytes: &[u8], expected: Option<Kind>) -> Result<(), Refusal> {
        let evidence = match expected {
            Some(Kind::Component) => claims::read_component(bytes).map(Evidence::Component)?,
            Some(Kind::Provider) => claims::read_provider(bytes).map(Evidence::Provider)?,
            Some(Kind::Contract) | None => examine::read_claims(bytes)?,
        };
        self.kind = kind_of(&evidence);
        self.evidence = Some(evidence);
        Ok(())
    }

    fn read_file(&mut self, bytes: &[u8], expected: Option<Kind>) -> Result<(), Refusal> {
        let artifact = artifact::read(bytes)?;
        let sound = self.read_claims(&artifact, expected);
        self.artifact = Some(artifact);
        sound
    }

    fn read_claims(&mut self, artifact: &Artifact, expected: Option<Kind>) -> Result<(), Refusal> {
        let kind = match artifact {
            Artifact::Component(_) => Kind::Component,
            Artifact::Archive(_) => Kind::Provider,
        };
        self.kind = Some(kind);
        if let Some(expected) = expected.filter(|expected| *expected != kind) {
            let detail = format!("the file is a {}, expected a {}", kind.word(), expected.word());
            return Err(Refusal::new(Reason::ClaimsKind, detail));
        }
        match artifact {
            Artifact::Component(file) => {
                let claimed = claims::read_component(file.token().ok_or_else(missing)?)?;
                let about = claimed.about(file);
                self.keep(claimed, Evidence::Component);
                about
            }
            Artifact::Archive(archive) => {
                let claimed = claims::read_provider(archive.token().ok_or_else(missing)?)?;
                let about = claimed.about(archive);
                self.keep(claimed, Evidence::Provider);
                about
            }
        }
    }

    // Kept even when the claims are about other bytes: whose claims were replayed is worth telling.
    fn keep<T>(&mut self, claimed: Claimed<T>, evidence: fn(Claimed<T>) -> Evidence) {
        self.evidence = Some(evidence(claimed));
    }
}

fn kind_of(evidence: &Evidence) -> Option<Kind> {
    Some(match evidence {
        Evidence::Component(_) => Kind::Component,
        Evidence::Provider(_) => Kind::Provider,
        Evidence::Contract(_) => Kind::Contract,
        Evidence::KeyProof(_) | Evidence::Delegation(_) => return None,
    })
}

fn missing() -> Refusal {
    Refusal::new(Reason::ClaimsMissing, "no signed claims")
}
