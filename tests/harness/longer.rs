//! A log made long: one genuine question decided again and again, recorded as a busy broker records it.
//!
//! No broker may run meanwhile. What is measured of it is left to whoever asks for it.

use broker::clock::{Clock, SystemClock};
use broker::store::{LogReader, rehearse};
use policy::decide::Facts;
use policy::envelope::{Afresh, Unverified};
use policy::examine;
use policy::log::{Ledger, Step};
use policy::question::StartRequest;

use crate::asker::Asker;
use crate::lattice::Lattice;

/// The log of a lattice with a cart and a host, and the question that makes it longer.
pub struct Longer<'a> {
    lattice: &'a Lattice,
    ledger: Ledger,
    question: Vec<u8>,
}

impl<'a> Longer<'a> {
    /// As long as it is.
    pub async fn new(lattice: &'a Lattice) -> Self {
        Self { lattice, ledger: read(lattice).await, question: Asker::of(lattice, "host").question() }
    }

    /// How many entries it has.
    pub fn size(&self) -> u64 {
        self.ledger.head().size
    }

    /// Its log.
    pub fn log(&self) -> std::path::PathBuf {
        self.lattice.log()
    }

    /// Reads what was recorded by somebody else.
    pub async fn again(&mut self) {
        self.ledger = read(self.lattice).await;
    }

    /// Makes it so many entries long.
    pub async fn grow(&mut self, rows: u64) {
        self.again().await;
        let mut log = rehearse::Log::open(&self.lattice.log()).await.expect("a log");
        while self.size() < rows {
            let most = (rows - self.size()).min(256);
            log.append(self.batch(most)).await.expect("it is appended");
        }
        log.close().await.expect("it is folded in");
    }

    /// So many entries more, not recorded yet.
    pub fn batch(&mut self, rows: u64) -> Vec<Step<()>> {
        let request = Unverified::<StartRequest>::parse(&self.question).expect("a question");
        let request = request.verify(self.ledger.state().host_keys()).expect("an enrolled host");
        let examined = examine::start(request, &Afresh).expect("sound evidence");
        let now = SystemClock::default().now_ms();
        (0..rows).map(|_| self.ledger.rule(examined.clone(), Facts::default(), now).map(drop)).collect()
    }
}

async fn read(lattice: &Lattice) -> Ledger {
    let reader = LogReader::open(&lattice.log()).await.expect("a log");
    reader.replay(None, |_, _| Ok(())).await.expect("it follows")
}
