//! An exhibit: one entry of a log with all that proves it, for whoever has nothing but the lattice's digest.
//!
//! From the pinned first entry to its roots, from the roots to the warrant, from the warrant to the log's key, from that
//! key's checkpoint to the entry, and from the entry to the evidence that it rests on. Said plainly: that the roots
//! replaced a key since is not seen by who knows no newer warrant; so the warrant's number is told.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::digest::Digest;
use crate::envelope::{Afresh, Document, Keyring, Unverified, Verified, sealed};
use crate::examine::{self, Evidence};
use crate::inventory::HostInventory;
use crate::join::{Join, Possession};
use crate::json;
use crate::key::{Administrator, Host, Key, Name, Role};
use crate::lineage::{Changes, Lineage};
use crate::log::checkpoint::{Checkpoint, NoteKey};
use crate::log::entry::{Body, Entry, Judged, Ruled, leaf_hash};
use crate::log::proof::prove_inclusion;
use crate::log::replay::{Evidences, gather};
use crate::name::Lattice;
use crate::question::StartRequest;
use crate::reason::{Reason, Refusal};
use crate::root::{Agreed, RootChange};
use crate::warrant::Warrant;

/// One entry, and what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exhibit {
    /// A signed checkpoint that covers the entry.
    pub checkpoint: String,
    /// The entry's bytes.
    pub entry: String,
    /// Each piece of evidence in base64, in the order in which the entry names them.
    pub evidence: Vec<String>,
    /// What this is: [`Exhibit::FORMAT`].
    pub format: String,
    /// The bytes of the log's first entry: its hash is the lattice's name.
    pub inception: String,
    /// The proof that the entry is in the tree of the checkpoint.
    pub inclusion: Vec<Digest>,
    /// The changes of the roots, in order.
    pub roots: Changes,
    /// The warrant that names the log's key.
    pub warrant: String,
}

/// What an exhibit proves.
#[derive(Debug)]
pub struct Proven {
    /// The entry.
    pub entry: Entry,
    /// Its hash.
    pub sha256: Digest,
    /// The lattice, by the hash of its first entry.
    pub lattice: Digest,
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// Whose word that is.
    pub warrant: Verified<Warrant>,
    /// What became of each piece of evidence, and whose word it is.
    pub pieces: Vec<(Digest, String)>,
}

