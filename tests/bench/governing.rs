//! Acts while fifty hosts are connected: from recorded to effective on all of them, beside one round trip on that wire;
//! and with a host that is cut off.

use std::time::{Duration, Instant};

use futures::future::join_all;
use harness::asker::{Asker, ask};
use harness::embedded::Embedded;
use harness::lattice::{Lattice, path};
use harness::proxy::Proxy;
use harness::rotating::{Rotated, rotate};
use serde_json::Value;

use crate::figure::{Board, Goal, quantile};

pub(crate) async fn measure(board: &mut Board) {
    board.doing(&format!("a lattice with {HOSTS} connected hosts"));
    let lattice = Lattice::with_cart();
    let url = lattice.nats.url();
    let names: Vec<String> = (1..HOSTS).map(|number| format!("host-{number}")).collect();
    names.iter().for_each(|name| lattice.join(name));
    let names: Vec<String> = std::iter::once("host".to_owned()).chain(names).collect();
    let hosts = join_all(names.iter().map(|name| Embedded::new(&lattice, name, &url, LONG))).await;
    let askers: Vec<Asker> = names.iter().map(|name| Asker::of(&lattice, name)).collect();
    let clients = join_all(askers.iter().map(|asker| asker.connect(&url))).await;
    let keys = issuers(&lattice, 1 + ACTS + CUT);
    let (first, keys) = keys.split_first().expect("a key");
    board.doing("acts, recorded and effective");
    let (mut took, mut silent) = (Vec::new(), 0);
    // A broker that has just begun does not know what the one before it permitted.
    let begun = effective_after(&tokio::task::block_in_place(|| lattice.accepted(&["issuer", "revoke", first])));
    let mut permitted = None;
    for key in &keys[..ACTS] {
        // A host is waited for only while it may hold a permit from before the act.
        if permitted.is_none_or(|since: Instant| since.elapsed() > FRESH) {
            permitted = Some(Instant::now());
            // By hand, in the hosts' names: compiling a component each time is not what is measured here.
            let starts = askers.iter().zip(&clients).map(|(asker, client)| ask(client, asker.question(), LONG));
            assert!(join_all(starts).await.iter().all(Option::is_some), "a host was not answered");
        }
        let done = tokio::task::block_in_place(|| lattice.accepted(&["issuer", "revoke", key]));
        silent += unacknowledged(&done);
        took.push(effective_after(&done));
    }
    let trip = round_trips(&url).await;
    let ms = |times: &[Duration], part| quantile(times.to_vec(), part).as_secs_f64() * 1e3;
    let name = format!("an act, recorded to effective on {HOSTS} hosts, p99");
    board.put(&name, ms(&took, 0.99), "ms", Goal::AtMost(250.0));
    board.put("  p50", ms(&took, 0.5), "ms", Goal::Told);
    board.put("  the first act of a broker that has just begun", begun.as_secs_f64() * 1e3, "ms", Goal::AtMost(5000.0));
    board.put("  one round trip to the broker on that wire, p50", ms(&trip, 0.5), "ms", Goal::Told);
    board.put("  hosts that had not acknowledged by then", silent as f64, "", Goal::Told);
    cut_off(board, &lattice, &keys[ACTS..]).await;
    drop((hosts, clients));
    rotated(board, &lattice, &askers).await;
}

// Another key takes an issuer's place while every host starts things.
async fn rotated(board: &mut Board, lattice: &Lattice, hosts: &[Asker]) {
    board.doing("a rotation under load");
    let Rotated { good, good_refused, late, late_told } = rotate(lattice, hosts, OVERLAP_S).await;
    let refused: usize = good_refused.values().sum();
    let permitted = late_told.get("").copied().unwrap_or_default();
    board.put("good starts refused while a key is rotated", refused as f64, "", Goal::AtMost(0.0));
    board.put("  good starts meanwhile", good as f64, "", Goal::Told);
    board.put("starts permitted by the retired key after its end", permitted as f64, "", Goal::AtMost(0.0));
    board.put("  tried", late as f64, "", Goal::Told);
}

// One of the hosts may hold a permit and hears nothing any more.
async fn cut_off(board: &mut Board, lattice: &Lattice, keys: &[String]) {
    board.doing("acts while a host is cut off");
    let wire = Proxy::to(&lattice.nats.address());
    lattice.join("far");
    let far = Embedded::new(lattice, "far", &wire.url(), LONG).await;
    let (mut took, mut named) = (Vec::new(), 0);
    for key in keys {
        wire.heal();
        while far.decides().await.is_err() {}
        wire.cut();
        let done = tokio::task::block_in_place(|| lattice.accepted(&["issuer", "revoke", key]));
        named += unacknowledged(&done);
        took.push(effective_after(&done));
    }
    let longest = took.iter().max().expect("an act").as_secs_f64();
    board.put("an act while a host is cut off, effective, longest", longest, "s", Goal::AtMost(5.0));
    board.put("  acts that named that host", named as f64, "", Goal::AtLeast(keys.len() as f64));
}

// Issuers of whom nothing was accepted, so that their end refuses nobody.
fn issuers(lattice: &Lattice, count: usize) -> Vec<String> {
    let keys: Vec<String> = (0..count)
        .map(|_| broker::keys::SigningKey::<policy::key::Issuer>::generate().expect("a key").name().to_string())
        .collect();
    let add =
        |key: &String| serde_json::json!({"add_issuer": {"key": key, "scope": ["spare:*"], "kinds": ["component"]}});
    let operations: Vec<Value> = keys.iter().map(add).collect();
    let file = lattice.path("issuers.json");
    std::fs::write(&file, serde_json::to_vec(&operations).expect("JSON")).expect("written");
    lattice.accepted(&["apply", "-f", path(&file)]);
    keys
}

fn effective_after(done: &Value) -> Duration {
    let at = |name: &str| done[name].as_u64().unwrap_or_else(|| panic!("no {name}: {done}"));
    Duration::from_millis(at("effective_at_ms") - at("recorded_at_ms"))
}

fn unacknowledged(done: &Value) -> usize {
    done["unacknowledged"].as_array().map_or(0, Vec::len)
}

// A question that the broker answers without looking at anything.
async fn round_trips(url: &str) -> Vec<Duration> {
    let client = async_nats::connect(url).await.expect("the server answers");
    let mut took = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        client.request("$SRV.PING.countersign", bytes::Bytes::new()).await.expect("the broker answers");
        took.push(began.elapsed());
    }
    took
}

/// How many hosts are connected.
pub(crate) const HOSTS: usize = 50;
const ACTS: usize = 40;
// Well within the life of a permit.
const FRESH: Duration = Duration::from_secs(2);
const OVERLAP_S: u64 = 6;
const CUT: usize = 2;
const LONG: Duration = Duration::from_secs(20);
