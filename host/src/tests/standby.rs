//! A host without its broker: what a standby permit starts, and everything that it does not.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::govern::{EndRelaxation, Operation, PutRelaxation};
use policy::question::{StartRequest, What};
use policy::reason::Reason;
use policy::relax::{StoodIn, Weakening};
use serde_json::{Value, json};

use super::broker::{Bench, Broker, id, wire};
use super::guests;
use crate::ask::Start;
use crate::clock::{Clock, SystemClock};
use crate::component::Component;
use crate::error::Error;
use crate::standby::Content;
use crate::start::Host;
use crate::transport::{Replies, Transport};

/// A wire at whose other end nobody is, whenever the test says so.
struct Switch {
    wire: Box<dyn Transport>,
    down: AtomicBool,
}

impl Transport for Switch {
    fn ask(&self, subject: String, payload: Vec<u8>) -> BoxFuture<'_, Result<Replies, Error>> {
        if self.down.load(Ordering::SeqCst) {
            return Box::pin(async { Ok(futures::stream::empty().boxed()) });
        }
        self.wire.ask(subject, payload)
    }

    fn listen(&self, subject: String) -> BoxFuture<'_, Result<Replies, Error>> {
        self.wire.listen(subject)
    }

    fn address(&self) -> String {
        "nobody".to_owned()
    }
}

struct Scene {
    bench: Bench,
    switch: Arc<Switch>,
    host: Host,
    cart: Vec<u8>,
}

impl Scene {
    /// A host that may start `cart` while nobody answers, for an hour, and has started it once.
    async fn permitted() -> Self {
        let scene = Self::new().await;
        scene.relax(3600);
        scene.started().await.unwrap();
        scene
    }

    async fn new() -> Self {
        Self::on(Bench::new()).await
    }

    async fn on(bench: Bench) -> Self {
        let switch = Arc::new(Switch { wire: wire(&bench.broker), down: AtomicBool::new(false) });
        let host = bench.host_on(Arc::clone(&switch) as Arc<dyn Transport>).await;
        Self { bench, switch, host, cart: guests::signed("cart") }
    }

    fn relax(&self, life_s: u64) {
        self.relax_for("nights", &[("cart", &self.cart)], life_s);
    }

    fn relax_for(&self, name: &str, named: &[(&str, &[u8])], life_s: u64) {
        let kind = Weakening::Standby {
            components: named.iter().map(|(component, _)| id(component)).collect(),
            sha256: named.iter().map(|(_, bytes)| Digest::of(bytes)).collect(),
            hosts: [self.bench.memory.record().host].into(),
            life_s,
        };
        let until = SystemClock.now().plus(86_400);
        let put = PutRelaxation { id: name.parse().unwrap(), kind, until, reason: "restarts".to_owned() };
        self.bench.broker.command(vec![Operation::PutRelaxation(put)], &[]);
    }

    fn down(&self, down: bool) {
        self.switch.down.store(down, Ordering::SeqCst);
    }

    async fn started(&self) -> Result<crate::running::Running, Reason> {
        self.host.start(&self.cart, &id("cart")).await.map_err(|error| error.reason().unwrap())
    }

    async fn refused(&self) -> Option<Reason> {
        self.started().await.err()
    }

    fn folder(&self) -> PathBuf {
        self.bench.broker.dir().join("standby")
    }

    // The one permit that is kept.
    fn kept(&self) -> PathBuf {
        let files = std::fs::read_dir(self.folder()).unwrap().flatten().map(|entry| entry.path());
        files.into_iter().find(|path| path.file_name().unwrap().len() == 64).unwrap()
    }

    fn uses(&self) -> Vec<StoodIn> {
        serde_json::from_slice(&std::fs::read(self.folder().join("uses")).unwrap_or_else(|_| b"[]".to_vec())).unwrap()
    }
}

// What the host told of its uses in its last question.
fn told(broker: &Broker) -> Vec<StoodIn> {
    let asked = broker.asked.lock().unwrap();
    Unverified::<StartRequest>::parse(asked.last().unwrap()).unwrap().says().stood_in.clone()
}

