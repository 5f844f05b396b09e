//! Two brokers on one lattice's keys, each with a log of its own: hosts that meet both find it, keep it, and stop.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use harness::embedded::Embedded;
use harness::lattice::{Lattice, Nats, path, wait_for};
use host::memory::{Keep, Piece};
use policy::answer::StartAnswer;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::growth::{Grown, Growth};
use policy::lineage::Lineage;
use policy::log::{Entry, NoteKey, Place, contradiction};
use policy::question::Seen;
use policy::time::Timestamp;
use policy::warrant::DecisionKeys;
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(20);

/// `countersign-host run`: its exit code, and what it printed.
fn run(lattice: &Lattice, host: &str, url: &str) -> (i32, Value) {
    let cart = lattice.path("cart-acme.wasm");
    let output = lattice.host(host, &["--nats-url", url, "-o", "json", "run", path(&cart), "--id", "cart"]);
    let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let line = text.split(|byte| *byte == b'\n').rfind(|line| line.starts_with(b"{")).unwrap_or_default();
    (output.status.code().unwrap_or(-1), serde_json::from_slice(line).unwrap_or_default())
}

fn shown(lattice: &Lattice, host: &str) -> Value {
    let output = lattice.host(host, &["-o", "json", "fork", "show"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Judges a file of evidence as a stranger would: from the pinned root alone.
fn prove(evidence: &Value, root: &str) {
    let text = |at: &str| evidence.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let inception = text("/inception");
    assert_eq!(policy::log::leaf_hash(inception.as_bytes()).to_string(), root);
    let policy::log::Body::Inception(begun) = Entry::read(inception.as_bytes()).unwrap().body else {
        panic!("{inception}")
    };
    let mut lineage = Lineage::of(&begun, Digest::parse(root).unwrap());
    lineage.follow_all(&serde_json::from_value(evidence["changes"].clone()).unwrap()).unwrap();
    let warrant = lineage.read_any(text("/warrant").as_bytes()).unwrap();
    let found = Timestamp::from_millis(evidence["found_at_ms"].as_u64().unwrap());
    assert_eq!(text("/log_key"), warrant.log_key);
    let place = |piece: &str| {
        let note = text(&format!("/{piece}/piece/checkpoint"));
        if !note.is_empty() {
            let opened = NoteKey::parse(&warrant.log_key).unwrap().open(note.as_bytes()).unwrap();
            return Place::of_checkpoint(&opened).unwrap();
        }
        if evidence[piece]["piece"] == "first_entry" {
            return Place::pinned(Digest::parse(root).unwrap());
        }
        let (answer, question) =
            (text(&format!("/{piece}/piece/answer/answer")), text(&format!("/{piece}/piece/answer/question")));
        let keys = DecisionKeys::of(&warrant, found).unwrap();
        let answer = Unverified::<StartAnswer>::parse(answer.as_bytes()).unwrap().verify(&keys).unwrap();
        assert_eq!(answer.request_sha256, Digest::of(question.as_bytes()));
        // The host's own word: its digest stands in the answer, and nothing else of it is needed.
        let payload = BASE64URL_NOPAD.decode(question.split('.').nth(1).unwrap().as_bytes()).unwrap();
        let asked: Seen =
            serde_json::from_value(serde_json::from_slice::<Value>(&payload).unwrap()["seen"].clone()).unwrap();
        let StartAnswer { index, entry_sha256, epoch, .. } = *answer;
        Place { index, entry_sha256, epoch, root: None, after: Some(asked) }
    };
    if evidence["met"]["piece"].get("growth").is_some() {
        let (answer, question) = (text("/met/piece/growth/answer"), text("/met/piece/growth/question"));
        let keys = DecisionKeys::of(&warrant, found).unwrap();
        let grown = Unverified::<Grown>::parse(answer.as_bytes()).unwrap().verify(&keys).unwrap();
        assert_eq!(grown.request_sha256, Digest::of(question.as_bytes()));
        let end = NoteKey::parse(&warrant.log_key).unwrap().open(grown.checkpoint.as_bytes()).unwrap();
        let held = place("held");
        // That the host asked for this very place stands in its question.
        let payload = BASE64URL_NOPAD.decode(question.split('.').nth(1).unwrap().as_bytes()).unwrap();
        let asked: Growth = serde_json::from_slice(&payload).unwrap();
        assert!(asked.sizes.contains(&(held.index + 1)) || asked.index == Some(held.index), "{asked:?}");
        let restores = grown.restores(&end, inception.as_bytes()).unwrap();
        assert_eq!(json!(grown.stand(&end, &restores, &held).err()), evidence["contradiction"], "{held:?} {grown:?}");
        return;
    }
    let (held, met) = (place("held"), place("met"));
    assert_eq!(json!(contradiction(&held, &met)), evidence["contradiction"], "{held:?} {met:?}");
}

#[test]
fn t60_t65_a_copy_that_is_served_elsewhere_is_found_by_a_host_that_meets_both() {
    let mut lattice = Lattice::with_cart();
    lattice.join("other");
    lattice.stop_broker();
    lattice.copy_folder("copy");
    lattice.serve();
    let (elsewhere, here) = (Nats::start(), lattice.nats.url());
    let _copy = lattice.serve_from("copy", &elsewhere.url());
    // The original went on for longer than the copy will.
    for _ in 0..10 {
        lattice.accepted(&["host", "invite"]);
    }
    assert_eq!(run(&lattice, "host", &here).0, 0);
    // Within a few questions to the one or the other.
    let urls = [elsewhere.url(), here.clone()];
    let mut asked = urls.iter().cycle().take(6).map(|url| run(&lattice, "host", url));
    let met = asked.find(|(_, told)| told["error"] == "log_fork");
    let (code, told) = met.expect("a fork that is found");
    assert_eq!(code, 3, "{told}");
    assert_eq!(told["warnings"][0]["code"], "log_fork", "{told}");
    assert!(std::path::Path::new(told["warnings"][0]["evidence"].as_str().unwrap()).is_file());
    let root = lattice.accepted(&["status"])["root"].as_str().unwrap().to_owned();
    let forks = shown(&lattice, "host");
    assert_eq!((&forks["forked"], forks["forks"].as_array().unwrap().len()), (&json!(true), 1));
    prove(&forks["forks"][0], &root);

    // Nothing more is bound, whoever answers, and people are told, too.
    let cart = lattice.path("cart-acme.wasm");
    for url in &urls {
        assert_eq!(run(&lattice, "host", url).1["error"], "log_fork");
    }
    let said = lattice.host("host", &["run", path(&cart), "--id", "cart"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("warning: log_fork") && said.contains("fix: look at `countersign-host fork show`"), "{said}");
    // The honest broker is told, and says so; who met the original alone goes on.
    let alarm = wait_for("the alarm", || {
        let status = lattice.accepted(&["status"]);
        status["alarms"].as_array().unwrap().iter().find(|alarm| alarm["alarm"] == "log_fork").cloned()
    });
    assert!(alarm["says"].as_str().unwrap().contains(forks["forks"][0]["host"].as_str().unwrap()), "{alarm}");
    assert_eq!(run(&lattice, "other", &here).0, 0);

    let dismissed = lattice.host("host", &["-o", "json", "fork", "dismiss", "--keep", "held", "--reason", "a drill"]);
    assert!(dismissed.status.success(), "{dismissed:?}");
    let forks = shown(&lattice, "host");
    assert_eq!((&forks["forked"], &forks["forks"][0]["ended"]["reason"]), (&json!(false), &json!("a drill")));
    // Of two words of one second, that of a fork counts; a later one ends the alarm.
    wait_for("the alarm's end", || {
        assert_eq!(run(&lattice, "host", &here).0, 0);
        let alarms = lattice.accepted(&["status"])["alarms"].to_string();
        (!alarms.contains("log_fork")).then_some(())
    });
    // And the copy is found again by whoever meets it.
    assert_eq!(run(&lattice, "host", &elsewhere.url()).1["error"], "log_fork");
    assert_eq!(shown(&lattice, "host")["forks"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t60_t65_two_brokers_that_share_one_wire_are_found_within_few_questions() {
    let mut lattice = Lattice::with_cart();
    lattice.stop_broker();
    lattice.copy_folder("copy");
    lattice.serve();
    let host = Embedded::new(&lattice, "host", &lattice.nats.url(), LONG).await;
    assert_eq!(host.decides().await, Ok(()));
    let copy = lattice.serve_from("copy", &lattice.nats.url());
    let mut asked = 0;
    // Each question goes to the one or the other, by chance.
    while host.decides().await != Err("log_fork") {
        asked += 1;
        assert!(asked < 100, "a hundred questions to two brokers");
    }
    println!("found after {asked} questions");
    for _ in 0..3 {
        assert_eq!(host.decides().await, Err("log_fork"));
    }
    let forks = shown(&lattice, "host");
    let root = host.memory.record().root.to_string();
    prove(&forks["forks"][0], &root);
    // After a restart of the host as well, and when the copy is long gone.
    drop((copy, host));
    let host = Embedded::new(&lattice, "host", &lattice.nats.url(), LONG).await;
    assert_eq!(host.decides().await, Err("log_fork"));
    // Which of the two it had followed is for the operator to find out; the other would be found wrong at once.
    let fork = host.memory.record().forked.unwrap();
    let log = broker::store::LogReader::open(&lattice.log()).await.unwrap();
    let here = |place: Place| {
        let row = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(log.row(place.index)));
        row.unwrap().is_some_and(|row| row.hash == place.entry_sha256)
    };
    let keep = if here(fork.held.place) { Keep::Held } else { Keep::Met };
    assert!(here(fork.held.place) != here(fork.met.place), "one of the two is of this log: {fork}");
    host.memory.dismiss(keep, "the copy was stopped").unwrap();
    assert_ne!(host.decides().await, Err("log_fork"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t65_the_alarm_stays_while_another_process_of_that_host_tells_what_it_runs() {
    let mut lattice = Lattice::with_cart();
    lattice.stop_broker();
    lattice.copy_folder("copy");
    lattice.serve();
    let (elsewhere, here) = (Nats::start(), lattice.nats.url());
    let _copy = lattice.serve_from("copy", &elsewhere.url());
    // It starts nothing, and meets the original alone.
    let _idle = Embedded::new(&lattice, "host", &here, LONG).await;
    let urls = [elsewhere.url(), here.clone()];
    let mut asked = urls.iter().cycle().take(6).map(|url| run(&lattice, "host", url));
    assert!(asked.any(|(_, told)| told["error"] == "log_fork"), "a fork that is found");
    assert_eq!(run(&lattice, "host", &here).1["error"], "log_fork");
    let alarmed = || lattice.accepted(&["status"])["alarms"].to_string().contains("log_fork");
    wait_for("the alarm", || alarmed().then_some(()));
    // As long as three words of the idle process take.
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        assert!(alarmed(), "the alarm was taken back after {} ms", began.elapsed().as_millis());
    }
    let tail = lattice.accepted(&["audit", "tail", "-n", "50"])["entries"].as_array().unwrap().clone();
    let told = tail.iter().filter(|entry| entry.to_string().contains("holds two signed pieces of this log"));
    assert_eq!(told.count(), 1, "and it is told once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t65_a_longer_log_of_another_branch_is_found_by_its_own_proof_before_it_answers_anything() {
    let mut lattice = Lattice::with_cart();
    let host = Embedded::new(&lattice, "host", &lattice.nats.url(), LONG).await;
    assert_eq!(host.decides().await, Ok(()));
    lattice.stop_broker();
    lattice.copy_folder("copy");
    let branched = lattice.accepted(&["status"])["size"].as_u64().unwrap();
    lattice.serve();
    // What only the one has, and is proved to the host: answers alone, so that no epoch tells them apart.
    for _ in 0..3 {
        assert_eq!(host.decides().await, Ok(()));
    }
    wait_for("a proof", || host.memory.record().proved.filter(|proved| proved.size > branched));
    lattice.stop_broker();
    // And what only the other has: more, and newer events. Its keys are genuine, and nobody else answers any more.
    let copy = lattice.path("copy");
    for _ in 0..12 {
        lattice.accepted(&["--dir", path(&copy), "host", "invite"]);
    }
    let _copy = lattice.serve_from("copy", &lattice.nats.url());
    let began = std::time::Instant::now();
    let fork = wait_for("the fork", || host.memory.record().forked);
    println!("found {} ms after the other broker was ready", began.elapsed().as_millis());
    assert!(matches!(fork.met.piece, Piece::Growth { .. }), "{fork}");
    assert_eq!(host.decides().await, Err("log_fork"));
    let forks = shown(&lattice, "host");
    prove(&forks["forks"][0], &host.memory.record().root.to_string());
    // The broker that answers is told, and says so, also in its log.
    let told = wait_for("the record of it", || {
        let tail = lattice.accepted(&["--dir", path(&copy), "audit", "tail", "-n", "50"]);
        let entries = tail["entries"].as_array().unwrap().clone();
        entries.into_iter().find(|entry| entry.to_string().contains("holds two signed pieces of this log"))
    });
    assert!(told.to_string().contains(forks["forks"][0]["host"].as_str().unwrap()), "{told}");
    drop(_copy);
    let (code, verified) = lattice.json(&["--dir", path(&copy), "audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
}

#[test]
fn t28_t64_a_folder_that_was_put_back_whole_is_refused_by_the_first_host_that_knows_more() {
    let mut lattice = Lattice::with_cart();
    lattice.stop_broker();
    lattice.copy_folder("yesterday");
    lattice.serve();
    lattice.accepted(&["contract", "withdraw", "wasi:logging"]);
    let url = lattice.nats.url();
    assert_eq!(run(&lattice, "host", &url).1["error"], "contract_withdrawn");
    lattice.stop_broker();
    let _yesterday = lattice.serve_from("yesterday", &url);
    let (code, told) = run(&lattice, "host", &url);
    assert_eq!((code, &told["error"]), (3, &json!("log_fork")), "{told}");
    assert_eq!(shown(&lattice, "host")["forked"], true);
}
