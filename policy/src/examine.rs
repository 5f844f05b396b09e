//! The verdict on each piece of evidence that a document brings; knows no state and judges no trust.
//!
//! Pure, so it runs in parallel, and so a forged token becomes a recorded refusal and never an error.

use std::collections::BTreeMap;

use crate::claims::{self, ComponentClaims, ProviderClaims};
use crate::command::Command;
use crate::contract::{self, Contract};
use crate::delegation::{self, Delegation};
use crate::digest::Digest;
use crate::envelope::{Afresh, Claimed, KnownKeys, Unverified, Verified};
use crate::join::{InviteProof, Join, Possession};
use crate::json;
use crate::key::{Issuer, Name};
use crate::possession::{self, KeyProof};
use crate::question::{Inventory, Offer, StartRequest, What};
use crate::reason::{Reason, Refusal};

/// A statement that some issuer signed.
#[derive(Debug, Clone)]
pub enum Evidence {
    /// Claims of a component.
    Component(Claimed<ComponentClaims>),
    /// Claims of a provider.
    Provider(Claimed<ProviderClaims>),
    /// A contract.
    Contract(Claimed<Contract>),
    /// A proof that somebody holds an issuer's key.
    KeyProof(Claimed<KeyProof>),
    /// What an issuer lends to another key.
    Delegation(Claimed<Delegation>),
}

impl Evidence {
    /// The SHA-256 of its token.
    pub const fn sha256(&self) -> Digest {
        match self {
            Self::Component(claimed) => claimed.sha256(),
            Self::Provider(claimed) => claimed.sha256(),
            Self::Contract(claimed) => claimed.sha256(),
            Self::KeyProof(claimed) => claimed.sha256(),
            Self::Delegation(claimed) => claimed.sha256(),
        }
    }

    /// The issuer whose signature verified.
    pub const fn issuer(&self) -> &Name<Issuer> {
        match self {
            Self::Component(claimed) => claimed.issuer(),
            Self::Provider(claimed) => claimed.issuer(),
            Self::Contract(claimed) => claimed.issuer(),
            Self::KeyProof(claimed) => claimed.issuer(),
            Self::Delegation(claimed) => claimed.issuer(),
        }
    }

    /// The token as received.
    pub fn token(&self) -> &[u8] {
        match self {
            Self::Component(claimed) => claimed.token(),
            Self::Provider(claimed) => claimed.token(),
            Self::Contract(claimed) => claimed.token(),
            Self::KeyProof(claimed) => claimed.token(),
            Self::Delegation(claimed) => claimed.token(),
        }
    }
}

/// A verified document with the verdict on each piece of evidence in it.
#[derive(Debug, Clone)]
pub struct Examined<Q> {
    pub(crate) document: Verified<Q>,
    pub(crate) evidence: BTreeMap<Digest, Verdict>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) proof: Option<Verified<InviteProof>>,
}

impl<Q> Examined<Q> {
    /// The document.
    pub const fn document(&self) -> &Verified<Q> {
        &self.document
    }

    pub(crate) fn evidence(&self, sha256: Digest) -> Verdict {
        evidence(&self.evidence, sha256)
    }
}

/// The verdict on one of several statements.
pub(crate) fn evidence(verdicts: &BTreeMap<Digest, Verdict>, sha256: Digest) -> Verdict {
    let missing = || Err(Refusal::new(Reason::EvidenceMissing, format!("statement {sha256} is not attached")));
    verdicts.get(&sha256).cloned().unwrap_or_else(missing)
}

/// The verdict on one statement.
pub type Verdict = Result<Evidence, Refusal>;

/// Who gives verdicts on claims: reads them, or remembers what they proved before.
///
/// A verdict depends on the token's bytes alone, so it never grows stale; trust is judged anew each time.
pub trait Examiner {
    /// The verdict on this token, whose digest that is, where such a thing is to start.
    fn verdict(&self, what: What, token: &[u8], sha256: Digest) -> Verdict;
}

