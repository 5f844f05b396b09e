//! Attacks on the answer: spoofed, altered, replayed, stale, from another broker, host or lattice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPairType;
use policy::answer::StartAnswer;
use policy::digest::Digest;
use policy::name::LinkName;
use policy::question::{Runs, What};
use policy::reason::Reason;
use serde_json::{Value, json};

use super::broker::{Bench, Broker, id, name, seal};
use super::guests::{self, key};
use crate::ask::Start;
use crate::component::Component;
use crate::permit::Permits;
use crate::slot::{Binding, Slots};
use crate::start::Host;

const BRIEF: Duration = Duration::from_millis(150);

/// Why a start is refused when only this arrives; and that the genuine answer behind it is still used.
async fn alone(make: impl Fn(&Broker, &[u8], Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Option<Reason> {
    let make = Arc::new(make);
    let first = Arc::clone(&make);
    let bench = Bench::with(move |broker, asked, genuine| vec![first(broker, asked, genuine.clone()), genuine]);
    let host = bench.host().await;
    let mut cart = host.start(&guests::signed("cart"), &id("cart")).await.unwrap();
    assert_eq!(cart.invoke("add(\"milk\", 2)").await.unwrap(), "ok(2)");
    assert_eq!(host.ignored(), 1);
    let bench =
        Bench { timeout: BRIEF, ..Bench::with(move |broker, asked, genuine| vec![make(broker, asked, genuine)]) };
    let refused = bench.host().await.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
    assert!(bench.lines().is_empty());
    refused.reason()
}

/// A genuine answer with its document changed and its signature kept.
fn altered(genuine: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let text = String::from_utf8(genuine.to_vec()).unwrap();
    let (token, warrant) = text.split_once('\n').unwrap();
    let segments: Vec<_> = token.split('.').collect();
    let mut document: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(segments[1].as_bytes()).unwrap()).unwrap();
    change(&mut document);
    let payload = BASE64URL_NOPAD.encode(&policy::json::write(&document));
    format!("{}.{payload}.{}\n{warrant}", segments[0], segments[2]).into_bytes()
}

/// A genuine answer with its document changed, signed anew by the broker's own key.
pub(super) fn resigned(broker: &Broker, genuine: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let text = String::from_utf8(altered(genuine, change)).unwrap();
    let payload = BASE64URL_NOPAD.decode(text.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let answer: StartAnswer = policy::json::read(&payload).unwrap();
    broker.sign(&answer)
}

#[tokio::test]
async fn t50_an_unsigned_yes_neither_permits_nor_denies() {
    let yes = |_: &Broker, _: &[u8], _: Vec<u8>| br#"{"permitted":true}"#.to_vec();
    assert_eq!(alone(yes).await, Some(Reason::BrokerUnreachable));
    let none = |_: &Broker, _: &[u8], genuine: Vec<u8>| {
        let text = String::from_utf8(genuine).unwrap();
        let (token, warrant) = text.split_once('\n').unwrap();
        format!("{}.\n{warrant}", token.rsplit_once('.').unwrap().0).into_bytes()
    };
    assert_eq!(alone(none).await, Some(Reason::BrokerUnreachable));
}

#[tokio::test]
async fn t50_each_field_is_under_the_signature() {
    type Change = (&'static str, Value, Reason);
    let other = Digest::of(b"other").to_string();
    let host = guests::key(KeyPairType::Server, 77).public_key();
    let changes: Vec<Change> = vec![
        ("aud", json!(host), Reason::SignatureInvalid),
        ("lattice", json!("other"), Reason::LatticeMismatch),
        ("request_sha256", json!(other), Reason::SignatureInvalid),
        ("jti", json!("00000000000000000000000000000000"), Reason::SignatureInvalid),
        ("ttl_ms", json!(600_000), Reason::SignatureInvalid),
        ("outcomes", json!([]), Reason::SignatureInvalid),
        ("epoch", json!(0), Reason::SignatureInvalid),
        ("index", json!(1_000_000), Reason::SignatureInvalid),
        ("entry_sha256", json!(other), Reason::SignatureInvalid),
        ("relaxations", json!([{"id": "anything-goes", "would_refuse": "expired"}]), Reason::SignatureInvalid),
        ("standby", json!({"id": "nights", "until": 1}), Reason::SignatureInvalid),
        ("iss", json!(key(KeyPairType::Cluster, 9).public_key()), Reason::BrokerKeyUnknown),
        ("warrant_sha256", json!(other), Reason::BrokerUnreachable),
        ("verdict", json!("refused"), Reason::SignatureInvalid),
        ("reason", json!("host_banned"), Reason::SignatureInvalid),
        ("more", json!("than is known"), Reason::BrokerUnreachable),
    ];
    for (field, value, reason) in changes {
        let make =
            move |_: &Broker, _: &[u8], genuine: Vec<u8>| altered(&genuine, |document| document[field] = value.clone());
        assert_eq!(alone(make).await, Some(reason), "{field}");
    }
    for field in ["id", "subject", "sha256", "claims_sha256"] {
        let value = match field {
            "id" => "basket".to_owned(),
            "subject" => key(KeyPairType::Module, 99).public_key(),
            _ => Digest::of(b"other").to_string(),
        };
        let make = move |_: &Broker, _: &[u8], genuine: Vec<u8>| {
            altered(&genuine, |document| document["component"][field] = json!(value))
        };
        assert_eq!(alone(make).await, Some(Reason::SignatureInvalid), "{field}");
    }
}

#[tokio::test]
async fn t50_a_thousand_spoofed_answers_delay_nothing_and_are_counted() {
    let bench = Bench::with(|_, _, genuine| {
        let spoofed = altered(&genuine, |document| document["ttl_ms"] = json!(1));
        let mut all = vec![spoofed; 1000];
        all.push(genuine);
        all
    });
    let host = bench.host().await;
    host.start(&guests::signed("greeter"), &id("greeter")).await.unwrap();
    // Where a thousand signatures take longer than a permit lives, it asks again, and past as many again.
    assert!(host.ignored() >= 1000 && host.ignored().is_multiple_of(1000), "{}", host.ignored());
}

#[tokio::test]
async fn a_genuine_answer_that_does_not_fit_is_ignored() {
    type Change = (&'static str, fn(&mut Value), Reason);
    let changes: Vec<Change> = vec![
        (
            "t52 another host",
            |a| a["aud"] = json!(guests::key(KeyPairType::Server, 77).public_key()),
            Reason::AnswerMismatch,
        ),
        ("t51 another request", |a| a["request_sha256"] = json!(Digest::of(b"x").to_string()), Reason::AnswerMismatch),
        ("t51 another nonce", |a| a["jti"] = json!("00000000000000000000000000000000"), Reason::AnswerMismatch),
        ("another id", |a| a["component"]["id"] = json!("basket"), Reason::AnswerMismatch),
        ("t39 other bytes", |a| a["component"]["sha256"] = json!(Digest::of(b"x").to_string()), Reason::AnswerMismatch),
        (
            "other claims",
            |a| a["component"]["claims_sha256"] = json!(Digest::of(b"x").to_string()),
            Reason::AnswerMismatch,
        ),
        (
            "a provider's",
            |a| {
                let runs = a["component"].take();
                a.as_object_mut().unwrap().remove("component");
                a["provider"] = runs;
            },
            Reason::AnswerMismatch,
        ),
        (
            "an outcome less",
            |a| {
                a["outcomes"].as_array_mut().unwrap().pop();
            },
            Reason::AnswerMismatch,
        ),
        ("no outcome", |a| a["outcomes"] = json!([]), Reason::AnswerMismatch),
        (
            "an outcome twice",
            |a| {
                let first = a["outcomes"][0].clone();
                a["outcomes"].as_array_mut().unwrap().push(first);
            },
            Reason::AnswerMismatch,
        ),
        (
            "an outcome that nobody asked for",
            |a| {
                let mut more = a["outcomes"][0].clone();
                more["package"] = json!("wasi:sockets");
                a["outcomes"].as_array_mut().unwrap().push(more);
            },
            Reason::AnswerMismatch,
        ),
        ("a near version", |a| a["outcomes"][0]["version"] = json!("0.2.1"), Reason::AnswerMismatch),
        ("only a named link", |a| a["outcomes"][0]["link"] = json!("other"), Reason::AnswerMismatch),
        (
            "a refused outcome in a yes",
            |a| {
                let o = a["outcomes"][0].clone();
                a["outcomes"][0] = json!({"package": o["package"], "version": o["version"], "link": "default", "reason": "link_missing"});
            },
            Reason::AnswerMismatch,
        ),
        ("a yes with a reason", |a| a["reason"] = json!("host_banned"), Reason::AnswerMismatch),
        ("a no without one", |a| a["verdict"] = json!("refused"), Reason::AnswerMismatch),
        ("an epoch after its entry", |a| a["epoch"] = json!(1_000_000), Reason::AnswerMismatch),
        (
            "t64 an entry that was there before",
            |a| {
                a["index"] = json!(3);
                a["epoch"] = json!(2);
            },
            Reason::StateRollback,
        ),
    ];
    for (what, change, reason) in changes {
        let make = move |broker: &Broker, _: &[u8], genuine: Vec<u8>| resigned(broker, &genuine, change);
        assert_eq!(alone(make).await, Some(reason), "{what}");
    }
}

#[tokio::test]
async fn t51_a_replayed_permit_opens_nothing() {
    let first: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let kept = Arc::clone(&first);
    let bench = Bench::with(move |_, _, genuine| vec![kept.lock().unwrap().get_or_insert(genuine).clone()]);
    let bench = Bench { timeout: BRIEF, ..bench };
    let host = bench.host().await;
    let bytes = guests::signed("greeter");
    host.start(&bytes, &id("greeter")).await.unwrap();
    let refused = host.start(&bytes, &id("greeter")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::AnswerMismatch));
}

#[tokio::test]
async fn t52_another_lattice_with_the_same_keys_cannot_answer() {
    let other = Broker::of_lattice("other");
    let make = move |_: &Broker, _: &[u8], genuine: Vec<u8>| resigned(&other, &genuine, |_| {});
    assert_eq!(alone(make).await, Some(Reason::BrokerUnreachable));
    let other = Broker::of_lattice("other");
    let make = move |_: &Broker, _: &[u8], genuine: Vec<u8>| {
        let warrant = other.warrant_for(1, &super::broker::decision(), &key(KeyPairType::Operator, 1));
        let sha256 = Digest::of(&warrant).to_string();
        let text = altered(&genuine, |document| document["warrant_sha256"] = json!(sha256));
        let payload =
            BASE64URL_NOPAD.decode(String::from_utf8(text).unwrap().split('.').nth(1).unwrap().as_bytes()).unwrap();
        let answer: StartAnswer = policy::json::read(&payload).unwrap();
        seal(&super::broker::decision(), &answer, &[&warrant])
    };
    assert_eq!(alone(make).await, Some(Reason::BrokerKeyUnknown));
}

// An answer by some key, under some warrant.
fn by(genuine: &[u8], pair: &nkeys::KeyPair, warrant: &[u8]) -> Vec<u8> {
    let (iss, sha256) = (pair.public_key(), Digest::of(warrant).to_string());
    let text = altered(genuine, |document| {
        document["iss"] = json!(iss);
        document["warrant_sha256"] = json!(sha256);
    });
    let payload =
        BASE64URL_NOPAD.decode(String::from_utf8(text).unwrap().split('.').nth(1).unwrap().as_bytes()).unwrap();
    let answer: StartAnswer = policy::json::read(&payload).unwrap();
    assert_eq!(answer.iss, name(pair));
    seal(pair, &answer, &[warrant])
}

#[tokio::test]
async fn t17_a_key_in_no_warrant_of_the_pinned_root_cannot_answer() {
    let thief = || key(KeyPairType::Cluster, 9);
    let in_none = move |_: &Broker, _: &[u8], genuine: Vec<u8>| {
        let warrant = genuine.split(|byte| *byte == b'\n').nth(1).unwrap().to_vec();
        by(&genuine, &thief(), &warrant)
    };
    assert_eq!(alone(in_none).await, Some(Reason::BrokerKeyUnknown));
    let by_another_root = move |broker: &Broker, _: &[u8], genuine: Vec<u8>| {
        by(&genuine, &thief(), &broker.warrant_for(2, &thief(), &key(KeyPairType::Operator, 8)))
    };
    assert_eq!(alone(by_another_root).await, Some(Reason::BrokerKeyUnknown));
    let by_the_administrator = move |broker: &Broker, _: &[u8], genuine: Vec<u8>| {
        by(&genuine, &thief(), &broker.warrant_for(2, &thief(), &key(KeyPairType::Operator, 2)))
    };
    assert_eq!(alone(by_the_administrator).await, Some(Reason::BrokerKeyUnknown));
}

#[tokio::test]
async fn t17_a_warrant_older_than_one_already_seen_cannot_come_back() {
    let bench = Bench::new();
    bench.broker.install(5, &super::broker::decision());
    bench.host().await.start(&guests::signed("greeter"), &id("greeter")).await.unwrap();
    assert_eq!(bench.memory.record().warrant_serial, 5);
    let old = Bench {
        mischief: Arc::new(|broker, _, genuine| {
            let old = broker.warrant_for(4, &super::broker::decision(), &key(KeyPairType::Operator, 1));
            vec![by(&genuine, &super::broker::decision(), &old)]
        }),
        timeout: BRIEF,
        ..bench
    };
    let refused = old.host().await.start(&guests::signed("greeter"), &id("greeter")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::BrokerKeyUnknown));
}

#[tokio::test]
async fn t59_silence_and_garbage_are_a_no() {
    let silent = Bench { timeout: BRIEF, ..Bench::with(|_, _, _| Vec::new()) };
    let refused = silent.host().await.start(&guests::signed("greeter"), &id("greeter")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::BrokerUnreachable));
    let garbage =
        Bench { timeout: BRIEF, ..Bench::with(|_, _, _| vec![vec![0xff; 300_000], b"yes".to_vec(), Vec::new()]) };
    let refused = garbage.host().await.start(&guests::signed("greeter"), &id("greeter")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::BrokerUnreachable));
}

