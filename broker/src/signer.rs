//! Signs what is on record, and nothing else; each answer carries the warrant that names its key.
//!
//! The bytes come from `policy::envelope::Draft`, whose canonical form general JWT writers do not produce; a general
//! JWT reader (`jwt-simple`, in the tests) verifies them.

use std::sync::Arc;

use policy::answer::{Receipt, StartAnswer, Verdict, View};
use policy::decide::Decision;
use policy::digest::Digest;
use policy::envelope::Verified;
use policy::growth::{Grown, Growth};
use policy::inventory::HostInventory;
use policy::key::{self, Name};
use policy::lineage::Changes;
use policy::log::Ruling;
use policy::name::Lattice;
use policy::query::Query;
use policy::question::What;
use policy::wire::PERMIT_TTL_MS;
use policy::withdrawal::{Withdrawal, Withdrawals};

use crate::keys::SigningKey;
use crate::service::Growing;
use crate::store::{Judgement, Recorded};

/// The broker's decision key, with the papers that prove it.
#[derive(Clone)]
pub struct Signer {
    key: Arc<SigningKey<key::Decision>>,
    lattice: Lattice,
    papers: Papers,
}

/// What proves a decision key to whoever pinned the lattice's first entry.
#[derive(Clone)]
pub(crate) struct Papers {
    pub(crate) warrant: Paper,
    pub(crate) inception: Paper,
    pub(crate) changes: Changes,
    // The changes once more, as they are attached; none before the first.
    roots: Option<Paper>,
}

/// Bytes that travel attached, with the digest that documents name them by.
#[derive(Clone)]
pub(crate) struct Paper {
    bytes: Vec<u8>,
    sha256: Digest,
}

impl Papers {
    pub(crate) fn new(warrant: &[u8], inception: &[u8], changes: Changes) -> Self {
        let roots = (!changes.is_empty()).then(|| Paper::new(changes.to_bytes()));
        Self { warrant: Paper::new(warrant.to_vec()), inception: Paper::new(inception.to_vec()), changes, roots }
    }

    // In the order in which documents name them; what is looked at stands before the changes.
    fn attached<'a>(&'a self, shown: Option<&'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
        let roots = self.roots.as_ref().map(|roots| roots.bytes.as_slice());
        [self.warrant.bytes.as_slice(), &self.inception.bytes].into_iter().chain(shown).chain(roots)
    }
}

impl Paper {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { sha256: Digest::of(&bytes), bytes }
    }
}

impl Signer {
    pub(crate) fn new(key: SigningKey<key::Decision>, lattice: Lattice, papers: Papers) -> Self {
        Self { key: Arc::new(key), lattice, papers }
    }

    /// The same key under the same warrant, with the changes of the roots up to today.
    pub(crate) fn after(&self, changes: Changes) -> Self {
        let Papers { warrant, inception, .. } = &self.papers;
        Self { papers: Papers::new(&warrant.bytes, &inception.bytes, changes), ..self.clone() }
    }

    /// The decision key.
    pub fn name(&self) -> Name<key::Decision> {
        self.key.name()
    }

    /// The warrant's token.
    pub fn warrant(&self) -> &[u8] {
        &self.papers.warrant.bytes
    }

    /// The bytes of the log's first entry.
    pub fn inception(&self) -> &[u8] {
        &self.papers.inception.bytes
    }

    /// The changes of the roots, from the inception on.
    pub const fn changes(&self) -> &Changes {
        &self.papers.changes
    }

    /// The warrant as it is announced; after a change of the roots, with the changes that lead to its signers.
    pub fn notice(&self) -> Vec<u8> {
        let roots = self.papers.roots.iter().flat_map(|roots| [b"\n".as_slice(), &roots.bytes]);
        std::iter::once(self.warrant()).chain(roots).flatten().copied().collect()
    }

