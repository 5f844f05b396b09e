//! What starts, who answers it, and what it does.

use std::sync::Arc;

use policy::provider::Subject;
use policy::reason::Reason;
use policy::resolve::By;

use super::broker::{Bench, Broker, id};
use super::guests;
use crate::clock::SystemClock;
use crate::folder::Folder;
use crate::identity::HostKey;
use crate::invite::Invite;

fn folder_with(bytes: &[u8]) -> (tempfile::TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("provider.wasm");
    std::fs::write(&path, bytes).unwrap();
    // Whatever the umask of who runs this.
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let folder = Folder::of_artifacts(dir.path());
    (dir, folder)
}

#[tokio::test]
async fn a_component_runs_over_builtins_without_any_link() {
    let bench = Bench::new();
    let host = bench.host().await;
    let mut cart = host.start(&guests::signed("cart"), &id("cart")).await.unwrap();
    assert_eq!(cart.invoke("add(\"milk\", 2)").await.unwrap(), "ok(2)");
    assert_eq!(cart.invoke("demo:shop/cart@0.1.0#add(\"milk\", 3)").await.unwrap(), "ok(5)");
    assert_eq!(cart.invoke("total(\"bread\")").await.unwrap(), "ok(0)");
    assert_eq!(bench.lines(), ["[cart] info cart: cart: milk x2", "[cart] info cart: cart: milk x5"]);
    let answers = cart.answers();
    let imports: Vec<_> = answers.iter().map(|answer| answer.import.as_str()).collect();
    assert_eq!(imports, ["wasi:keyvalue/store@0.2.0-draft", "wasi:logging/logging@0.1.0-draft"]);
    assert!(answers.iter().all(|answer| answer.by == By::Builtin && matches!(answer.provider, Subject::Native(_))));
    assert_eq!(answers[0].index, cart.decided().index);
}

#[tokio::test]
async fn a_store_is_shared_by_the_instances_of_one_id_and_by_nobody_else() {
    let bench = Bench::new();
    bench.broker.admit("basket", &guests::signed("cart"));
    let host = bench.host().await;
    let bytes = guests::signed("cart");
    host.start(&bytes, &id("cart")).await.unwrap().invoke("add(\"milk\", 2)").await.unwrap();
    let mut again = host.start(&bytes, &id("cart")).await.unwrap();
    assert_eq!(again.invoke("total(\"milk\")").await.unwrap(), "ok(2)");
    let mut other = host.start(&bytes, &id("basket")).await.unwrap();
    assert_eq!(other.invoke("total(\"milk\")").await.unwrap(), "ok(0)");
}

#[tokio::test]
async fn a_component_without_imports_needs_a_permit_too() {
    let bench = Bench::new();
    let host = bench.host().await;
    let bytes = guests::signed("greeter");
    let mut greeter = host.start(&bytes, &id("greeter")).await.unwrap();
    assert_eq!(greeter.invoke("greet(\"Ada\")").await.unwrap(), "\"Hello, Ada!\"");
    let refused = host.start(&bytes, &id("nobody")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::ComponentUnknown));
}

#[tokio::test]
async fn dice_see_time_and_chance_and_an_empty_world() {
    let bench = Bench::new();
    let host = bench.host().await;
    let mut dice = host.start(&guests::signed("dice"), &id("dice")).await.unwrap();
    let roll: u32 = dice.invoke("roll(6)").await.unwrap().parse().unwrap();
    assert!((1..=6).contains(&roll));
    let when: u64 = dice.invoke("when()").await.unwrap().parse().unwrap();
    assert!(when > 1_700_000_000);
    assert_eq!(dice.invoke("environment()").await.unwrap(), "[]");
    assert_eq!(dice.invoke("arguments()").await.unwrap(), "[]");
}

#[tokio::test]
async fn a_link_beats_the_builtin_and_its_provider_runs_in_its_own_store() {
    let mut bench = Bench::new();
    let (_dir, folder) = folder_with(&guests::signed("logger"));
    bench.artifacts = Some(folder);
    bench.broker.link("cart", "wasi:logging", &guests::signed("logger"));
    let host = bench.host().await;
    let mut cart = host.start(&guests::signed("cart"), &id("cart")).await.unwrap();
    cart.invoke("add(\"milk\", 2)").await.unwrap();
    cart.invoke("add(\"milk\", 1)").await.unwrap();
    let expected =
        ["[logger] lattice-log #1 info cart: cart: milk x2", "[logger] lattice-log #2 info cart: cart: milk x3"];
    assert_eq!(bench.lines(), expected);
    let logging = cart.answers().remove(1);
    assert_eq!((logging.by, logging.id.as_str()), (By::Link, "logger"));
    assert_eq!(logging.sha256, policy::digest::Digest::of(&guests::signed("logger")));
}

#[tokio::test]
async fn t45_a_deleted_link_falls_back_to_nothing() {
    let bench = Bench::new();
    bench.broker.link("cart", "wasi:logging", &guests::signed("logger"));
    bench.broker.unlink("cart", "wasi:logging");
    let refused = bench.host().await.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::LinkRemoved));
    let crate::error::Error::Refused(refused) = refused else { panic!("not refused") };
    assert_eq!(refused.imports, [("wasi:logging@0.1.0-draft".to_owned(), Reason::LinkRemoved)]);
}

