//! What a broker's word must show before it is believed: a decision key, in a warrant of the pinned lattice's root, and
//! that it is about what was sent.

use policy::answer::{Papered, Receipt, View};
use policy::digest::Digest;
use policy::envelope::{Keyring, Unverified, Verified};
use policy::lineage::{Changes, Lineage};
use policy::log::{Body, Entry, leaf_hash};
use policy::name::Lattice;
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::warrant::{DecisionKeys, Rank, Warrant};

use crate::client::{Local, Seen, told};
use crate::folder::Folder;

/// A lattice by the hash of its first entry, and what is known of it from its own log, where that is at hand.
#[derive(Debug, Clone)]
pub struct Pin {
    root: Digest,
    rank: Rank,
    known: Option<Known>,
}

// What only the log tells: whoever has no more than the digest goes by the changes that come with the answer.
#[derive(Debug, Clone)]
struct Known {
    lineage: Lineage,
    // The warrant in force, which roots of its day signed.
    warrant: Option<Digest>,
}

impl Pin {
    /// The lattice of that digest.
    pub const fn at(root: Digest) -> Self {
        Self { root, rank: Rank { reset: 0, serial: 0 }, known: None }
    }

    /// The lattice of a folder: today's roots count, and no warrant before the one in force.
    pub(crate) fn of(local: &Local) -> Self {
        let (root, state) = (leaf_hash(&local.inception), local.ledger.state());
        let known = Known { lineage: state.lineage(root), warrant: state.warrant_sha256() };
        Self { root, rank: state.warrant_rank(), known: Some(known) }
    }

    /// The digest.
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// Opens the receipt of the command whose token has this digest.
    ///
    /// # Errors
    /// `broker_key_unknown`, `lattice_mismatch`, `signature_invalid`, or `answer_mismatch` for one of another command.
    pub fn receipt(
        &self,
        bytes: &[u8],
        token_sha256: Digest,
        lattice: &Lattice,
        now: Timestamp,
    ) -> Result<Verified<Receipt>, Refusal> {
        let (receipt, _): (Verified<Receipt>, _) = self.open(bytes, lattice, now)?;
        if receipt.request_sha256 == token_sha256 {
            return Ok(receipt);
        }
        Err(mismatch("the receipt is genuine, but of another command"))
    }

    /// Opens the view that answers a query.
    ///
    /// # Errors
    /// As [`Pin::receipt`].
    pub fn view(&self, bytes: &[u8], query_sha256: Digest, lattice: &Lattice, now: Timestamp) -> Result<Seen, Refusal> {
        let (view, warrant): (Verified<View>, _) = self.open(bytes, lattice, now)?;
        if view.request_sha256 != query_sha256 {
            return Err(mismatch("the view is genuine, but of another query"));
        }
        let shown = view.attachment(view.view_sha256)?;
        let shown = serde_json::from_slice(shown);
        let shown = shown.map_err(|_| mismatch("the view is genuine, but no JSON"))?;
        Ok(Seen { view: shown, epoch: view.epoch, warrant_until: warrant.validity.exp })
    }

    /// Whether a warrant is one that the folder's log could take next, so that a refusal is told where it is seen.
    ///
    /// # Errors
    /// As [`policy::root::RootLine`], `state_rollback`, or `broker_key_unknown` when it does not hold now.
    pub(crate) async fn expects(&self, token: &[u8], folder: &Folder, now: Timestamp) -> anyhow::Result<()> {
        let local = Local::read(folder).await.map_err(told)?;
        let (line, held) = (local.ledger.state().root_line(self.root), local.ledger.state().warrant_rank());
        let warrant = Unverified::<Warrant>::parse(token)?.verify(&line)?;
        DecisionKeys::of(&warrant, now)?;
        if warrant.rank() > held {
            return Ok(());
        }
        // Nobody put back anything: it was brought twice.
        if local.ledger.state().warrant_sha256() == Some(Digest::of(token)) {
            let detail = format!("warrant {} is in force already", warrant.rank());
            return Err(Refusal::new(Reason::AlreadyExists, detail).into());
        }
        let detail = format!("the warrant has serial {}, {held} is in force", warrant.rank());
        Err(Refusal::new(Reason::StateRollback, detail).into())
    }

    // Token, warrant, inception: the papers are read where every such document has them, and proved before they prove.
    fn open<T: Papered>(
        &self,
        bytes: &[u8],
        lattice: &Lattice,
        now: Timestamp,
    ) -> Result<(Verified<T>, Verified<Warrant>), Refusal>
    where
        DecisionKeys: Keyring<T>,
    {
        let document = Unverified::<T>::parse(bytes)?;
        let [warrant, inception, ..] = document.attachments() else {
            return Err(Refusal::new(Reason::EvidenceMissing, "the answer comes without its papers"));
        };
        let roots = document.says().roots_sha256();
        let roots = roots.and_then(|sha256| document.attachments().iter().find(|paper| Digest::of(paper) == sha256));
        let warrant = self.warrant(warrant, inception, roots.map(Vec::as_slice), lattice)?;
        Ok((document.verify(&DecisionKeys::of(&warrant, now)?)?, warrant))
    }

    fn warrant(
        &self,
        warrant: &[u8],
        inception: &[u8],
        roots: Option<&[u8]>,
        lattice: &Lattice,
    ) -> Result<Verified<Warrant>, Refusal> {
        let unknown = |detail: String| Refusal::new(Reason::BrokerKeyUnknown, detail);
        let found = leaf_hash(inception);
        if found != self.root {
            return Err(unknown(format!("the answer is from the lattice of {found}, pinned is {}", self.root)));
        }
        let Body::Inception(inception) = Entry::read(inception)?.body else {
            return Err(unknown("the pinned entry is no inception".to_owned()));
        };
        if inception.lattice != *lattice {
            let detail = format!("the pinned lattice is `{}`, asked was `{lattice}`", inception.lattice);
            return Err(Refusal::new(Reason::LatticeMismatch, detail));
        }
        let warrant = match &self.known {
            Some(known) => known.lineage.read(warrant, known.warrant)?,
            None => {
                let mut lineage = Lineage::of(&inception, self.root);
                roots.map_or(Ok(()), |roots| lineage.follow_all(&Changes::parse(roots)?))?;
                lineage.read_any(warrant)?
            }
        };
        if warrant.rank() < self.rank {
            return Err(unknown(format!("the answer's warrant is number {}, seen was {}", warrant.rank(), self.rank)));
        }
        Ok(warrant)
    }
}

fn mismatch(detail: &str) -> Refusal {
    Refusal::new(Reason::AnswerMismatch, detail)
}
