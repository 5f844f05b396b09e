//! What was said once is worth nothing a second time, elsewhere, or in another's name: replayed permits (T51, T52),
//! copied hosts (T53), forged hosts (T55), older forms (T58), and messages delivered again and out of order (T61).
//!
//! All over a real server; the matrix of every combination is in the host's own tests (F26).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::keys::SigningKey;
use broker::store::LogReader;
use futures::StreamExt;
use harness::asker::{Asker, lattice_name, reason, send};
use harness::embedded::Embedded;
use harness::lattice::{Lattice, path};
use harness::stranger::{Rogue, standing};
use policy::answer::StartAnswer;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::question::StartRequest;
use policy::wire::{FRESHNESS_S, Topic};

type Script = Arc<Mutex<Vec<Vec<u8>>>>;

async fn permit(lattice: &Lattice, host: &str) -> Vec<u8> {
    let asker = Asker::of(lattice, host);
    let client = asker.connect(&lattice.nats.url()).await;
    let answer = send(&client, Topic::StartComponent, asker.question()).await.unwrap();
    assert_eq!(reason(&answer), "");
    answer.payload.to_vec()
}

// A start succeeds, if not within the host's short patience, then the next time.
async fn decided(host: &Embedded) {
    while host.decides().await.is_err() {}
}

