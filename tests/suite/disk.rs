//! A disk that is full, broken or read-only under a real broker: nothing without a row, and it heals by itself (T67,
//! T90).
//!
//! `COUNTERSIGN_FAULTS=all` lets every system call fail in turn; a few of each kind run otherwise. The folder holds the
//! log with its side files, the lock with its own, and the reserve: calls on each of them are met.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use broker::store::LogReader;
use harness::caller::{Administrator, Caller, Said};
use harness::faults::{EIO, ENOSPC, EROFS, EVERY_CALL, Fault, Faults};
use harness::lattice::{Lattice, path};
use harness::process::started;
use policy::digest::Digest;
use policy::govern::{Operation, RevokeIssuer};
use policy::log::{Body, Entry};
use policy::reason::Reason;

/// A lattice whose broker's system calls can fail, one who asks, and one who commands.
struct Scene {
    lattice: Lattice,
    faults: Faults,
    asker: Caller,
    administrator: Administrator,
    // Each entry that anybody was told of.
    told: BTreeMap<u64, Digest>,
}

impl Scene {
    async fn new() -> Self {
        let mut lattice = Lattice::quiet();
        lattice.furnish();
        let faults = Faults::prepare(&mut lattice);
        lattice.serve();
        lattice.join("host");
        let (asker, administrator) = (Caller::new(&lattice, "host").await, Administrator::new(&lattice).await);
        Self { lattice, faults, asker, administrator, told: BTreeMap::new() }
    }

    async fn ask(&mut self) -> Said {
        let said = self.asker.ask().await;
        self.remember(said)
    }

    async fn command(&mut self) -> Said {
        let said = self.administrator.command().await;
        self.remember(said)
    }

    fn remember(&mut self, said: Said) -> Said {
        if let Said::Signed(index, hash, _) = &said {
            self.told.insert(*index, *hash);
        }
        said
    }

