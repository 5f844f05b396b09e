//! Strangers who answer first can neither permit nor deny, and what they tried is counted and told (T50, F25).
//!
//! One listens where the broker does, one in whatever queue group it might have; both answer each question at once with
//! each kind of yes. `COUNTERSIGN_SPOOFS` makes it longer.

use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use harness::embedded::Embedded;
use harness::lattice::{Lattice, path, wait_for};
use harness::stranger::{Rogue, eavesdrop};
use nkeys::{KeyPair, KeyPairType};
use policy::answer::StartAnswer;
use policy::digest::Digest;
use policy::envelope::{Draft, Unverified};
use policy::key::{Decision, Name};
use policy::question::StartRequest;
use serde_json::{Value, json};

/// Every yes that a stranger can say to a question.
fn spoofs(question: &[u8], overheard: Option<&[u8]>) -> Vec<Vec<u8>> {
    let mut spoofs = vec![
        br#"{"permitted":true}"#.to_vec(),
        // The form in which hosts of wasmCloud 1 are answered.
        br#"{"requestId":"1","permitted":true,"message":""}"#.to_vec(),
    ];
    let Some(genuine) = overheard else { return spoofs };
    spoofs.push(genuine.to_vec());
    let request = Unverified::<StartRequest>::parse(question).unwrap();
    let (token, warrant) = split(genuine);
    let asked = Digest::of(question.split(|byte| *byte == b'\n').next().unwrap());
    let fit = |answer: &mut Value| {
        answer["aud"] = json!(request.says().iss);
        answer["jti"] = json!(request.says().jti);
        answer["request_sha256"] = json!(asked);
        answer["component"] = json!(request.says().runs);
        answer["index"] = json!(1_000_000);
    };
    // Another question's permit, made to fit this one in each field; in one; and signed by another key.
    spoofs.push(rewritten(&token, &warrant, fit));
    spoofs.push(rewritten(&token, &warrant, |answer| answer["request_sha256"] = json!(asked)));
    spoofs.push(rewritten(&token, &warrant, |answer| answer["jti"] = json!(request.says().jti)));
    spoofs.push(signed_by_a_stranger(&rewritten(&token, &warrant, fit), &warrant));
    spoofs
}

fn split(answer: &[u8]) -> (String, String) {
    let text = String::from_utf8(answer.to_vec()).unwrap();
    let (token, warrant) = text.split_once('\n').unwrap();
    (token.to_owned(), warrant.to_owned())
}

// The document changed, the signature kept.
fn rewritten(token: &str, warrant: &str, change: impl Fn(&mut Value)) -> Vec<u8> {
    let segments: Vec<_> = token.split('.').collect();
    let mut answer: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(segments[1].as_bytes()).unwrap()).unwrap();
    change(&mut answer);
    let payload = BASE64URL_NOPAD.encode(&policy::json::write(&answer));
    format!("{}.{payload}.{}\n{warrant}", segments[0], segments[2]).into_bytes()
}

fn signed_by_a_stranger(answer: &[u8], warrant: &str) -> Vec<u8> {
    let pair = KeyPair::new_from_raw(KeyPairType::Cluster, [9; 32]).unwrap();
    let mut answer = Unverified::<StartAnswer>::parse(answer).unwrap().says().clone();
    answer.iss = Name::<Decision>::parse(&pair.public_key()).unwrap();
    let draft = Draft::of(&answer);
    let signature = pair.sign(draft.signing_input()).unwrap();
    draft.seal_with(&signature, [warrant.as_bytes()])
}

