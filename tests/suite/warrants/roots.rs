//! Other roots: whoever pinned the lattice's first entry follows, and a root that was replaced convinces nobody who did.

use std::time::Duration;

use broker::keys::SigningKey;
use harness::asker::lattice_name;
use harness::embedded::Embedded;
use harness::lattice::{Lattice, path, wait_for};
use policy::key::Root;
use policy::warrant::Warrant;
use policy::wire::Topic;

use super::{in_force, lattice_with_roots_elsewhere, signed, start};

// Two roots take the place of the one, and sign the next warrant.
pub(super) fn two_others(lattice: &mut Lattice) {
    let offline = |name: &str| path(&lattice.path("offline").join(name)).to_owned();
    let (old, a, b) = (offline("root.nk"), offline("a.nk"), offline("b.nk"));
    for key in [&a, &b] {
        lattice.accepted(&["keys", "gen", "root", "--out", key]);
    }
    let rotate = ["root", "rotate", "--root-key", &old, "--new-key", &a, "--new-key", &b, "--threshold", "2"];
    let agreed = lattice.accepted(&rotate);
    let document = lattice.path("root.jws");
    std::fs::write(&document, agreed["document"].as_str().unwrap()).unwrap();
    lattice.stop_broker();
    lattice.accepted(&["root", "record", path(&document)]);
    lattice.serve();
    // The warrant in force is that of the old root, whom hosts know, and whom newcomers find in the papers.
    assert_eq!(start(lattice, "host", "30"), None);
    lattice.join("early");
    assert_eq!(start(lattice, "early", "30"), None);
    lattice.accepted(&["warrant", "request"]);
    lattice.accepted(&["warrant", "issue", "--root-key", &a, "--out", "first.jws"]);
    lattice.accepted(&["warrant", "issue", "--partial", "first.jws", "--root-key", &b]);
    lattice.accepted(&["warrant", "install", "warrant.jws"]);
    assert_eq!(in_force(lattice)["serial"], 2, "{}", in_force(lattice));
}

#[test]
fn t17_hosts_newcomers_and_whoever_has_the_digest_follow_other_roots() {
    let mut lattice = lattice_with_roots_elsewhere(&[]);
    let digest = lattice.accepted(&["status"])["root"].as_str().unwrap().to_owned();
    two_others(&mut lattice);
    // One that asks now for the first time since, in a process of its own, and one that was never here.
    assert_eq!(start(&lattice, "host", "30"), None);
    assert_eq!(start(&lattice, "early", "30"), None);
    lattice.join("late");
    assert_eq!(start(&lattice, "late", "30"), None);
    let administrator = lattice.path("lattice/keys/admin.nk");
    let nowhere = lattice.path("nowhere");
    let away = ["--dir", path(&nowhere), "--root", &digest, "--key", path(&administrator)];
    lattice.accepted(&[&away[..], &["issuer", "list"]].concat());
    lattice.accepted(&[&away[..], &["host", "invite"]].concat());
    lattice.accepted(&["audit", "verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t17_a_root_that_was_replaced_convinces_no_host_that_heard_of_it() {
    let mut lattice = lattice_with_roots_elsewhere(&[]);
    let host = Embedded::new(&lattice, "host", &lattice.nats.url(), Duration::from_secs(10)).await;
    assert_eq!(host.decides().await, Ok(()));
    tokio::task::block_in_place(|| {
        two_others(&mut lattice);
        wait_for("the host follows", || (host.memory.record().warrant_serial == 2).then_some(()));
    });
    let remembered = host.memory.record();
    let old = SigningKey::<Root>::load(&lattice.path("offline/root.nk")).unwrap().name();
    let forged = signed(&lattice, |warrant| *warrant = Warrant { serial: 9, ..warrant.alone_by(old) });
    let client = async_nats::connect(lattice.nats.url()).await.unwrap();
    for _ in 0..3 {
        client.publish(Topic::Epoch.subject(&lattice_name()), forged.clone().into()).await.unwrap();
    }
    client.flush().await.unwrap();
    assert_eq!(host.decides().await, Ok(()));
    let record = host.memory.record();
    assert_eq!((record.rank(), record.warrant_sha256), (remembered.rank(), remembered.warrant_sha256));
    // Also after the process ended: what it follows lies on the disk.
    let again = host::memory::Memory::load(host.memory.dir()).unwrap();
    assert_eq!(again.read(&forged).unwrap_err().reason, policy::reason::Reason::BrokerKeyUnknown);
}

#[test]
fn t17_other_roots_must_be_as_many_as_before_unless_somebody_says_so() {
    let mut lattice = lattice_with_roots_elsewhere(&["--roots", "3", "--root-threshold", "2"]);
    let offline = |name: &str| path(&lattice.path("offline").join(name)).to_owned();
    let (old, second, new) = (offline("root.nk"), offline("root-2.nk"), offline("new.nk"));
    lattice.accepted(&["keys", "gen", "root", "--out", &new]);
    let by = |keys: &[&str]| {
        let keys = keys.chunks(2).flat_map(|pair| pair.iter().copied());
        lattice.json(&["root", "rotate"].into_iter().chain(keys).collect::<Vec<_>>())
    };
    let (code, fewer) = by(&["--root-key", &old, "--root-key", &second, "--new-key", &new]);
    assert_eq!((code, &fewer["error"]), (2, &"usage".into()), "{fewer}");
    assert!(fewer["message"].as_str().unwrap().contains("2 of the roots must sign until now"), "{fewer}");
    let (code, one) = by(&["--root-key", &old, "--new-key", &old, "--new-key", &new]);
    assert_eq!((code, &one["error"]), (3, &"threshold_unmet".into()), "{one}");
    assert!(one["remedy"].as_str().unwrap().contains("`--root-key FILE`"), "{one}");
    let both = ["--root-key", &old, "--root-key", &second, "--new-key", &second, "--new-key", &new];
    let (code, agreed) = by(&both);
    assert_eq!((code, &agreed["threshold_before"], &agreed["threshold"]), (0, &2.into(), &2.into()), "{agreed}");
    let (_, lower) = by(&[&both[..], &["--threshold", "1"]].concat());
    assert_eq!((&lower["threshold_before"], &lower["threshold"]), (&2.into(), &1.into()), "{lower}");
    let document = lattice.path("root.jws");
    std::fs::write(&document, agreed["document"].as_str().unwrap()).unwrap();
    lattice.stop_broker();
    let dir = lattice.path("lattice");
    let told = harness::program::countersign(&["--dir", path(&dir), "root", "record", path(&document)]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("roots that must sign a warrant: 2 of 3 -> 2 of 2"), "{told}");
    let status = harness::program::countersign(&["--dir", path(&dir), "status"]);
    assert!(String::from_utf8(status.stdout).unwrap().contains("2 of 2 must sign a warrant"));
}