    // Until a question and a command are answered with yes.
    async fn healed(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !(self.ask().await.is_yes() && self.command().await.is_yes()) {
            assert!(Instant::now() < deadline, "it does not heal");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    // Everything that was told is on record, and the record is sound.
    async fn verified(mut self) -> usize {
        self.lattice.stop_broker();
        let log = LogReader::open(&self.lattice.log()).await.unwrap();
        for (index, hash) in &self.told {
            let row = log.row(*index).await.unwrap();
            let row = row.unwrap_or_else(|| panic!("entry {index} was told of and is missing"));
            assert_eq!(row.hash, *hash, "entry {index} is not the one that was told of");
        }
        let (code, verified) = self.lattice.json(&["audit", "verify"]);
        assert_eq!(code, 0, "{verified}");
        self.told.len()
    }
}

#[tokio::test]
async fn t67_t90_f20_on_a_full_disk_nothing_is_granted_and_it_heals_without_a_restart() {
    let mut scene = Scene::new().await;
    scene.healed().await;
    let (pid, process) = (scene.lattice.broker_pid().unwrap(), started(scene.lattice.broker_pid().unwrap()));
    for (errno, calls) in [(ENOSPC, "wto"), (EIO, "wst"), (EROFS, "wtoru")] {
        scene.faults.on(Fault { calls, done: false, first: 1, count: u32::MAX, errno });
        for _ in 0..10 {
            let asked = scene.ask().await;
            assert_eq!(asked, Said::TurnedAway("audit_unavailable".to_owned()), "{errno}");
            let commanded = scene.command().await;
            assert_eq!(commanded, Said::TurnedAway("audit_unavailable".to_owned()), "{errno}");
        }
        assert!(scene.faults.met() > 0, "the disk was never written to");
        scene.faults.off();
        scene.healed().await;
        assert_eq!(started(pid), process, "another process answers");
    }
    let log = scene.lattice.log();
    scene.lattice.stop_broker();
    // What was turned away meanwhile was counted, and the count is on record.
    let rows = LogReader::open(&log).await.unwrap().rows(0, 10_000).await.unwrap();
    let counted = rows.iter().filter_map(|row| match Entry::read(&row.bytes).unwrap().body {
        Body::Door(counts) => counts.get(&Reason::AuditUnavailable).copied(),
        _ => None,
    });
    assert!(counted.sum::<u64>() >= 60, "what could not be recorded was not counted");
    scene.verified().await;
}

#[tokio::test]
async fn t67_a_log_that_is_taken_away_under_a_broker_records_no_act_and_goes_on_when_it_is_put_back() {
    let mut scene = Scene::new().await;
    scene.healed().await;
    let (pid, process) = (scene.lattice.broker_pid().unwrap(), started(scene.lattice.broker_pid().unwrap()));
    let (log, away) = (scene.lattice.log(), scene.lattice.path("away.db"));
    for (file, told) in [(log.clone(), "put it back"), (scene.lattice.path("lattice/lock.db"), r#""missing":true"#)] {
        let issuer = scene.lattice.issuer(file.file_stem().unwrap().to_str().unwrap());
        scene.lattice.accepted(&["issuer", "add", &issuer, "--scope", "demo:*", "--kind", "component"]);
        let key = issuer.parse().unwrap();
        std::fs::rename(&file, &away).unwrap();
        assert_eq!(scene.ask().await, Said::TurnedAway("audit_unavailable".to_owned()));
        let revoke = scene.administrator.order_to(Operation::RevokeIssuer(RevokeIssuer { key, running: None }));
        let revoked = scene.administrator.command_this(revoke.clone()).await;
        assert_eq!(revoked, Said::TurnedAway("audit_unavailable".to_owned()));
        for _ in 0..5 {
            assert_eq!(scene.ask().await, Said::TurnedAway("audit_unavailable".to_owned()));
        }
        let (_, status) = scene.lattice.json(&["status"]);
        assert!(status.to_string().contains(told), "{status}");
        std::fs::rename(&away, &file).unwrap();
        scene.healed().await;
        // It may be on record, and is told of now.
        let again = scene.administrator.command_this(revoke).await;
        assert!(matches!(scene.remember(again), Said::Signed(..)));
    }
    assert_eq!(started(pid), process, "another process answers");
    std::fs::remove_file(&log).unwrap();
    for _ in 0..5 {
        assert_eq!(scene.command().await, Said::TurnedAway("audit_unavailable".to_owned()));
        assert_eq!(scene.ask().await, Said::TurnedAway("audit_unavailable".to_owned()));
    }
    assert!(!log.exists(), "the log was made anew");
}

#[tokio::test]
async fn t67_f14_each_system_call_may_fail_in_both_forms_and_no_answer_is_without_its_row() {
    let every = std::env::var("COUNTERSIGN_FAULTS").is_ok_and(|faults| faults == "all");
    let stride = if every { 1 } else { 13 };
    let mut scene = Scene::new().await;
    scene.healed().await;
    let process = started(scene.lattice.broker_pid().unwrap());
    let mut points = 0;
    // The last form outlives the first tries to open the files again.
    for (done, count, errno) in [(false, 1, ENOSPC), (true, 1, EIO), (false, 25, EIO)] {
        for first in (1..).step_by(stride) {
            scene.faults.on(Fault { calls: EVERY_CALL, done, first, count, errno });
            for _ in 0..2 {
                scene.ask().await;
                scene.command().await;
            }
            if scene.faults.met() < first {
                break;
            }
            scene.healed().await;
            points += 1;
        }
    }
    scene.faults.off();
    assert_eq!(started(scene.lattice.broker_pid().unwrap()), process, "another process answers");
    let told = scene.verified().await;
    println!("{points} faults, {told} answers: each has its row");
}

#[tokio::test]
async fn t67_f14_a_start_on_a_faulty_disk_is_sound_or_none() {
    let every = std::env::var("COUNTERSIGN_FAULTS").is_ok_and(|faults| faults == "all");
    let mut scene = Scene::new().await;
    let (mut points, mut refused) = (0, 0);
    for done in [false, true] {
        for first in (1..).step_by(if every { 1 } else { 13 }) {
            // Killed, so that there is something to bring in order.
            scene.healed().await;
            scene.lattice.kill_broker();
            scene.faults.on(Fault { calls: EVERY_CALL, done, first, count: 1, errno: EIO });
            refused += u32::from(!scene.lattice.try_serve());
            let met = scene.faults.met();
            scene.faults.off();
            scene.lattice.kill_broker();
            scene.lattice.serve();
            if met < first {
                break;
            }
            points += 1;
        }
    }
    scene.healed().await;
    let told = scene.verified().await;
    println!("{points} faults, {refused} starts refused, {told} answers: each has its row");
}

#[tokio::test]
async fn t67_f14_a_host_whose_memory_cannot_be_written_binds_nothing_and_forgets_nothing() {
    let every = std::env::var("COUNTERSIGN_FAULTS").is_ok_and(|faults| faults == "all");
    let lattice = Lattice::with_cart();
    let cart = lattice.path("cart-acme.wasm");
    let run = ["run", path(&cart), "--id", "cart", "--invoke", "add(\"milk\", 2)"];
    let administrator = Administrator::new(&lattice).await;
    let (mut faults, sees) = Faults::prepare_host(&lattice, "host");
    let (mut points, mut shut) = (0, 0);
    for (done, errno) in [(false, ENOSPC), (true, EIO)] {
        for first in (1..).step_by(if every { 1 } else { 3 }) {
            // An event, so that there is something to remember before anything binds.
            assert!(administrator.command().await.is_yes());
            let before = remembered(&lattice);
            faults.on(Fault { calls: EVERY_CALL, done, first, count: 1, errno });
            let ran = lattice.host_seeing("host", &run, &sees);
            let met = faults.met();
            faults.off();
            let (said, after) = (String::from_utf8_lossy(&ran.stdout).into_owned(), remembered(&lattice));
            assert!(after >= before, "it went back from {before:?} to {after:?}");
            // What ran was permitted by an answer that the host remembers.
            assert_eq!(said.contains("ok(2)"), ran.status.success() && after > before, "{said}");
            shut += u32::from(!ran.status.success());
            if met < first {
                assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
                break;
            }
            points += 1;
        }
    }
    println!("{points} faults in a host's folder, {shut} starts refused: nothing bound that is not remembered");
}

// Epoch and newest entry, as they lie on the host's disk.
fn remembered(lattice: &Lattice) -> (u64, u64) {
    let record = host::memory::Memory::load(&lattice.path("host")).unwrap().record();
    (record.epoch, record.head.index)
}