// A component that compiles in no time and imports one interface.
fn tiny(lattice: &Lattice) -> Vec<u8> {
    let text = r#"(component (import "wasi:random/random@0.2.0"
        (instance (export "get-random-u64" (func (result u64))))))"#;
    let file = lattice.path("tiny.wasm");
    let bytes = wat::parse_str(text).unwrap();
    let signed = harness::sign::component(&bytes, "tiny", &lattice.path("acme.nk"));
    std::fs::write(&file, &signed).unwrap();
    lattice.accepted(&["component", "admit", path(&file), "--id", "tiny"]);
    signed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t50_f25_spoofed_answers_that_always_come_first_bind_nothing_and_deny_nothing() {
    let starts: usize = std::env::var("COUNTERSIGN_SPOOFS").ok().and_then(|count| count.parse().ok()).unwrap_or(500);
    let lattice = Lattice::with_cart();
    let url = lattice.nats.url();
    let overheard = eavesdrop(&url).await;
    let host = Embedded::new(&lattice, "host", &url, Duration::from_secs(5)).await;
    host.decides().await.unwrap();
    let tiny = tiny(&lattice);
    let genuine = overheard.lock().unwrap().clone();
    assert!(genuine.is_some(), "the strangers have a genuine permit to work with");
    let again = genuine.clone();
    let outside = Rogue::on(&url, None, move |question| spoofs(question, genuine.as_deref())).await;
    let inside = Rogue::on(&url, Some("q"), move |question| spoofs(question, again.as_deref())).await;

    let (began, mut used, mut spoofed_first, mut others) = (Instant::now(), 0, 0, Vec::new());
    let mut made = 0;
    // Who comes first is the machine's to say: as many starts as it takes for nine tenths of them to have been spoofed first.
    while made < starts || (spoofed_first * 10 < starts * 9 && made < 2 * starts) {
        let start = made;
        made += 1;
        let before = host.host.ignored();
        // What the broker permits must start, and what it refuses must not, each for the broker's own reason.
        let (id, expected) = [("tiny", None), ("basket", Some("component_unknown"))][start % 2];
        let started = host.host.start(&tiny, &id.parse().unwrap()).await;
        if let Ok(running) = &started {
            let answers: Vec<_> = running.answers().iter().map(|answer| answer.provider.to_string()).collect();
            assert_eq!((id, answers.as_slice()), ("tiny", &["native/random@0.1.0".to_owned()][..]), "a wrong bind");
        }
        let code = started.err().map(|error| error.code());
        used += usize::from(code == expected);
        others.extend((code != expected).then_some((id, code)));
        spoofed_first += usize::from(host.host.ignored() > before);
    }
    println!(
        "{made} starts in {:?}: 0 bound by a spoofed answer, {used} by the genuine one; {spoofed_first} times a \
         spoof came first, {} in all",
        began.elapsed(),
        host.host.ignored()
    );
    assert!(used * 1000 >= made * 999, "the genuine answer counted {used} times of {made}: {others:?}");
    assert!(spoofed_first * 10 >= starts * 9, "a spoof came first {spoofed_first} times of {made}");
    assert!(outside.heard() >= made && inside.heard() >= made, "both heard each question");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t50_the_operator_is_told_of_spoofed_answers() {
    let lattice = Lattice::with_cart();
    let cart = lattice.path("cart-acme.wasm");
    let _rogue = Rogue::on(&lattice.nats.url(), None, |question| spoofs(question, None)).await;
    // Only what comes before the broker's own word is told of.
    let document = wait_for("a start that was spoofed", || {
        let started = lattice.host("host", &["-o", "json", "run", path(&cart), "--id", "cart"]);
        let document: Value = serde_json::from_slice(&started.stdout).unwrap();
        document["warnings"][0]["count"].as_u64().is_some_and(|count| count >= 2).then_some(document)
    });
    let warning = &document["warnings"][0];
    assert_eq!((&document["success"], &warning["code"]), (&json!(true), &json!("spoofed_answer")), "{document}");
    wait_for("a refusal that was spoofed", || {
        let refused = lattice.host("host", &["-o", "json", "run", path(&cart), "--id", "basket"]);
        let document: Value = serde_json::from_slice(&refused.stderr).unwrap();
        (document["warnings"][0]["code"] == "spoofed_answer").then_some(())
    });
    wait_for("the same in words", || {
        let told = lattice.host("host", &["run", path(&cart), "--id", "cart"]);
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        (said.contains("warning: spoofed_answer: ") && said.contains("were not the broker's")).then_some(())
    });
}
