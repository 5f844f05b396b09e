//! The log next to a bare table, and the memory that a large state takes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use broker::store::rehearse;
use policy::digest::Digest;
use policy::log::{Step, leaf_hash};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, QueryBuilder, Sqlite, SqliteConnection};

use crate::figure::{Board, Goal, median};
use crate::starts::resident_mib;
use crate::world::{World, trusted};

/// Appending to the log, next to inserting the same bytes into a table without triggers.
pub(crate) async fn append(board: &mut Board) {
    let place = tempfile::tempdir().expect("a folder");
    let (mut log, mut bare) = (rehearse::Log::create(&place.path().join("log.db")).await.expect("a log"), {
        bare_table(&place.path().join("bare.db")).await
    });
    // Both have gone once round their write-ahead file before the clock counts: a file that still grows costs its fsync
    // more, and the one that is folded in later would grow for longer.
    for turn in 0..ROUND {
        let batch = batch(turn);
        insert(&mut bare, &batch).await;
        appended(&mut log, batch).await;
    }
    let (mut ours, mut honest) = (Vec::new(), Vec::new());
    for turn in ROUND..ROUND + 60 {
        let batch = batch(turn);
        let start = Instant::now();
        insert(&mut bare, &batch).await;
        honest.push(start.elapsed());
        ours.push(appended(&mut log, batch).await);
    }
    let ratio = median(honest).as_secs_f64() / median(ours).as_secs_f64();
    board.put("append / bare batched insert of the same bytes", ratio, "ratio", Goal::AtLeast(0.8));
}

async fn appended(log: &mut rehearse::Log, batch: Vec<Step<()>>) -> Duration {
    let start = Instant::now();
    log.append(batch).await.expect("it is appended");
    start.elapsed()
}

/// What a process holds whose state has 100 000 links and 1 000 issuers, over one that has none.
pub(crate) fn memory(board: &mut Board) {
    let own = std::env::current_exe().expect("a program has a path");
    let held = |role: &str| {
        let output = Command::new(&own).arg(role).stderr(Stdio::inherit()).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().expect("a number")
    };
    board.put("resident memory, 100000 links and 1000 issuers", held(STATE), "MiB", Goal::AtMost(200.0));
}

/// The process's own part: holds such a state and tells what it takes.
pub(crate) fn state() {
    let mut world = World::new();
    (0..1000).for_each(|number| world.trust(number));
    world.grow(100_000);
    // As the broker does: the owner's state and the readers' copy of it.
    let readers = world.state.clone();
    println!("{}", resident_mib(std::process::id()));
    assert_eq!(trusted(&readers), trusted(&world.state));
}

async fn bare_table(path: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a database");
    let table = "CREATE TABLE entries (idx INTEGER PRIMARY KEY, hash BLOB, bytes BLOB, document BLOB) STRICT";
    sqlx::query(table).execute(&mut connection).await.expect("a table");
    connection
}

async fn insert(connection: &mut SqliteConnection, batch: &[Step<()>]) {
    let mut entries = QueryBuilder::<Sqlite>::new("INSERT INTO entries (idx, hash, bytes, document) ");
    entries.push_values(batch, |mut row, step| {
        row.push_bind(step.index.cast_signed())
            .push_bind(step.hash.as_bytes().to_vec())
            .push_bind(step.bytes.clone())
            .push_bind(step.evidence[0].1.clone());
    });
    entries.build().execute(connection).await.expect("inserted");
}

// As many rows as one turn of 64 in flight brings, of the size of a start's entry and of its request.
fn batch(turn: u64) -> Vec<Step<()>> {
    let row = |number: u64| {
        let index = turn * BATCH + number;
        let bytes = vec![b'a' + (index % 26) as u8; 1100];
        let request = [index.to_be_bytes().as_slice(), &[b'r'; 1000]].concat();
        let evidence = vec![(Digest::of(&request), request)];
        Step { index, hash: leaf_hash(&bytes), bytes, epoch: 0, at_ms: 0, folds: false, evidence, outcome: () }
    };
    (0..BATCH).map(row).collect()
}

/// The first argument of a process that holds a large state.
pub(crate) const STATE: &str = "state";
const BATCH: u64 = 64;
// So many batches are more than the thirty-two MiB that the log folds in at once.
const ROUND: u64 = 260;
