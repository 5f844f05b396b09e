//! The native builtins that this host carries, and what they share within one process.
//!
//! What each serves stands in `policy::native`; how it gets before a component is left to `link`.

mod cli;
mod clocks;
mod filesystem;
mod io;
pub(crate) mod keyvalue;
pub(crate) mod logging;
mod random;

use std::sync::Arc;

use policy::name::ComponentId;
use policy::native::Native;
use wasmtime::StoreContextMut;
use wasmtime::component::Val;
use wasmtime_wasi::WasiCtx;

use crate::error::shown;
use crate::guest::Guest;

/// Where the lines of components go.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// What the builtins of one host process share.
pub(crate) struct Shelf {
    pub(crate) stores: keyvalue::Stores,
    sink: Sink,
}

/// How a native builtin serves one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// By the published types of wasmtime-wasi.
    Wasi,
    /// By functions of ours.
    Ours,
}

impl Shelf {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { stores: keyvalue::Stores::default(), sink }
    }

    /// One line of a component, with nothing in it that could forge another line.
    pub(crate) fn line(&self, id: &ComponentId, text: &str) {
        (self.sink)(&format!("[{id}] {}", shown(text)));
    }
}

/// How this host serves that interface of that builtin, if it does.
pub(crate) fn served(package: &str, interface: &str) -> Option<Served> {
    let carried = CARRIED.iter().find(|(name, ..)| *name == package)?;
    carried.2.contains(&interface).then_some(carried.1)
}

/// The native builtins of this host: those of the table that it carries whole.
pub(crate) fn carried(native: &Native) -> bool {
    native.interfaces.iter().all(|interface| served(native.package, interface).is_some())
}

/// Whether a builtin of ours has that function.
pub(crate) fn has(package: &str, func: &str) -> bool {
    match package {
        logging::PACKAGE => logging::FUNCTIONS.contains(&func),
        keyvalue::PACKAGE => keyvalue::FUNCTIONS.contains(&func),
        _ => false,
    }
}

/// Calls a function of ours.
pub(crate) fn call(
    package: &str,
    func: &str,
    guest: StoreContextMut<'_, Guest>,
    params: &[Val],
) -> wasmtime::Result<Option<Val>> {
    match package {
        logging::PACKAGE => logging::log(guest.data(), params).map(|()| None),
        keyvalue::PACKAGE => keyvalue::call(guest, func, params).map(Some),
        _ => Err(wasmtime::Error::msg(format!("no builtin has `{func}`"))),
    }
}

/// The context of the published types: it gives what each capability gives, and nothing else.
pub(crate) fn context(id: &ComponentId, shelf: &Arc<Shelf>) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder.allow_blocking_current_thread(false).allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    random::configure(&mut builder);
    cli::configure(&mut builder, id, shelf);
    builder.build()
}

type Carried = (&'static str, Served, &'static [&'static str]);

const CARRIED: &[Carried] = &[
    (cli::PACKAGE, Served::Wasi, cli::INTERFACES),
    (clocks::PACKAGE, Served::Wasi, clocks::INTERFACES),
    (filesystem::PACKAGE, Served::Wasi, filesystem::INTERFACES),
    (io::PACKAGE, Served::Wasi, io::INTERFACES),
    (keyvalue::PACKAGE, Served::Ours, keyvalue::INTERFACES),
    (logging::PACKAGE, Served::Ours, logging::INTERFACES),
    (random::PACKAGE, Served::Wasi, random::INTERFACES),
];

#[cfg(test)]
mod tests {
    use policy::native::NATIVES;

    use super::*;

    #[test]
    fn the_host_carries_exactly_the_table_of_the_law() {
        assert_eq!(NATIVES.len(), CARRIED.len());
        for native in NATIVES {
            assert!(carried(native), "{}", native.name);
            let (_, _, interfaces) = CARRIED.iter().find(|(package, ..)| *package == native.package).unwrap();
            assert_eq!(*interfaces, native.interfaces, "{}", native.name);
        }
    }
}
