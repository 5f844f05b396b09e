//! A wire that breaks: nothing binds that was not decided, what runs goes on, and everything comes back by itself.
//!
//! Servers are restarted under load (F17, `COUNTERSIGN_RESTARTS` makes it longer); connections are cut, stalled and
//! forgotten between host or broker and server (F18); consumers are too slow; notices are lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker::store::LogReader;
use data_encoding::BASE64URL_NOPAD;
use futures::StreamExt;
use harness::asker::now;
use harness::embedded::Embedded;
use harness::lattice::{Lattice, path, wait_for};
use harness::proxy::Proxy;
use harness::stranger::{Rogue, eavesdrop};
use policy::command::Command;
use policy::envelope::Unverified;
use policy::wire::PERMIT_TTL_MS;
use serde_json::json;

const BRIEF: Duration = Duration::from_millis(700);
const LONG: Duration = Duration::from_secs(5);

// Until the host is decided for again; how long that took.
async fn recovery(host: &Embedded) -> Duration {
    let began = Instant::now();
    while let Err(code) = host.decides().await {
        assert_eq!(code, "broker_unreachable");
        assert!(began.elapsed() < Duration::from_secs(60), "it did not come back");
    }
    began.elapsed()
}

// Shut, for no other reason than that nobody can be reached; and what runs goes on.
async fn shut(host: &Embedded, running: &mut host::running::Running) {
    let (one, other) = tokio::join!(host.decides(), host.start("basket"));
    assert_eq!((one, other.err().map(|error| error.code())), (Err("broker_unreachable"), Some("broker_unreachable")));
    running.invoke("add(\"milk\", 1)").await.expect("what is bound stays bound");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t94_f17_servers_restarted_under_load_bind_nothing_wrong_and_hosts_return_by_themselves() {
    let restarts: usize = std::env::var("COUNTERSIGN_RESTARTS").ok().and_then(|count| count.parse().ok()).unwrap_or(3);
    let mut lattice = Lattice::with_cart();
    lattice.join("other");
    let url = lattice.nats.url();
    let done = Arc::new(AtomicBool::new(false));
    let mut loads = Vec::new();
    let mut decided = Vec::new();
    for name in ["host", "other"] {
        let host = Embedded::new(&lattice, name, &url, LONG).await;
        // When the newest start that was decided rightly began.
        let (done, newest) = (Arc::clone(&done), Arc::new(Mutex::new(Instant::now())));
        decided.push(Arc::clone(&newest));
        loads.push(tokio::spawn(async move {
            let (mut right, mut unreachable) = (0, 0);
            while !done.load(Ordering::SeqCst) {
                let began = Instant::now();
                match host.decides().await {
                    Ok(()) => {
                        *newest.lock().unwrap() = began;
                        right += 1;
                    }
                    Err("broker_unreachable") => unreachable += 1,
                    Err(other) => panic!("{other}"),
                }
                assert_ne!(host.start("basket").await.err().map(|error| error.code()), None, "a wrong bind");
            }
            (right, unreachable)
        }));
    }
    let mut times = Vec::new();
    for _ in 0..restarts {
        tokio::task::block_in_place(|| lattice.nats.restart());
        let began = Instant::now();
        for newest in &decided {
            while *newest.lock().unwrap() < began {
                assert!(began.elapsed() < Duration::from_secs(60), "a host did not come back");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            times.push(began.elapsed());
        }
    }
    done.store(true, Ordering::SeqCst);
    let counts: Vec<_> = futures::future::join_all(loads).await.into_iter().map(Result::unwrap).collect();
    times.sort_unstable();
    let p99 = times[(times.len() * 99).div_ceil(100) - 1];
    println!(
        "{restarts} restarts: 0 wrong binds; hosts decided again after {p99:?} (p99); (right, unreachable) {counts:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t94_f18_whoever_is_cut_off_binds_nothing_keeps_what_runs_and_returns_by_itself() {
    let mut lattice = Lattice::quiet();
    lattice.furnish();
    let (to_host, to_broker) = (Proxy::to(&lattice.nats.address()), Proxy::to(&lattice.nats.address()));
    lattice.serve_over(&to_broker.url());
    lattice.join("host");
    let host = Embedded::new(&lattice, "host", &to_host.url(), BRIEF).await;
    recovery(&host).await;
    let mut running = host.start("cart").await.unwrap();
    let mut times = Vec::new();
    for (who, proxy) in [("host", &to_host), ("broker", &to_broker)] {
        proxy.cut();
        shut(&host, &mut running).await;
        proxy.heal();
        times.push((who, "cut", recovery(&host).await));
        proxy.stall();
        shut(&host, &mut running).await;
        proxy.heal();
        times.push((who, "stalled", recovery(&host).await));
    }
    // Nothing closes and nothing heals: who is forgotten must find out by itself.
    to_host.forget();
    to_broker.forget();
    shut(&host, &mut running).await;
    times.push(("both", "forgotten", recovery(&host).await));
    println!("decided again after: {times:?}");

    // An event whose notice the host cannot hear, and which the heartbeat alone repairs: nobody asks.
    to_host.cut();
    lattice.accepted(&["default", "del", "wasi:logging"]);
    let epoch = lattice.accepted(&["status"])["epoch"].as_u64().unwrap();
    assert!(host.memory.record().epoch < epoch, "the notice was lost");
    shut(&host, &mut running).await;
    to_host.heal();
    wait_for("the epoch", || (host.memory.record().epoch == epoch).then_some(()));
    let mut code = "broker_unreachable";
    while code == "broker_unreachable" {
        code = host.decides().await.expect_err("its default is gone");
    }
    assert_eq!(code, "link_missing");

    // A broker ends when it is told to, though its server is gone.
    to_broker.cut();
    tokio::task::block_in_place(|| lattice.stop_broker());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_commands_and_is_not_answered_is_told_that_it_may_still_be_done() {
    let lattice = Lattice::quiet();
    let root = lattice.accepted(&["status"])["root"].as_str().unwrap().to_owned();
    let (key, nowhere) = (lattice.path("lattice/keys/admin.nk"), lattice.path("nowhere"));
    let away = ["--dir", path(&nowhere), "--root", &root, "--key", path(&key)];
    let invite = ["host", "invite", "--basis", "1", "--open-for", "10m"];
    let told = |lattice: &Lattice| lattice.json(&[&away[..], &invite].concat()).1;
    // Nobody has heard it: then nobody does it.
    let unheard = told(&lattice);
    assert_eq!(
        (&unheard["error"], unheard["message"].as_str().unwrap().contains("may still")),
        (&json!("broker_unreachable"), false)
    );
    // Somebody has, as a broker that was stopped in the middle: it can be done when he goes on.
    let client = async_nats::connect(lattice.nats.url()).await.unwrap();
    let mut heard = client.subscribe("countersign.v1.default.command").await.unwrap();
    client.flush().await.unwrap();
    let late = tokio::task::block_in_place(|| told(&lattice));
    let command = heard.next().await.unwrap().payload;
    let command = Unverified::<Command>::parse(&command).unwrap();
    let message = late["message"].as_str().unwrap();
    assert_eq!(late["error"], json!("broker_unreachable"), "{late}");
    assert!(message.contains("may still be done") && message.contains(&command.says().jti.to_string()), "{late}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t94_f18_an_answer_that_comes_after_its_permits_life_binds_nothing() {
    let lattice = Lattice::with_cart();
    let proxy = Proxy::to(&lattice.nats.address());
    let host = Embedded::new(&lattice, "host", &proxy.url(), Duration::from_secs(30)).await;
    host.decides().await.unwrap();
    let stalled = now();
    proxy.stall();
    let (started, ()) = tokio::join!(host.start("cart"), async {
        // Longer than a permit lives, counted from the sending.
        tokio::time::sleep(Duration::from_millis(PERMIT_TTL_MS + 500)).await;
        proxy.heal();
    });
    // What was asked before the stall may be decided now, and is over; what opens the door was asked anew.
    let log = LogReader::open(&lattice.log()).await.unwrap();
    let index = started.unwrap().decided().index;
    let token = String::from_utf8(log.document(index).await.unwrap().unwrap()).unwrap();
    let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let question: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert!(question["iat"].as_u64().unwrap() + 1 >= stalled.plus(PERMIT_TTL_MS / 1000).seconds(), "{question}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t94_consumers_that_are_too_slow_are_dropped_and_return() {
    let mut lattice = Lattice::quiet();
    lattice.nats.configure("max_payload: 256KB\nmax_pending: 512KB\nwrite_deadline: \"500ms\"\n");
    lattice.furnish();
    let (to_broker, to_host) = (Proxy::to(&lattice.nats.address()), Proxy::to(&lattice.nats.address()));
    lattice.serve_over(&to_broker.url());
    lattice.join("host");
    let host = Embedded::new(&lattice, "host", &to_host.url(), LONG).await;
    let mut running = host.start("cart").await.unwrap();
    let stranger = async_nats::connect(lattice.nats.url()).await.unwrap();
    let topics = [("start.component", &to_broker), ("epoch", &to_host)];
    for (what, proxy) in topics {
        let before = proxy.connections();
        proxy.slow(64);
        // More than the buffers of the machine hold on the way.
        for _ in 0..400 {
            let flood = bytes::Bytes::from_static(&[b'x'; 100_000]);
            stranger.publish(format!("countersign.v1.default.{what}"), flood).await.unwrap();
        }
        stranger.flush().await.unwrap();
        wait_for("the server to drop it, and its return", || (proxy.connections() > before).then_some(()));
        running.invoke("add(\"milk\", 1)").await.expect("what is bound stays bound");
        proxy.heal();
        println!("{what}: decided again {:?} after", recovery(&host).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t59_killed_brokers_garbled_answers_and_cut_wires_start_nothing() {
    let mut lattice = Lattice::with_cart();
    let (url, cart) = (lattice.nats.url(), lattice.path("cart-acme.wasm"));
    let overheard = eavesdrop(&url).await;
    let proxy = Proxy::to(&lattice.nats.address());
    let host = Embedded::new(&lattice, "host", &proxy.url(), Duration::from_millis(700)).await;
    host.decides().await.unwrap();
    let genuine = wait_for("the permit at the eavesdropper", || overheard.lock().unwrap().clone());
    lattice.kill_broker();
    assert_eq!(host.decides().await, Err("broker_unreachable"));

    let _garbler = Rogue::on(&url, None, move |_| garbled(&genuine)).await;
    let before = host.host.ignored();
    let code = host.decides().await.expect_err("garbage opened the door");
    assert!(
        ["broker_unreachable", "signature_invalid", "broker_key_unknown", "answer_mismatch"].contains(&code),
        "{code}"
    );
    assert!(host.host.ignored() > before + 100);

    // The wire is cut while the question is on it, broker or not.
    lattice.serve();
    let (started, ()) = tokio::join!(host.decides(), async { proxy.cut() });
    assert!(matches!(started, Ok(()) | Err("broker_unreachable")), "{started:?}");
    assert_eq!(host.decides().await, Err("broker_unreachable"));
    // No server where one was configured, and a host that was never told of any.
    let nats = "nats://127.0.0.1:1";
    let run = lattice.host("host", &["--nats-url", nats, "run", path(&cart), "--id", "cart", "--timeout", "1"]);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let nobody = lattice.host("nobody", &["run", path(&cart), "--id", "cart", "--timeout", "1"]);
    assert_eq!(nobody.status.code(), Some(3), "a host that has joined nothing: {nobody:?}");
}

// What a broken wire or a broken broker could make of an answer.
fn garbled(genuine: &[u8]) -> Vec<Vec<u8>> {
    let mut garbled = vec![b"{}".to_vec(), b"true".to_vec(), vec![0; 64 * 1024], vec![0xff; 10]];
    for cut in (0..genuine.len()).step_by(genuine.len() / 64) {
        let mut flipped = genuine.to_vec();
        flipped[cut] ^= 1;
        garbled.extend([genuine[..cut.max(1)].to_vec(), genuine[cut.max(1)..].to_vec(), flipped]);
    }
    garbled
}
