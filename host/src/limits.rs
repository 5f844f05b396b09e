//! How much one instance may take: memory, tables, instances, handles, time, and what it asks of the host (T99).
//!
//! Counted over the whole store, not per memory. What happens to those who take more is left to `guest`.

use std::time::Duration;

use policy::reason::{Reason, Refusal};
use wasmtime::ResourceLimiter;

/// What one instance may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of memory, all memories together.
    pub memory_bytes: usize,
    /// Elements of tables, all tables together.
    pub table_elements: usize,
    /// Core instances, memories and tables, each.
    pub instances: usize,
    /// Handles to resources, its own and the host's, each.
    pub handles: usize,
    /// How often it may call out of its sandbox within one call.
    pub host_calls: u64,
    /// Bytes that one call out, or one result, may hand to the host, counted as the host holds them.
    pub transfer_bytes: usize,
    /// How long one call may take, the calls that it makes included.
    pub call: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            instances: 64,
            handles: 10_000,
            host_calls: 100_000,
            transfer_bytes: 64 << 20,
            call: Duration::from_secs(10),
        }
    }
}

/// Counts what a store takes, and remembers the first limit that it met.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    memory_bytes: usize,
    table_elements: usize,
    met: Option<Refusal>,
}

impl Meter {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self { limits, memory_bytes: 0, table_elements: 0, met: None }
    }

    /// The limit that was met, if one was.
    pub(crate) fn met(&mut self) -> Option<Refusal> {
        self.met.take()
    }

    fn exceed(&mut self, detail: String) -> wasmtime::Error {
        let refusal = Refusal::new(Reason::LimitExceeded, detail);
        self.met.get_or_insert_with(|| refusal.clone());
        wasmtime::Error::new(refusal)
    }
}

impl ResourceLimiter for Meter {
    // A refused growth traps: what was told no would go on and do the wrong thing with it.
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let (most, total) =
            (self.limits.memory_bytes, self.memory_bytes.saturating_add(desired.saturating_sub(current)));
        if total > most {
            return Err(self.exceed(format!("memory would grow to {total} bytes, the limit is {most}")));
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let (most, total) =
            (self.limits.table_elements, self.table_elements.saturating_add(desired.saturating_sub(current)));
        if total > most {
            return Err(self.exceed(format!("tables would grow to {total} elements, the limit is {most}")));
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }
}
