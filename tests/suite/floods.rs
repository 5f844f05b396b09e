//! Floods on a real broker: others are still answered, administrators get through, and memory stays bounded (T70, T86,
//! T87, T89).
//!
//! A few seconds run here; `COUNTERSIGN_FLOOD_SECONDS` makes them more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use broker::keys::SigningKey;
use harness::asker::lattice_name;
use harness::caller::{Administrator, Caller, Said};
use harness::lattice::Lattice;
use harness::process::{peak_kib, resident_kib, started};
use policy::key::Host;
use policy::wire::Topic;
use tokio::task::JoinHandle;

// A second has so many of them.
const TICKS: usize = 50;
const TICK: Duration = Duration::from_millis(20);

fn seconds() -> Duration {
    let told = std::env::var("COUNTERSIGN_FLOOD_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(told.unwrap_or(3))
}

/// Messages of a few kinds, sent without end to some subjects, so many a second if the machine can.
struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Flood {
    async fn on(lattice: &Lattice, rate: usize, subjects: Vec<String>, messages: Vec<Vec<u8>>, inbox: String) -> Self {
        let client = async_nats::connect(lattice.nats.url()).await.unwrap();
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let with_all = |message: &Vec<u8>| subjects.iter().map(|subject| (subject.clone(), message.clone())).collect();
        let kinds: Vec<(String, Vec<u8>)> = messages.iter().flat_map::<Vec<_>, _>(with_all).collect();
        let task = tokio::spawn(async move {
            let mut next = 0;
            let mut tick = tokio::time::interval(TICK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !stopped.load(Ordering::Relaxed) {
                tick.tick().await;
                for _ in 0..rate / TICKS {
                    let ((subject, message), reply) = (kinds[next % kinds.len()].clone(), format!("{inbox}.flood"));
                    client.publish_with_reply(subject, reply, message.into()).await.unwrap();
                    next += 1;
                }
                counted.store(next, Ordering::Relaxed);
                // No faster than the server reads, so that the flood is on the wire and not in this process.
                client.flush().await.unwrap();
            }
        });
        Self { stop, sent, task }
    }

    async fn stopped(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

/// How many questions of a host, and commands, were answered with yes within the time, and how many were not.
async fn good_traffic(asker: &Caller, administrator: &Administrator, within: Duration) -> (usize, usize, usize) {
    let until = Instant::now() + within;
    let (mut yes, mut no, mut commands) = (0, 0, 0);
    while Instant::now() < until {
        if asker.ask().await.is_yes() {
            yes += 1
        } else {
            no += 1
        }
        obeyed(administrator).await;
        commands += 1;
    }
    (yes, no, commands)
}

// An administrator is never told to come later. Silence is another thing: a machine that is busy elsewhere for seconds
// loses what NATS delivers once at most.
async fn obeyed(administrator: &Administrator) {
    for _ in 0..12 {
        match administrator.command().await {
            Said::Nothing => {}
            said => return assert!(said.is_yes(), "an administrator was kept out: {said:?}"),
        }
    }
    panic!("an administrator is not heard");
}

fn subjects() -> Vec<String> {
    let topics = [Topic::StartComponent, Topic::StartProvider, Topic::Command, Topic::Join];
    let query = Topic::Query.subject(&lattice_name()).replace('*', "status");
    topics.iter().map(|topic| topic.subject(&lattice_name())).chain([query]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t86_t70_a_flood_of_malformed_messages_keeps_nobody_out_and_hides_nothing() {
    let mut lattice = Lattice::with_cart();
    let (asker, administrator) = (Caller::new(&lattice, "host").await, Administrator::new(&lattice).await);
    let inbox = format!("_INBOX_{}", SigningKey::<Host>::generate().unwrap().name());
    let mut cut = asker.asker.question();
    cut.truncate(300);
    let flood = Flood::on(&lattice, 10_000, subjects(), vec![b"{".to_vec(), cut, vec![b'A'; 2000]], inbox).await;
    let (yes, no, commands) = good_traffic(&asker, &administrator, seconds()).await;
    let sent = flood.stopped().await;
    println!("{sent} malformed messages; {yes} questions answered, {no} not, {commands} commands obeyed");
    assert!(yes > 10 * no.max(1) || no == 0 && yes > 0, "{yes} answered, {no} not");
    // What an administrator did meanwhile is on record, and the flood is but a row.
    lattice.stop_broker();
    let (code, verified) = lattice.json(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
    let log = broker::store::LogReader::open(&lattice.log()).await.unwrap();
    let size = usize::try_from(log.size().await.unwrap()).unwrap();
    assert!(size < yes + no + commands + 100, "{size} rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t87_one_greedy_host_costs_the_others_little_and_is_told_so() {
    let mut lattice = Lattice::quiet();
    lattice.furnish();
    lattice.broker_is_told(&["--host-rate", "20", "--host-burst", "20"]);
    lattice.serve();
    lattice.join("host");
    lattice.join("greedy");
    let (modest, greedy) = (Caller::new(&lattice, "host").await, Caller::new(&lattice, "greedy").await);
    let administrator = Administrator::new(&lattice).await;
    let (stop, limited, granted) = (Arc::new(AtomicBool::new(false)), counter(), counter());
    let crowd: Vec<_> = (0..64)
        .map(|_| {
            let (greedy, stop) = (greedy.clone(), Arc::clone(&stop));
            let (limited, granted) = (Arc::clone(&limited), Arc::clone(&granted));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let said = greedy.ask().await;
                    limited.fetch_add(usize::from(said.is("rate_limited")), Ordering::Relaxed);
                    granted.fetch_add(usize::from(said.is_yes()), Ordering::Relaxed);
                }
            })
        })
        .collect();
    // Its share for a second is spent first.
    while limited.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let began = Instant::now();
    let before = (granted.load(Ordering::Relaxed), limited.load(Ordering::Relaxed));
    let until = Instant::now() + seconds();
    let (mut yes, mut no, mut commands) = (0, 0, 0);
    // Ten a second, half its share.
    while Instant::now() < until {
        if modest.ask().await.is_yes() {
            yes += 1
        } else {
            no += 1
        }
        obeyed(&administrator).await;
        commands += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for task in crowd {
        task.await.unwrap();
    }
    let (granted, limited) = (granted.load(Ordering::Relaxed) - before.0, limited.load(Ordering::Relaxed) - before.1);
    println!("greedy: {granted} granted, {limited} rate_limited; modest: {yes} granted, {no} not; {commands} commands");
    assert_eq!(no, 0, "the modest host was turned away");
    // However long the machine took, it had its share of that time and no more.
    let share = 20 * (usize::try_from(began.elapsed().as_secs()).unwrap() + 2);
    assert!(yes > 0 && limited > 0 && granted <= share, "{granted} granted of {share}, {limited} refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t87_a_flood_of_forgeries_under_a_hosts_key_does_not_silence_it() {
    let lattice = Lattice::with_cart();
    lattice.join("other");
    let (mut host, other) = (Caller::new(&lattice, "host").await, Caller::new(&lattice, "other").await);
    host.patience = Duration::from_secs(1);
    let administrator = Administrator::new(&lattice).await;
    let (stranger, inbox) = (SigningKey::generate().unwrap(), host.inbox());
    let forged = (0..50).map(|_| host.forged(&stranger)).collect();
    let flood = Flood::on(&lattice, 500, vec![Topic::StartComponent.subject(&lattice_name())], forged, inbox).await;
    let (yes, no, commands) = good_traffic(&other, &administrator, seconds()).await;
    // The host itself asks until it is heard: its share is whole, only the checks are contended for.
    let mut tries = 0;
    loop {
        tries += 1;
        match host.ask().await {
            said if said.is_yes() => break,
            Said::TurnedAway(_) | Said::Nothing => assert!(tries < 120, "the host is silenced"),
            said @ Said::Signed(..) => panic!("{said:?}"),
        }
    }
    let sent = flood.stopped().await;
    println!("{sent} forgeries; other: {yes} granted, {no} not; {commands} commands; the host: heard at try {tries}");
    assert!(yes > 10 * no.max(1) || no == 0 && yes > 0, "{yes} answered, {no} not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t89_a_mixed_flood_leaves_memory_bounded() {
    let lattice = Lattice::with_cart();
    let (asker, administrator) = (Caller::new(&lattice, "host").await, Administrator::new(&lattice).await);
    let pid = lattice.broker_pid().unwrap();
    let (process, before) = (started(pid), resident_kib(pid));
    let inbox = asker.inbox();
    let largest = [1024 * 1024, 256 * 1024, 64 * 1024].map(|size| vec![b'A'; size - 1]);
    let nested = [asker.asker.question(), b"[".repeat(200_000)].concat();
    let messages = largest.into_iter().chain([nested, asker.asker.question(), vec![0; 1]]).collect();
    let flood = Flood::on(&lattice, 1_000, subjects(), messages, inbox).await;
    let until = Instant::now() + seconds();
    while Instant::now() < until {
        asker.ask().await;
    }
    let sent = flood.stopped().await;
    let (after, peak) = (resident_kib(pid), peak_kib(pid));
    println!("{sent} messages; {before} KiB before, {after} KiB after, {peak} KiB at most");
    assert!(peak < 256 * 1024, "{peak} KiB were held");
    obeyed(&administrator).await;
    assert_eq!(started(pid), process, "another process answers");
}

fn counter() -> Arc<AtomicUsize> {
    Arc::default()
}