#[tokio::test]
async fn t59_while_no_broker_answers_only_a_standby_permit_starts_and_each_use_is_told() {
    let scene = Scene::new().await;
    scene.started().await.unwrap();
    scene.down(true);
    assert_eq!(scene.refused().await, Some(Reason::BrokerUnreachable), "nothing was relaxed");

    scene.down(false);
    scene.relax(3600);
    let asked = scene.started().await.unwrap();
    assert_eq!(asked.leave(), &crate::permit::Leave::default(), "a broker answered");
    scene.down(true);
    let mut running = scene.started().await.unwrap();
    assert_eq!(running.invoke("add(\"milk\", 1)").await.unwrap(), "ok(1)");
    assert_eq!(running.leave().standby.as_ref().unwrap().id.as_str(), "nights");
    assert_eq!(running.decided(), asked.decided(), "it rests on that decision");
    // A program that starts anew finds it on the disk.
    let again = scene.bench.host_on(Arc::clone(&scene.switch) as Arc<dyn Transport>).await;
    assert!(again.start(&scene.cart, &id("cart")).await.is_ok());
    let uses = scene.uses();
    assert!(uses.len() == 2 && uses.iter().all(|used| used.index == asked.decided().index), "{uses:?}");

    scene.down(false);
    scene.started().await.unwrap();
    assert_eq!(told(&scene.bench.broker), uses);
    assert!(scene.uses().is_empty(), "a broker has them on record");
    scene.started().await.unwrap();
    assert!(told(&scene.bench.broker).is_empty());
}

#[tokio::test]
async fn t59_a_standby_permit_is_for_the_very_content_that_was_asked() {
    let scene = Scene::permitted().await;
    scene.bench.broker.admit("basket", &scene.cart);
    scene.host.start(&scene.cart, &id("basket")).await.unwrap();
    scene.started().await.unwrap();
    scene.down(true);
    let refused = |error: Error| error.reason();
    let basket = scene.host.start(&scene.cart, &id("basket")).await.err().and_then(refused);
    assert_eq!(basket, Some(Reason::BrokerUnreachable), "another id");
    let other = guests::signed_as("cart", 78);
    let other = scene.host.start(&other, &id("cart")).await.err().and_then(refused);
    assert_eq!(other, Some(Reason::BrokerUnreachable), "other bytes");
    let greeter = scene.host.start(&guests::signed("greeter"), &id("cart")).await.err().and_then(refused);
    assert_eq!(greeter, Some(Reason::BrokerUnreachable), "another component, with other imports");

    // The same host, which offers one more builtin.
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let logger = dir.path().join("logger.wasm");
    std::fs::write(&logger, guests::signed("logger")).unwrap();
    std::fs::set_permissions(&logger, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let bench = Bench { builtins: Some(crate::folder::Folder::of_builtins(dir.path()).unwrap()), ..Bench::new() };
    let bench = Bench { broker: Arc::clone(&scene.bench.broker), memory: Arc::clone(&scene.bench.memory), ..bench };
    let wider = bench.host_on(Arc::clone(&scene.switch) as Arc<dyn Transport>).await;
    let wider = wider.start(&scene.cart, &id("cart")).await.err().and_then(refused);
    assert_eq!(wider, Some(Reason::BrokerUnreachable), "another inventory");
    assert!(scene.started().await.is_ok() && scene.uses().len() == 1);
}

#[tokio::test]
async fn t59_t27_a_standby_permit_ends_by_whichever_clock_says_so_first() {
    let scene = Scene::permitted().await;
    scene.down(true);
    let (wall, boot, back) =
        (&scene.bench.clock.wall_ahead_ms, &scene.bench.clock.boot_ahead_ms, &scene.bench.clock.wall_behind_ms);
    for clock in [wall, boot] {
        clock.store(3500 * 1000, Ordering::SeqCst);
        if std::ptr::eq(clock, boot) {
            assert!(scene.started().await.is_ok());
        }
        clock.store(3601 * 1000, Ordering::SeqCst);
        assert_eq!(scene.refused().await, Some(Reason::StandbyOver));
        clock.store(0, Ordering::SeqCst);
    }
    back.store(60_000, Ordering::SeqCst);
    assert_eq!(scene.refused().await, Some(Reason::StandbyOver), "the clock was set back");
    back.store(0, Ordering::SeqCst);
    assert!(scene.started().await.is_ok());
    // Not even to a time after the question, once it was used later than that.
    wall.store(1800 * 1000, Ordering::SeqCst);
    assert!(scene.started().await.is_ok());
    wall.store(900 * 1000, Ordering::SeqCst);
    assert_eq!(scene.refused().await, Some(Reason::StandbyOver), "set back to within its life");
}

#[tokio::test]
async fn t59_a_change_that_the_host_has_seen_voids_a_standby_permit() {
    let scene = Scene::permitted().await;
    scene.down(true);
    assert!(scene.started().await.is_ok());
    // Whatever it was: a ban, a revocation, a link.
    scene.bench.broker.forget_default("wasi:logging");
    assert!(scene.started().await.is_ok(), "nobody told the host");
    // Another program of the same host hears of it; what it wrote down counts for this one, too.
    crate::notice::take(&scene.bench.broker.memory(), &scene.bench.broker.notice()).unwrap();
    assert_eq!(scene.refused().await, Some(Reason::StandbyVoid));
    crate::notice::take(&scene.bench.memory, &scene.bench.broker.notice()).unwrap();
    assert_eq!(scene.refused().await, Some(Reason::StandbyVoid));
}

#[tokio::test]
async fn t59_what_the_broker_gives_no_leave_to_any_more_is_forgotten() {
    let scene = Scene::permitted().await;
    let end = EndRelaxation { id: "nights".parse().unwrap() };
    scene.bench.broker.command(vec![Operation::EndRelaxation(end)], &[]);
    scene.started().await.unwrap();
    scene.down(true);
    assert_eq!(scene.refused().await, Some(Reason::BrokerUnreachable));

    let scene = Scene::permitted().await;
    scene.bench.broker.forget_default("wasi:logging");
    assert_eq!(scene.refused().await, Some(Reason::LinkMissing), "the broker's no stands");
    scene.down(true);
    assert_eq!(scene.refused().await, Some(Reason::BrokerUnreachable));
}

#[tokio::test]
async fn t59_an_altered_standby_permit_starts_nothing() {
    let scene = Scene::permitted().await;
    let kept = scene.kept();
    let whole: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    scene.down(true);
    let tried = |change: &dyn Fn(&mut Value)| {
        let mut altered = whole.clone();
        change(&mut altered);
        std::fs::write(&kept, altered.to_string()).unwrap();
    };
    let flip = |name: &'static str, at: usize| {
        move |kept: &mut Value| {
            let mut text = kept[name].as_str().unwrap().to_owned().into_bytes();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            kept[name] = json!(String::from_utf8(text).unwrap());
        }
    };
    let length = |name: &str| whole[name].as_str().unwrap().len();
    for name in ["request", "answer"] {
        for part in 0..24 {
            tried(&flip(name, length(name) * part / 24));
            assert_eq!(scene.refused().await, Some(Reason::StandbyVoid), "{name}, at {part}/24");
        }
    }
    for change in [
        &(|kept: &mut Value| kept["answer"] = json!("")) as &dyn Fn(&mut Value),
        &|kept| kept["request"] = kept["answer"].clone(),
        &|kept| kept["more"] = json!(1),
        &|kept| *kept = json!([]),
    ] {
        tried(change);
        assert_eq!(scene.refused().await, Some(Reason::StandbyVoid));
    }
    // A start that cannot be recorded is none.
    tried(&|_| ());
    std::fs::write(scene.folder().join("uses"), b"[{}]").unwrap();
    assert_eq!(scene.refused().await, Some(Reason::StandbyVoid));
    std::fs::write(scene.folder().join("uses"), b"[]").unwrap();
    assert!(scene.started().await.is_ok());
}

