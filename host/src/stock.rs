//! What this process could start as a provider: for operators who ask whether a provider can be reached before they
//! switch a link to it. It grants nothing; what is started is read and decided anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use policy::digest::Digest;
use policy::inventory::MAX_AT_HAND;
use policy::question::Offer;
use tokio::time::{Duration, Instant};

use crate::folder::{Folder, Print};

/// The files at hand, as they were found last.
#[derive(Debug)]
pub(crate) struct Stock {
    folders: Vec<Folder>,
    offered: Vec<Digest>,
    since: Instant,
    found: Mutex<Option<Vec<Digest>>>,
    // Held by whoever looks.
    known: Mutex<BTreeMap<PathBuf, (Print, Digest)>>,
}

impl Stock {
    pub(crate) fn new(folders: Vec<Folder>, offers: &[Offer]) -> Arc<Self> {
        let offered = offers.iter().map(|offer| offer.sha256).collect();
        Arc::new(Self { folders, offered, since: Instant::now(), found: Mutex::default(), known: Mutex::default() })
    }

    /// What was found last, once it was looked for.
    pub(crate) fn at_hand(&self) -> Option<Vec<Digest>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks again, beside what serves; a process that has only just begun has better things to do.
    pub(crate) fn look(self: &Arc<Self>) {
        if self.since.elapsed() < SETTLED {
            return;
        }
        let stock = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let Ok(mut known) = stock.known.try_lock() else { return };
            let digests = stock.folders.iter().filter_map(|folder| folder.digests(&mut known).ok());
            let found: BTreeSet<_> = digests.flatten().chain(stock.offered.iter().copied()).collect();
            let found = found.into_iter().take(MAX_AT_HAND).collect();
            *stock.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        });
    }
}

const SETTLED: Duration = Duration::from_secs(3);