impl Exhibit {
    /// The word for this form.
    pub const FORMAT: &'static str = "countersign.exhibit.v1";

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::write(self)
    }

    /// Reads the one form an exhibit has.
    ///
    /// # Errors
    /// `schema_mismatch`, `json_malformed` or `token_oversize`.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_BYTES {
            let detail = format!("{} bytes, an exhibit has at most {MAX_BYTES}", bytes.len());
            return Err(Refusal::new(Reason::TokenOversize, detail));
        }
        // Its pieces are longer than what the strict reader takes, so the canonical form is what makes it strict.
        let read: Result<Self, _> = serde_json::from_slice(bytes);
        let exhibit = read.map_err(|error| Refusal::new(Reason::JsonMalformed, format!("not an exhibit: {error}")))?;
        if exhibit.format != Self::FORMAT {
            let found = exhibit.format.escape_default();
            return Err(Refusal::new(Reason::SchemaMismatch, format!("it is `{found}`, expected `{}`", Self::FORMAT)));
        }
        if exhibit.to_bytes() != bytes.trim_ascii_end() {
            return Err(Refusal::new(Reason::JsonMalformed, "the exhibit is not in its canonical form"));
        }
        Ok(exhibit)
    }

    /// Proves it, in the lattice that is pinned; without a pin, in the one that it names.
    ///
    /// # Errors
    /// `broker_key_unknown` for another lattice, other roots or another log's key, `signature_invalid`, `proof_invalid`
    /// where the entry does not lead to the checkpoint, `log_broken` where it or its evidence is not what it says.
    pub fn prove(&self, pinned: Option<Digest>) -> Result<Proven, Refusal> {
        let (begun, lattice, sha256) = self.begun(pinned)?;
        let mut lineage = begun.clone();
        lineage.follow_all(&self.roots).map_err(|refusal| refusal.within("a change of the roots"))?;
        let warrant = lineage.read_any(self.warrant.as_bytes()).map_err(|refusal| refusal.within("the warrant"))?;
        let key = NoteKey::parse(&warrant.log_key)?;
        let checkpoint = key.open(self.checkpoint.as_bytes()).map_err(|refusal| refusal.within("the checkpoint"))?;
        if checkpoint.origin != format!("countersign/{lattice}") {
            let detail = format!("the checkpoint is of `{}`, the lattice is `{lattice}`", checkpoint.origin);
            return Err(Refusal::new(Reason::LatticeMismatch, detail));
        }
        let entry = Entry::read(self.entry.as_bytes())?;
        if entry.lattice != lattice {
            let detail = format!("the entry is of lattice `{}`, the log of `{lattice}`", entry.lattice);
            return Err(Refusal::new(Reason::LatticeMismatch, detail));
        }
        let leaf = leaf_hash(self.entry.as_bytes());
        prove_inclusion(leaf, entry.index, checkpoint.size, &self.inclusion, checkpoint.root)?;
        let pieces = self.pieces(&entry, &begun)?;
        Ok(Proven { entry, sha256: leaf, lattice: sha256, checkpoint, warrant, pieces })
    }

    // The roots of the first day, in the lattice that is pinned.
    fn begun(&self, pinned: Option<Digest>) -> Result<(Lineage, Lattice, Digest), Refusal> {
        let sha256 = leaf_hash(self.inception.as_bytes());
        if let Some(pinned) = pinned.filter(|pinned| *pinned != sha256) {
            let detail = format!("the exhibit is from the lattice of {sha256}, pinned is {pinned}");
            return Err(Refusal::new(Reason::BrokerKeyUnknown, detail));
        }
        let first = Entry::read(self.inception.as_bytes())?;
        let Body::Inception(inception) = first.body else {
            return Err(broken("the first entry is no inception"));
        };
        inception.roots.sound()?;
        Ok((Lineage::of(&inception, sha256), first.lattice, sha256))
    }

    // Each piece is the one that the entry names, and the document is signed by whom the entry names.
    fn pieces(&self, entry: &Entry, begun: &Lineage) -> Result<Vec<(Digest, String)>, Refusal> {
        let brought: Vec<Vec<u8>> = self.evidence.iter().map(|piece| decoded(piece)).collect::<Result<_, _>>()?;
        if !brought.iter().map(|piece| Digest::of(piece)).eq(entry.evidence.iter().copied()) {
            return Err(broken("the evidence is not what the entry names"));
        }
        let Some(first) = entry.evidence.first() else { return Ok(Vec::new()) };
        let kept = Brought(entry.evidence.iter().copied().zip(brought).collect());
        let document = gather(entry, *first, &kept)?;
        let told = match &entry.body {
            Body::Ruling(ruled) => asked(ruled, &document)?,
            Body::Governance(judged) | Body::Refusal(judged) => self.commanded(judged, &document, begun)?,
            Body::Report(reported) => {
                let inventory = signed_by::<HostInventory, _>(&document, reported.host, reported.request_sha256)?;
                vec![format!("an inventory, signed by host {}", inventory.iss)]
            }
            Body::Inception(_) | Body::Door(_) | Body::Clock(_) | Body::Lost(_) | Body::Freeze(_) => {
                return Err(broken("an entry of its kind rests on no evidence"));
            }
        };
        let told = told.into_iter().chain(std::iter::repeat("named by the document".to_owned()));
        Ok(entry.evidence.iter().copied().zip(told).collect())
    }

    fn commanded(&self, judged: &Judged, document: &[u8], begun: &Lineage) -> Result<Vec<String>, Refusal> {
        let Some(by) = judged.by else { return self.brought(judged, document, begun) };
        let command = signed_by::<Command, _>(document, by, judged.token_sha256)?;
        let mut told = vec![format!("the command, signed by administrator {by}")];
        let examined = examine::command(command);
        for attachment in examined.document().attachments() {
            told.push(match examined.evidence(Digest::of(attachment)) {
                Ok(evidence) => statement(&evidence),
                Err(refusal) => format!("a statement that does not hold: {refusal}"),
            });
        }
        Ok(told)
    }

    // What nobody commands: warrants, changes of the roots, joins.
    fn brought(&self, judged: &Judged, document: &[u8], begun: &Lineage) -> Result<Vec<String>, Refusal> {
        let (sha256, told) = if Unverified::<Warrant>::parse(document).is_ok() {
            let mut lineage = begun.clone();
            lineage.follow_all(&self.roots)?;
            let warrant = lineage.read_any(document).map_err(unfit)?;
            (warrant.sha256(), format!("warrant {}, signed by the roots", warrant.rank()))
        } else if Unverified::<RootChange>::parse(document).is_ok() {
            let agreed = self.agreed(document, begun.clone())?;
            (agreed.change().sha256(), format!("change {} of the roots, signed by them", agreed.change().serial))
        } else {
            let join = Unverified::<Join>::parse(document).map_err(unfit)?.verify(&Possession).map_err(unfit)?;
            let (sha256, host) = (join.sha256(), join.iss);
            examine::join(join).map_err(unfit)?;
            (sha256, format!("the join, signed by host {host} and by its invitation"))
        };
        if sha256 != judged.token_sha256 {
            return Err(broken("the document is not the one that it is about"));
        }
        Ok(vec![told])
    }

    // By the roots of some day: those that it names came after them.
    fn agreed(&self, document: &[u8], mut lineage: Lineage) -> Result<Agreed, Refusal> {
        for change in self.roots.documents() {
            if let Ok(agreed) = lineage.today().follow(document) {
                return Ok(agreed);
            }
            lineage.follow(&change)?;
        }
        lineage.today().follow(document).map_err(unfit)
    }
}

