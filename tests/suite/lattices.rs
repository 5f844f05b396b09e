//! Several lattices in one process: who is somebody in one is nobody in the other, by every subject and every act (T82).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use broker::clock::SystemClock;
use broker::folder::Folder;
use broker::keys::SigningKey;
use broker::service::Service;
use broker::store::LogReader;
use futures::StreamExt;
use harness::acts::{commands, every_kind};
use harness::asker::Asker;
use harness::caller::query_by;
use harness::lattice::{Lattice, path, wait_for};
use harness::program::countersign;
use policy::answer::Receipt;
use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::key::Administrator;
use policy::log::{Body, Entry};
use policy::name::Lattice as LatticeName;
use policy::reason::Reason;
use policy::warrant::Warrant;
use policy::wire::{Topic, inbox_prefix};
use serde_json::{Value, json};

fn other() -> LatticeName {
    "other".parse().unwrap()
}

// Two lattices in one process, `default` with a cart and `other` beside it. An administrator of the first, whose key
// is `admin`, is none of the second; one, whose key is `both`, is administrator of both.
fn two() -> Lattice {
    let mut lattice = Lattice::quiet();
    lattice.furnish();
    let both = harness::acts::administrator(&lattice, "both");
    lattice.accepted(&["admin", "put", &both, "--name", "both", "--role", "operator"]);
    let beside = path(&lattice.path("other")).to_owned();
    let own = harness::acts::administrator(&lattice, "own");
    lattice.accepted(&["--dir", &beside, "-x", "other", "init", "--bare", "--admin", &own, "--admin", &both]);
    let here = path(&lattice.path("lattice")).to_owned();
    lattice.broker_is_told(&["--dirs", &here, &beside]);
    lattice.serve();
    lattice.join("host");
    lattice
}

fn key(lattice: &Lattice, file: &str) -> SigningKey<Administrator> {
    SigningKey::load(&lattice.path(file)).unwrap()
}

fn status(lattice: &Lattice, folder: &Path) -> Value {
    lattice.accepted(&["--dir", path(folder), "status"])
}

async fn exchange(lattice: &Lattice, inbox: &str, subject: String, bytes: Vec<u8>) -> String {
    let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox);
    let client = options.connect(lattice.nats.url()).await.unwrap();
    let answer = client.request(subject, bytes.into()).await.unwrap();
    let header = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error"));
    header.map_or_else(|| "answered".to_owned(), ToString::to_string)
}

