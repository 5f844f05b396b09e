//! A broker whose inside fails does not stay and say no for ever: it ends, and its folder is free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::clock::{Clock, SystemClock};
use broker::error::Error;
use broker::folder::Folder;
use broker::present::Present;
use broker::service::{Service, Snapshot};
use broker::store::LogReader;
use broker::transport::nats::{NatsOptions, Views, connect_broker, serve};
use futures::FutureExt;
use futures::future::BoxFuture;
use harness::lattice::Lattice;
use policy::envelope::Verified;
use policy::query::Query;
use policy::reason::Refusal;
use serde_json::{Value, json};

// A clock that breaks, and with it whoever reads it.
#[derive(Default)]
struct Brittle {
    clock: SystemClock,
    is_broken: AtomicBool,
}

impl Clock for Brittle {
    fn now_ms(&self) -> u64 {
        assert!(!self.is_broken.load(Ordering::SeqCst), "planted: the clock is broken");
        self.clock.now_ms()
    }

    fn elapsed_ms(&self) -> u64 {
        self.clock.elapsed_ms()
    }
}

struct Blind;

impl Views for Blind {
    fn view<'a>(
        &'a self,
        _: &'a Snapshot,
        _: &'a LogReader,
        _: &'a Present,
        _: &'a str,
        _: &'a Verified<Query>,
    ) -> BoxFuture<'a, Result<Value, Refusal>> {
        async { Ok(json!({})) }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t93_a_broker_whose_sequencer_falls_ends_and_gives_its_folder_back() {
    let mut lattice = Lattice::quiet();
    let clock = Arc::new(Brittle::default());
    let folder = Folder::open(&lattice.path("lattice")).unwrap();
    let service = Arc::new(Service::open(&folder, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap());
    let options = NatsOptions { url: lattice.nats.url(), ..NatsOptions::default() };
    let connection = connect_broker(&options, &service).await.unwrap();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let ready = || ready.send(()).unwrap();
    let serving = tokio::spawn(serve(Arc::clone(&service), connection, Arc::new(Blind), ready, std::future::pending()));
    is_ready.await.unwrap();
    assert!(service.snapshot().await.is_ok());
    // Whatever is decided next, the one who decides it falls.
    clock.is_broken.store(true, Ordering::SeqCst);
    assert!(service.snapshot().await.is_err());
    let served = tokio::time::timeout(Duration::from_secs(30), serving).await;
    let ended = served.expect("it stays, and says no for ever").unwrap().unwrap_err();
    assert!(matches!(ended, Error::Fallen("sequencer")), "{ended}");
    assert!(Arc::into_inner(service).is_some(), "nobody holds the service any more");
    lattice.serve();
    lattice.accepted(&["host", "invite"]);
}
