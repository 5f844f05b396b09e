//! Messages made to fell whoever reads them, to every subject of a real broker and to a real host: nobody falls (T93).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use harness::asker::lattice_name;
use harness::caller::{Administrator, Caller};
use harness::lattice::{Lattice, path};
use harness::process::{resident_kib, started};
use harness::vectors::{folder, guest, repository};
use policy::wire::Topic;

const LOOKS: [&str; 5] = ["status", "why", "explain", "tail", "no-such-look"];

/// Everything that was ever found, every document of the vectors, and monsters made by hand.
fn poison() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for name in ["fuzz", "documents"] {
        collect(&folder(name), &mut found);
    }
    assert!(found.len() > 30, "{} files", found.len());
    found.push(guest("cart"));
    found.push(std::fs::read(repository().join("Cargo.lock")).unwrap());
    let header = |kind: &str| {
        let header = format!(r#"{{"alg":"EdDSA","typ":"countersign.{kind}.v1"}}"#);
        data_encoding::BASE64URL_NOPAD.encode(header.as_bytes())
    };
    let most = 1024 * 1024;
    for kind in ["start", "command", "join", "answer", "receipt", "view", "warrant"] {
        for payload in [
            "[".repeat(100_000),
            "{\"a\":".repeat(50_000),
            format!("{{{}\"a\":1}}", "\"a\":1,".repeat(20_000)),
            format!("\"{}\"", "\\ud800".repeat(10_000)),
            "1".repeat(100_000),
            String::new(),
            "null".to_owned(),
            "{}".to_owned(),
        ] {
            let payload = data_encoding::BASE64URL_NOPAD.encode(payload.as_bytes());
            found.push(format!("{}.{payload}.{}", header(kind), "A".repeat(86)).into_bytes());
        }
        found.push(format!("{}.e30.{}{}", header(kind), "A".repeat(86), "\n".repeat(100_000)).into_bytes());
        found.push(format!("{}..", header(kind)).into_bytes());
    }
    for byte in [0, b'\n', b'.', b'{', b'[', b'"', 0xff] {
        found.push(vec![byte; most]);
        found.push(vec![byte]);
    }
    for look in ["{\"jti\":\"00000000000000000000000000000000\",\"look\":", "{\"look\":{\"why\":{\"about\":"] {
        found.push([look.as_bytes(), &b"[".repeat(60_000)].concat());
    }
    found.retain(|bytes| bytes.len() <= most);
    found
}

fn collect(place: &std::path::Path, found: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(place).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            collect(&entry, found);
        } else {
            found.push(std::fs::read(entry).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t93_no_message_fells_the_broker() {
    let lattice = Lattice::with_cart();
    let (asker, administrator) = (Caller::new(&lattice, "host").await, Administrator::new(&lattice).await);
    let pid = lattice.broker_pid().unwrap();
    let (process, before) = (started(pid), resident_kib(pid));
    let client = async_nats::connect(lattice.nats.url()).await.unwrap();
    let inbox = asker.inbox();
    let looks = LOOKS.map(|look| Topic::Query.subject(&lattice_name()).replace('*', look));
    let subjects: Vec<_> = Topic::ALL
        .iter()
        .filter(|topic| **topic != Topic::Query)
        .map(|topic| topic.subject(&lattice_name()))
        .chain(looks)
        .collect();
    let poison = poison();
    for (number, bytes) in poison.iter().enumerate() {
        for subject in &subjects {
            // With a reply that would be answered, with one that would not, and with none.
            client
                .publish_with_reply(subject.clone(), format!("{inbox}.p{number}"), bytes.clone().into())
                .await
                .unwrap();
            client.publish_with_reply(subject.clone(), subject.clone(), bytes.clone().into()).await.unwrap();
            client.publish(subject.clone(), bytes.clone().into()).await.unwrap();
        }
        client.flush().await.unwrap();
        // Nothing that is good is turned away for long because of what is not.
        let mut said = asker.ask().await;
        while said.is("rate_limited") {
            said = asker.ask().await;
        }
        assert!(said.is_yes(), "after message {number}: {said:?}");
    }
    assert!(administrator.command().await.is_yes());
    assert_eq!(started(pid), process, "another process answers");
    let after = resident_kib(pid);
    println!("{} messages to {} subjects; {before} KiB before, {after} KiB after", poison.len(), subjects.len());
    assert!(after < 256 * 1024, "{after} KiB are held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t93_no_answer_and_no_notice_fells_a_host() {
    let lattice = Lattice::with_cart();
    let cart = lattice.path("cart-acme.wasm");
    let client = async_nats::connect(lattice.nats.url()).await.unwrap();
    let mut asked = client.subscribe(Topic::StartComponent.subject(&lattice_name())).await.unwrap();
    client.flush().await.unwrap();
    let (poison, told) = (poison(), Arc::new(AtomicUsize::new(0)));
    let (poisoner, counted) = (client.clone(), Arc::clone(&told));
    let count = poison.len();
    // Each question is answered with all of it before the broker can say a word.
    let poisoning = tokio::spawn(async move {
        while let Some(message) = asked.next().await {
            let reply = message.reply.unwrap();
            for bytes in &poison {
                poisoner.publish(reply.clone(), bytes.clone().into()).await.unwrap();
                poisoner.publish(Topic::Epoch.subject(&lattice_name()), bytes.clone().into()).await.unwrap();
                counted.fetch_add(2, Ordering::Relaxed);
            }
        }
    });
    for _ in 0..3 {
        let arguments = ["run", path(&cart), "--id", "cart", "--timeout", "30", "--invoke", "add(\"milk\", 1)"];
        let run = tokio::task::block_in_place(|| lattice.host("host", &arguments));
        assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    }
    let told = told.load(Ordering::Relaxed);
    assert!(told >= 2 * count, "{told} messages were sent");
    poisoning.abort();
}
