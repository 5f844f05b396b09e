//! What is asked: may this run here, and who answers each of its imports?
//!
//! A [`Question`] is what `decide` takes. A host's signed request becomes one in [`Question::signed`]; a dry run in
//! [`Question::supposed`], whose ruling no door accepts.

use serde::{Deserialize, Serialize};

use crate::artifact::Import;
use crate::digest::Digest;
use crate::envelope::Document;
use crate::examine::{Evidence, Examined};
use crate::key::{Host, Name};
use crate::name::{ComponentId, Lattice};
use crate::provider::Subject;
use crate::reason::{Reason, Refusal};
use crate::relax::StoodIn;
use crate::time::Timestamp;
use crate::wire::Nonce;

/// A host's signed request to start something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct StartRequest {
    /// The host.
    pub iss: Name<Host>,
    /// The lattice.
    pub aud: Lattice,
    /// When it was signed.
    pub iat: Timestamp,
    /// 128 bits from the operating system, used once.
    pub jti: Nonce,
    /// Whether a component or a provider is to start.
    pub what: What,
    /// Which one.
    pub runs: Runs,
    /// The packages whose interfaces it imports and that something must answer.
    pub imports: Vec<Import>,
    /// SHA-256 of the attached [`Inventory`].
    pub inventory_sha256: Digest,
    /// The newest of the log that this host has seen.
    pub seen: Seen,
    /// Starts by standby permits that no broker has been told of yet.
    pub stood_in: Vec<StoodIn>,
}

/// What runs under which id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    /// The id it runs under.
    pub id: ComponentId,
    /// What it is, by its claims.
    pub subject: Subject,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// SHA-256 of its claims token, attached; none when it carries no claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims_sha256: Option<Digest>,
}

/// The newest entry that a host has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The highest epoch.
    pub epoch: u64,
    /// The index of the newest entry.
    pub index: u64,
    /// Its hash.
    pub entry_sha256: Digest,
}

/// What a host offers by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Its builtins.
    pub builtins: Vec<Offer>,
}

/// One builtin of a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// What it is.
    pub subject: Subject,
    /// SHA-256 of its bytes; of its name, for a native one.
    pub sha256: Digest,
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// May this component start here?
    StartComponent,
    /// May this provider start here?
    StartProvider,
}

/// How sure the broker is of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// An enrolled host signed the request.
    HostSigned,
    /// Nobody asked: a dry run, a plan.
    Supposed,
}

/// What `decide` takes: the request with the verdict on each piece of evidence in it.
#[derive(Debug, Clone)]
pub struct Question {
    pub(crate) what: What,
    pub(crate) assurance: Assurance,
    pub(crate) host: Name<Host>,
    pub(crate) lattice: Lattice,
    pub(crate) runs: Runs,
    pub(crate) claims: Option<Result<Evidence, Refusal>>,
    pub(crate) imports: Vec<Import>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) seen: Option<Seen>,
}

impl Question {
    /// The question that a host's examined request asks.
    pub fn signed(examined: &Examined<StartRequest>) -> Self {
        let request = &examined.document;
        let runs = &request.runs;
        Self {
            what: request.what,
            assurance: Assurance::HostSigned,
            host: request.iss,
            lattice: request.aud.clone(),
            claims: runs.claims_sha256.map(|sha256| examined.evidence(sha256)),
            runs: runs.clone(),
            imports: request.imports.clone(),
            offers: examined.offers.clone(),
            seen: Some(request.seen),
        }
    }

    /// A question that nobody asked: decided like any other, accepted by no door.
    pub fn supposed(host: Name<Host>, lattice: Lattice, supposed: Supposed) -> Self {
        let Supposed { what, runs, claims, imports, offers } = supposed;
        Self { what, assurance: Assurance::Supposed, host, lattice, runs, claims, imports, offers, seen: None }
    }

    /// What it is about.
    pub const fn what(&self) -> What {
        self.what
    }

    /// The host that asks.
    pub const fn host(&self) -> &Name<Host> {
        &self.host
    }

    /// What would run.
    pub const fn runs(&self) -> &Runs {
        &self.runs
    }

    /// The imports that something must answer.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// The builtins that the host offers.
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }
}

/// The parts of a dry run's question.
#[derive(Debug, Clone)]
pub struct Supposed {
    /// What it is about.
    pub what: What,
    /// What would run.
    pub runs: Runs,
    /// Its claims, if any.
    pub claims: Option<Result<Evidence, Refusal>>,
    /// Its imports.
    pub imports: Vec<Import>,
    /// The builtins that the host would offer.
    pub offers: Vec<Offer>,
}

// The form on the wire: `component` or `provider` is named, exactly one of them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    iss: Name<Host>,
    aud: Lattice,
    iat: Timestamp,
    jti: Nonce,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    component: Option<Runs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<Runs>,
    imports: Vec<Import>,
    inventory_sha256: Digest,
    seen: Seen,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stood_in: Vec<StoodIn>,
}

impl From<StartRequest> for Wire {
    fn from(request: StartRequest) -> Self {
        let StartRequest { iss, aud, iat, jti, what, runs, imports, inventory_sha256, seen, stood_in } = request;
        let (component, provider) = match what {
            What::StartComponent => (Some(runs), None),
            What::StartProvider => (None, Some(runs)),
        };
        Self { iss, aud, iat, jti, component, provider, imports, inventory_sha256, seen, stood_in }
    }
}

impl TryFrom<Wire> for StartRequest {
    type Error = Refusal;
    fn try_from(wire: Wire) -> Result<Self, Refusal> {
        let Wire { iss, aud, iat, jti, component, provider, imports, inventory_sha256, seen, stood_in } = wire;
        let (what, runs) = match (component, provider) {
            (Some(component), None) => (What::StartComponent, component),
            (None, Some(provider)) => (What::StartProvider, provider),
            _ => return Err(malformed("exactly one of `component` and `provider` is named")),
        };
        well_formed(&imports)?;
        if stood_in.len() > MAX_STOOD_IN {
            return Err(malformed("more starts by standby permits than one request reports"));
        }
        Ok(Self { iss, aud, iat, jti, what, runs, imports, inventory_sha256, seen, stood_in })
    }
}

fn well_formed(imports: &[Import]) -> Result<(), Refusal> {
    if imports.len() > MAX_IMPORTS {
        return Err(malformed("more imports than a start may have"));
    }
    let keys: std::collections::BTreeSet<_> = imports.iter().map(|import| (&import.package, &import.version)).collect();
    if keys.len() != imports.len() || imports.iter().any(|import| import.interfaces.is_empty()) {
        return Err(malformed("each import is a package at a version, once, with its interfaces"));
    }
    Ok(())
}

fn malformed(detail: &str) -> Refusal {
    Refusal::new(Reason::SchemaMismatch, detail)
}

/// The most packages that one start may import.
pub const MAX_IMPORTS: usize = 256;
/// The most starts by standby permits that one request reports; the next one reports more.
pub const MAX_STOOD_IN: usize = 64;

impl Document for StartRequest {
    const TYPE: &'static str = "start";
    const MAX_BYTES: usize = 256 * 1024;
    type Signer = Host;

    fn signer(&self) -> &Name<Host> {
        &self.iss
    }

    fn attachments(&self) -> Vec<Digest> {
        self.runs.claims_sha256.into_iter().chain([self.inventory_sha256]).collect()
    }
}
