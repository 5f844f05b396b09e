//! One import of one component on this host, linked once as an indirection: empty, bound, closed.
//!
//! [`Slot::bind`] and [`Slot::close`] are its only doors. What is linked through it is left to `link`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use policy::decide::Grant;
use policy::digest::Digest;
use policy::native::Native;
use policy::provider::Subject;
use policy::question::Runs;
use policy::reason::{Reason, Refusal};
use policy::withdrawal::Close;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::permit::Permit;
use crate::provider::Linked;

/// One import of one component, under its exact import string.
///
/// It is filled by a permit, and by nothing else:
///
/// ```
/// use host::{clock::Clock, permit::Permit, slot::{Binding, Slot}};
/// fn fill(slot: &Slot, permit: Permit, binding: Binding, clock: &dyn Clock) -> bool {
///     slot.bind(permit, binding, clock).is_ok()
/// }
/// ```
/// ```compile_fail
/// # // T100: a slot filled without a permit
/// use host::{clock::Clock, permit::Permit, slot::{Binding, Slot}};
/// fn fill(slot: &Slot, binding: Binding, clock: &dyn Clock) -> bool {
///     slot.bind(binding, clock).is_ok()
/// }
/// ```
/// A permit is used once:
///
/// ```
/// use host::{clock::Clock, permit::Permit, slot::{Binding, Slot}};
/// fn fill(slot: &Slot, other: &Slot, permits: (Permit, Permit), binding: Binding, clock: &dyn Clock) -> bool {
///     slot.bind(permits.0, binding.clone(), clock).is_ok() && other.bind(permits.1, binding, clock).is_ok()
/// }
/// ```
/// ```compile_fail
/// # // T100: a permit used twice
/// use host::{clock::Clock, permit::Permit, slot::{Binding, Slot}};
/// fn fill(slot: &Slot, other: &Slot, permit: Permit, binding: Binding, clock: &dyn Clock) -> bool {
///     slot.bind(permit, binding.clone(), clock).is_ok() && other.bind(permit, binding, clock).is_ok()
/// }
/// ```
/// Whether it was filled cannot be left unread where that is an error, and nobody else makes slots:
///
/// ```
/// #![deny(unused_must_use)]
/// use host::{clock::Clock, permit::Permit, slot::{Binding, Slot}};
/// fn fill(slot: &Slot, permit: Permit, binding: Binding, clock: &dyn Clock) -> Result<(), policy::reason::Refusal> {
///     slot.bind(permit, binding, clock)
/// }
/// ```
/// ```compile_fail
/// # // T100: a refusal that nobody reads
/// #![deny(unused_must_use)]
/// use host::{clock::Clock, permit::Permit, slot::{Binding, Slot}};
/// fn fill(slot: &Slot, permit: Permit, binding: Binding, clock: &dyn Clock) {
///     slot.bind(permit, binding, clock);
/// }
/// ```
/// ```
/// use host::slot::Slot;
/// fn name(slot: &Slot) -> &str {
///     slot.import()
/// }
/// ```
/// ```compile_fail
/// # // T100: a slot of one's own
/// use host::slot::Slot;
/// fn make(import: String, runs: policy::question::Runs) -> Slot {
///     Slot::new(import, runs)
/// }
/// ```
pub struct Slot {
    import: String,
    runs: Runs,
    state: Mutex<State>,
    // Woken when it is stopped.
    stopped: Arc<Notify>,
}

enum State {
    Empty,
    Bound(Arc<Bound>),
    // Calls under way go on over what filled it.
    Draining(Option<Arc<Bound>>),
    Stopped,
}

/// What fills a slot, and by which decision.
#[derive(Debug)]
pub struct Bound {
    /// What the decision granted.
    pub grant: Grant,
    /// The log index of the decision.
    pub index: u64,
    pub(crate) binding: Binding,
}

/// What can answer an import.
#[derive(Debug, Clone)]
pub enum Binding {
    /// A native builtin that this host carries.
    Native(&'static Native),
    /// A linked provider, already started under its own permit.
    Linked(Arc<Linked>),
}

impl Slot {
    pub(crate) const fn new(import: String, runs: Runs, stopped: Arc<Notify>) -> Self {
        Self { import, runs, state: Mutex::new(State::Empty), stopped }
    }

    /// The exact import string.
    pub fn import(&self) -> &str {
        &self.import
    }

    /// Fills the slot, or replaces what fills it: a start, a link switch and a rollback are this one act.
    ///
    /// # Errors
    /// `unpermitted` when the permit is for another import, another component, other bytes or another answerer, or the
    /// slot is closed; `permit_expired`.
    pub fn bind(&self, permit: Permit, binding: Binding, clock: &dyn Clock) -> Result<(), Refusal> {
        if permit.import() != self.import {
            return Err(unpermitted(format!(
                "the permit is for `{}`, the slot for `{}`",
                permit.import(),
                self.import
            )));
        }
        if *permit.runs() != self.runs {
            let (told, held) = (permit.runs(), &self.runs);
            let detail = format!(
                "the permit is for `{}` with bytes {}, the slot for `{}` with bytes {}",
                told.id, told.sha256, held.id, held.sha256
            );
            return Err(unpermitted(detail));
        }
        let grant = permit.grant();
        let (subject, sha256) = binding.identity()?;
        if subject != grant.provider || sha256 != grant.sha256 {
            let detail = format!(
                "`{}` may be answered by `{}` {}, offered is `{subject}` {sha256}",
                self.import, grant.provider, grant.sha256
            );
            return Err(unpermitted(detail));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Draining(_) | State::Stopped) {
            return Err(unpermitted(format!("the slot for `{}` is closed", self.import)));
        }
        // The last look at the clock is the last thing before the slot is filled.
        permit.fresh(clock)?;
        *state = State::Bound(Arc::new(Bound { grant: grant.clone(), index: permit.index(), binding }));
        Ok(())
    }