#[tokio::test]
async fn a_permitted_provider_whose_bytes_are_not_here_is_unavailable() {
    let mut bench = Bench::new();
    let (_dir, folder) = folder_with(&guests::signed("rival"));
    bench.artifacts = Some(folder);
    bench.broker.link("cart", "wasi:logging", &guests::signed("logger"));
    let refused = bench.host().await.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::ArtifactUnavailable));
    assert!(bench.lines().is_empty());
}

#[tokio::test]
async fn a_component_builtin_answers_where_the_lattice_defaults_to_builtins() {
    let mut bench = Bench::new();
    let logger = guests::signed("logger");
    let (dir, _) = folder_with(&logger);
    bench.builtins = Some(Folder::of_builtins(dir.path()).unwrap());
    // Two builtins would serve it, and order never decides.
    let refused = bench.host().await.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::Ambiguous));
    let native = policy::native::Native::find("native/logging@0.1.0").unwrap();
    bench.broker.retire(native.sha256());
    let mut cart = bench.host().await.start(&guests::signed("cart"), &id("cart")).await.unwrap();
    cart.invoke("add(\"milk\", 2)").await.unwrap();
    assert_eq!(bench.lines(), ["[logger] lattice-log #1 info cart: cart: milk x2"]);
}

#[tokio::test]
async fn a_provider_that_its_own_broker_refuses_stops_the_whole_start() {
    let mut bench = Bench::new();
    let (_dir, folder) = folder_with(&guests::signed("logger"));
    bench.artifacts = Some(folder);
    bench.broker.link("cart", "wasi:logging", &guests::signed("logger"));
    bench.broker.forget_default("wasi:io");
    let refused = bench.host().await.start(&guests::signed("cart"), &id("cart")).await.err().unwrap();
    assert_eq!(refused.reason(), Some(Reason::LinkMissing));
    assert!(refused.to_string().contains("provider `logger`"), "{refused}");
}

#[tokio::test]
async fn t31_claims_around_other_bytes_are_refused_before_anybody_is_asked() {
    let bench = Bench::new();
    let host = bench.host().await;
    let asked = bench.broker.asked.lock().unwrap().len();
    let policy::artifact::Artifact::Component(cart) = policy::artifact::read(&guests::signed("cart")).unwrap() else {
        panic!()
    };
    let token = String::from_utf8(cart.token().unwrap().to_vec()).unwrap();
    let moved = policy::artifact::component::attach(&guests::unsigned("greeter"), &token).unwrap();
    assert_eq!(host.start(&moved, &id("cart")).await.err().unwrap().reason(), Some(Reason::HashMismatch));
    let unsigned = host.start(&guests::unsigned("cart"), &id("cart")).await.err().unwrap();
    assert_eq!(unsigned.reason(), Some(Reason::ClaimsMissing));
    assert_eq!(bench.broker.asked.lock().unwrap().len(), asked);
}

#[tokio::test]
async fn t37_machine_code_is_never_loaded() {
    let bench = Bench::new();
    let host = bench.host().await;
    let engine = wasmtime::Engine::default();
    let machine =
        wasmtime::component::Component::new(&engine, guests::unsigned("greeter")).unwrap().serialize().unwrap();
    assert_eq!(host.start(&machine, &id("greeter")).await.err().unwrap().reason(), Some(Reason::WasmPrecompiled));
}

#[tokio::test]
async fn t55_an_invitation_lets_one_host_in_once() {
    let broker = Broker::new();
    let line = broker.invitation();
    let invite = Invite::parse(&line).unwrap();
    let wire = super::broker::wire(&broker);
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let timeout = std::time::Duration::from_secs(5);
    let key = HostKey::load_or_make(first.path()).unwrap();
    let memory = crate::join::join(first.path(), &key, &invite, &*wire, &SystemClock, timeout).await.unwrap();
    assert_eq!(memory.record().root, broker.root);
    let again = crate::join::join(first.path(), &key, &invite, &*wire, &SystemClock, timeout).await.unwrap_err();
    assert_eq!(again.reason(), Some(Reason::AlreadyExists));
    let key = HostKey::load_or_make(second.path()).unwrap();
    let reused = crate::join::join(second.path(), &key, &invite, &*wire, &SystemClock, timeout).await.unwrap_err();
    assert_eq!(reused.reason(), Some(Reason::InviteUnknown));
    assert!(!second.path().join("memory").exists());
}

#[tokio::test]
async fn t17_a_receipt_from_another_lattice_is_not_remembered() {
    let (broker, imposter) = (Broker::new(), Broker::of_lattice("other"));
    let mut invite = Invite::parse(&imposter.invitation()).unwrap();
    invite.root = broker.root;
    let dir = tempfile::tempdir().unwrap();
    let key = HostKey::load_or_make(dir.path()).unwrap();
    let wire = super::broker::wire(&imposter);
    let timeout = std::time::Duration::from_millis(200);
    let refused = crate::join::join(dir.path(), &key, &invite, &*wire, &SystemClock, timeout).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::BrokerKeyUnknown));
    assert!(!dir.path().join("memory").exists());
}

#[tokio::test]
async fn notices_raise_the_memory_and_cannot_be_invented() {
    let broker = Broker::new();
    let memory = Arc::new(broker.memory());
    let before = memory.record();
    broker.link("cart", "wasi:logging", &guests::signed("logger"));
    let note = broker.notice();
    let mut forged = note.clone();
    let at = forged.len() - 10;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    assert!(crate::notice::take(&memory, &forged).is_err());
    assert_eq!(memory.record(), before);
    crate::notice::take(&memory, &note).unwrap();
    assert!(memory.record().epoch > before.epoch && memory.record().head.index > before.head.index);
}