// The answer's token with its header or payload replaced, everything else as it was.
fn recast(answer: &[u8], header: Option<&[u8]>, payload: impl Fn(String) -> String) -> Vec<u8> {
    let base64 = data_encoding::BASE64URL_NOPAD;
    let text = String::from_utf8(answer.to_vec()).unwrap();
    let (token, rest) = text.split_once('\n').unwrap();
    let segments: Vec<_> = token.split('.').collect();
    let header = header.map_or_else(|| segments[0].to_owned(), |header| base64.encode(header));
    let document = payload(String::from_utf8(base64.decode(segments[1].as_bytes()).unwrap()).unwrap());
    format!("{header}.{}.{}\n{rest}", base64.encode(document.as_bytes()), segments[2]).into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t51_t52_t58_old_foreign_and_older_permits_open_nothing() {
    let (mut lattice, foreign) = (Lattice::with_cart(), Lattice::with_cart());
    lattice.join("other");
    let (own, others, elsewhere) =
        (permit(&lattice, "host").await, permit(&lattice, "other").await, permit(&foreign, "host").await);
    let host = Embedded::new(&lattice, "host", &lattice.nats.url(), Duration::from_millis(400)).await;
    decided(&host).await;
    lattice.stop_broker();
    let script = Script::default();
    let said = Arc::clone(&script);
    let _replayer = Rogue::on(&lattice.nats.url(), None, move |_| said.lock().unwrap().clone()).await;
    let same = |document: String| document;
    let under = |typ: &str| format!(r#"{{"alg":"EdDSA","typ":"{typ}"}}"#).into_bytes();
    let cases = [
        ("t51 its own, of before", own.clone(), "answer_mismatch"),
        ("t52 another host's", others, "answer_mismatch"),
        ("t52 another lattice's", elsewhere, "broker_key_unknown"),
        ("t58 version 0", recast(&own, Some(&under("countersign.answer.v0")), same), "broker_unreachable"),
        ("t58 version 2", recast(&own, Some(&under("countersign.answer.v2")), same), "broker_unreachable"),
        ("t58 no version", recast(&own, Some(&under("countersign.answer")), same), "broker_unreachable"),
        ("t58 no type", recast(&own, Some(br#"{"alg":"EdDSA"}"#), same), "broker_unreachable"),
        ("t58 no signature at all", recast(&own, Some(br#"{"alg":"none"}"#), same), "broker_unreachable"),
        ("t58 only its document", own.split(|byte| *byte == b'.').nth(1).unwrap().to_vec(), "broker_unreachable"),
        ("t58 wasmCloud 1", br#"{"requestId":"1","permitted":true}"#.to_vec(), "broker_unreachable"),
    ];
    for (what, bytes, expected) in cases {
        *script.lock().unwrap() = vec![bytes; 3];
        let before = host.host.ignored();
        assert_eq!(host.decides().await, Err(expected), "{what}");
        assert!(host.host.ignored() >= before + 3, "{what}: it never arrived");
    }
    lattice.serve();
    // With the broker back, and the last of them still coming first.
    decided(&host).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t53_two_copies_of_one_host_share_no_nonce() {
    let lattice = Lattice::with_cart();
    let client = async_nats::connect(lattice.nats.url()).await.unwrap();
    let mut asked = client.subscribe(Topic::StartComponent.subject(&lattice_name())).await.unwrap();
    standing(&client).await;
    // As a snapshot of a machine that is started twice: the same key, the same memory, at the same time.
    let copy = lattice.path("copy");
    std::fs::create_dir(&copy).unwrap();
    for file in ["host.nk", "memory"] {
        std::fs::copy(lattice.path("host").join(file), copy.join(file)).unwrap();
    }
    let cart = lattice.path("cart-acme.wasm");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let copies = ["host", "copy"].map(|host| {
                let (lattice, cart) = (&lattice, &cart);
                scope.spawn(move || lattice.host(host, &["run", path(cart), "--id", "cart"]))
            });
            for run in copies {
                assert!(run.join().unwrap().status.success());
            }
        }
    });
    let mut nonces = BTreeSet::new();
    for _ in 0..8 {
        let message = asked.next().await.unwrap();
        let nonce = Unverified::<StartRequest>::parse(&message.payload).unwrap().says().jti.to_string();
        assert!(nonces.insert(nonce), "a nonce came twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t55_who_is_not_an_enrolled_host_is_told_why_and_leaves_no_row() {
    let lattice = Lattice::with_cart();
    lattice.join("banned");
    let (asker, banned) = (Asker::of(&lattice, "host"), Asker::of(&lattice, "banned"));
    let client = asker.connect(&lattice.nats.url()).await;
    let log = LogReader::open(&lattice.log()).await.unwrap();
    let size = log.size().await.unwrap();
    let stranger = SigningKey::generate().unwrap();
    let good = asker.question();
    let text = String::from_utf8(good.clone()).unwrap();
    let (token, attachments) = text.split_once('\n').unwrap();
    let cases = [
        ("unsigned", format!("{}.\n{attachments}", token.rsplit_once('.').unwrap().0).into_bytes(), "token_malformed"),
        ("by another key", asker.signed_by(&stranger, |_| {}), "signature_invalid"),
        ("by a stranger", asker.signed_by(&stranger, |request| request.iss = stranger.name()), "host_unknown"),
        ("of yesterday", asker.question_with(|request| request.iat = ago(86_400)), "request_stale"),
        ("a little stale", asker.question_with(|request| request.iat = ago(FRESHNESS_S + 2)), "request_stale"),
        ("for elsewhere", asker.question_with(|request| request.aud = "other".parse().unwrap()), "lattice_mismatch"),
        ("of an older form", older(&asker, token, attachments), "token_header"),
    ];
    for (what, bytes, expected) in cases {
        let inbox = if what == "by a stranger" { format!("_INBOX_{}", stranger.name()) } else { String::new() };
        assert_eq!(turned_away(&client, &lattice, &inbox, &bytes).await, expected, "{what}");
    }
    assert_eq!(log.size().await.unwrap(), size, "none of them is in the log");
    assert_eq!(reason(&send(&client, Topic::StartComponent, good).await.unwrap()), "");

    lattice.accepted(&["host", "ban", &banned.key.name().to_string()]);
    let theirs = banned.connect(&lattice.nats.url()).await;
    let refused = send(&theirs, Topic::StartComponent, banned.question()).await.unwrap();
    assert_eq!(reason(&refused), "host_banned");

    // Its refusal is no entry and bears no signature, so the host believes it as little as silence.
    let again = lattice.host("again", &["join", path(&lattice.path("host.invite")), "--timeout", "1"]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(!lattice.path("again/memory").exists(), "the second was not let in");
}

fn ago(seconds: u64) -> policy::time::Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    policy::time::Timestamp::from_seconds(now - seconds).unwrap()
}

// The question as a version before this one might have put it, signed by the host.
fn older(asker: &Asker, token: &str, attachments: &str) -> Vec<u8> {
    let base64 = data_encoding::BASE64URL_NOPAD;
    let payload = base64.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let header = base64.encode(br#"{"alg":"EdDSA","typ":"countersign.start.v0"}"#);
    asker.seal(&header, &payload, attachments)
}

async fn turned_away(client: &async_nats::Client, lattice: &Lattice, inbox: &str, bytes: &[u8]) -> String {
    if inbox.is_empty() {
        return reason(&send(client, Topic::StartComponent, bytes.to_vec()).await.unwrap());
    }
    let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox);
    let client = options.connect(lattice.nats.url()).await.unwrap();
    reason(&send(&client, Topic::StartComponent, bytes.to_vec()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t61_messages_delivered_again_and_out_of_order_are_one_row_and_one_answer_each() {
    let mut lattice = Lattice::with_cart();
    let asker = Asker::of(&lattice, "host");
    let client = asker.connect(&lattice.nats.url()).await;
    let log = LogReader::open(&lattice.log()).await.unwrap();
    let size = log.size().await.unwrap();
    let questions: Vec<_> = (0..QUESTIONS).map(|_| asker.question()).collect();
    // Each 1 to 5 times, in an order that nobody chose.
    let mut deliveries: Vec<_> =
        (0..QUESTIONS).flat_map(|which| (0..=which % 5).map(move |copy| (which, copy))).collect();
    deliveries.sort_by_key(|(which, copy)| Digest::of(format!("{which} {copy}").as_bytes()));
    let answers = deliver(&client, &questions, &deliveries).await;
    assert_eq!(log.size().await.unwrap(), size + QUESTIONS as u64, "one row each");
    let indexes: BTreeSet<_> =
        answers.values().map(|answer| Unverified::<StartAnswer>::parse(answer).unwrap().says().index).collect();
    assert_eq!(indexes, (size..size + QUESTIONS as u64).collect());

    // A broker that was killed and started again still knows them.
    lattice.kill_broker();
    lattice.serve();
    let size = log.size().await.unwrap();
    let again = deliver(&client, &questions, &deliveries).await;
    assert_eq!(again, answers, "the same answers");
    assert_eq!(log.size().await.unwrap(), size, "and no row more");
    assert_eq!(lattice.json(&["audit", "verify"]).0, 0);
}

// All at once; each delivery of a question has the same answer, which is given back.
async fn deliver(
    client: &async_nats::Client,
    questions: &[Vec<u8>],
    deliveries: &[(usize, usize)],
) -> BTreeMap<usize, Vec<u8>> {
    let asked = deliveries.iter().map(|(which, _)| async move {
        (*which, send(client, Topic::StartComponent, questions[*which].clone()).await.expect("an answer"))
    });
    let mut answers = BTreeMap::new();
    for (which, answer) in futures::future::join_all(asked).await {
        assert_eq!(reason(&answer), "", "question {which}");
        let first = answers.entry(which).or_insert_with(|| answer.payload.to_vec());
        assert_eq!(*first, answer.payload, "question {which} was answered twice");
    }
    answers
}

const QUESTIONS: usize = 40;
