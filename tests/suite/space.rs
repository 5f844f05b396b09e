//! A full disk: nothing is granted, refusals and whatever only takes away are recorded in reserved space, and it goes on
//! by itself (T70, T90).
//!
//! The small disk is simulated under the real broker, so that it can be tried anywhere; where the system lets a user
//! mount one, the same is tried on a real one.

use std::process::Command;
use std::time::{Duration, Instant};

use futures::StreamExt;
use harness::caller::{Administrator, Caller, Said};
use harness::faults::Faults;
use harness::lattice::{Lattice, path};
use harness::process::started;
use policy::govern::{BanHost, DeleteDefault, Operation, RetireComponent};

/// A lattice with a broker, a host that asks, others to be banned, and the administrator.
struct Scene {
    lattice: Lattice,
    host: Caller,
    others: Vec<Caller>,
    administrator: Administrator,
}

impl Scene {
    async fn of(mut lattice: Lattice) -> Self {
        lattice.serve();
        for name in ["host", "other", "third"] {
            lattice.join(name);
        }
        let (host, administrator) = (Caller::new(&lattice, "host").await, Administrator::new(&lattice).await);
        let others = vec![Caller::new(&lattice, "other").await, Caller::new(&lattice, "third").await];
        Self { lattice, host, others, administrator }
    }

    // A start that the law refuses.
    async fn stranger(&self) -> Said {
        let stranger = |request: &mut policy::question::StartRequest| request.runs.id = "stranger".parse().unwrap();
        self.host.ask_this(self.host.asker.question_with(stranger)).await
    }

    async fn order(&self, operation: Operation) -> Said {
        self.administrator.command_this(self.administrator.order_to(operation)).await
    }

    fn ban(&self, other: usize) -> Operation {
        Operation::BanHost(BanHost { host: self.others[other].asker.key.name(), running: None })
    }

    fn alarms(&self) -> Vec<String> {
        let status = self.lattice.accepted(&["status"]);
        let alarms = status["alarms"].as_array().unwrap().iter();
        alarms.map(|alarm| alarm["alarm"].as_str().unwrap().to_owned()).collect()
    }

    fn is_at_its_last(&self) -> bool {
        let status = self.lattice.accepted(&["status"]);
        status["alarms"][0]["says"].as_str().unwrap().contains("only acts that take away")
    }

    // Neither a start nor a command that gives anything is answered, and what gives nothing is.
    async fn grants_nothing(&self) {
        for _ in 0..5 {
            assert_eq!(self.host.ask().await, Said::TurnedAway("audit_unavailable".to_owned()));
            assert_eq!(self.administrator.command().await, Said::TurnedAway("audit_unavailable".to_owned()));
        }
    }

    async fn healed(&self) {
        until("a grant", async || self.host.ask().await.is_yes() && self.administrator.command().await.is_yes()).await;
        assert_eq!(self.alarms(), Vec::<String>::new());
    }

