//! A load that keeps what it is told: hosts that ask and an administrator who commands, on and on, also while nobody
//! answers.
//!
//! When a broker is killed or its power cut, and what must then be on record, is left to the suite.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::store::LogReader;
use futures::StreamExt;
use policy::digest::Digest;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::caller::{Administrator, Caller, Said};
use crate::lattice::Lattice;

type Told = Arc<Mutex<BTreeMap<u64, Digest>>>;

/// A load under way.
pub struct Load {
    told: Told,
    lost: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sixteen questions and two commands at a time, of a lattice with a cart and a host.
    pub async fn on(lattice: &Lattice) -> Self {
        let (host, administrator) = (Caller::new(lattice, "host").await, Administrator::new(lattice).await);
        let (told, (lost, _)) = (Told::default(), watch::channel(()));
        let mut tasks = Vec::new();
        for number in 0..18 {
            let (host, administrator, told) = (host.clone(), administrator.clone(), Arc::clone(&told));
            let mut lost = lost.subscribe();
            tasks.push(tokio::spawn(async move {
                let call = async || if number < 16 { host.ask().await } else { administrator.command().await };
                loop {
                    let said = tokio::select! {
                        biased;
                        said = call() => said,
                        _ = lost.changed() => continue,
                    };
                    match said {
                        Said::Signed(index, hash, _) => drop(told.lock().expect("whole").insert(index, hash)),
                        // While the broker is dead there is no answer, and whoever asks on and on only delays its start.
                        Said::TurnedAway(_) | Said::Nothing => tokio::time::sleep(PAUSE).await,
                    }
                }
            }));
        }
        Self { told, lost, tasks }
    }

    /// How many answers and receipts came so far.
    pub fn told(&self) -> usize {
        self.told.lock().expect("whole").len()
    }

    /// Whom a broker that is gone still owed an answer asks the next one, once whatever was sent had time to come.
    pub fn begin_anew(&self) {
        self.lost.send_replace(());
    }

    /// Waits until so many more came.
    pub async fn more(&self, count: usize) {
        let wanted = self.told() + count;
        while self.told() < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends it: each entry that anybody was told of.
    pub async fn end(self) -> BTreeMap<u64, Digest> {
        self.tasks.iter().for_each(JoinHandle::abort);
        futures::stream::iter(self.tasks).for_each(|task| async { drop(task.await) }).await;
        std::mem::take(&mut self.told.lock().expect("whole"))
    }
}

/// How many entries the log has, and which of those that were told are not in it.
pub async fn missing(lattice: &Lattice, told: &BTreeMap<u64, Digest>) -> (u64, Vec<u64>) {
    let log = LogReader::open(&lattice.log()).await.expect("a log");
    let mut missing = Vec::new();
    for (index, hash) in told {
        let row = log.row(*index).await.expect("readable");
        if row.is_none_or(|row| row.hash != *hash) {
            missing.push(*index);
        }
    }
    (log.size().await.expect("readable"), missing)
}

const PAUSE: Duration = Duration::from_millis(5);
