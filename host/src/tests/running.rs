//! What runs when its ground is taken away: told, closed by the broker's own word alone, and reported when it has ended.

use std::time::Duration;

use policy::govern::{Operation, RetireComponent};
use policy::inventory::HostInventory;
use policy::reason::Reason;
use policy::withdrawal::{Close, Running};

use super::broker::{Bench, id};
use super::links::random;
use crate::start::Host;

// Until the host has told something that is looked for; each inventory is looked at once.
async fn told(bench: &Bench, look: impl Fn(&HostInventory) -> bool) -> HostInventory {
    let waiting = async {
        loop {
            if let Some(found) = bench.broker.inventories.lock().unwrap().iter().rev().find(|told| look(told)) {
                return found.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it was never told")
}

fn retire(bench: &Bench, running: Running) {
    let retire = RetireComponent { id: id("roller"), running: Some(running) };
    bench.broker.command(vec![Operation::RetireComponent(retire)], &[]);
}

fn notice(bench: &Bench) {
    crate::notice::take(&bench.memory, &bench.broker.notice()).unwrap();
}

async fn roller(bench: &Bench) -> (Host, crate::running::Running) {
    let bytes = random(&["0.2.0"]);
    bench.broker.admit("roller", &bytes);
    let host = bench.host().await;
    let running = host.start(&bytes, &id("roller")).await.unwrap();
    (host, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn t26_what_runs_is_told_and_what_is_gone_is_not() {
    let bench = Bench::new();
    let (host, running) = roller(&bench).await;
    let told_of = told(&bench, |told| !told.running.is_empty()).await;
    assert_eq!((told_of.page, told_of.pages, told_of.running.len()), (0, 1, 1));
    let runs = &told_of.running[0];
    assert_eq!(
        (runs.component.as_str(), runs.index, runs.sha256),
        ("roller", running.decided().index, running.sha256())
    );
    assert_eq!(runs.bindings.len(), 1);
    assert_eq!(runs.bindings[0].package.as_str(), "wasi:random");
    assert!(runs.issuer.is_some() && runs.closing.is_none());
    let before = told_of.sequence;
    drop(running);
    told(&bench, |told| told.sequence > before && told.running.is_empty()).await;
    drop(host);
}

#[tokio::test(flavor = "multi_thread")]
async fn t26_stop_ends_a_call_under_way_and_is_reported() {
    let bench = Bench::new();
    let (_host, mut running) = roller(&bench).await;
    let spinning = tokio::spawn(async move {
        let ended = running.invoke("spin()").await;
        (running, ended)
    });
    retire(&bench, Running::Stop);
    notice(&bench);
    let ended = tokio::time::timeout(Duration::from_secs(5), spinning).await.unwrap().unwrap();
    let (mut running, ended) = ended;
    assert_eq!(ended.unwrap_err().reason(), Some(Reason::Unpermitted));
    let closed = told(&bench, |told| !told.closed.is_empty()).await.closed;
    let [closed] = closed.as_slice() else { panic!("{closed:?}") };
    assert_eq!((closed.component.as_str(), closed.close, closed.number), ("roller", Close::Stop, 1));
    assert_eq!(closed.since, bench.memory.record().epoch);
    // It is down, and nothing brings it back.
    assert_eq!(running.invoke("roll()").await.unwrap_err().reason(), Some(Reason::Unpermitted));
    // Once it was noted, it is told no more.
    told(&bench, |told| told.closed.is_empty() && told.running.is_empty() && told.seen.epoch >= closed.since).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t26_drain_lets_a_call_end_and_takes_no_other() {
    let mut bench = Bench::new();
    // Nothing else ends the call sooner, however fast the machine is.
    (bench.limits.call, bench.limits.host_calls) = (Duration::from_millis(1500), u64::MAX);
    let (_host, mut running) = roller(&bench).await;
    let spinning = tokio::spawn(async move {
        let ended = running.invoke("spin()").await;
        (running, ended)
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    retire(&bench, Running::Drain);
    notice(&bench);
    told(&bench, |told| told.running.first().is_some_and(|runs| runs.closing == Some(Close::Drain))).await;
    // It went on until its own limit, not until the act.
    let (mut running, ended) = tokio::time::timeout(Duration::from_secs(20), spinning).await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().reason(), Some(Reason::LimitExceeded));
    let closed = told(&bench, |told| !told.closed.is_empty()).await.closed;
    assert_eq!(closed[0].close, Close::Drain);
    assert_eq!(running.invoke("roll()").await.unwrap_err().reason(), Some(Reason::Unpermitted));
}

#[tokio::test(flavor = "multi_thread")]
async fn t26_what_was_drained_is_reported_by_a_host_that_leaves_with_its_end() {
    let mut bench = Bench::new();
    // Nothing else ends the call sooner, however fast the machine is.
    (bench.limits.call, bench.limits.host_calls) = (Duration::from_millis(1500), u64::MAX);
    let (host, mut running) = roller(&bench).await;
    let leaving = tokio::spawn(async move {
        let ended = running.invoke("spin()").await;
        host.leave().await;
        drop(host);
        ended
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    retire(&bench, Running::Drain);
    notice(&bench);
    let ended = tokio::time::timeout(Duration::from_secs(20), leaving).await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().reason(), Some(Reason::LimitExceeded));
    let closed = bench.broker.inventories.lock().unwrap().iter().flat_map(|told| told.closed.clone()).next();
    assert_eq!(closed.map(|closed| closed.close), Some(Close::Drain));
}

#[tokio::test(flavor = "multi_thread")]
async fn t26_keep_leaves_what_runs_and_a_host_that_was_away_learns_of_a_stop() {
    let bench = Bench::new();
    let (host, mut running) = roller(&bench).await;
    retire(&bench, Running::Keep);
    notice(&bench);
    let epoch = bench.memory.record().epoch;
    told(&bench, |told| told.seen.epoch >= epoch && told.running.len() == 1).await;
    running.invoke("roll()").await.unwrap();
    // Nobody tells it of the next act: with its next word it is told what to close.
    let admit = random(&["0.2.0"]);
    bench.broker.admit("roller", &admit);
    retire(&bench, Running::Stop);
    told(&bench, |told| !told.closed.is_empty()).await;
    assert_eq!(running.invoke("roll()").await.unwrap_err().reason(), Some(Reason::Unpermitted));
    drop(host);
}

#[tokio::test(flavor = "multi_thread")]
async fn t23_a_bind_and_a_newer_epoch_exclude_each_other_between_processes_of_one_host() {
    let bench = Bench::new();
    let (_host, _running) = roller(&bench).await;
    // Another process of this host takes a notice in; this one has heard nothing of it.
    let other = bench.broker.memory();
    let before = bench.memory.record().epoch;
    bench.broker.forget_default("wasi:clocks");
    crate::notice::take(&other, &bench.broker.notice()).unwrap();
    assert_eq!(bench.memory.record().epoch, before);
    let mut bound = false;
    let refused = bench.memory.bind_under(before, || {
        bound = true;
        Ok(())
    });
    assert_eq!((refused.unwrap_err().reason(), bound), (Some(Reason::EpochBehind), false));
    assert!(bench.memory.bind_under(other.record().epoch, || Ok(())).is_ok());
}