    async fn verified(mut self) {
        self.lattice.stop_broker();
        let (code, verified) = self.lattice.json(&["audit", "verify"]);
        assert_eq!(code, 0, "{verified}");
    }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: it never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn t90_t70_on_a_full_disk_what_takes_away_is_recorded_to_the_last_and_grants_are_not() {
    let mut lattice = Lattice::quiet();
    lattice.furnish();
    let mut faults = Faults::prepare(&mut lattice);
    let mut scene = Scene::of(lattice).await;
    scene.healed().await;
    // What lies beside the log is folded in with the first error, which must not count as space.
    let lasting = |name: &str| !name.ends_with("-wal") && !name.ends_with("-shm");
    let files = std::fs::read_dir(scene.lattice.path("lattice")).unwrap().map(Result::unwrap);
    let files = files.filter(|file| lasting(file.file_name().to_str().unwrap()));
    let held: u64 =
        files.map(|file| file.metadata().unwrap()).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum();
    faults.full(held);
    // The first write fails, and with it whatever was to be recorded; then reserved space is there.
    until("a refusal on record", async || matches!(scene.stranger().await, Said::Signed(_, _, Some(_)))).await;
    scene.grants_nothing().await;
    assert_eq!(scene.alarms(), ["space_short"]);
    let ban = scene.order(scene.ban(0)).await;
    assert!(ban.is_yes(), "{ban:?}");
    assert!(scene.others[0].ask().await.is("host_banned"));
    // Somebody else takes more of the disk, and a crowd of refusals uses up its share, and no more than that.
    faults.full(held - 3 * 1024 * 1024);
    let mut crowd = 0;
    let reserve = scene.lattice.path("lattice/reserve");
    let deadline = Instant::now() + Duration::from_secs(120);
    while std::fs::metadata(&reserve).unwrap().len() > 8 * 1024 * 1024 {
        assert!(Instant::now() < deadline, "{crowd} refusals did not use up their share");
        crowd += 64;
        futures::stream::iter(0..64).for_each_concurrent(16, |_| async { drop(scene.stranger().await) }).await;
    }
    until("an act on record", async || scene.order(scene.ban(1)).await.is_yes()).await;
    assert_eq!(scene.stranger().await, Said::TurnedAway("audit_unavailable".to_owned()));
    scene.grants_nothing().await;
    assert!(scene.is_at_its_last());
    // A broker that begins on the full disk can do no more and no less.
    scene.lattice.kill_broker();
    scene.lattice.serve();
    let process = started(scene.lattice.broker_pid().unwrap());
    let retired = Operation::RetireComponent(RetireComponent { id: "cart".parse().unwrap(), running: None });
    until("an act on record", async || scene.order(retired.clone()).await.is_yes()).await;
    scene.grants_nothing().await;
    faults.off();
    until("a grant", async || scene.administrator.command().await.is_yes()).await;
    assert!(scene.host.ask().await.is("component_retired"));
    assert!(scene.others[1].ask().await.is("host_banned"));
    assert_eq!(scene.alarms(), Vec::<String>::new());
    assert_eq!(started(scene.lattice.broker_pid().unwrap()), process, "another process answers");
    println!("{crowd} refusals until only what takes away was recorded");
    scene.verified().await;
}

#[tokio::test]
async fn t90_on_a_real_disk_that_is_filled_the_first_ban_is_recorded_and_grants_return_with_space() {
    if std::env::var_os(SMALL).is_some() {
        return filled().await;
    }
    let room = tempfile::TempDir::new().unwrap();
    let again = Command::new("unshare")
        .args(["-rm", "/bin/sh", "-c", "mount -t tmpfs -o size=128m,mode=700 none \"$0\" && exec \"$@\""])
        .args([path(room.path()), path(&std::env::current_exe().unwrap())])
        .args(["--exact", THIS, "--nocapture"])
        .env("TMPDIR", room.path())
        .env(SMALL, "1")
        .output();
    // To mount is a right that not every system gives; the simulated disk above needs none.
    let Some(again) = again.ok().filter(|again| may_mount(&String::from_utf8_lossy(&again.stderr))) else {
        println!("no disk can be mounted here");
        return;
    };
    let said = format!("{}{}", String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&again.stderr));
    assert!(again.status.success() && said.contains("1 passed"), "{said}");
}

fn may_mount(errors: &str) -> bool {
    !["unshare:", "mount:"].iter().any(|program| errors.starts_with(program))
}

async fn filled() {
    let lattice = Lattice::quiet();
    lattice.furnish();
    let scene = Scene::of(lattice).await;
    scene.healed().await;
    let process = started(scene.lattice.broker_pid().unwrap());
    for round in 0..2 {
        let filler = scene.lattice.path("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &[round; 4096]).is_ok() {}
        drop(file);
        // The very first act on the full disk.
        let act = if round == 0 {
            scene.ban(0)
        } else {
            Operation::DeleteDefault(DeleteDefault { package: "wasi:keyvalue".parse().unwrap() })
        };
        let said = scene.order(act).await;
        assert!(said.is_yes(), "{said:?}");
        assert!(matches!(scene.stranger().await, Said::Signed(_, _, Some(_))));
        if round == 0 {
            scene.grants_nothing().await;
        }
        assert_eq!(scene.alarms(), ["space_short"]);
        std::fs::remove_file(&filler).unwrap();
        if round == 0 {
            scene.healed().await;
        }
    }
    assert!(scene.host.ask().await.is("link_missing"));
    assert_eq!(started(scene.lattice.broker_pid().unwrap()), process, "another process answers");
    scene.verified().await;
}

const SMALL: &str = "COUNTERSIGN_SMALL_DISK";
const THIS: &str = "space::t90_on_a_real_disk_that_is_filled_the_first_ban_is_recorded_and_grants_return_with_space";
