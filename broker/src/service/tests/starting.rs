//! A long log is opened by what its fold rests on: to the same state as by all of it, and whatever was touched is found,
//! at the start or while it serves (F36, T28, T60, T63, T64).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use policy::govern::{AddIssuer, BanHost, Operation, RevokeIssuer};
use policy::issuer::{Kind, Standing};
use policy::key::{self, Host, Name};
use policy::log::Entry;
use policy::name::Scope;
use policy::reason::Reason;
use policy::wire::FRESHNESS_S;
use sqlx::Connection;

use super::asker::{Closed, Lattice};
use super::disk::plain;
use crate::audit::{self, Against};
use crate::check::Check;
use crate::client::Local;
use crate::clock::Clock;
use crate::error::Error;
use crate::keys::SigningKey;
use crate::service::{Backup, Service, backup};
use crate::settings::Settings;
use crate::store::{Folded, Lock, LogReader, Opening, Vouched};
use crate::view::{self, Look};

// Longer ago than any question that could be asked again.
const LONG_AGO_MS: u64 = 600_000;

pub(super) fn quick() -> Settings {
    Settings { whole: 1, ..Settings::default() }
}

/// A log of some hundred rows, most of them long ago, in which an issuer was trusted and revoked.
struct Long {
    closed: Closed,
    host: SigningKey<Host>,
    issuer: Name<key::Issuer>,
    revoked: u64,
    // A ruling long ago, which changed nothing.
    plain: u64,
}

impl Long {
    async fn of(rows: u64) -> Self {
        let lattice = Lattice::new().await;
        let host = lattice.enrolled_host().await;
        let issuer = SigningKey::generate().unwrap().name();
        ask(&lattice, &host, 3).await;
        let plain = lattice.size().await - 1;
        lattice.command(vec![trust(issuer)]).await;
        let revoked = lattice.command(vec![revoke(issuer)]).await.index;
        assert_eq!(lattice.command(vec![revoke(issuer)]).await.reason, Some(Reason::AlreadyExists));
        lattice.command(vec![trust(SigningKey::generate().unwrap().name())]).await;
        ask(&lattice, &host, rows.saturating_sub(lattice.size().await)).await;
        lattice.clock.advance(LONG_AGO_MS);
        ask(&lattice, &host, 2).await;
        Self { closed: lattice.closed().await, host, issuer, revoked, plain }
    }

    fn log(&self) -> std::path::PathBuf {
        self.closed.folder.log()
    }
}

async fn ask(lattice: &Lattice, host: &SigningKey<Host>, many: u64) {
    for _ in 0..many {
        lattice.service.answer_start(&lattice.request(host)).await.unwrap();
    }
}

fn trust(key: Name<key::Issuer>) -> Operation {
    let (scope, kinds) = (BTreeSet::from([Scope::parse("acme:*").unwrap()]), BTreeSet::from([Kind::Component]));
    Operation::AddIssuer(AddIssuer::vouched(key, scope, kinds, None))
}

fn revoke(key: Name<key::Issuer>) -> Operation {
    Operation::RevokeIssuer(RevokeIssuer { key, running: None })
}

async fn refused(closed: &Closed) -> Reason {
    let clock = Arc::clone(&closed.clock) as Arc<dyn Clock>;
    Service::open_with(&closed.folder, clock, quick()).await.err().unwrap().reason().unwrap()
}

pub(super) async fn settled(service: &Service) -> Check {
    loop {
        match service.present().check().as_ref() {
            Check::UnderWay { .. } => tokio::task::yield_now().await,
            settled => return settled.clone(),
        }
    }
}