#[tokio::test]
async fn t59_garbage_in_place_of_answers_is_silence_and_no_more() {
    let scene = Scene::permitted().await;
    let mut bench = Bench::with(|_, _, genuine| {
        let flipped = genuine.iter().map(|byte| byte ^ 1).collect();
        vec![b"true".to_vec(), flipped, genuine[..genuine.len() / 2].to_vec()]
    });
    (bench.broker, bench.memory) = (Arc::clone(&scene.bench.broker), Arc::clone(&scene.bench.memory));
    bench.timeout = Duration::from_millis(500);
    let host = bench.host().await;
    let running = host.start(&scene.cart, &id("cart")).await.unwrap();
    assert!(running.leave().standby.is_some());
    let greeter = host.start(&guests::signed("greeter"), &id("greeter")).await;
    assert_eq!(greeter.err().and_then(|error| error.reason()), Some(Reason::BrokerUnreachable));
}

#[tokio::test]
async fn t59_a_linked_provider_needs_a_standby_permit_of_its_own() {
    let (logger, folder) = (guests::signed("logger"), tempfile::tempdir().unwrap());
    let file = folder.path().join("logger.wasm");
    std::fs::write(&file, &logger).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let artifacts = Some(crate::folder::Folder::of_artifacts(folder.path()));
    let scene = Scene::on(Bench { artifacts, ..Bench::new() }).await;
    scene.bench.broker.link("cart", "wasi:logging", &logger);
    scene.relax(3600);
    scene.started().await.unwrap();
    scene.down(true);
    assert_eq!(scene.refused().await, Some(Reason::BrokerUnreachable), "its provider has none");

    scene.down(false);
    scene.relax_for("both", &[("cart", &scene.cart), ("logger", &logger)], 3600);
    scene.started().await.unwrap();
    scene.down(true);
    let mut running = scene.started().await.unwrap();
    assert_eq!(running.invoke("add(\"milk\", 1)").await.unwrap(), "ok(1)");
    assert!(scene.uses().iter().any(|used| used.id == id("logger")), "{:?}", scene.uses());
}

