//! SIGKILL under load: nothing that was acknowledged is missing, and no answer is without its row (I3, I4).
//!
//! The client keeps each (index, hash) that it was told. The short form runs here; `COUNTERSIGN_KILLS` makes it longer.

use std::time::{Duration, Instant};

use harness::lattice::Lattice;
use harness::load::{Load, missing};

// So many kills of one lattice, at random points: how long each restart took, and how many answers were held to the log.
async fn killed(kills: usize) -> (Vec<Duration>, usize) {
    let mut lattice = Lattice::with_cart();
    let load = Load::on(&lattice).await;
    let mut restarts = Vec::new();
    for _ in 0..kills {
        // Wherever it is: some answers after the last start, then anywhere in the milliseconds of a batch.
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        load.more(usize::from(random[0] % 32)).await;
        tokio::time::sleep(Duration::from_micros(u64::from(random[1]) * 16)).await;
        lattice.kill_broker();
        let began = Instant::now();
        lattice.serve();
        restarts.push(began.elapsed());
        load.begin_anew();
    }
    load.more(1).await;
    let told = load.end().await;
    lattice.stop_broker();
    let (_, missing) = missing(&lattice, &told).await;
    assert_eq!(missing, Vec::<u64>::new(), "these were acknowledged");
    let (code, verified) = lattice.json(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
    (restarts, told.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_under_load_loses_nothing_that_it_acknowledged() {
    let kills: usize = std::env::var("COUNTERSIGN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(50);
    let (mut restarts, mut answers) = (Vec::new(), 0);
    // A start reads the whole log, so a long series of kills is spread over several.
    while restarts.len() < kills {
        let (some, told) = killed((kills - restarts.len()).min(200)).await;
        restarts.extend(some);
        answers += told;
    }
    restarts.sort_unstable();
    let (median, slowest) = (restarts[kills / 2], restarts[kills - 1]);
    println!("{kills} kills, {answers} answers: none missing; ready again after {median:?}, at most {slowest:?}");
    assert!(slowest < Duration::from_secs(60));
}