#[tokio::test]
async fn t59_a_wire_that_is_down_does_not_hold_a_start_for_ever() {
    let bench = Bench { timeout: BRIEF, ..Bench::new() };
    let host = bench.host_on(Arc::new(super::broker::Hung)).await;
    let refused = host.start(&guests::signed("greeter"), &id("greeter")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::BrokerUnreachable));
}

#[tokio::test]
async fn what_was_ignored_for_one_question_does_not_colour_the_next() {
    let count = Arc::new(AtomicUsize::new(0));
    let bench = Bench::with(move |_, _, genuine| match count.fetch_add(1, Ordering::SeqCst) {
        0 => vec![altered(&genuine, |document| document["ttl_ms"] = json!(1)), genuine],
        _ => Vec::new(),
    });
    let bench = Bench { timeout: Duration::from_secs(1), ..bench };
    let host = bench.host().await;
    host.start(&guests::signed("greeter"), &id("greeter")).await.unwrap();
    let refused = host.start(&guests::signed("greeter"), &id("greeter")).await.err().unwrap();
    assert_eq!((refused.reason(), host.ignored()), (Some(Reason::BrokerUnreachable), 1));
}

#[tokio::test]
async fn what_an_answer_teaches_is_on_the_disk() {
    let bench = Bench::new();
    let host = bench.host().await;
    let greeter = host.start(&guests::signed("greeter"), &id("greeter")).await.unwrap();
    let read = bench.broker.memory().record();
    assert_eq!((read.head.index, read.head.entry_sha256), (greeter.decided().index, greeter.decided().entry_sha256));
    assert_eq!(read.epoch, greeter.decided().epoch);
}

