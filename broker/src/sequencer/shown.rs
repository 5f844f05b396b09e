//! What the one owner of the state shows to everyone: the durable end of the log, who may speak, what hosts say.

use std::sync::Arc;

use arc_swap::ArcSwap;
use policy::digest::Digest;
use policy::govern::{AdministratorKeys, HostKeys, State};
use policy::log::{Checkpoint, Head};
use tokio::sync::watch;

use crate::present::Present;
use crate::sequencer::court::Court;
use crate::store::Vouched;

/// The state at one moment, for readers.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// The end of the log that it is the fold of.
    pub head: Head,
    /// The root of the tree over it.
    pub root: Digest,
}

/// What the sequencer shows to everyone.
pub(crate) struct Shown {
    /// The newest durable end of the log.
    pub(crate) tip: watch::Receiver<Tip>,
    /// The keys of the enrolled hosts.
    pub(crate) hosts: Arc<ArcSwap<HostKeys>>,
    /// The administrators.
    pub(crate) administrators: Arc<ArcSwap<AdministratorKeys>>,
    /// What hosts say of themselves, and how far acts have come.
    pub(crate) present: Arc<Present>,
    /// Up to where the newest opening of the log passed rows, where it did.
    pub(crate) passed: watch::Receiver<Option<Vouched>>,
}

/// The end of the log, with the key that signs for it: a checkpoint is signed by the key that the log named before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) log_key: Arc<str>,
}

impl Tip {
    pub(super) fn of(court: &Court) -> Self {
        Self { checkpoint: court.checkpoint(), log_key: court.ledger().state().log_key().into() }
    }
}