impl Examiner for Afresh {
    fn verdict(&self, what: What, token: &[u8], _: Digest) -> Verdict {
        verdict(what, token, self)
    }
}

/// The verdict on the claims of what is to start.
///
/// # Errors
/// The reason why they are malformed, of another kind, or not signed by the issuer they name.
pub fn verdict(what: What, token: &[u8], keys: &impl KnownKeys) -> Verdict {
    match what {
        What::StartComponent => claims::read_component_knowing(token, keys).map(Evidence::Component),
        What::StartProvider => either(token, keys),
    }
}

/// Examines a host's request: its claims, and what the host offers by itself.
///
/// # Errors
/// The reason why its inventory is malformed; a forged token inside it is no error.
pub fn start(
    request: Verified<StartRequest>,
    examiner: &(impl Examiner + ?Sized),
) -> Result<Examined<StartRequest>, Refusal> {
    let inventory: Inventory = json::read(request.attachment(request.inventory_sha256)?)?;
    let mut evidence = BTreeMap::new();
    if let Some(sha256) = request.runs.claims_sha256 {
        let verdict = examiner.verdict(request.what, request.attachment(sha256)?, sha256);
        // A memory that mixes tokens up proves nothing.
        let about = |evidence: &Evidence| evidence.sha256() == sha256;
        let mixed_up = || Refusal::new(Reason::EvidenceMissing, format!("the verdict is not on statement {sha256}"));
        evidence.insert(sha256, verdict.and_then(|evidence| Some(evidence).filter(about).ok_or_else(mixed_up)));
    }
    Ok(Examined { document: request, evidence, offers: inventory.builtins, proof: None })
}

/// Examines a command: each statement that is attached to it.
pub fn command(command: Verified<Command>) -> Examined<Command> {
    let evidence = statements(command.attachments());
    Examined { document: command, evidence, offers: Vec::new(), proof: None }
}

/// The verdict on each of some statements.
pub(crate) fn statements(statements: &[Vec<u8>]) -> BTreeMap<Digest, Verdict> {
    statements.iter().map(|token| (Digest::of(token), read_statement(token))).collect()
}

/// Examines a join: that the invitation's key vouches for this host and this join.
///
/// # Errors
/// The reason why it does not.
pub fn join(join: Verified<Join>) -> Result<Examined<Join>, Refusal> {
    let proof = Unverified::<InviteProof>::parse(join.attachment(join.proof_sha256)?)?.verify(&Possession)?;
    if proof.host != join.iss || proof.jti != join.jti || proof.aud != join.aud {
        return Err(Refusal::new(Reason::InviteUnknown, "the invitation vouches for another join"));
    }
    Ok(Examined { document: join, evidence: BTreeMap::new(), offers: Vec::new(), proof: Some(proof) })
}

/// Reads whichever claims a token holds.
///
/// # Errors
/// The reason of the kind that its subject promises.
pub fn read_claims(token: &[u8]) -> Verdict {
    either(token, &Afresh)
}

fn either(token: &[u8], keys: &impl KnownKeys) -> Verdict {
    match claims::read_component_knowing(token, keys) {
        Ok(claimed) => Ok(Evidence::Component(claimed)),
        Err(refusal) if refusal.reason == Reason::ClaimsKind => {
            claims::read_provider_knowing(token, keys).map(Evidence::Provider)
        }
        Err(refusal) => Err(refusal),
    }
}

// Each kind of statement has a header of its own: the first that fits is the one to read.
fn read_statement(token: &[u8]) -> Verdict {
    let readers: [fn(&[u8]) -> Verdict; 3] = [
        |token| contract::read(token).map(Evidence::Contract),
        |token| possession::read(token).map(Evidence::KeyProof),
        |token| delegation::read(token).map(Evidence::Delegation),
    ];
    let another = |verdict: &Verdict| matches!(verdict, Err(refusal) if refusal.reason == Reason::TokenHeader);
    let read = readers.into_iter().map(|read| read(token)).find(|verdict| !another(verdict));
    read.unwrap_or_else(|| read_claims(token))
}