fn asked(ruled: &Ruled, document: &[u8]) -> Result<Vec<String>, Refusal> {
    let request = signed_by::<StartRequest, _>(document, ruled.host, ruled.request_sha256)?;
    let claims = request.runs.claims_sha256;
    let mut told = vec![format!("the question, signed by host {}", request.iss)];
    let examined = examine::start(request, &Afresh)?;
    for attachment in examined.document().attachments() {
        let sha256 = Digest::of(attachment);
        if claims != Some(sha256) {
            told.push("what the host offers by itself, named by the question".to_owned());
            continue;
        }
        match examined.evidence(sha256) {
            Ok(evidence) => told.push(statement(&evidence)),
            Err(refusal) if ruled.reason.is_none() && ruled.relaxed.is_empty() => {
                return Err(broken(&format!("it permits what rests on claims that do not hold: {refusal}")));
            }
            Err(refusal) => told.push(format!("claims that do not hold: {refusal}")),
        }
    }
    Ok(told)
}

fn statement(evidence: &Evidence) -> String {
    let what = match evidence {
        Evidence::Component(_) => "claims of a component",
        Evidence::Provider(_) => "claims of a provider",
        Evidence::Contract(_) => "a contract",
        Evidence::KeyProof(_) => "a proof of possession",
        Evidence::Delegation(_) => "a delegation",
    };
    format!("{what}, signed by issuer {}", evidence.issuer())
}

fn signed_by<T, R>(document: &[u8], by: Name<R>, sha256: Digest) -> Result<Verified<T>, Refusal>
where
    R: Role,
    T: Document<Signer = R>,
    Said<R>: Keyring<T>,
{
    let document = Unverified::<T>::parse(document).map_err(unfit)?.verify(&Said(by)).map_err(unfit)?;
    if document.sha256() == sha256 { Ok(document) } else { Err(broken("the document is not the one that it is about")) }
}

/// The key that an entry names: that it was somebody's is the log's word.
struct Said<R: Role>(Name<R>);

impl<R: Role> sealed::Sealed for Said<R> {}

impl Said<Host> {
    fn known(&self, named: &Name<Host>) -> Result<Key<Host>, Refusal> {
        if *named == self.0 { named.usable() } else { Err(another(named, &self.0)) }
    }
}

impl Keyring<StartRequest> for Said<Host> {
    fn key(&self, request: &StartRequest) -> Result<Key<Host>, Refusal> {
        self.known(&request.iss)
    }
}

impl Keyring<HostInventory> for Said<Host> {
    fn key(&self, inventory: &HostInventory) -> Result<Key<Host>, Refusal> {
        self.known(&inventory.iss)
    }
}

impl Keyring<Command> for Said<Administrator> {
    fn key(&self, command: &Command) -> Result<Key<Administrator>, Refusal> {
        if command.iss == self.0 { command.iss.usable() } else { Err(another(&command.iss, &self.0)) }
    }
}

// Pieces of evidence by their digests, which were checked.
struct Brought(BTreeMap<Digest, Vec<u8>>);

impl Evidences for Brought {
    fn find(&self, sha256: Digest) -> Option<Vec<u8>> {
        self.0.get(&sha256).cloned()
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, Refusal> {
    let decoded = BASE64.decode(text.as_bytes());
    decoded.map_err(|_| Refusal::new(Reason::SchemaMismatch, "a piece of the exhibit is no base64"))
}

fn another<R: Role>(found: &Name<R>, named: &Name<R>) -> Refusal {
    broken(&format!("the document is of `{found}`, the entry names `{named}`"))
}

fn unfit(refusal: Refusal) -> Refusal {
    broken(&format!("its evidence does not hold: {refusal}"))
}

fn broken(detail: &str) -> Refusal {
    Refusal::new(Reason::LogBroken, detail)
}

// Larger than any entry with all that it rests on.
const MAX_BYTES: usize = 16 * 1024 * 1024;
