//! The disk below the broker: its power is cut, it is slow; what was told is there, and what is not there was not told.
//!
//! A cut is simulated: of each file, what was there when it was last synced is put back. That is the harshest that a
//! disk may do which keeps its word. `COUNTERSIGN_CUTS` makes it longer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::caller::{Caller, Said};
use harness::faults::{Faults, Power};
use harness::lattice::Lattice;
use harness::load::{Load, missing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t72_t90_after_a_power_cut_everything_that_was_acknowledged_is_there() {
    let cuts: usize = std::env::var("COUNTERSIGN_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(6);
    let mut lattice = Lattice::quiet();
    lattice.furnish();
    let power = Power::prepare(&mut lattice);
    lattice.serve();
    lattice.join("host");
    let (mut lost, mut told) = (0, BTreeMap::new());
    for _ in 0..cuts {
        let load = Load::on(&lattice).await;
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        load.more(usize::from(random[0] % 64) + 1).await;
        tokio::time::sleep(Duration::from_micros(u64::from(random[1]) * 16)).await;
        // While it is loaded, so that something is under way.
        lost += power.cut(&mut lattice);
        told.extend(load.end().await);
        lattice.serve();
        let (_, missing) = missing(&lattice, &told).await;
        assert_eq!(missing, Vec::<u64>::new(), "these were acknowledged");
    }
    lattice.stop_broker();
    let (code, verified) = lattice.json(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
    println!("{cuts} cuts, {} answers: none missing; {lost} files were older than they looked", told.len());
    assert!(lost > 0, "no cut lost anything, so nothing was tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t95_a_slow_disk_makes_answers_late_and_shared_not_unrecorded() {
    let mut lattice = Lattice::quiet();
    lattice.furnish();
    let mut faults = Faults::prepare(&mut lattice);
    lattice.serve();
    lattice.join("host");
    let host = Caller::new(&lattice, "host").await;
    let delay = Duration::from_millis(300);
    faults.slow(300);
    let began = Instant::now();
    let said = futures::future::join_all((0..24).map(|_| host.ask())).await;
    let (took, syncs) = (began.elapsed(), faults.met());
    let told: BTreeMap<_, _> = said
        .into_iter()
        .map(|said| match said {
            Said::Signed(index, hash, None) => (index, hash),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(took >= delay, "an answer overtook its sync: {took:?}");
    assert!(syncs > 0 && syncs < 24, "{syncs} syncs for {} answers", told.len());
    faults.off();
    lattice.stop_broker();
    let (_, missing) = missing(&lattice, &told).await;
    assert_eq!((told.len(), missing), (24, Vec::new()));
}
