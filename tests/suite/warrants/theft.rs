//! The thief: with the broker's whole folder, with its log key, with keys of his own. After the runbook he convinces nobody.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use broker::keys::{LogKey, SigningKey};
use futures::StreamExt;
use harness::asker::lattice_name;
use harness::embedded::Embedded;
use harness::lattice::{Lattice, path, wait_for};
use harness::program::program;
use policy::digest::Digest;
use policy::key::{Decision, Root};
use policy::log::{Checkpoint, NoteKey};
use policy::wire::Topic;
use serde_json::json;

use super::{copy_all, follow, in_force, lasting, lattice_with_roots_elsewhere, signed, start, written};

/// A second broker, in a process of its own, on a stolen folder.
struct Thief(Child);

impl Thief {
    fn serve(lattice: &Lattice, folder: &Path) -> Self {
        let mut command = program("countersign");
        command.args(["--dir", path(folder), "--nats-url", &lattice.nats.url(), "serve"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("ready")), "the thief does not serve");
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }
}

impl Drop for Thief {
    fn drop(&mut self) {
        // One that has ended already is as good as killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn t17_a_stolen_decision_key_convinces_no_host_after_the_recovery() {
    let mut lattice = lattice_with_roots_elsewhere(&[]);
    lattice.join("victim");
    lattice.stop_broker();
    let stolen = lattice.path("stolen");
    copy_all(&lattice.path("lattice"), &stolen);
    // The theft is real: until then the thief speaks for the lattice.
    let thief = Thief::serve(&lattice, &stolen);
    assert_eq!(start(&lattice, "victim", "30"), None);
    drop(thief);
    lattice.serve();
    let key = in_force(&lattice)["decision_keys"][0].as_str().unwrap().to_owned();
    follow(&lattice, "The decision key was stolen", &[("STOLEN", &key)]);
    let keys = in_force(&lattice)["decision_keys"].clone();
    assert!(!keys.to_string().contains(&key), "{keys}");
    assert_eq!(start(&lattice, "host", "30"), None);
    // Alone he is refused by a host that knows, in each new process of it; beside the broker he is not heard.
    lattice.stop_broker();
    let _thief = Thief::serve(&lattice, &stolen);
    for _ in 0..2 {
        let refused = ["1", "5", "25"].iter().map(|timeout| start(&lattice, "host", timeout).expect("a refusal"));
        // Who copied the folder has the log's key, too: a checkpoint of his that contradicts ours says more.
        assert!(refused.into_iter().any(|reason| reason == "broker_key_unknown" || reason == "log_fork"));
    }
    lattice.serve();
    if start(&lattice, "host", "30").is_some_and(|reason| reason == "log_fork") {
        follow(&lattice, "The log key was stolen", &[]);
    }
    wait_for("a host that follows the roots", || start(&lattice, "host", "30").is_none().then_some(()));
    lattice.accepted(&["audit", "verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t17_a_host_that_listens_follows_a_warrant_before_it_asks() {
    let lattice = lattice_with_roots_elsewhere(&[]);
    let host = Embedded::new(&lattice, "host", &lattice.nats.url(), Duration::from_secs(30)).await;
    let key = in_force(&lattice)["decision_keys"][0].as_str().unwrap().to_owned();
    tokio::task::block_in_place(|| {
        follow(&lattice, "The decision key was stolen", &[("STOLEN", &key)]);
        wait_for("the host knows", || (host.memory.record().warrant_serial == 2).then_some(()));
    });
    assert_eq!(host.decides().await, Ok(()));
}

#[test]
fn t17_a_decision_key_replaced_on_the_disk_speaks_for_nobody() {
    let mut lattice = lattice_with_roots_elsewhere(&[]);
    lattice.stop_broker();
    let key = lattice.path("lattice/keys/decision.nk");
    let kept = lattice.path("kept.nk");
    std::fs::rename(&key, &kept).unwrap();
    let thief = SigningKey::<Decision>::generate().unwrap();
    thief.save(&key).unwrap();
    let (code, told) = lattice.json(&["serve"]);
    assert_eq!((code, &told["error"]), (3, &json!("broker_key_unknown")), "{told}");
    // As the next key, too, it waits for the roots' word: the broker goes on with the one that has it.
    std::fs::rename(&key, lattice.path("lattice/keys/decision-next.nk")).unwrap();
    assert_ne!(lattice.json(&["serve"]).0, 0, "a broker without a key in its warrant serves");
    std::fs::rename(&kept, &key).unwrap();
    lattice.serve();
    assert_eq!(start(&lattice, "host", "30"), None);
}

#[test]
fn t17_what_the_roots_did_not_sign_for_now_is_not_installed_and_fills_no_log() {
    let lattice = lattice_with_roots_elsewhere(&[]);
    let thief = SigningKey::<Root>::generate().unwrap();
    let decision = SigningKey::<Decision>::generate().unwrap();
    let read = |token: &[u8]| {
        let warrant = policy::envelope::Unverified::<policy::warrant::Warrant>::parse(token).unwrap();
        warrant.says().clone()
    };
    let good = signed(&lattice, |_| ());
    let cases = [
        (
            "a stranger's",
            thief.sign(&policy::warrant::Warrant { iss: thief.name(), ..read(&good) }, []),
            "broker_key_unknown",
        ),
        ("in the root's name", thief.sign(&read(&good), []), "signature_invalid"),
        ("over", signed(&lattice, |warrant| warrant.validity = lasting(0)), "broker_key_unknown"),
        ("not the next", signed(&lattice, |warrant| warrant.serial = 0), "state_rollback"),
        (
            "another lattice's",
            signed(&lattice, |warrant| warrant.inception_sha256 = Digest::of(b"x")),
            "broker_key_unknown",
        ),
        (
            "for keys that are elsewhere",
            signed(&lattice, |warrant| warrant.decision_keys = vec![decision.public().unwrap()]),
            "broker_key_unknown",
        ),
        (
            "two keys for as long",
            signed(&lattice, |warrant| warrant.decision_keys.push(decision.public().unwrap())),
            "schema_mismatch",
        ),
    ];
    let size = || lattice.accepted(&["status"])["size"].as_u64().unwrap();
    let before = size();
    for (what, token, expected) in &cases {
        let file = written(&lattice, "wrong.jws", token);
        let (code, told) = lattice.json(&["warrant", "install", &file]);
        assert_ne!(code, 0, "{what}: {told}");
        assert!(told.to_string().contains(expected), "{what}: {told}");
    }
    // Straight to the broker, past every check of the command line.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (what, token, expected) in cases {
        let answer = runtime.block_on(async {
            let inbox = policy::wire::inbox_prefix(&thief.name());
            let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox);
            let client = options.connect(lattice.nats.url()).await.unwrap();
            harness::asker::send(&client, Topic::Warrant, token).await.unwrap()
        });
        let said = answer.headers.as_ref().and_then(|headers| headers.get(policy::wire::ERROR_HEADER)).unwrap();
        assert_eq!(said.as_str(), expected, "{what}");
    }
    assert!(size() <= before + 5, "each of them left a row");
    assert_eq!(start(&lattice, "host", "30"), None);
    // What was right all along is still taken.
    lattice.accepted(&["warrant", "install", &written(&lattice, "good.jws", &good)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t66_what_a_stolen_log_key_announced_is_undone_by_the_runbook() {
    let lattice = lattice_with_roots_elsewhere(&[]);
    let host = Embedded::new(&lattice, "host", &lattice.nats.url(), Duration::from_secs(2)).await;
    assert_eq!(host.decides().await, Ok(()));
    let stolen = LogKey::load(&lattice.path("lattice/keys/log.nk"), &lattice_name()).unwrap();
    let invented = Checkpoint {
        origin: format!("countersign/{}", lattice_name()),
        size: 1 << 40,
        root: Digest::of(b"nothing"),
        epoch: 1 << 39,
        last: Digest::of(b"nothing"),
    };
    let note = stolen.sign(&invented);
    let client = async_nats::connect(lattice.nats.url()).await.unwrap();
    let subject = Topic::Epoch.subject(&lattice_name());
    let announce = || async {
        client.publish(subject.clone(), note.clone().into()).await.unwrap();
        client.flush().await.unwrap();
    };
    announce().await;
    tokio::task::block_in_place(|| {
        wait_for("the theft to be felt", || (host.memory.record().epoch == 1 << 39).then_some(()))
    });
    // What was announced and what is answered cannot both be true.
    assert_eq!(host.decides().await, Err("log_fork"));

    tokio::task::block_in_place(|| follow(&lattice, "The log key was stolen", &[]));
    tokio::task::block_in_place(|| {
        wait_for("the host follows", || (host.memory.record().warrant_serial == 2).then_some(()))
    });
    announce().await;
    let decides = async { while host.decides().await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), decides).await.expect("the host believes the broker again");
    assert!(host.memory.record().epoch < 1 << 39);

    // From here on checkpoints are signed by the new key, and those of the old one prove nothing.
    let key = in_force(&lattice)["log_key"].as_str().unwrap().to_owned();
    assert_ne!(key, stolen.note().to_string());
    let mut notices = client.subscribe(subject.clone()).await.unwrap();
    let genuine = loop {
        let notice = notices.next().await.unwrap().payload;
        if NoteKey::parse(&key).unwrap().open(&notice).is_ok() {
            break notice;
        }
    };
    let verify = |note: &[u8]| lattice.json(&["audit", "verify", "--checkpoint", &written(&lattice, "note", note)]);
    assert_eq!(verify(&genuine).0, 0);
    let (code, told) = verify(&note);
    assert_eq!((code, &told["error"]), (3, &json!("broker_key_unknown")), "{told}");
}