#[tokio::test]
async fn an_answer_that_knows_less_than_the_host_is_asked_again_at_most_twice() {
    for (stale, expected) in [(1, None), (2, None), (3, Some(Reason::EpochBehind))] {
        let count = Arc::new(AtomicUsize::new(0));
        let bench = Bench::new();
        let (memory, counted) = (Arc::clone(&bench.memory), Arc::clone(&count));
        let links = ["logger", "rival"];
        bench.broker.admit_provider("rival", &guests::signed_as("rival", 70));
        let bench = Bench {
            mischief: Arc::new(move |broker, _, genuine| {
                let asked = counted.fetch_add(1, Ordering::SeqCst);
                if asked < stale {
                    // An event lands after the decision, and its notice arrives before the answer.
                    let provider =
                        if asked % 2 == 0 { guests::signed(links[0]) } else { guests::signed_as(links[1], 70) };
                    broker.link("cart", "wasi:logging", &provider);
                    crate::notice::take(&memory, &broker.notice()).unwrap();
                }
                vec![genuine]
            }),
            ..bench
        };
        let started = bench.host().await.start(&guests::signed("greeter"), &id("greeter")).await;
        assert_eq!(started.err().and_then(|error| error.reason()), expected, "{stale}");
        assert_eq!(count.load(Ordering::SeqCst), if stale == 3 { 3 } else { stale + 1 });
    }
}

