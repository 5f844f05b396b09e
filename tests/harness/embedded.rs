//! A host in the test's own process, as a program embeds the library, over any way to the server.

use std::sync::Arc;
use std::time::Duration;

use host::clock::SystemClock;
use host::error::Error;
use host::folder::Folder;
use host::identity::HostKey;
use host::limits::Limits;
use host::memory::Memory;
use host::running::Running;
use host::start::{Host, Parts};
use host::transport::nats::{Nats, NatsOptions};

use crate::lattice::Lattice;

/// A host as a program embeds it.
pub struct Embedded {
    /// The host.
    pub host: Host,
    /// What it has seen.
    pub memory: Arc<Memory>,
    cart: Vec<u8>,
}

impl Embedded {
    /// The host that joined in a folder of that name, over that URL.
    pub async fn new(lattice: &Lattice, folder: &str, url: &str, timeout: Duration) -> Self {
        let dir = lattice.path(folder);
        let cart = std::fs::read(lattice.path("cart-acme.wasm")).expect("the signed guest");
        let key = HostKey::load(&dir).expect("its key");
        let memory = Arc::new(Memory::load(&dir).expect("its memory"));
        let options = NatsOptions { url: url.to_owned(), ..NatsOptions::default() };
        let transport = Nats::connect(&options, key.name(), timeout).await.expect("a server");
        let parts = Parts {
            key,
            memory: Arc::clone(&memory),
            transport: Arc::new(transport),
            clock: Arc::new(SystemClock),
            builtins: None,
            artifacts: Some(lattice.path("artifacts")).filter(|path| path.is_dir()).map(Folder::of_artifacts),
            timeout,
            limits: Limits::default(),
            sink: Arc::new(|_| {}),
        };
        Self { host: Host::new(parts).await.expect("a host"), memory, cart }
    }

    /// Starts `cart` under an id.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn start(&self, id: &str) -> Result<Running, Error> {
        self.host.start(&self.cart, &id.parse().expect("an id")).await
    }

    /// Starts `cart` under its id, and sees who answers: a right bind is true, a refusal its code.
    ///
    /// # Panics
    /// When something answers that was never admitted to.
    pub async fn decides(&self) -> Result<(), &'static str> {
        let running = self.start("cart").await.map_err(|error| error.code())?;
        let answers: Vec<_> = running.answers().iter().map(|answer| answer.provider.to_string()).collect();
        assert_eq!(answers, ["native/keyvalue@0.1.0", "native/logging@0.1.0"], "a wrong bind");
        Ok(())
    }
}