// A database administrator takes the guard rails away and puts them back.
pub(super) async fn tamper(file: &Path, sql: &[&str]) {
    let mut connection = plain(file).await;
    let rails = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'";
    let rails: Vec<(String, String)> = sqlx::query_as(rails).fetch_all(&mut connection).await.unwrap();
    let dropped = rails.iter().map(|(name, _)| ["DROP TRIGGER ", name].concat());
    let restored = rails.iter().map(|(_, sql)| sql.clone());
    for sql in dropped.chain([sql.concat()]).chain(restored) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

async fn folds(log: &Path) -> Vec<i64> {
    let mut connection = plain(log).await;
    let found = sqlx::query_scalar("SELECT idx FROM folds ORDER BY idx").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found
}

pub(super) async fn folded(closed: &Closed, whole: u64) -> Folded {
    let vouched = Lock::peek(&closed.folder.lock_file()).await;
    let reader = LogReader::open(&closed.folder.log()).await.unwrap();
    let folded = reader.fold(Opening { vouched, whole, watch: None, seen: None }, |_, _| ()).await.unwrap();
    reader.close().await.unwrap();
    folded
}

// The state has no equality of its own: what it says of everything is what counts.
pub(super) fn same(quick: &Folded, whole: &Folded) {
    assert_eq!(quick.ledger.head(), whole.ledger.head());
    assert_eq!(quick.ledger.root(), whole.ledger.root());
    assert_eq!(format!("{:?}", quick.ledger.state()), format!("{:?}", whole.ledger.state()));
    assert_eq!((quick.tree.root(), &quick.tree, &quick.edge), (whole.tree.root(), &whole.tree, &whole.edge));
    let (one, other) = (&quick.gleaned, &whole.gleaned);
    assert_eq!((&one.inception, one.warrant, &one.rerooted), (&other.inception, other.warrant, &other.rerooted));
    // What is asked again later than this is turned away at the door.
    let oldest = whole.ledger.head().at_ms.saturating_sub((2 * FRESHNESS_S + 1) * 1000);
    let asked: Vec<_> = other.asked.iter().filter(|asked| asked.at_ms >= oldest).copied().collect();
    assert_eq!(Vec::from(one.asked.clone()), asked);
}

#[tokio::test]
async fn f36_a_long_log_is_opened_by_what_its_fold_rests_on_and_read_while_it_serves() {
    let long = Long::of(600).await;
    let (few, all) = (folded(&long.closed, 1).await, folded(&long.closed, u64::MAX).await);
    assert!(few.passed.is_some() && all.passed.is_none());
    same(&few, &all);
    let size = all.ledger.head().size;
    assert!(few.gleaned.resting.len() < 20, "{} rows of {size} were read", few.gleaned.resting.len());
    let lattice = long.closed.opened_with(quick()).await;
    let snapshot = lattice.service.snapshot().await.unwrap();
    assert_eq!((snapshot.head, snapshot.root), (all.ledger.head(), all.tree.root()));
    // It decides at once, and has read every row in the end.
    ask(&lattice, &long.host, 1).await;
    assert_eq!(settled(&lattice.service).await, Check::Done { of: size });
    ask(&lattice, &long.host, 1).await;
    lattice.closed().await.opened_with(quick()).await;
}

#[tokio::test]
async fn f36_random_logs_come_to_the_same_by_what_they_rest_on_as_by_every_row() {
    let mut lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let mut issuers = Vec::new();
    for turn in 0..12 {
        let mut random = [0; 24];
        getrandom::fill(&mut random).unwrap();
        for byte in random {
            match byte % 8 {
                0 => {
                    issuers.push(SigningKey::generate().unwrap().name());
                    lattice.command(vec![trust(*issuers.last().unwrap())]).await;
                }
                // Twice is refused, and its id is remembered all the same.
                1 if !issuers.is_empty() => {
                    lattice.command(vec![revoke(issuers[usize::from(byte) % issuers.len()])]).await;
                }
                2 => lattice.service.turn_away(Reason::HostUnknown),
                3 => lattice.clock.advance(u64::from(byte) * 1000),
                _ => ask(&lattice, &host, u64::from(byte % 24)).await,
            }
        }
        let closed = lattice.closed().await;
        let (few, all) = (folded(&closed, 1).await, folded(&closed, u64::MAX).await);
        assert!(few.passed.is_some(), "turn {turn}: {random:?}");
        same(&few, &all);
        lattice = if turn % 2 == 0 { closed.opened_with(quick()).await } else { closed.opened().await };
    }
}

#[tokio::test]
async fn t28_t63_an_entry_that_is_no_longer_named_is_missed_at_the_start() {
    let long = Long::of(60).await;
    let before = folds(&long.log()).await;
    tamper(&long.log(), &["DELETE FROM folds WHERE idx = ", &long.revoked.to_string()]).await;
    // Every row was read, so the issuer is as revoked as it was, and the entry is named again.
    let lattice = long.closed.opened_with(quick()).await;
    assert_eq!(settled(&lattice.service).await, Check::Whole);
    let state = lattice.service.snapshot().await.unwrap();
    let standing = state.state.issuers().find(&long.issuer).unwrap().standing;
    assert!(matches!(standing, Standing::Revoked(_)), "{standing:?}");
    let lattice = lattice.closed().await;
    assert_eq!(folds(&lattice.folder.log()).await, before);
    // Nobody reads a folder past it either.
    tamper(&lattice.folder.log(), &["DELETE FROM folds WHERE idx = ", &long.revoked.to_string()]).await;
    let local = Local::read_whole(&lattice.folder, 1).await.unwrap();
    assert!(matches!(local.ledger.state().issuers().find(&long.issuer).unwrap().standing, Standing::Revoked(_)));
    // One that is named and does not count is no harm.
    tamper(
        &lattice.folder.log(),
        &["INSERT INTO folds VALUES (", &long.revoked.to_string(), "), (", &long.plain.to_string(), ")"],
    )
    .await;
    let (few, all) = (folded(&lattice, 1).await, folded(&lattice, u64::MAX).await);
    assert!(few.passed.is_some());
    same(&few, &all);
}

#[tokio::test]
async fn t63_an_entry_that_the_fold_rests_on_and_that_was_changed_with_its_hash_does_not_open() {
    let long = Long::of(60).await;
    let row = LogReader::open(&long.log()).await.unwrap().row(long.revoked).await.unwrap().unwrap();
    let mut entry = Entry::read(&row.bytes).unwrap();
    let policy::log::Body::Governance(judged) = &mut entry.body else { panic!("no event") };
    judged.events.clear();
    let (bytes, hash) = (entry.to_bytes(), policy::log::leaf_hash(&entry.to_bytes()));
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    let (hash, at) = (hash.to_string(), long.revoked.to_string());
    let set = ["UPDATE entries SET bytes = x'", &hex, "', hash = x'", &hash, "' WHERE idx = ", &at];
    tamper(&long.log(), &set).await;
    assert_eq!(refused(&long.closed).await, Reason::LogBroken);
    let local = Local::read_whole(&long.closed.folder, 1).await;
    assert_eq!(local.err().and_then(|error| error.reason()), Some(Reason::LogBroken));
}

#[tokio::test]
async fn t63_a_wrong_tile_at_the_edge_is_made_again_and_misleads_nobody() {
    let long = Long::of(600).await;
    let all = folded(&long.closed, u64::MAX).await;
    let edge = long.closed.folder.path().join("tree/tile/1/000.p/2");
    let right = fs::read(&edge).unwrap();
    let mut wrong = right.clone();
    wrong[40] ^= 1;
    fs::write(&edge, &wrong).unwrap();
    let few = folded(&long.closed, 1).await;
    assert!(few.passed.is_some());
    same(&few, &all);
    let lattice = long.closed.opened_with(quick()).await;
    assert_eq!(lattice.service.snapshot().await.unwrap().root, all.tree.root());
    assert_eq!(fs::read(&edge).unwrap(), right);
    // A whole tile that is wrong is made again while the rows are read.
    let lattice = lattice.closed().await;
    let whole = lattice.folder.path().join("tree/tile/0/000");
    let right = fs::read(&whole).unwrap();
    fs::write(&whole, vec![7; right.len()]).unwrap();
    let lattice = lattice.opened_with(quick()).await;
    assert!(matches!(settled(&lattice.service).await, Check::Done { .. }));
    assert_eq!(fs::read(&whole).unwrap(), right);
}

// What was changed is found while it serves: nothing is granted, and what takes away is recorded.
async fn ends_grants(closed: Closed, host: Name<Host>, says: &str) -> Lattice {
    let lattice = closed.opened_with(quick()).await;
    let Check::Broken { .. } = settled(&lattice.service).await else { panic!("nothing was found") };
    let grant = lattice.signed_command(vec![trust(SigningKey::generate().unwrap().name())]).await;
    let Err(Error::Refused(refusal)) = lattice.service.command(&grant).await else { panic!("it was granted") };
    assert_eq!(refusal.reason, Reason::AuditUnavailable);
    assert!(refusal.detail.contains(says) && refusal.detail.contains("countersign audit verify"), "{refusal}");
    let ban = Operation::BanHost(BanHost { host, running: None });
    assert_eq!(lattice.command(vec![ban]).await.reason, None);
    let status = status(&lattice).await;
    assert_eq!((&status["check"]["state"], &status["alarms"][0]["alarm"]), (&"broken".into(), &"log_broken".into()));
    lattice
}

async fn status(lattice: &Lattice) -> serde_json::Value {
    let (snapshot, log) = (lattice.service.snapshot().await.unwrap(), lattice.service.log().await.unwrap());
    let present = lattice.service.present();
    let scene = view::Scene {
        state: &snapshot.state,
        head: snapshot.head,
        root: snapshot.root,
        log: &log,
        now: lattice.clock.now(),
        present: Some(present),
        room: present.room(),
    };
    view::answer(scene, &Look::Status).await.unwrap()
}

#[tokio::test]
async fn t63_a_row_that_the_start_passed_and_that_was_changed_ends_every_grant() {
    for change in [
        "bytes = CAST(replace(CAST(bytes AS TEXT), 'default', 'defaulT') AS BLOB)",
        "hash = zeroblob(32)",
        "bytes = x'7b7d'",
    ] {
        let long = Long::of(300).await;
        tamper(&long.log(), &["UPDATE entries SET ", change, " WHERE idx = ", &long.plain.to_string()]).await;
        let row = format!("row {} of the log does not hold", long.plain);
        let lattice = ends_grants(long.closed, long.host.name(), &row).await;
        // The next start finds the row again.
        let lattice = lattice.closed().await.opened_with(quick()).await;
        let Check::Broken { held, .. } = settled(&lattice.service).await else { panic!("nothing was found") };
        assert_eq!(held, long.plain);
    }
}

#[tokio::test]
async fn t63_a_row_that_the_start_passed_and_that_is_gone_ends_every_grant() {
    let long = Long::of(300).await;
    tamper(&long.log(), &["DELETE FROM entries WHERE idx = ", &long.plain.to_string()]).await;
    ends_grants(long.closed, long.host.name(), &format!("row {} of the log does not hold", long.plain)).await;
}

#[tokio::test]
async fn t28_t63_who_fits_the_lock_to_what_he_left_out_is_found_at_the_start_or_while_it_serves() {
    let long = Long::of(40).await;
    let Vouched { size, .. } = Lock::peek(&long.closed.folder.lock_file()).await.unwrap();
    // Log and lock are his, and he leaves the revocation out: each entry behind it names an epoch that it made.
    tamper(&long.log(), &["DELETE FROM folds WHERE idx = ", &long.revoked.to_string()]).await;
    let reader = LogReader::open(&long.log()).await.unwrap();
    let lacking = reader.fold_before(size, &mut |_, _| ()).await;
    assert_eq!(lacking.err().and_then(|error| error.reason()), Some(Reason::LogBroken));
    reader.close().await.unwrap();
    // He leaves out that a command was refused, so that its id is forgotten, and has the lock vouch for what is left.
    tamper(&long.log(), &["INSERT INTO folds VALUES (", &long.revoked.to_string(), ")"]).await;
    tamper(&long.log(), &["DELETE FROM folds WHERE idx = ", &(long.revoked + 1).to_string()]).await;
    let reader = LogReader::open(&long.log()).await.unwrap();
    let rests = reader.fold_before(size, &mut |_, _| ()).await.unwrap().head().rests;
    reader.close().await.unwrap();
    tamper(&long.closed.folder.lock_file(), &["UPDATE lock SET rests = x'", &rests.to_string(), "'"]).await;
    ends_grants(long.closed, long.host.name(), "what the fold rests on").await;
}

#[tokio::test]
async fn the_lock_of_a_backup_vouches_for_it() {
    let long = Long::of(40).await;
    let dest = long.closed.place.path().join("copy");
    let asked = Backup { dest: dest.clone(), with_keys: false };
    backup(&long.closed.folder, &asked).await.unwrap();
    let ours = Lock::peek(&long.closed.folder.lock_file()).await;
    assert!(ours.is_some());
    assert_eq!(Lock::peek(&dest.join("lock.db")).await, ours);
    assert_eq!(folds(&dest.join("log.db")).await, folds(&long.log()).await);
}

#[tokio::test]
async fn t62_a_backup_that_is_cut_is_missed_by_the_checkpoint_in_it() {
    let long = Long::of(40).await;
    let dest = long.closed.place.path().join("copy");
    backup(&long.closed.folder, &Backup { dest: dest.clone(), with_keys: false }).await.unwrap();
    let (log, mut found) = (dest.join("log.db"), Vec::new());
    let size = LogReader::open(&log).await.unwrap().size().await.unwrap();
    let from = (size - 2).to_string();
    let cut = ["DELETE FROM entries WHERE idx >= ", &from, "; DELETE FROM folds WHERE idx >= ", &from];
    for cut in [&[][..], &cut] {
        tamper(&log, cut).await;
        let reader = LogReader::open(&log).await.unwrap();
        // The lock in it is nobody's word: whoever cuts the log writes it anew.
        let against = Against { shelf: Some(reader.shelf()), ..Against::default() };
        let verdict = audit::log(&reader, against, || ()).await.unwrap();
        found.push(verdict.map(|sound| sound.shelved.unwrap().notes > 0).map_err(|broken| broken.refusal.reason));
        reader.close().await.unwrap();
    }
    assert_eq!(found, [Ok(true), Err(Reason::StateRollback)]);
}

#[tokio::test]
async fn a_backup_takes_no_checkpoint_that_does_not_hold_and_is_made_all_the_same() {
    let long = Long::of(40).await;
    let (tree, dest) = (long.closed.folder.path().join("tree"), long.closed.place.path().join("copy"));
    let note = fs::read_to_string(tree.join("checkpoint")).unwrap();
    fs::remove_dir_all(tree.join("checkpoints")).unwrap();
    fs::write(tree.join("checkpoint"), note.replacen("epoch ", "epoch 1", 1)).unwrap();
    backup(&long.closed.folder, &Backup { dest: dest.clone(), with_keys: false }).await.unwrap();
    assert!(!dest.join("tree").exists());
    fs::write(tree.join("checkpoint"), &note).unwrap();
    let again = long.closed.place.path().join("again");
    backup(&long.closed.folder, &Backup { dest: again.clone(), with_keys: false }).await.unwrap();
    assert_eq!(fs::read_to_string(again.join("tree/checkpoint")).unwrap(), note);
}

#[tokio::test]
async fn a_lock_of_before_has_every_row_read_once() {
    let long = Long::of(40).await;
    tamper(&long.closed.folder.lock_file(), &["UPDATE lock SET rests = NULL, root = NULL"]).await;
    let lattice = long.closed.opened_with(quick()).await;
    assert_eq!(*lattice.service.present().check(), Check::Whole);
    let lattice = lattice.closed().await.opened_with(quick()).await;
    assert!(matches!(settled(&lattice.service).await, Check::Done { .. }));
}

#[tokio::test]
async fn t60_t64_behind_its_lock_a_long_log_does_not_open() {
    let long = Long::of(40).await;
    let kept = fs::read(long.log()).unwrap();
    let lattice = long.closed.opened_with(quick()).await;
    ask(&lattice, &long.host, 3).await;
    let lattice = lattice.closed().await;
    fs::write(lattice.folder.log(), &kept).unwrap();
    assert_eq!(refused(&lattice).await, Reason::StateRollback);
    // Nor one that is as long and another.
    tamper(&lattice.folder.lock_file(), &["UPDATE lock SET size = size - 3, last = zeroblob(32)"]).await;
    assert_eq!(refused(&lattice).await, Reason::StateRollback);
}

#[tokio::test]
async fn a_long_log_that_is_ahead_of_its_lock_opens() {
    let long = Long::of(300).await;
    let kept = fs::read(long.closed.folder.lock_file()).unwrap();
    let lattice = long.closed.opened_with(quick()).await;
    ask(&lattice, &long.host, 300).await;
    lattice.command(vec![trust(SigningKey::generate().unwrap().name())]).await;
    let lattice = lattice.closed().await;
    // Killed after the log was written, and before its lock was.
    fs::write(lattice.folder.lock_file(), kept).unwrap();
    let (few, all) = (folded(&lattice, 1).await, folded(&lattice, u64::MAX).await);
    assert!(few.passed.is_some_and(|passed| passed.size + 301 == all.ledger.head().size));
    same(&few, &all);
    let lattice = lattice.opened_with(quick()).await;
    assert!(matches!(settled(&lattice.service).await, Check::Done { .. }));
}

#[tokio::test]
async fn t61_a_question_of_a_moment_ago_is_answered_as_it_was_behind_a_start_that_passed_rows() {
    let long = Long::of(300).await;
    let lattice = long.closed.opened_with(quick()).await;
    let request = lattice.request(&long.host);
    let answer = lattice.service.answer_start(&request).await.unwrap();
    ask(&lattice, &long.host, 20).await;
    let size = lattice.size().await;
    let lattice = lattice.closed().await.opened_with(quick()).await;
    assert_eq!(lattice.service.answer_start(&request).await.unwrap(), answer);
    assert_eq!(lattice.size().await, size);
}

#[tokio::test]
async fn what_is_told_of_the_past_is_the_same_by_what_the_log_names() {
    let long = Long::of(300).await;
    let (few, all) = (
        Local::read_whole(&long.closed.folder, 1).await.unwrap(),
        Local::read_whole(&long.closed.folder, u64::MAX).await.unwrap(),
    );
    let now = long.closed.clock.now();
    let looks = [
        Look::Status,
        Look::Warrants,
        Look::Why { about: long.plain.to_string(), contract: None },
        Look::Why { about: "cart".to_owned(), contract: None },
        Look::Prove { about: long.plain.to_string() },
        Look::Proof { index: Some(long.plain), size: None, from: Some(100) },
    ];
    let mut told = Vec::new();
    for look in &looks {
        let told_quick = view::answer(few.scene(now), look).await.unwrap();
        assert_eq!(told_quick, view::answer(all.scene(now), look).await.unwrap(), "{look:?}");
        told.push(told_quick);
    }
    // Where an entry is no longer named, every row is read, and the same is told.
    tamper(&long.log(), &["DELETE FROM folds WHERE idx = ", &long.revoked.to_string()]).await;
    for (look, told) in looks.iter().zip(told) {
        assert_eq!(view::answer(few.scene(now), look).await.unwrap(), told, "{look:?}");
    }
}