pub(super) async fn permits(host: &Host, component: &Component) -> (Permits, Slots, Runs) {
    let runs = component.runs(&id("cart"));
    let start = Start {
        what: What::StartComponent,
        runs: &runs,
        claims: component.token(),
        imports: component.imports(),
        offers: host.offers(),
    };
    let permits = host.asker().ask(&start).await.unwrap();
    (permits, component.slots(&id("cart")), runs)
}

fn native(name: &str) -> Binding {
    Binding::Native(policy::native::Native::find(name).unwrap())
}

const LOGGING: &str = "wasi:logging/logging@0.1.0-draft";
const KEYVALUE: &str = "wasi:keyvalue/store@0.2.0-draft";

#[tokio::test]
async fn t24_t27_a_permit_ends_five_seconds_after_the_question_was_sent_asleep_or_awake() {
    for by_boot in [true, false] {
        let bench = Bench::with(|broker, _, genuine| {
            vec![resigned(broker, &genuine, |answer| answer["ttl_ms"] = json!(600_000))]
        });
        let host = bench.host().await;
        let cart = Component::load(host.engine(), &guests::signed("cart")).unwrap();
        let (mut permits, slots, _) = permits(&host, &cart).await;
        let ahead = if by_boot { &bench.clock.boot_ahead_ms } else { &bench.clock.wall_ahead_ms };
        ahead.store(3_000, Ordering::SeqCst);
        let (logging, keyvalue) = (permits.take(LOGGING).unwrap(), permits.take(KEYVALUE).unwrap());
        slots.exact(LOGGING).unwrap().bind(logging, native("native/logging@0.1.0"), &*bench.clock).unwrap();
        ahead.store(600_000, Ordering::SeqCst);
        let refused =
            slots.exact(KEYVALUE).unwrap().bind(keyvalue, native("native/keyvalue@0.1.0"), &*bench.clock).unwrap_err();
        assert_eq!(refused.reason, Reason::PermitExpired);
        assert!(slots.exact(KEYVALUE).unwrap().bound().is_err());
        // What was bound in time stays: a binding lives until it is closed.
        assert!(slots.exact(LOGGING).unwrap().bound().is_ok());
    }
}

