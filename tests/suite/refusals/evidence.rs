//! The log, the answer, and the host: what is lost, put back, forged, replayed, late, unsafe or too much.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::clock::{Clock, FixedClock, SystemClock};
use broker::folder::Folder;
use broker::keys::SigningKey;
use broker::service::Service;
use harness::lattice::{Lattice, path, wait_for};
use policy::digest::Digest;
use policy::key::{Administrator, Decision};
use policy::wire::{Topic, inbox_prefix};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use super::middle::{Middle, resigned};
use super::seen::Seen;
use super::stage::{Live, Stage, exchange, exporting, importing, invitation};

// Somebody holds the database, as a full disk would: nothing can be written, so nothing is said.
pub(super) fn log_held_by_somebody(_: &Stage) -> Seen {
    let lattice = Lattice::start();
    let admin = SigningKey::<Administrator>::load(&lattice.path("lattice/keys/admin.nk")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(lattice.log());
        let mut held = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
        let client = async_nats::connect(lattice.nats.url()).await.unwrap();
        let inbox = inbox_prefix(&admin.name());
        Seen::on_the_wire(&exchange(&client, Topic::Command, &inbox, invitation(&admin, |_| ())).await)
    })
}

// A copy of the log from before an act, put back by somebody who would rather it had not happened.
pub(super) fn older_log_put_back(stage: &Stage) -> Seen {
    let log = stage.found("rolled-back").join("log.db");
    let kept = std::fs::read(&log).unwrap();
    let done = stage.alone("rolled-back", &["host", "invite"]);
    assert!(done.is_done(), "{done:?}");
    std::fs::write(&log, kept).unwrap();
    stage.alone("rolled-back", &["host", "invite"])
}

// Somebody with the broker's own key answers from another log: an entry that lies before what the host had seen.
pub(super) fn two_stories(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = live.component("two-stories", &random());
    let (broker, honest) = (decision(live), AtomicBool::new(true));
    let wire = Middle::of(live, "two-faced", move |genuine| {
        if honest.swap(false, Ordering::SeqCst) {
            return genuine;
        }
        resigned(&genuine, &broker, |answer| (answer["index"], answer["epoch"]) = (json!(3), json!(2)))
    });
    let first = wire.run(&file, "two-stories");
    assert!(first.is_done(), "{first:?}");
    wire.run(&file, "two-stories")
}

// A journal that tells of an answer which the log never gave.
pub(super) fn line_of_nothing(stage: &Stage) -> Seen {
    let sha256 = Digest::of(b"nothing");
    let host = stage.live().asker().key.name();
    let line = json!({
        "number": 1, "at_ms": 1, "host": host, "what": "start_component", "id": "cart", "sha256": sha256,
        "request_sha256": sha256, "index": 1_000_000, "entry_sha256": sha256, "verdict": "permitted",
    });
    let journal = stage.file("nothing.journal", line.to_string());
    stage.live().told(&["audit", "reconcile", "--journal", path(&journal)])
}

// A broker whose clock ran years ahead for one entry, and was put back.
pub(super) fn clock_put_back(stage: &Stage) -> Seen {
    let folder = stage.found("years-ahead");
    let admin = SigningKey::<Administrator>::load(&folder.join("keys/admin.nk")).unwrap();
    let ahead = SystemClock::default().now().plus(3653 * 86_400);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(FixedClock::at(ahead.seconds() * 1000));
        let service = Service::open(&Folder::open(&folder).unwrap(), clock).await.unwrap();
        let invited = invitation(&admin, |command| (command.iat, command.not_after) = (ahead, ahead.plus(60)));
        service.command(&invited).await.unwrap();
        service.close().await.unwrap();
    });
    stage.alone("years-ahead", &["host", "invite"])
}

pub(super) fn changed_row(stage: &Stage) -> Seen {
    let log = stage.found("changed").join("log.db");
    let because = "a sentence to be changed";
    let done = stage.alone("changed", &["host", "invite", "--because", because]);
    assert!(done.is_done(), "{done:?}");
    let mut bytes = std::fs::read(&log).unwrap();
    let at = bytes.windows(because.len()).position(|window| window == because.as_bytes()).unwrap();
    bytes[at] = b'A';
    std::fs::write(&log, bytes).unwrap();
    stage.alone("changed", &["audit", "verify"])
}

// A genuine entry and a genuine checkpoint, and a way between them that is none.
pub(super) fn another_way_to_the_root(stage: &Stage) -> Seen {
    let file = stage.found("proved").join("entry.proof");
    let done = stage.alone("proved", &["host", "invite"]);
    assert!(done.is_done(), "{done:?}");
    let proved = stage.alone("proved", &["audit", "prove", "0", "--out", path(&file)]);
    assert!(proved.is_done(), "{proved:?}");
    let mut exhibit: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    exhibit["inclusion"].as_array_mut().unwrap().push(json!("0".repeat(64)));
    std::fs::write(&file, policy::json::write(&exhibit)).unwrap();
    stage.alone("proved", &["audit", "verify", "--proof", path(&file)])
}

