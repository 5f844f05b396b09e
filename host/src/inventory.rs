//! What really runs here: everything that was started, what of it is being closed, and what has ended that way.
//!
//! Telling the broker is left to `report`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use policy::claims;
use policy::digest::Digest;
use policy::inventory::{Bound, Closed, MAX_CLOSED, MAX_RUNNING, Runs};
use policy::key::{self, Name};
use policy::name::{ComponentId, InterfaceRef, LinkName};
use policy::time::Timestamp;
use policy::wire::Nonce;
use policy::withdrawal::{Close, Withdrawal};
use tokio::sync::Notify;

use crate::error::Error;
use crate::guest::{Live, Prepared};
use crate::identity::nonce;
use crate::permit::Decided;
use crate::slot::Slots;

/// Something that was started: its slots, and its instance while it has one.
pub(crate) struct Started {
    pub(crate) live: tokio::sync::Mutex<Option<Live>>,
    id: ComponentId,
    sha256: Digest,
    issuer: Option<Name<key::Issuer>>,
    index: u64,
    slots: Slots,
    changed: Arc<Notify>,
}

/// Everything that was started in this process and still is.
pub(crate) struct Register {
    process: Nonce,
    sequence: AtomicU64,
    started: Mutex<Vec<Weak<Started>>>,
    closings: Mutex<Closings>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Closings {
    open: Vec<Closing>,
    ended: Vec<Closed>,
    count: u64,
}

struct Closing {
    started: Weak<Started>,
    withdrawal: Withdrawal,
}

impl Register {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            process: nonce()?,
            sequence: AtomicU64::new(0),
            started: Mutex::default(),
            closings: Mutex::default(),
            changed: Arc::default(),
        })
    }

    /// Enters what was just bound.
    pub(crate) fn enter(&self, prepared: &Prepared, decided: Decided) -> Arc<Started> {
        let started = Arc::new(Started {
            live: tokio::sync::Mutex::new(None),
            id: prepared.id.clone(),
            sha256: prepared.component.sha256(),
            issuer: claims::read_component(prepared.component.token()).ok().map(|claims| *claims.issuer()),
            index: decided.index,
            slots: prepared.slots.clone(),
            changed: Arc::clone(&self.changed),
        });
        held(&self.started).push(Arc::downgrade(&started));
        self.changed.notify_one();
        started
    }

    /// Which process this is.
    pub(crate) const fn process(&self) -> Nonce {
        self.process
    }

    /// The number of the next inventory.
    pub(crate) fn next(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Woken when something was started or has ended.
    pub(crate) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// What runs, page by page; there is always one.
    pub(crate) fn pages(&self) -> Vec<Vec<Runs>> {
        let mut started = held(&self.started);
        started.retain(|started| started.strong_count() > 0);
        let mut pages = vec![Vec::new()];
        let mut bindings = 0;
        for runs in started.iter().filter_map(Weak::upgrade).filter_map(|started| started.runs()) {
            bindings += runs.bindings.len();
            match pages.last_mut() {
                Some(page) if page.len() < MAX_RUNNING && bindings <= MAX_BINDINGS => page.push(runs),
                _ => {
                    bindings = runs.bindings.len();
                    pages.push(vec![runs]);
                }
            }
        }
        pages
    }

    /// What was closed and has ended, until the broker has noted it.
    pub(crate) fn closed(&self) -> Vec<Closed> {
        held(&self.closings).ended.iter().take(MAX_CLOSED).cloned().collect()
    }

    /// Closes what lost its ground: only what was started by that very decision.
    pub(crate) fn close(&self, withdrawal: &Withdrawal) {
        let meant = |started: &Arc<Started>| started.id == withdrawal.component && started.index == withdrawal.index;
        let started: Vec<_> = held(&self.started).iter().filter_map(Weak::upgrade).filter(meant).collect();
        let mut closings = held(&self.closings);
        for started in started {
            let before = started.slots.closed();
            if before >= Some(withdrawal.close) {
                continue;
            }
            tracing::warn!(id = %started.id, entry = withdrawal.since, "its ground was taken away: {:?}", withdrawal.close);
            started.slots.close(withdrawal.close);
            closings.open.retain(|open| !open.started.ptr_eq(&Arc::downgrade(&started)));
            closings.open.push(Closing { started: Arc::downgrade(&started), withdrawal: withdrawal.clone() });
            // That it is being closed is told, too.
            self.changed.notify_one();
        }
    }

    /// Whether something is being closed and has not ended.
    pub(crate) fn is_closing(&self) -> bool {
        !held(&self.closings).open.is_empty()
    }

    /// Looks which closings have ended: then nothing of it runs, and its instance is gone. Whether there was one.
    pub(crate) fn settle(&self, now: Timestamp) -> bool {
        let mut closings = held(&self.closings);
        let Closings { open, ended, count } = &mut *closings;
        let before = ended.len();
        open.retain(|Closing { started, withdrawal }| {
            if !started.upgrade().is_none_or(|started| started.end()) {
                return true;
            }
            *count += 1;
            let Withdrawal { component, index, close, since } = withdrawal.clone();
            ended.push(Closed { number: *count, component, index, close, since, at: now });
            false
        });
        ended.len() > before
    }

    /// The broker has noted the closings up to that number.
    pub(crate) fn noted(&self, number: u64) {
        held(&self.closings).ended.retain(|closed| closed.number > number);
    }
}

impl Started {
    // What has ended runs no more.
    fn runs(&self) -> Option<Runs> {
        let mut bindings = BTreeSet::new();
        for slot in self.slots.iter() {
            let (Ok(bound), Ok(import)) = (slot.under_way(), InterfaceRef::parse(slot.import())) else { continue };
            bindings.insert(Bound {
                package: import.package,
                link: LinkName::unnamed(),
                provider: bound.grant.provider.clone(),
                sha256: bound.grant.sha256,
                index: bound.index,
            });
        }
        let closing = self.slots.closed();
        if closing == Some(Close::Stop) && self.live.try_lock().is_ok_and(|live| live.is_none()) {
            return None;
        }
        Some(Runs {
            component: self.id.clone(),
            sha256: self.sha256,
            issuer: self.issuer,
            index: self.index,
            bindings: bindings.into_iter().collect(),
            closing,
        })
    }

    // A call under way holds the instance; once none does, it is dropped, and nothing is left to go on over.
    fn end(&self) -> bool {
        let Ok(mut live) = self.live.try_lock() else { return false };
        let _dropped = live.take();
        self.slots.close(Close::Stop);
        true
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

fn held<T>(place: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

// How many bindings one page tells, so that it stays well below the size of a document; one start may have more.
const MAX_BINDINGS: usize = 256;
