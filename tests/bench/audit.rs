//! A long log: how fast it is verified, proved, opened and appended to, next to reading and hashing the same rows bare.
//!
//! `COUNTERSIGN_BENCH_ROWS` says how long it grows: 100 000 entries when it says nothing, where goals that are meant for
//! a million are told and held to nothing.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::check::Check;
use broker::clock::SystemClock;
use broker::folder::Folder;
use broker::service::Service;
use broker::store::{Claim, LogReader, rehearse};
use harness::asker::Asker;
use harness::lattice::{Lattice, path};
use harness::longer::Longer;
use harness::program::program;
use policy::log::{Frontier, Step, leaf_hash};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use crate::figure::{Board, Goal, median};

/// All of it, at each length up to the one that is wanted.
pub(crate) async fn measure(board: &mut Board) {
    let most = std::env::var("COUNTERSIGN_BENCH_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(100_000);
    let mut lattice = Lattice::with_cart();
    lattice.stop_broker();
    let mut longer = Longer::new(&lattice).await;
    let mut other = Lattice::with_cart();
    other.stop_broker();
    let mut short = Longer::new(&other).await;
    for rows in [10_000, 100_000, 1_000_000, 10_000_000].into_iter().filter(|rows| *rows <= most) {
        board.doing(&format!("audit: growing to {rows} entries"));
        let (before, began) = (size_of(&lattice.log()), longer.size());
        longer.grow(rows).await;
        let each = (size_of(&lattice.log()) - before) as f64 / (rows - began) as f64;
        board.put(&format!("bytes per recorded start, to {rows} entries"), each, "B", Goal::AtMost(2048.0));
        board.doing(&format!("audit: appending behind {rows} entries, and behind none"));
        let ratio = append_ratio(&mut longer, &mut short).await;
        board.put(&format!("append rate behind {rows} entries / behind none"), ratio, "ratio", Goal::AtLeast(0.8));
        figures(board, &lattice, rows).await;
    }
}

async fn figures(board: &mut Board, lattice: &Lattice, rows: u64) {
    let at = |goal: Goal| if rows >= MEANT { goal } else { Goal::Told };
    board.doing(&format!("audit: {rows} entries"));
    let folder = Folder::open(&lattice.path("lattice")).expect("a folder");
    let name = |what: &str| format!("{what}, {rows} entries");
    // The lock stands where the log began to grow, so every row behind it is decided anew; and no tile was made meanwhile.
    let took = first_decision(&folder, lattice).await;
    board.put(&name("first decision after start, its lock far behind"), took.as_secs_f64(), "s", Goal::Told);
    std::fs::remove_dir_all(folder.path().join("tree/tile")).expect("the tiles");
    let took = first_decision(&folder, lattice).await;
    board.put(&name("first decision after start, tiles missing"), took.as_secs_f64(), "s", Goal::Told);
    let took = first_decision(&folder, lattice).await;
    board.put(&name("first decision after start"), took.as_secs_f64(), "s", at(Goal::AtMost(2.0)));
    let took = checked(&folder).await;
    board.put(&name("every row read behind a start"), took.as_secs_f64(), "s", Goal::Told);
    // Out of the tiles, which were made anew meanwhile.
    board.put(&name("inclusion proof"), proof_ms(&lattice.log()).await, "ms", Goal::AtMost(5.0));
    // What follows takes minutes for a million, and as long for each of more.
    if rows > MEANT {
        return;
    }
    let took = looked(lattice, &["issuer", "list"]);
    board.put(&name("`issuer list` from the folder"), took.as_secs_f64() * 1000.0, "ms", Goal::Told);
    let took = looked(lattice, &["why", &(rows / 2).to_string()]);
    board.put(&name("`why` from the folder"), took.as_secs_f64() * 1000.0, "ms", Goal::Told);

    let newest = lattice.path("lattice/tree/checkpoint");
    let mut turns = Vec::new();
    // A short log is through in a blink: the middle of several turns, each beside its own scan.
    for _ in 0..if rows < MEANT { 5 } else { 1 } {
        let (bare, size) = bare_scan(&lattice.log()).await;
        let chain = verified(lattice, &["--from", path(&newest)]).as_secs_f64();
        turns.push((bare.as_secs_f64() / chain, chain, size));
    }
    turns.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, chain, size) = turns[turns.len() / 2];
    board.put(&name("verify entries, chain, tree / bare scan and SHA-256"), ratio, "ratio", Goal::AtLeast(0.5));
    let million = chain * 1e6 / size as f64;
    board.put(&name("the same, a million of them"), million, "s", Goal::AtMost(20.0));
    let all = verified(lattice, &[]);
    board.put(&name("verify, all decided again, per second"), size as f64 / all.as_secs_f64(), "1/s", Goal::Told);
}

