//! A component's start, compiled anew each time: with the broker's consultation, and without anybody being asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::asker::lattice_name;
use harness::lattice::Lattice;
use host::clock::SystemClock;
use host::identity::HostKey;
use host::limits::Limits;
use host::memory::Memory;
use host::start::{Host, Parts};
use host::transport::nats::{Nats, NatsOptions};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

use crate::figure::{Board, Goal, median};

/// Verify, compile, ask, bind, instantiate; next to compile, link to traps, instantiate.
pub(crate) async fn measure(board: &mut Board) {
    board.doing("a component's start, with and without consultation");
    let lattice = Lattice::with_cart();
    let bytes = std::fs::read(lattice.path("cart-acme.wasm")).expect("the signed guest");
    let host = host(&lattice).await;
    let id = "cart".parse().expect("an id");
    let (mut asked, mut unasked) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let start = Instant::now();
        drop(host.start(&bytes, &id).await.expect("it is permitted"));
        asked.push(start.elapsed());
        unasked.push(without(&bytes).await);
    }
    let (asked, unasked) = (median(asked).as_secs_f64(), median(unasked).as_secs_f64());
    board.put("component start, cold, with consultation / without", asked / unasked, "ratio", Goal::Told);
    board.put(&format!("  of that, consultation in `{}`", lattice_name()), (asked - unasked) * 1e3, "ms", Goal::Told);
}

async fn host(lattice: &Lattice) -> Host {
    let folder = lattice.path("host");
    let (key, memory) = (HostKey::load(&folder).expect("its key"), Memory::load(&folder).expect("its memory"));
    let options = NatsOptions { url: lattice.nats.url(), login: None, tls_ca: None, certificate: None };
    let timeout = Duration::from_secs(5);
    let nats = Nats::connect(&options, key.name(), timeout).await.expect("the server answers");
    let parts = Parts {
        key,
        memory: Arc::new(memory),
        transport: Arc::new(nats),
        clock: Arc::new(SystemClock),
        builtins: None,
        artifacts: None,
        timeout,
        limits: Limits::default(),
        sink: Arc::new(|_: &str| {}),
    };
    Host::new(parts).await.expect("a host")
}

async fn without(bytes: &[u8]) -> Duration {
    let mut config = Config::new();
    config.epoch_interruption(true).wasm_component_model(true);
    let engine = Engine::new(&config).expect("an engine");
    let start = Instant::now();
    let component = Component::from_binary(&engine, bytes).expect("a component");
    let mut linker = Linker::<()>::new(&engine);
    linker.define_unknown_imports_as_traps(&component).expect("traps");
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1);
    linker.instantiate_async(&mut store, &component).await.expect("an instance");
    start.elapsed()
}
