//! The broker publishes at inboxes and under its own prefix, whatever it is told: to no reply subject of a stranger's
//! choice (T54), and to no subject that a name smuggles in (T41). Somebody listens to everything meanwhile.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::store::LogReader;
use futures::StreamExt;
use harness::asker::{Asker, lattice_name, reason, send};
use harness::lattice::{Lattice, path};
use policy::log::{Body, Entry};
use policy::reason::Reason;
use policy::wire::{Topic, inbox_prefix};

/// Every subject on which something was published.
struct Spy {
    client: async_nats::Client,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Spy {
    async fn on(url: &str) -> Self {
        let client = async_nats::connect(url).await.unwrap();
        let mut all = client.subscribe(">").await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(message) = all.next().await {
                keep.lock().unwrap().push(message.subject.to_string());
            }
        });
        let spy = Self { client, seen };
        spy.up_to_now().await;
        spy
    }

    // Everything that was published before this call: the server keeps the order of what it was given.
    async fn up_to_now(&self) -> Vec<String> {
        let mark = self.client.new_inbox();
        self.client.publish(mark.clone(), "mark".into()).await.unwrap();
        loop {
            let seen = self.seen.lock().unwrap().clone();
            if seen.contains(&mark) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

// Where a stranger might want the broker to publish with the broker's rights.
fn hostile(asker: &Asker, other: &str) -> Vec<String> {
    let own = inbox_prefix(&asker.key.name());
    let mut subjects = vec![
        "$JS.API.STREAM.DELETE.audit".to_owned(),
        "$SYS.REQ.SERVER.PING".to_owned(),
        "$SRV.PING".to_owned(),
        "countersign.v1.default.command".to_owned(),
        "countersign.v1.default.epoch".to_owned(),
        "countersign.v1.default.start.component".to_owned(),
        "countersign.v1.other.command".to_owned(),
        "wasmbus.ctl.default.stop".to_owned(),
        "plain".to_owned(),
        own.clone(),
        format!("{own}x.1"),
        format!("x.{own}.1"),
    ];
    // Another's inbox: a signed question is answered to its signer alone.
    subjects.push(format!("{other}.1"));
    subjects
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t54_nothing_is_published_at_a_reply_subject_of_a_strangers_choice() {
    let mut lattice = Lattice::with_cart();
    lattice.join("other");
    let (asker, other) = (Asker::of(&lattice, "host"), Asker::of(&lattice, "other"));
    let spy = Spy::on(&lattice.nats.url()).await;
    let client = asker.connect(&lattice.nats.url()).await;
    let hostile = hostile(&asker, &inbox_prefix(&other.key.name()));
    let name = lattice_name();
    let (mut sent, mut baited) = (0, BTreeSet::new());
    for (number, reply) in hostile.iter().enumerate() {
        let asked = |topic: Topic| topic.subject(&name);
        let mut requests =
            vec![(asked(Topic::StartComponent), asker.question()), (asked(Topic::StartProvider), asker.question())];
        if !reply.starts_with("_INBOX_") || !reply.ends_with(".1") || reply.contains("x.") {
            requests.extend([
                (asked(Topic::StartComponent), b"nonsense".to_vec()),
                (asked(Topic::Command), b"nonsense".to_vec()),
                (asked(Topic::Join), b"nonsense".to_vec()),
                ("countersign.v1.default.query.status".to_owned(), b"{}".to_vec()),
                ("$SRV.PING".to_owned(), Vec::new()),
                ("$SRV.INFO.countersign".to_owned(), Vec::new()),
                ("$SRV.STATS".to_owned(), Vec::new()),
            ]);
        }
        sent += requests.len();
        for (subject, payload) in requests {
            client.publish_with_reply(subject.clone(), reply.clone(), payload.into()).await.unwrap();
            baited.insert(subject);
        }
        // The broker has had its chance at them before it answers this one.
        let answered = send(&client, Topic::StartComponent, asker.question()).await.unwrap();
        assert_eq!(reason(&answered), "", "question {number}");
    }
    // A tool that listens at an inbox is told who is there.
    let pong = client.request("$SRV.PING.countersign", "".into()).await.unwrap();
    assert!(String::from_utf8_lossy(&pong.payload).contains("io.nats.micro.v1.ping_response"));
    lattice.stop_broker();

    let seen = spy.up_to_now().await;
    let count = |subject: &str| seen.iter().filter(|seen| *seen == subject).count();
    for reply in &hostile {
        // What was asked there is ours; a checkpoint a second is the broker's, on the subject made for it.
        if !baited.contains(reply) && reply != "countersign.v1.default.epoch" {
            assert_eq!(count(reply), 0, "something was published at `{reply}`");
        }
    }
    assert_eq!(count("countersign.v1.default.command"), hostile.len() - 1, "only what was sent there by the stranger");
    let log = LogReader::open(&lattice.log()).await.unwrap();
    let mut counted = 0;
    for row in log.tail(100).await.unwrap() {
        if let Body::Door(counts) = Entry::read(&row.bytes).unwrap().body {
            counted += counts.get(&Reason::ReplyElsewhere).copied().unwrap_or(0);
        }
    }
    assert_eq!(counted, sent as u64, "each is counted, on record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t41_no_name_reaches_beyond_our_subjects_by_any_door() {
    let lattice = Lattice::with_cart();
    let spy = Spy::on(&lattice.nats.url()).await;
    let (asker, cart) = (Asker::of(&lattice, "host"), lattice.path("cart-acme.wasm"));
    let client = asker.connect(&lattice.nats.url()).await;
    for (number, name) in HOSTILE.iter().copied().enumerate() {
        let by_command_line = [
            &["-x", name, "status"][..],
            &["-x", name, "host", "invite"],
            &["component", "admit", path(&cart), "--id", name],
            &["link", "put", name, "logger", "--contract", "wasi:logging"],
            &["link", "put", "cart", name, "--contract", "wasi:logging"],
            &["link", "put", "cart", "logger", "--contract", name],
            &["link", "put", "cart", "logger", "--contract", "wasi:logging", "--name", name],
            &["why", name],
            &["default", "put", name, "--bind", "builtin"],
            &["provider", "admit", name],
            &["host", "ban", name],
        ];
        // Each door with several names, each name at several doors: processes are slow.
        for arguments in by_command_line.iter().skip(number % 3).step_by(3) {
            let (code, refused) = lattice.json(arguments);
            assert_ne!(code, 0, "{arguments:?}: {refused}");
        }
        let run = lattice.host("host", &["run", path(&cart), "--id", name, "--timeout", "2"]);
        assert_ne!(run.status.code(), Some(0), "{name}: {run:?}");
        // Over the wire, signed by an enrolled host that lies, and unsigned where anybody may look.
        for (from, to) in [("default", name), ("cart", name)] {
            let lying = renamed(&asker, from, to);
            assert_ne!(reason(&send(&client, Topic::StartComponent, lying).await.unwrap()), "", "{from} as {name}");
        }
        let look = serde_json::json!({"id": name, "package": name, "name": name}).to_string();
        for view in ["why", "links", "status", "explain"] {
            let asked = client.request(format!("countersign.v1.default.query.{view}"), look.clone().into()).await;
            assert!(asked.is_ok(), "a look is answered or refused, not lost");
        }
    }
    let answered = send(&client, Topic::StartComponent, asker.question()).await.unwrap();
    assert_eq!(reason(&answered), "", "and all is well");
    let beyond: BTreeSet<_> = spy
        .up_to_now()
        .await
        .into_iter()
        .filter(|subject| !subject.starts_with("countersign.v1.default.") && !subject.starts_with("_INBOX"))
        .collect();
    assert!(beyond.is_empty(), "published beyond our prefix: {beyond:?}");
}

const HOSTILE: [&str; 11] =
    ["a.b", "*", ">", "a b", "a\r\nPUB x 0\r\n", "$SYS", "_INBOX.x", "$JS.API.INFO", "é", "", "a/../b"];

// A question whose document carries another name, signed by the host all the same.
fn renamed(asker: &Asker, from: &str, to: &str) -> Vec<u8> {
    let question = String::from_utf8(asker.question()).unwrap();
    let (token, attachments) = question.split_once('\n').unwrap();
    let segments: Vec<_> = token.split('.').collect();
    let payload = data_encoding::BASE64URL_NOPAD.decode(segments[1].as_bytes()).unwrap();
    let (from, to) = (format!("{from:?}"), serde_json::json!(to).to_string());
    let payload = String::from_utf8(payload).unwrap().replace(&from, &to);
    asker.seal(segments[0], payload.as_bytes(), attachments)
}