async fn first_decision(folder: &Folder, lattice: &Lattice) -> Duration {
    let began = Instant::now();
    let service = Service::open(folder, Arc::new(SystemClock::default())).await.expect("it opens");
    service.answer_start(&Asker::of(lattice, "host").question()).await.expect("an answer");
    let took = began.elapsed();
    service.close().await.expect("it closes");
    took
}

// Until nothing is left that the start passed.
async fn checked(folder: &Folder) -> Duration {
    let began = Instant::now();
    let service = Service::open(folder, Arc::new(SystemClock::default())).await.expect("it opens");
    while let Check::UnderWay { .. } = *service.present().check() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(service.present().check().alarm().is_none(), "{:?}", service.present().check());
    let took = began.elapsed();
    service.close().await.expect("it closes");
    took
}

fn looked(lattice: &Lattice, what: &[&str]) -> Duration {
    let folder = lattice.path("lattice");
    let mut command: Command = program("countersign");
    command.args(["-o", "json", "--dir", path(&folder)]).args(what);
    let began = Instant::now();
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    began.elapsed()
}

fn verified(lattice: &Lattice, how: &[&str]) -> Duration {
    let folder = lattice.path("lattice");
    let mut command: Command = program("countersign");
    command.args(["-o", "json", "--dir", path(&folder), "audit", "verify"]).args(how);
    let began = Instant::now();
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    began.elapsed()
}

// The same rows in the same pages, each hashed: what nobody can do without.
async fn bare_scan(log: &Path) -> (Duration, u64) {
    let began = Instant::now();
    let mut connection = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(log).read_only(true))
        .await
        .expect("a database");
    let mut next = 0_i64;
    loop {
        let page = sqlx::query_as("SELECT idx, hash, bytes FROM entries WHERE idx >= ? ORDER BY idx LIMIT 256");
        let page: Vec<(i64, Vec<u8>, Vec<u8>)> = page.bind(next).fetch_all(&mut connection).await.expect("rows");
        let Some((last, _, _)) = page.last() else { break };
        next = last + 1;
        for (_, hash, bytes) in &page {
            assert_eq!(leaf_hash(bytes).as_bytes().as_slice(), hash.as_slice());
        }
    }
    (began.elapsed(), next.unsigned_abs())
}

async fn proof_ms(log: &Path) -> f64 {
    let reader = LogReader::open(log).await.expect("a log");
    let mut tree = Frontier::default();
    while let Some(page) = Some(reader.hashes(tree.size(), 4096).await.expect("hashes")).filter(|page| !page.is_empty())
    {
        page.into_iter().for_each(|leaf| tree.append(leaf));
    }
    let (size, root) = (tree.size(), tree.root());
    let mut took = Vec::new();
    for turn in 0..101_u64 {
        let claim = Claim { size, index: Some(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size), from: None };
        let began = Instant::now();
        reader.prove(claim, (size, root)).await.expect("a proof");
        took.push(began.elapsed());
    }
    median(took).as_secs_f64() * 1000.0
}

fn size_of(log: &Path) -> u64 {
    std::fs::metadata(log).map(|found| found.len()).unwrap_or_default()
}

// Batches as a busy broker makes them, of the one and the other in turn: whatever else the disk does, it does to both.
async fn append_ratio(long: &mut Longer<'_>, short: &mut Longer<'_>) -> f64 {
    let (mut behind, mut alone) = (rehearsed(long).await, rehearsed(short).await);
    let (mut slow, mut fast) = (Vec::new(), Vec::new());
    for _ in 0..120 {
        slow.push(appended(&mut behind, long.batch(64)).await);
        fast.push(appended(&mut alone, short.batch(64)).await);
    }
    behind.close().await.expect("it is folded in");
    alone.close().await.expect("it is folded in");
    median(fast).as_secs_f64() / median(slow).as_secs_f64()
}

async fn rehearsed(longer: &Longer<'_>) -> rehearse::Log {
    rehearse::Log::open(&longer.log()).await.expect("a log")
}

async fn appended(log: &mut rehearse::Log, batch: Vec<Step<()>>) -> Duration {
    let began = Instant::now();
    log.append(batch).await.expect("it is appended");
    began.elapsed()
}

const MEANT: u64 = 1_000_000;
