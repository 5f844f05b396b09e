//! What runs: a store of its own, its limits, and calls into it.
//!
//! An instance never outlives a limit that it met. What answers its imports is left to `link`.

use std::sync::Arc;
use std::time::Instant;

use policy::name::ComponentId;
use policy::reason::{Reason, Refusal};
use wasmtime::component::{Func, Instance, InstancePre, ResourceTable, ResourceTableError, Val};
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

use crate::builtin::{self, Shelf};
use crate::component::Component;
use crate::engine::TICK;
use crate::error::{Error, shown};
use crate::limits::{Limits, Meter};
use crate::slot::Slots;

/// A component with every slot bound and linked: as many instances as wanted run over it without asking.
pub(crate) struct Prepared {
    pub(crate) component: Arc<Component>,
    pub(crate) id: ComponentId,
    pub(crate) slots: Slots,
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) limits: Limits,
}

/// What one store holds.
pub(crate) struct Guest {
    pub(crate) id: ComponentId,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    meter: Meter,
    slots: Slots,
    limits: Limits,
    until: Instant,
    host_calls: u64,
}

/// One running instance.
pub(crate) struct Live {
    pub(crate) store: Store<Guest>,
    pub(crate) instance: Instance,
    limits: Limits,
}

impl Prepared {
    /// Makes an instance in a store of its own.
    ///
    /// # Errors
    /// `unpermitted` when a slot is not bound, `limit_exceeded`, or the guest's own failure.
    pub(crate) async fn instantiate(&self) -> Result<Live, Error> {
        self.slots.all_bound()?;
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.limits.handles);
        let guest = Guest {
            id: self.id.clone(),
            shelf: Arc::clone(&self.shelf),
            wasi: builtin::context(&self.id, &self.shelf),
            table,
            meter: Meter::new(self.limits),
            slots: self.slots.clone(),
            limits: self.limits,
            until: Instant::now() + self.limits.call,
            host_calls: 0,
        };
        let mut store = Store::new(self.pre.engine(), guest);
        store.limiter(|guest| &mut guest.meter);
        store.set_hostcall_fuel(self.limits.transfer_bytes);
        store.set_max_component_handles(self.limits.handles);
        // The callback sets each later deadline; the first is ours to set.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| match store.data().still_may_run() {
            Ok(()) => Ok(UpdateDeadline::Yield(1)),
            Err(refusal) => Err(wasmtime::Error::new(refusal)),
        });
        let made = tokio::time::timeout(self.limits.call + TICK, self.pre.instantiate_async(&mut store)).await;
        let instance = match made {
            Ok(Ok(instance)) => instance,
            Ok(Err(error)) => return Err(failure(&error, store.data_mut())),
            Err(_) => return Err(Error::Exceeded(store.data().too_long())),
        };
        Ok(Live { store, instance, limits: self.limits })
    }
}

impl Live {
    /// Calls a function; after any error the instance is not to be used again.
    ///
    /// # Errors
    /// `unpermitted` when a slot was closed, `limit_exceeded`, or the guest's own failure.
    pub(crate) async fn call(&mut self, func: &Func, params: &[Val]) -> Result<Vec<Val>, Error> {
        self.store.data().slots.all_bound()?;
        let mut results = vec![Val::Bool(false); func.ty(&self.store).results().len()];
        self.store.data_mut().begin();
        self.store.set_epoch_deadline(1);
        let slots = self.store.data().slots.clone();
        let call = func.call_async(&mut self.store, params, &mut results);
        // The callback stops what computes, this stops what waits.
        let called = tokio::select! {
            called = tokio::time::timeout(self.limits.call + TICK, call) => called,
            () = slots.when_stopped() => return Err(slots.why_stopped().into()),
        };
        match called {
            Ok(Ok(())) => Ok(results),
            Ok(Err(error)) => Err(failure(&error, self.store.data_mut())),
            Err(_) => Err(Error::Exceeded(self.store.data().too_long())),
        }
    }

    /// The exported function of that interface, or of the component itself.
    pub(crate) fn find(&mut self, interface: Option<&str>, name: &str) -> Option<Func> {
        let within = match interface {
            Some(interface) => Some(self.instance.get_export_index(&mut self.store, None, interface)?),
            None => None,
        };
        let index = self.instance.get_export_index(&mut self.store, within.as_ref(), name)?;
        self.instance.get_func(&mut self.store, index)
    }
}

impl Guest {
    fn still_may_run(&self) -> Result<(), Refusal> {
        if self.slots.stop() {
            return Err(self.slots.why_stopped());
        }
        self.has_asked_its_share()?;
        if Instant::now() >= self.until { Err(self.too_long()) } else { Ok(()) }
    }

    fn begin(&mut self) {
        (self.until, self.host_calls) = (Instant::now() + self.limits.call, 0);
    }

    /// Counts one call out of the sandbox.
    ///
    /// # Errors
    /// `limit_exceeded` once there were too many within one call.
    pub(crate) fn calls_out(&mut self) -> Result<(), Refusal> {
        self.host_calls = self.host_calls.saturating_add(1);
        self.has_asked_its_share()
    }

    fn has_asked_its_share(&self) -> Result<(), Refusal> {
        let most = self.limits.host_calls;
        if self.host_calls <= most {
            return Ok(());
        }
        Err(Refusal::new(Reason::LimitExceeded, format!("`{}` called the host more than {most} times", self.id)))
    }

    fn too_long(&self) -> Refusal {
        Refusal::new(Reason::LimitExceeded, format!("`{}` ran longer than one call may take", self.id))
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Every function of the published types comes by here. None can refuse; the next tick does.
        let _refused_at_the_next_tick = self.calls_out();
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

// What ended a guest: a limit, a closed slot, its own exit, or its own fault.
fn failure(error: &wasmtime::Error, guest: &mut Guest) -> Error {
    if let Some(refusal) = guest.meter.met() {
        return Error::Exceeded(refusal.within(format!("`{}`", guest.id)));
    }
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        let refusal = refusal.clone();
        return if refusal.reason == Reason::LimitExceeded { Error::Exceeded(refusal) } else { refusal.into() };
    }
    let exceeded = |what: &str| Error::Exceeded(Refusal::new(Reason::LimitExceeded, format!("`{}` {what}", guest.id)));
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => return exceeded("nested its calls deeper than its stack"),
        Some(Trap::Interrupt) => return exceeded("was interrupted"),
        _ => {}
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Error::Guest(format!("`{}` exited with status {}", guest.id, exit.0));
    }
    let cause = error.root_cause().to_string();
    let full = matches!(error.root_cause().downcast_ref(), Some(ResourceTableError::Full));
    if full || COUNT_LIMITS.iter().any(|limit| cause.starts_with(limit)) {
        return exceeded(&format!("needs more than it may: {}", shown(&cause)));
    }
    Error::Guest(format!("`{}` failed: {}", guest.id, shown(&cause)))
}

// How wasmtime words a count of instances, memories or tables over the limit, of handles, and of bytes handed over;
// tests hold it to that.
const COUNT_LIMITS: [&str; 3] =
    ["resource limit exceeded", "cannot allocate another handle", "too much data is being copied"];