    /// The signed answer to a question whose ruling is on record.
    pub fn answer(&self, recorded: &Recorded<Ruling>) -> Vec<u8> {
        let (request, decision) = (recorded.outcome().request(), recorded.outcome().decision());
        let (component, provider) = match request.what {
            What::StartComponent => (Some(request.runs.clone()), None),
            What::StartProvider => (None, Some(request.runs.clone())),
        };
        let answer = StartAnswer {
            iss: self.key.name(),
            aud: request.iss,
            lattice: self.lattice.clone(),
            warrant_sha256: self.papers.warrant.sha256,
            request_sha256: request.sha256(),
            jti: request.jti,
            verdict: match decision {
                Decision::Permitted(_) | Decision::Relaxed { .. } => Verdict::Permitted,
                Decision::Refused { .. } => Verdict::Refused,
            },
            reason: decision.refusal().map(|refusal| refusal.reason),
            ttl_ms: PERMIT_TTL_MS,
            component,
            provider,
            outcomes: decision.outcomes().to_vec(),
            epoch: recorded.epoch(),
            index: recorded.index(),
            entry_sha256: recorded.hash(),
            relaxations: decision.relaxed().to_vec(),
            standby: recorded.outcome().standby().cloned(),
        };
        self.key.sign(&answer, [self.warrant()])
    }

    /// The signed receipt of a command or a join whose judgement is on record.
    pub fn receipt(&self, recorded: &Recorded<Judgement>) -> Vec<u8> {
        let Judgement { request_sha256, verdict, lack } = recorded.outcome();
        let refusal = verdict.as_ref().err();
        let receipt = Receipt {
            iss: self.key.name(),
            lattice: self.lattice.clone(),
            warrant_sha256: self.papers.warrant.sha256,
            inception_bytes_sha256: self.papers.inception.sha256,
            roots_sha256: self.papers.roots.as_ref().map(|roots| roots.sha256),
            request_sha256: *request_sha256,
            reason: refusal.map(|refusal| refusal.reason),
            detail: refusal.map(|refusal| refusal.briefly()),
            pending: lack.clone(),
            epoch: recorded.epoch(),
            index: recorded.index(),
            entry_sha256: recorded.hash(),
        };
        self.key.sign(&receipt, self.papers.attached(None))
    }

    /// The signed word on a host's inventory: what it is to close there. It only takes away, so it needs no entry.
    pub fn withdrawals(
        &self,
        inventory: &Verified<HostInventory>,
        withdrawn: Vec<Withdrawal>,
        noted: u64,
        epoch: u64,
    ) -> Vec<u8> {
        let document = Withdrawals {
            iss: self.key.name(),
            aud: inventory.iss,
            lattice: self.lattice.clone(),
            warrant_sha256: self.papers.warrant.sha256,
            request_sha256: inventory.sha256(),
            epoch,
            withdrawn,
            noted,
        };
        self.key.sign(&document, [self.warrant()])
    }

    /// What a host has proved to it of the newest checkpoint: no grant, so it needs no entry.
    pub(crate) fn grown(&self, asked: &Verified<Growth>, growing: Growing) -> Vec<u8> {
        let Growing { checkpoint, trees, entry, restored, attached } = growing;
        let document = Grown {
            iss: self.key.name(),
            aud: asked.iss,
            lattice: self.lattice.clone(),
            warrant_sha256: self.papers.warrant.sha256,
            request_sha256: asked.sha256(),
            checkpoint,
            trees,
            entry,
            restored,
        };
        let attached = attached.iter().map(Vec::as_slice);
        self.key.sign(&document, std::iter::once(self.warrant()).chain(attached))
    }

    /// A signed look at the state: no grant, so it needs no entry of its own.
    pub fn view(&self, query: &Verified<Query>, view: &serde_json::Value, epoch: u64) -> Vec<u8> {
        let shown = policy::json::write(view);
        let document = View {
            iss: self.key.name(),
            lattice: self.lattice.clone(),
            warrant_sha256: self.papers.warrant.sha256,
            inception_bytes_sha256: self.papers.inception.sha256,
            roots_sha256: self.papers.roots.as_ref().map(|roots| roots.sha256),
            request_sha256: query.sha256(),
            view_sha256: Digest::of(&shown),
            epoch,
        };
        self.key.sign(&document, self.papers.attached(Some(&shown)))
    }
}
