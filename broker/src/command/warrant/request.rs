//! What the roots are asked to sign: public parts alone, carried to where the root keys are.

use anyhow::Context;
use policy::key::{Decision, Key, Name, Root};
use policy::log::{Body, Entry, NoteKey, leaf_hash};
use policy::name::Lattice;
use policy::reason::{Reason, Refusal};
use policy::root::RootLine;
use policy::warrant::{Quorum, Rank};
use serde::{Deserialize, Serialize};

use crate::client::{Client, Local, told};
use crate::command::keyfile::public;
use crate::folder::Folder;
use crate::output::Usage;
use crate::service::next_key;
use crate::view::{self, Look};

/// A request for a warrant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The lattice.
    pub(crate) lattice: Lattice,
    /// The text of its first entry, whose hash is pinned.
    pub(crate) inception: String,
    /// Who signs warrants, where these are others than that entry says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<Quorum<Root>>,
    /// How often the count of serials was begun anew.
    pub(crate) reset: u64,
    /// The serial in force.
    pub(crate) serial: u64,
    /// The decision key in force.
    pub(crate) decision_key: Key<Decision>,
    /// The one that is to take its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_decision_key: Option<Key<Decision>>,
    /// The log key in force.
    pub(crate) log_key: String,
    /// The one that is to take its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_log_key: Option<String>,
}

impl Request {
    /// The request of a folder: for the keys in force, or those that wait to take their place.
    pub(crate) fn of(client: &Client) -> anyhow::Result<Self> {
        let folder = client.need_folder()?;
        let local = client.block_on(Local::read(folder)).map_err(told)?;
        let warrants = client.look(&Look::Warrants)?.view;
        let in_force = view::rows(&warrants, "warrants").last();
        let in_force = in_force.ok_or_else(|| Refusal::new(Reason::NotFound, "no warrant was ever in force"))?;
        let ends = in_force.get("ends");
        let names: Vec<String> = serde_json::from_value(in_force.get("decision_keys").cloned().unwrap_or_default())?;
        let lasting = names.iter().find(|name| ends.is_none_or(|ends| ends.get(name.as_str()).is_none()));
        let lasting = lasting.context("a warrant has a key that lasts")?;
        let (state, rank) = (local.ledger.state(), local.ledger.state().warrant_rank());
        Ok(Self {
            lattice: state.lattice().clone(),
            inception: String::from_utf8(local.inception.clone())?,
            roots: state.root_sets().get(1..).and_then(<[_]>::last).cloned(),
            reset: rank.reset,
            serial: rank.serial,
            decision_key: Name::<Decision>::parse(lasting)?.usable()?,
            next_decision_key: waiting(folder, "decision")?
                .map(|key| anyhow::Ok(Name::<Decision>::parse(&key)?.usable()?))
                .transpose()?,
            log_key: state.log_key().to_owned(),
            next_log_key: waiting(folder, "log")?,
        })
    }

    /// Reads a request; nobody signed it, so whoever signs on its word looks at what it asks.
    pub(crate) fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        if bytes.len() > MAX_BYTES {
            return Err(Usage(format!("a request has at most {MAX_BYTES} bytes")).into());
        }
        let request: Self = serde_json::from_slice(bytes).context("this is no request for a warrant")?;
        NoteKey::parse(&request.log_key)?;
        request.next_log_key.as_deref().map(NoteKey::parse).transpose()?;
        Ok(request)
    }

    pub(crate) fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        Ok([serde_json::to_vec_pretty(self)?, b"\n".to_vec()].concat())
    }

    /// Where the warrant in force stands.
    pub(crate) const fn rank(&self) -> Rank {
        Rank { reset: self.reset, serial: self.serial }
    }

    /// Whose warrants its lattice takes. A request that lies about that yields a warrant that no broker installs.
    pub(crate) fn line(&self) -> anyhow::Result<RootLine> {
        let (bytes, sha256) = (self.inception.as_bytes(), leaf_hash(self.inception.as_bytes()));
        match Entry::read(bytes)?.body {
            Body::Inception(inception) if inception.lattice == self.lattice => {
                let roots = self.roots.clone().unwrap_or(inception.roots);
                // INVARIANT: the number of the last change matters to the next change alone.
                Ok(RootLine { lattice: inception.lattice, inception_sha256: sha256, serial: 0, roots })
            }
            _ => {
                Err(Refusal::new(Reason::LatticeMismatch, "the request's first entry is not that of its lattice")
                    .into())
            }
        }
    }
}

fn waiting(folder: &Folder, name: &str) -> anyhow::Result<Option<String>> {
    let path = folder.key(&next_key(name));
    let context = || format!("the key that waits in `{}`", path.display());
    if path.exists() { public(&path).with_context(context).map(Some) } else { Ok(None) }
}

const MAX_BYTES: usize = 64 * 1024;