#[tokio::test]
async fn t59_a_permit_that_is_forgotten_while_another_task_uses_it_does_not_come_back() {
    let scene = Scene::permitted().await;
    let component = Component::load(scene.host.engine(), &scene.cart).unwrap();
    let (runs, claims, imports) = (component.runs(&id("cart")), component.token(), component.imports());
    let start = Start { what: What::StartComponent, runs: &runs, claims, imports, offers: scene.host.offers() };
    let (content, asker, kept) = (&Content::of(&start), scene.host.asker(), scene.kept());
    let (epoch, clock) = (scene.bench.memory.record().epoch, asker.clock.as_ref());
    let take = |meanwhile: &dyn Fn()| {
        let open = |answer: &[u8]| {
            meanwhile();
            asker.told(answer).map(|(answer, _)| answer)
        };
        asker.standbys.take(content, asker.key.name(), epoch, clock, open).unwrap().is_some()
    };
    // Nothing says that a task waits for a lock, but that it is not done for as long as this.
    let goes_on = |done: &mpsc::Receiver<()>| done.recv_timeout(Duration::from_millis(300)).is_ok();

    // The broker's no comes to another task while the permit is looked at.
    let (tell, done) = mpsc::channel();
    std::thread::scope(|scope| {
        let tell = &tell;
        let forget = || {
            scope.spawn(move || asker.standbys.forget(content).map(|()| tell.send(())));
            assert!(!goes_on(&done), "whoever forgets waits for whoever uses");
        };
        assert!(take(&forget), "it was used before it was forgotten");
    });
    assert!(!kept.exists());

    // And before it is looked at.
    scene.started().await.unwrap();
    assert!(kept.exists());
    let alone = crate::memory::lock(&scene.folder()).unwrap();
    let taken = std::thread::scope(|scope| {
        let (tell, done) = mpsc::channel();
        let taken = scope.spawn(move || {
            let taken = take(&|| ());
            tell.send(()).map(|()| taken)
        });
        assert!(!goes_on(&done), "whoever uses waits for whoever forgets");
        std::fs::remove_file(&kept).unwrap();
        drop(alone);
        // What it told is read, or it could not tell.
        assert_eq!(done.recv(), Ok(()));
        taken.join().unwrap().unwrap()
    });
    assert!(!taken && !kept.exists());
}

#[tokio::test]
async fn permits_that_are_over_are_swept_away() {
    let scene = Scene::permitted().await;
    let (kept, day) = (scene.kept(), Duration::from_secs(86_400));
    let [old, young] = ["old", "young"].map(|name| scene.folder().join(Digest::of(name.as_bytes()).to_string()));
    for (path, age) in [(&old, day * 2), (&young, day / 2)] {
        let file = std::fs::File::create(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
    }
    scene.started().await.unwrap();
    assert_eq!([&old, &young, &kept].map(|path| path.exists()), [false, true, true]);
}

#[tokio::test]
async fn t65_a_host_that_found_a_fork_starts_nothing_by_a_standby_permit() {
    let scene = Scene::permitted().await;
    let copy = scene.bench.broker.copy();
    scene.bench.broker.count();
    copy.count();
    copy.count();
    scene.bench.broker.forget_default("wasi:random");
    // Two entries more in each, and another epoch: the permit itself is still of the newest epoch that was taken in.
    take_both(&scene, &copy);
    scene.down(true);
    assert_eq!(scene.refused().await, Some(Reason::LogFork));
    scene.bench.memory.dismiss(crate::memory::Keep::Held, "the copy was stopped").unwrap();
    assert!(scene.started().await.is_ok(), "and it stands in again once somebody has looked");
}

// The longer log without an event is held, then the other is met.
fn take_both(scene: &Scene, copy: &Broker) {
    crate::notice::take(&scene.bench.memory, &copy.notice()).unwrap();
    let met = crate::notice::take(&scene.bench.memory, &scene.bench.broker.notice());
    assert_eq!(met.unwrap_err().reason(), Some(Reason::LogFork));
}