pub(super) fn nobody_listens(stage: &Stage) -> Seen {
    let live = stage.live();
    live.run(&cart(live), "cart", &["--nats-url", "nats://127.0.0.1:1"])
}

pub(super) fn plain_to_another_machine(stage: &Stage) -> Seen {
    let live = stage.live();
    live.run(&cart(live), "cart", &["--nats-url", "nats://192.0.2.1:4222"])
}

// It answers the very question, under the genuine warrant; only the key is the attacker's own.
pub(super) fn forged_yes(stage: &Stage) -> Seen {
    let live = stage.live();
    let thief = SigningKey::<Decision>::generate().unwrap();
    let wire = Middle::of(live, "lied-to", move |genuine| resigned(&genuine, &thief, |_| ()));
    wire.run_in_vain(&cart(live), "cart")
}

// The genuine yes of a moment ago, played back after the lattice has changed its mind.
pub(super) fn replayed_yes(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = live.component("replayed", &random());
    let first = Mutex::new(None);
    let wire = Middle::of(live, "replayed-to", move |genuine| first.lock().unwrap().get_or_insert(genuine).clone());
    let honest = wire.run(&file, "replayed");
    assert!(honest.is_done(), "{honest:?}");
    live.done(&["component", "retire", "replayed"]);
    wire.run_in_vain(&file, "replayed")
}

// The broker grants a fifth of a second, and the wire takes longer.
pub(super) fn held_back_yes(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = live.component("held-back", &random());
    let broker = decision(live);
    let wire = Middle::of(live, "held-up", move |genuine| {
        std::thread::sleep(Duration::from_millis(250));
        resigned(&genuine, &broker, |answer| answer["ttl_ms"] = json!(200))
    });
    wire.run(&file, "held-back")
}

// Even the broker's own key cannot have the host fill an import with other bytes than it carries under that name.
pub(super) fn yes_to_other_bytes(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = live.component("other-bytes", &random());
    let broker = decision(live);
    let wire = Middle::of(live, "misled", move |genuine| {
        let other = Digest::of(b"other bytes").to_string();
        resigned(&genuine, &broker, |answer| answer["outcomes"][0]["sha256"] = json!(other))
    });
    wire.run(&file, "other-bytes")
}

// Genuine answers, each held back until the host has heard of something newer.
pub(super) fn always_a_step_behind(stage: &Stage) -> Seen {
    let live = stage.live();
    let memory = live.lattice.path("late/memory");
    let (folder, url) = (live.lattice.path("lattice"), live.lattice.nats.url());
    let wire = Middle::of(live, "late", move |genuine| {
        let mut act = harness::program::program("countersign");
        act.args(["-o", "json", "--dir", path(&folder), "--nats-url", &url, "host", "invite"]);
        let done: Value = serde_json::from_slice(&act.output().unwrap().stdout).unwrap();
        let epoch = done["epoch"].as_u64().unwrap();
        wait_for("the notice", || {
            let memory: Value = serde_json::from_slice(&std::fs::read(&memory).ok()?).ok()?;
            (memory["epoch"].as_u64()? >= epoch).then_some(())
        });
        genuine
    });
    wire.with_notices().run(&cart(live), "cart")
}

pub(super) fn folder_open_to_all(stage: &Stage) -> Seen {
    let folder = stage.folder("open-to-all");
    std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let trust = stage.file("open-to-all.trust", r#"{"issuers":[]}"#);
    stage.verified(&folder, &["--trust", path(&trust)])
}

pub(super) fn bytes_not_here(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:elsewhere", |_| ());
    let file = live.component("elsewhere", &importing(&["demo:elsewhere/a@0.1.0"]));
    live.provider("elsewhere-provider", &exporting("demo:elsewhere/a@0.1.0"));
    live.done(&["link", "put", "elsewhere", "elsewhere-provider", "--contract", "demo:elsewhere"]);
    live.run(&file, "elsewhere", &["--artifacts", path(&stage.folder("empty"))])
}

// Let in, and then it takes more than it may.
pub(super) fn greedy(stage: &Stage) -> Seen {
    let live = stage.live();
    let greedy = "(component (core module $m (memory 2000)) (core instance (instantiate $m)))";
    let file = live.component("greedy", greedy);
    live.run(&file, "greedy", &[])
}

fn cart(live: &Live) -> PathBuf {
    live.lattice.path("cart-acme.wasm")
}

fn decision(live: &Live) -> SigningKey<Decision> {
    SigningKey::load(Path::new(&live.lattice.path("lattice/keys/decision.nk"))).unwrap()
}

// What any host answers by itself.
fn random() -> String {
    "(component (import \"wasi:random/random@0.2.0\" (instance (export \"get-random-u64\" (func (result u64))))))"
        .into()
}
