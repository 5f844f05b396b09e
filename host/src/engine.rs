//! The one engine of a host: compiles from verified bytes only, and ticks, so that busy guests can be interrupted.
//!
//! There is no compile cache and no way to load machine code (T37). What is compiled is left to `component`.

use std::thread;
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use crate::error::Error;

/// The length of one tick.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// An engine whose epoch ticks for as long as it lives.
pub(crate) fn ticking() -> Result<Engine, Error> {
    let mut config = Config::new();
    config.epoch_interruption(true).wasm_component_model(true).max_wasm_stack(512 << 10).async_stack_size(4 << 20);
    let engine = Engine::new(&config).map_err(|error| Error::Guest(format!("the engine cannot start: {error:#}")))?;
    let weak = engine.weak();
    let tick = move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    let started = thread::Builder::new().name("countersign-ticks".to_owned()).spawn(tick);
    started
        .map_err(|source| Error::File { doing: "cannot start the thread that stops busy guests".to_owned(), source })?;
    Ok(engine)
}

/// Compiles a component from the very bytes that were verified.
pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, Error> {
    // Not `Component::new`: that would take a path or text, too.
    Component::from_binary(engine, bytes).map_err(|error| Error::Guest(format!("it does not compile: {error:#}")))
}