#[tokio::test]
async fn t27_a_host_that_sleeps_between_answer_and_bind_starts_nothing() {
    let bench = Bench::new();
    let clock = Arc::clone(&bench.clock);
    let bench = Bench {
        mischief: Arc::new(move |_, _, genuine| {
            clock.boot_ahead_ms.fetch_add(600_000, Ordering::SeqCst);
            vec![genuine]
        }),
        ..bench
    };
    for guest in ["cart", "greeter"] {
        let refused = bench.host().await.start(&guests::signed(guest), &id(guest)).await.err().unwrap();
        assert_eq!(refused.reason(), Some(Reason::PermitExpired));
    }
}

#[tokio::test]
async fn t33_t39_one_byte_changed_after_the_permit_and_it_no_longer_fits() {
    let bench = Bench::new();
    let host = bench.host().await;
    let bytes = guests::signed("cart");
    let cart = Component::load(host.engine(), &bytes).unwrap();
    let (mut permits, slots, runs) = permits(&host, &cart).await;
    let mut changed = bytes.clone();
    changed[100] ^= 1;
    let other = Runs { sha256: Digest::of(&changed), ..runs.clone() };
    let renamed = Runs { id: id("basket"), ..runs };
    for runs in [other, renamed] {
        let slots = Slots::new([LOGGING.to_owned()], &runs);
        let permit = permits.take(LOGGING).unwrap_or_else(|| permits.take(KEYVALUE).unwrap());
        let refused =
            slots.exact(LOGGING).unwrap().bind(permit, native("native/logging@0.1.0"), &*bench.clock).unwrap_err();
        assert_eq!(refused.reason, Reason::Unpermitted);
        assert!(slots.exact(LOGGING).unwrap().bound().is_err());
    }
    assert!(slots.exact(LOGGING).unwrap().bound().is_err());
}

#[tokio::test]
async fn t43_a_permit_fits_its_own_import_and_its_own_answerer_alone() {
    let bench = Bench::new();
    let host = bench.host().await;
    let cart = Component::load(host.engine(), &guests::signed("cart")).unwrap();
    let (mut first, slots, _) = permits(&host, &cart).await;
    let wrong_slot = slots.exact(LOGGING).unwrap().bind(
        first.take(KEYVALUE).unwrap(),
        native("native/keyvalue@0.1.0"),
        &*bench.clock,
    );
    assert_eq!(wrong_slot.unwrap_err().reason, Reason::Unpermitted);
    let permit = first.take(LOGGING).unwrap();
    assert_eq!(*permit.link(), LinkName::unnamed());
    let wrong_answerer = slots.exact(LOGGING).unwrap().bind(permit, native("native/random@0.1.0"), &*bench.clock);
    assert_eq!(wrong_answerer.unwrap_err().reason, Reason::Unpermitted);
    assert!(first.take(LOGGING).is_none());
}