// Every act of the log, signed anew by this administrator for that lattice.
fn resigned(given: &[(Command, Vec<u8>)], by: &SigningKey<Administrator>, aud: &LatticeName) -> Vec<(String, Vec<u8>)> {
    let sign = |(command, bytes): &(Command, Vec<u8>)| {
        let jti = broker::keys::nonce().unwrap();
        let again = Command { iss: by.name(), aud: aud.clone(), jti, basis: 0, ..command.clone() };
        let statements = bytes.split(|byte| *byte == b'\n').skip(1);
        (format!("{:?}", again.operations), by.sign(&again, statements))
    };
    given.iter().map(sign).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t82_a_command_is_of_one_lattice_though_another_has_its_name_and_its_administrator() {
    let lattice = Lattice::quiet();
    let key = lattice.path("lattice/keys/admin.nk");
    let shown = lattice.accepted(&["keys", "show", path(&key)]);
    let twin = lattice.path("twin");
    lattice.accepted(&["--dir", path(&twin), "init", "--bare", "--admin", shown["public"].as_str().unwrap()]);
    let done = lattice.accepted(&["issuer", "add", &lattice.issuer("acme"), "--scope", "*"]);
    // Whoever was on the wire has the very bytes, and carries them to the other one, which has seen no such id.
    let log = LogReader::open(&lattice.log()).await.unwrap();
    let command = log.document(done["index"].as_u64().unwrap()).await.unwrap().unwrap();
    let service = Service::open(&Folder::open(&twin).unwrap(), Arc::new(SystemClock::default())).await.unwrap();
    let receipt = service.command(&command).await.unwrap();
    let receipt = Unverified::<Receipt>::parse(&receipt).unwrap();
    assert_eq!(receipt.says().reason, Some(Reason::LatticeMismatch));
    assert_eq!(service.snapshot().await.unwrap().state.issuers().iter().count(), 0);
    service.close().await.unwrap();
    assert_eq!(lattice.accepted(&["--dir", path(&twin), "audit", "verify"])["success"], json!(true));
}

#[test]
fn t82_what_an_issuer_signs_for_one_lattice_counts_in_no_other_of_its_name() {
    let lattice = Lattice::quiet();
    let (twin, key) = (lattice.path("twin"), lattice.path("acme.nk"));
    lattice.accepted(&["--dir", path(&twin), "init", "--bare"]);
    let (acme, till) = (lattice.issuer("acme"), lattice.issuer("till"));
    let dirs = [lattice.path("lattice"), twin];
    let [here, there] = [0, 1].map(|at| ["--dir", path(&dirs[at])]);
    let root =
        |dir: [&str; 2]| lattice.accepted(&[&dir[..], &["status"]].concat())["root"].as_str().unwrap().to_owned();
    for dir in [here, there] {
        lattice.accepted(&[&dir[..], &["issuer", "add", &acme, "--scope", "*", "--prepared"]].concat());
    }
    // Of the one folder, and of the one digest, where the key's owner has no folder.
    let own = ["--issuer-key", path(&key)];
    let offline = |root: &str, what: &[&str]| {
        let made = countersign(&[&["--dir", "/nonexistent", "--root", root], what, &own].concat());
        assert!(made.status.success() && made.stderr.is_empty(), "{made:?}");
        made.stdout
    };
    let lend = ["issuer", "lend", &till, "--scope", "acme:till", "--kind", "component", "--until", "+1d"];
    for (file, token) in [
        (
            "proof",
            lattice.accepted(&[&here[..], &["issuer", "prove"], &own].concat())["proof"].as_str().unwrap().into(),
        ),
        ("proof.offline", offline(&root(here), &["issuer", "prove"])),
        ("lent", lattice.accepted(&[&here[..], &lend, &own].concat())["delegation"].as_str().unwrap().into()),
        ("lent.offline", offline(&root(here), &lend)),
    ] {
        std::fs::write(lattice.path(file), token).unwrap();
    }
    let refused = |dir: [&str; 2], what: &[&str]| {
        let (code, told) = lattice.json(&[&dir[..], what].concat());
        assert_eq!((code, &told["error"]), (3, &json!("lattice_mismatch")), "{told}");
    };
    let file = |name: &str| lattice.path(name).to_str().unwrap().to_owned();
    let [proof, offline_proof, lent, offline_lent] = ["proof", "proof.offline", "lent", "lent.offline"].map(file);
    for proof in [&proof, &offline_proof] {
        refused(there, &["issuer", "activate", &acme, "--proof", proof]);
    }
    lattice.accepted(&[&here[..], &["issuer", "activate", &acme, "--proof", &offline_proof]].concat());
    lattice.accepted(&[&there[..], &["issuer", "activate", &acme], &own].concat());
    for lent in [&lent, &offline_lent] {
        refused(there, &["issuer", "delegate", lent]);
    }
    lattice.accepted(&[&here[..], &["issuer", "delegate", &offline_lent]].concat());
    // Whoever names none is told what that means.
    let any = countersign(&[&["--dir", "/nonexistent", "issuer", "prove"], &own[..]].concat());
    assert!(String::from_utf8_lossy(&any.stderr).contains("`--root DIGEST`"), "{any:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t82_nobody_of_one_lattice_sees_or_changes_another_in_the_same_process() {
    let lattice = two();
    let asker = Asker::of(&lattice, "host");
    assert_eq!(
        exchange(
            &lattice,
            &inbox_prefix(&asker.key.name()),
            Topic::StartComponent.subject(&"default".parse().unwrap()),
            asker.question()
        )
        .await,
        "answered"
    );
    every_kind(&lattice);
    let given = commands(&lattice).await;
    let (admin, both) = (key(&lattice, "lattice/keys/admin.nk"), key(&lattice, "both.nk"));
    let beside = lattice.path("other");
    let before = status(&lattice, &beside);

    // Every act: by who is nobody there, and by who is somebody there but spoke to the other.
    for (by, aud, expected) in [
        (&admin, other(), "administrator_unknown"),
        (&admin, "default".parse().unwrap(), "lattice_mismatch"),
        (&both, "default".parse().unwrap(), "lattice_mismatch"),
    ] {
        for (what, bytes) in resigned(&given, by, &aud) {
            let said = exchange(&lattice, &inbox_prefix(&by.name()), Topic::Command.subject(&other()), bytes).await;
            assert_eq!(said, expected, "{what}");
        }
    }

    // Every subject: each document of the first lattice, where the second one listens.
    let in_a = |what: &str| query_by(&both, what, &json!(what), |_| ());
    let of_a_twin = query_by(&both, "links", &json!("links"), |query| {
        (query.aud, query.inception_sha256) = (other(), Some(Digest::of(b"a twin")));
    });
    let subject = Topic::Query.subject(&other()).replace('*', "links");
    let said = exchange(&lattice, &inbox_prefix(&both.name()), subject, of_a_twin).await;
    assert_eq!(said, "lattice_mismatch");
    let foreign = query_by(&admin, "links", &json!("links"), |query| query.aud = other());
    let mut tried = BTreeMap::new();
    for topic in Topic::ALL {
        let host = inbox_prefix(&asker.key.name());
        let subject = topic.subject(&other()).replace('*', "links");
        let (inbox, documents) = match topic {
            Topic::StartComponent | Topic::StartProvider => (
                host,
                vec![
                    (asker.question(), "lattice_mismatch"),
                    (asker.question_with(|request| request.aud = other()), "host_unknown"),
                ],
            ),
            Topic::Join | Topic::Inventory | Topic::Growth | Topic::Warrant => {
                (host, vec![(asker.question(), "token_header")])
            }
            Topic::Query => (inbox_prefix(&both.name()), vec![(in_a("links"), "lattice_mismatch")]),
            // Every act was tried there above; and on the last, which only its broker speaks on, one looks below.
            Topic::Command | Topic::Epoch => continue,
        };
        for (bytes, expected) in documents {
            assert_eq!(exchange(&lattice, &inbox, subject.clone(), bytes).await, expected, "{topic:?}");
            *tried.entry(subject.clone()).or_insert(0) += 1;
        }
    }
    let links = Topic::Query.subject(&other()).replace('*', "links");
    assert_eq!(exchange(&lattice, &inbox_prefix(&admin.name()), links, foreign).await, "administrator_unknown");
    assert!(tried.len() >= 6, "{tried:?}");

    // Notices of the one are of the one.
    let client = async_nats::connect(lattice.nats.url()).await.unwrap();
    for name in ["default", "other"] {
        let mut notes = client.subscribe(Topic::Epoch.subject(&name.parse().unwrap())).await.unwrap();
        // The warrant in force is told there, too.
        let (mut checkpoints, mut warrants) = (0, 0);
        while checkpoints == 0 || warrants == 0 {
            let note = notes.next().await.unwrap().payload;
            if let Ok(warrant) = Unverified::<Warrant>::parse(&note) {
                assert_eq!(warrant.says().lattice.as_str(), name);
                warrants += 1;
                continue;
            }
            assert!(note.starts_with(format!("countersign/{name}\n").as_bytes()), "{name}");
            checkpoints += 1;
        }
    }

    let after = status(&lattice, &beside);
    for member in ["epoch", "counts", "administrators", "root", "threshold"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    let log = LogReader::open(&beside.join("log.db")).await.unwrap();
    let from = before["size"].as_u64().unwrap();
    for row in log.rows(from, 1000).await.unwrap() {
        let entry = Entry::read(&row.bytes).unwrap();
        assert!(matches!(entry.body, Body::Door(_)), "{entry:?}");
    }
}

#[test]
fn t82_each_of_several_lattices_works_for_itself_and_ends_in_order() {
    let mut lattice = two();
    let beside = path(&lattice.path("other")).to_owned();
    let by_own = path(&lattice.path("own.nk")).to_owned();
    // Over NATS: the broker holds both folders.
    let made = lattice.accepted(&["--dir", &beside, "--key", &by_own, "host", "invite"]);
    assert_eq!(made["lattice"], json!("other"));
    let root = status(&lattice, Path::new(&beside))["root"].as_str().unwrap().to_owned();
    let nowhere = path(&lattice.path("nowhere")).to_owned();
    let asked = ["--dir", &nowhere, "-x", "other", "--root", &root, "--key", &by_own, "status"];
    assert_eq!(lattice.accepted(&asked)["lattice"], json!("other"), "and a look without its folder");
    lattice.stop_broker();
    wait_for("the folders are given back", || {
        (lattice.json(&["--dir", &beside, "audit", "verify"]).0 == 0).then_some(())
    });
    let (code, said) = lattice.json(&["serve", "--dirs", &beside, &beside]);
    assert_eq!((code, said["error"].as_str()), (2, Some("usage")), "one folder twice: {said}");
}