    /// Closes the slot for good; what was stopped stays so.
    pub fn close(&self, close: Close) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = match (std::mem::replace(&mut *state, State::Stopped), close) {
            (State::Stopped, _) | (_, Close::Stop) => State::Stopped,
            (State::Bound(bound), Close::Drain) => State::Draining(Some(bound)),
            (State::Empty, Close::Drain) => State::Draining(None),
            (draining @ State::Draining(_), Close::Drain) => draining,
        };
        if matches!(*state, State::Stopped) {
            self.stopped.notify_waiters();
        }
    }

    /// What a call under way goes over: also what is drained.
    ///
    /// # Errors
    /// `unpermitted` while it is empty, and once it is stopped.
    pub(crate) fn under_way(&self) -> Result<Arc<Bound>, Refusal> {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Bound(bound) | State::Draining(Some(bound)) => Ok(Arc::clone(bound)),
            State::Empty | State::Draining(None) | State::Stopped => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> Refusal {
        unpermitted(format!("the slot for `{}` was closed, and what ran over it stopped", self.import))
    }

    /// What fills the slot now.
    ///
    /// # Errors
    /// `unpermitted` while it is empty, and once it is closed.
    pub fn bound(&self) -> Result<Arc<Bound>, Refusal> {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Bound(bound) => Ok(Arc::clone(bound)),
            State::Empty => Err(unpermitted(format!("nothing was permitted to answer `{}`", self.import))),
            State::Draining(_) => {
                Err(unpermitted(format!("the slot for `{}` was closed, and takes no new call", self.import)))
            }
            State::Stopped => Err(self.stopped()),
        }
    }

    /// Whether what runs over it must stop.
    pub(crate) fn stops(&self) -> bool {
        matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Stopped)
    }
}

impl Binding {
    fn identity(&self) -> Result<(Subject, Digest), Refusal> {
        match self {
            Self::Native(native) => Ok((native.subject()?, native.sha256())),
            Self::Linked(linked) => Ok((linked.subject().clone(), linked.sha256())),
        }
    }
}

/// The slots of one component, by exact import string.
#[derive(Debug, Clone, Default)]
pub struct Slots {
    slots: BTreeMap<String, Arc<Slot>>,
    // A component without imports is closed all the same.
    whole: Arc<Mutex<Option<Close>>>,
    stopped: Arc<Notify>,
}

impl Slots {
    pub(crate) fn new(imports: impl IntoIterator<Item = String>, runs: &Runs) -> Self {
        let stopped = Arc::new(Notify::new());
        let slot = |import: String| {
            let slot = Slot::new(import.clone(), runs.clone(), Arc::clone(&stopped));
            (import, Arc::new(slot))
        };
        let slots = imports.into_iter().map(slot).collect();
        Self { slots, whole: Arc::default(), stopped }
    }

    /// The slot of exactly that import string; a near version is another import.
    pub fn exact(&self, import: &str) -> Option<&Arc<Slot>> {
        self.slots.get(import)
    }

    /// Each slot, in the order of the import strings.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Slot>> {
        self.slots.values()
    }

    /// Whether every slot is bound.
    ///
    /// # Errors
    /// `unpermitted`, for the first that is not.
    pub(crate) fn all_bound(&self) -> Result<(), Refusal> {
        if let Some(close) = self.closed() {
            let how = if close == Close::Stop { "stopped" } else { "closed, and takes no new call" };
            return Err(unpermitted(format!("what it ran by was taken away: it is {how}")));
        }
        self.iter().try_for_each(|slot| slot.bound().map(drop))
    }

    /// Closes them all.
    pub fn close(&self, close: Close) {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        *whole = Some(close).max(*whole);
        drop(whole);
        self.iter().for_each(|slot| slot.close(close));
        if close == Close::Stop {
            self.stopped.notify_waiters();
        }
    }

    /// How they were closed together, if they were.
    pub fn closed(&self) -> Option<Close> {
        *self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what runs over them must stop.
    pub(crate) async fn when_stopped(&self) {
        loop {
            let notified = self.stopped.notified();
            if self.stop() {
                return;
            }
            notified.await;
        }
    }

    /// Why what runs over them was stopped.
    pub(crate) fn why_stopped(&self) -> Refusal {
        let closed = self.all_bound().err();
        closed.unwrap_or_else(|| unpermitted("what it ran by was taken away: it is stopped".to_owned()))
    }

    pub(crate) fn stop(&self) -> bool {
        self.closed() == Some(Close::Stop) || self.iter().any(|slot| slot.stops())
    }
}

fn unpermitted(detail: String) -> Refusal {
    Refusal::new(Reason::Unpermitted, detail)
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({} of {})", self.import, self.runs.id)
    }
}
