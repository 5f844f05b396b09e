//! A lattice begins once, with keys that serve one purpose each.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use policy::envelope::Unverified;
use policy::key::{Administrator, Decision, Root};
use policy::reason::Reason;
use policy::warrant::Warrant;

use super::asker::{Closed, Lattice, options};
use crate::clock::Clock;
use crate::error::Error;
use crate::folder::write_private;
use crate::keys::{SigningKey, load_login};
use crate::service::{InitOptions, Service, init};

#[tokio::test]
async fn t83_a_second_init_is_refused_and_changes_nothing() {
    let lattice = Lattice::new().await.closed().await;
    let before = fs::read(lattice.folder.log()).unwrap();
    assert!(matches!(init(lattice.folder.path(), options("default")).await, Err(Error::AlreadyThere(_))));
    assert_eq!(fs::read(lattice.folder.log()).unwrap(), before);
    let stray = lattice.place.path().join("stray");
    fs::create_dir(&stray).unwrap();
    fs::write(stray.join("notes.txt"), "mine").unwrap();
    assert!(matches!(init(&stray, options("default")).await, Err(Error::AlreadyThere(_))));
    assert_eq!(fs::read_dir(&stray).unwrap().count(), 1);
}

#[tokio::test]
async fn t83_of_two_that_race_one_wins() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("court");
    let (a, b) = tokio::join!(init(&path, options("default")), init(&path, options("default")));
    assert!(a.is_ok() != b.is_ok());
    assert!(matches!(a.and(b), Err(Error::AlreadyThere(_))));
    // Nothing of the loser is left beside.
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn secrets_are_private_and_never_shown() {
    let lattice = Lattice::new().await;
    assert_eq!(lattice.report.secrets.len(), 5);
    for path in &lattice.report.secrets {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600, "{}", path.display());
    }
    assert_eq!(fs::metadata(lattice.folder.path()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(lattice.folder.log()).unwrap().mode() & 0o777, 0o600);
    let seed = fs::read_to_string(lattice.folder.key("admin")).unwrap();
    let shown = format!("{:?} {:?}", lattice.admin(), lattice.report);
    assert!(!shown.contains(seed.trim()));
}

#[tokio::test]
async fn an_administrator_elsewhere_is_told_what_to_command() {
    let place = tempfile::tempdir().unwrap();
    let admin = SigningKey::<Administrator>::generate().unwrap();
    let options = InitOptions { admins: vec![admin.name()], ..options("default") };
    let report = init(&place.path().join("court"), options).await.unwrap();
    assert_eq!(report.administrators, [admin.name()]);
    assert!(report.base.is_empty());
    assert_eq!(report.follow_up.unwrap().commands.len(), 1 + 3 * 5);
    assert!(!report.folder.join("keys/admin.nk").exists());
    let bare = InitOptions { bare: true, ..super::asker::options("bare") };
    let report = init(&place.path().join("bare"), bare).await.unwrap();
    assert!(report.base.is_empty() && report.follow_up.is_none() && report.issuer.is_none());
}

#[tokio::test]
async fn t09_one_key_has_one_purpose() {
    let open = async |lattice: &Closed| {
        Service::open(&lattice.folder, Arc::clone(&lattice.clock) as Arc<dyn Clock>).await.err().unwrap().reason()
    };
    // A login key as the signing seed.
    let lattice = Lattice::new().await.closed().await;
    let login = nkeys::KeyPair::new_user();
    let path = lattice.folder.key("decision");
    fs::remove_file(&path).unwrap();
    write_private(&path, login.seed().unwrap().as_bytes()).unwrap();
    assert_eq!(open(&lattice).await, Some(Reason::KeyRole));
    // Another decision key than the warrant's.
    fs::remove_file(&path).unwrap();
    SigningKey::<Decision>::generate().unwrap().save(&path).unwrap();
    assert_eq!(open(&lattice).await, Some(Reason::BrokerKeyUnknown));
    // The root's own bytes under the decision prefix.
    let (_, raw) = nkeys::decode_seed(fs::read_to_string(lattice.folder.key("root")).unwrap().trim()).unwrap();
    fs::remove_file(&path).unwrap();
    let twin = nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::Cluster, raw).unwrap();
    write_private(&path, twin.seed().unwrap().as_bytes()).unwrap();
    assert_eq!(open(&lattice).await, Some(Reason::KeyInUse));
}

#[tokio::test]
async fn t09_a_login_key_signs_nothing_and_a_signing_key_logs_in_nowhere() {
    let lattice = Lattice::new().await;
    assert_eq!(load_login(&lattice.folder.key("decision")).err().unwrap().reason(), Some(Reason::KeyRole));
    let (_, raw) = nkeys::decode_seed(fs::read_to_string(lattice.folder.key("decision")).unwrap().trim()).unwrap();
    let path = lattice.place.path().join("login.nk");
    let twin = nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::User, raw).unwrap();
    write_private(&path, twin.seed().unwrap().as_bytes()).unwrap();
    let login = load_login(&path).unwrap();
    assert_eq!(lattice.service.refuse_login_key(login.raw()).unwrap_err().reason, Reason::KeyInUse);
}

#[tokio::test]
async fn t17_only_the_root_replaces_a_warrant() {
    let lattice = Lattice::new().await;
    let mut warrant = Unverified::<Warrant>::parse(&lattice.service.papers().0).unwrap().says().clone();
    let lattice = lattice.closed().await;
    warrant.serial = 2;
    let path = lattice.folder.warrant();
    let root = SigningKey::<Root>::load(&lattice.folder.key("root")).unwrap();
    // By a key that is no root; in the root's name but not by it.
    let thief = SigningKey::<Root>::generate().unwrap();
    for (iss, reason) in [(thief.name(), Reason::BrokerKeyUnknown), (root.name(), Reason::SignatureInvalid)] {
        fs::write(&path, thief.sign(&Warrant { iss, ..warrant.clone() }, [])).unwrap();
        let refused = Service::open(&lattice.folder, Arc::clone(&lattice.clock) as Arc<dyn Clock>).await.err().unwrap();
        assert_eq!(refused.reason(), Some(reason));
    }
    let good = root.sign(&warrant, []);
    fs::write(&path, &good).unwrap();
    let lattice = lattice.opened().await;
    assert_eq!(lattice.service.snapshot().await.unwrap().state.warrant_serial(), 2);
    // The log keeps it, with or without the file.
    fs::remove_file(&path).unwrap();
    let lattice = lattice.reopened().await;
    assert_eq!(lattice.service.papers().0, good);
}
