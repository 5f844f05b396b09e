//! SIGKILL under load: nothing that was acknowledged is missing, and no answer is without its row (I3, I4).
//!
//! The client keeps each (index, hash) that it was told. The short form runs here; `COUNTERSIGN_KILLS` makes it longer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::store::LogReader;
use futures::StreamExt;
use harness::asker::{Asker, ask};
use harness::lattice::Lattice;
use policy::answer::StartAnswer;
use policy::digest::Digest;
use policy::envelope::Unverified;

type Told = Arc<Mutex<BTreeMap<u64, Digest>>>;

// Asks as fast as it is answered, and remembers what it was told.
async fn ask_on(asker: Asker, client: async_nats::Client, told: Told) {
    loop {
        // While the broker is dead there is no answer; the loop ends with the test.
        let Some(payload) = ask(&client, asker.question(), Duration::from_secs(2)).await else {
            tokio::task::yield_now().await;
            continue;
        };
        if let Ok(answer) = Unverified::<StartAnswer>::parse(&payload) {
            told.lock().unwrap().insert(answer.says().index, answer.says().entry_sha256);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_under_load_loses_nothing_that_it_acknowledged() {
    let kills: usize = std::env::var("COUNTERSIGN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5);
    let mut lattice = Lattice::with_cart();
    let (asker, told) = (Asker::of(&lattice, "host"), Told::default());
    let client = asker.connect(&lattice.nats.url()).await;
    let load = (0..16).map(|_| tokio::spawn(ask_on(asker.clone(), client.clone(), Arc::clone(&told))));
    let load: Vec<_> = load.collect();
    for round in 0..kills {
        // Wherever it is: each round lets a different number of answers through before the kill.
        let wanted = told.lock().unwrap().len() + 20 + 13 * round;
        while told.lock().unwrap().len() < wanted {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        lattice.kill_broker();
        lattice.serve();
    }
    load.iter().for_each(tokio::task::JoinHandle::abort);
    futures::stream::iter(load).for_each(|task| async { drop(task.await) }).await;
    lattice.stop_broker();

    let told = told.lock().unwrap().clone();
    let log = LogReader::open(&lattice.log()).await.unwrap();
    for (index, hash) in &told {
        let row =
            log.row(*index).await.unwrap().unwrap_or_else(|| panic!("entry {index} was acknowledged and is missing"));
        assert_eq!(row.hash, *hash, "entry {index} is not the one that was acknowledged");
    }
    let (code, verified) = lattice.json(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
    println!("{kills} kills, {} answers, {} entries: none missing", told.len(), log.size().await.unwrap());
    assert!(told.len() >= 20 * kills);
}
