//! A log that somebody touched: each byte of each row counts, and a log that is older or another than it was is found
//! (T28, T63, T64).
//!
//! A sample runs here; `COUNTERSIGN_TAMPER=all` tries every byte of a thousand rows, and two hundred older and other logs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use broker::clock::SystemClock;
use broker::folder::Folder;
use broker::service::Service;
use broker::store::{LogReader, Row, follow};
use harness::asker::Asker;
use harness::caller::Administrator;
use harness::lattice::{Lattice, path};
use policy::answer::{Receipt, StartAnswer};
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::inventory::HostInventory;
use policy::log::{Entry, Evidences, Ledger, Rejudge, leaf_hash};
use policy::question::Seen;
use policy::reason::Reason;
use policy::wire::Nonce;

mod older;
mod passed;

use older::{Older, with_rails, without_rails};

fn every() -> bool {
    std::env::var("COUNTERSIGN_TAMPER").is_ok_and(|tamper| tamper == "all")
}

/// A lattice whose log has a thousand rows, with a checkpoint of its end.
struct Scene {
    lattice: Lattice,
    asker: Asker,
    checkpoint: Vec<u8>,
    size: u64,
    // What a host holds that saw the end.
    newest: Seen,
}

impl Scene {
    async fn of(rows: u64) -> Self {
        let mut lattice = Lattice::with_cart();
        let (asker, administrator) = (Asker::of(&lattice, "host"), Administrator::new(&lattice).await);
        lattice.stop_broker();
        let service = service(&lattice.path("lattice")).await;
        let mut size = service.log().await.unwrap().size().await.unwrap();
        while size < rows {
            let few = (rows - size).min(100);
            let acts = (0..few).map(|number| {
                let (service, asker, administrator) = (&service, &asker, &administrator);
                async move {
                    let done = match number % 10 {
                        0 => service.command(&administrator.order()).await,
                        1 => service.answer_start(&stranger(asker)).await,
                        _ => service.answer_start(&asker.question()).await,
                    };
                    done.unwrap();
                }
            });
            futures::future::join_all(acts).await;
            size = service.log().await.unwrap().size().await.unwrap();
        }
        let mut epochs = service.epochs();
        // An event is in a checkpoint at once; a ruling within its second.
        let receipt = service.command(&administrator.order()).await.unwrap();
        let receipt = Unverified::<Receipt>::parse(&receipt).unwrap();
        let (index, entry_sha256) = (receipt.says().index, receipt.says().entry_sha256);
        let (size, newest) = (index + 1, Seen { epoch: index, index, entry_sha256 });
        let of_the_end = |note: &Vec<u8>| String::from_utf8_lossy(note).lines().nth(1) == Some(&size.to_string());
        let checkpoint = epochs.wait_for(of_the_end).await.unwrap().clone();
        service.close().await.unwrap();
        Self { lattice, asker, checkpoint, size, newest }
    }
}

fn stranger(asker: &Asker) -> Vec<u8> {
    asker.question_with(|request| request.runs.id = "stranger".parse().unwrap())
}

async fn service(folder: &Path) -> Service {
    Service::open(&Folder::open(folder).unwrap(), Arc::new(SystemClock::default())).await.unwrap()
}

async fn refused_at_start(folder: &Path) -> Option<Reason> {
    let opened = Service::open(&Folder::open(folder).unwrap(), Arc::new(SystemClock::default())).await;
    opened.err().and_then(|error| error.reason())
}

/// Everything that a log holds, in memory.
struct Rows {
    rows: Vec<Row>,
    documents: Vec<Option<Vec<u8>>>,
    evidence: BTreeMap<Digest, Vec<u8>>,
}

/// The evidence of one row, of which one piece may be another.
struct Pieces<'a> {
    document: Option<(Digest, &'a [u8])>,
    evidence: &'a BTreeMap<Digest, Vec<u8>>,
}

impl Evidences for Pieces<'_> {
    fn find(&self, sha256: Digest) -> Option<Vec<u8>> {
        let document = self.document.filter(|(named, _)| *named == sha256).map(|(_, bytes)| bytes.to_vec());
        document.or_else(|| self.evidence.get(&sha256).cloned())
    }
}

impl Rows {
    async fn of(log: &Path) -> Self {
        let reader = LogReader::open(log).await.unwrap();
        let rows = reader.rows(0, u32::MAX).await.unwrap();
        let mut documents = Vec::new();
        for row in &rows {
            documents.push(reader.document(row.index).await.unwrap());
        }
        let evidence = reader.evidence_after(None).await.unwrap().into_iter().collect();
        Self { rows, documents, evidence }
    }

    fn named(&self, row: &Row) -> Option<Digest> {
        Entry::read(&row.bytes).unwrap().evidence.first().copied()
    }

    // What is refused before it is judged leaves the ledger as it was: the row itself is taken by it in the end.
    fn is_taken(&self, ledger: &mut Option<Ledger>, row: &Row, document: Option<&[u8]>, named: Option<Digest>) -> bool {
        let pieces = Pieces { document: named.zip(document), evidence: &self.evidence };
        follow(ledger, row, Rejudge::Yes(&pieces)).is_ok()
    }

    fn holds(&self, ledger: &Option<Ledger>, row: &Row, document: Option<&[u8]>, named: Option<Digest>) -> bool {
        self.is_taken(&mut ledger.clone(), row, document, named)
    }
}

// Another byte, never the same.
fn other(byte: u8, at: usize) -> u8 {
    byte ^ u8::try_from(at % 255 + 1).unwrap()
}

#[derive(Default, Debug)]
struct Tried {
    bytes: usize,
    hashes: usize,
    documents: usize,
    statements: usize,
    fitted: usize,
}

#[tokio::test]
async fn t63_each_byte_of_each_row_is_held_to_by_verify() {
    let scene = Scene::of(1000).await;
    let mut log = Rows::of(&scene.lattice.log()).await;
    let (stride, far) = if every() { (1, 17) } else { (401, 4001) };
    let (mut ledger, mut tried, mut at) = (None, Tried::default(), 0);
    for (index, row) in log.rows.iter().enumerate() {
        let (document, named) = (log.documents[index].as_deref(), log.named(row));
        assert!(log.holds(&ledger, row, document, named), "row {index} is sound");
        for place in 0..row.bytes.len() {
            at += 1;
            let mut touched = row.clone();
            touched.bytes[place] = other(touched.bytes[place], at);
            if at % stride == 0 {
                assert!(!log.is_taken(&mut ledger, &touched, document, named), "row {index}, byte {place}");
                tried.bytes += 1;
            }
            // Whoever makes the hash fit is found by the judgement, by the next row, or, at the end, by whoever saw it.
            touched.hash = leaf_hash(&touched.bytes);
            if at % far == 0 && log.holds(&ledger, &touched, document, named) {
                let mut after = ledger.clone();
                let pieces = Pieces { document: named.zip(document), evidence: &log.evidence };
                follow(&mut after, &touched, Rejudge::Yes(&pieces)).unwrap();
                let next = log.rows.get(index + 1).map(|next| log.holds(&after, next, None, None));
                assert_ne!(next, Some(true), "row {index}, byte {place}");
            }
            tried.fitted += usize::from(at % far == 0);
        }
        for place in 0..32 {
            at += 1;
            if at % stride == 0 {
                let mut hash = *row.hash.as_bytes();
                hash[place] = other(hash[place], at);
                let touched = Row { hash: Digest::from_bytes(hash), ..row.clone() };
                assert!(!log.is_taken(&mut ledger, &touched, document, named), "row {index}, hash");
                tried.hashes += 1;
            }
        }
        for place in 0..document.map_or(0, <[u8]>::len) {
            at += 1;
            if at % stride == 0 {
                let mut touched = document.unwrap().to_vec();
                touched[place] = other(touched[place], at);
                assert!(!log.is_taken(&mut ledger, row, Some(&touched), named), "row {index}, document {place}");
                tried.documents += 1;
            }
        }
        let pieces = Pieces { document: named.zip(document), evidence: &log.evidence };
        follow(&mut ledger, row, Rejudge::Yes(&pieces)).unwrap();
    }
    // A statement is held to wherever it is named; those rows come once more.
    let all: Vec<Digest> = log.evidence.keys().copied().collect();
    for sha256 in all {
        let (index, before) = named_first(&log, sha256);
        for place in 0..log.evidence[&sha256].len() {
            at += 1;
            if at % stride == 0 {
                let piece = log.evidence.get_mut(&sha256).unwrap();
                let byte = std::mem::replace(&mut piece[place], 0);
                piece[place] = other(byte, at);
                let (row, document) = (&log.rows[index], log.documents[index].as_deref());
                assert!(!log.holds(&before, row, document, log.named(row)), "statement {sha256}, byte {place}");
                log.evidence.get_mut(&sha256).unwrap()[place] = byte;
                tried.statements += 1;
            }
        }
    }
    println!("{} rows, one byte changed at a time: {tried:?}, each found", log.rows.len());
    assert!(tried.bytes > 0 && tried.hashes > 0 && tried.documents > 0 && tried.fitted > 0);
}

// The first row that a statement came with, and the ledger before it.
fn named_first(log: &Rows, sha256: Digest) -> (usize, Option<Ledger>) {
    let mut ledger = None;
    for (index, row) in log.rows.iter().enumerate() {
        if Entry::read(&row.bytes).unwrap().evidence.iter().skip(1).any(|named| *named == sha256) {
            return (index, ledger);
        }
        follow(&mut ledger, row, Rejudge::No).unwrap();
    }
    panic!("nobody names {sha256}")
}

#[tokio::test]
async fn t63_a_byte_that_is_changed_in_the_file_itself_fails_verify() {
    let scene = Scene::of(60).await;
    let sound = std::fs::read(scene.lattice.log()).unwrap();
    for sql in [
        "UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), 'default', 'defaulT') AS BLOB) WHERE idx = 40",
        "UPDATE entries SET hash = zeroblob(32) WHERE idx = 40",
        "UPDATE entries SET document = CAST(document || x'0a' AS BLOB) WHERE idx = 40",
        "UPDATE evidence SET bytes = CAST(bytes || x'0a' AS BLOB)",
        "DELETE FROM entries WHERE idx = 40",
        "DELETE FROM evidence",
    ] {
        let (mut connection, rails) = without_rails(&scene.lattice.log()).await;
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        with_rails(connection, rails).await;
        let (code, said) = scene.lattice.json(&["audit", "verify"]);
        assert_eq!((code, said["error"].as_str()), (3, Some("log_broken")), "{sql}: {said}");
        std::fs::write(scene.lattice.log(), &sound).unwrap();
    }
    let (code, said) = scene.lattice.json(&["audit", "verify"]);
    assert_eq!(code, 0, "{said}");
}

// What a host is told that holds the newest of the log that was.
async fn told_with(service: &Service, asker: &Asker, seen: Seen) -> Option<Reason> {
    let question = asker.question_with(|request| request.seen = seen);
    let answer = service.answer_start(&question).await.unwrap();
    Unverified::<StartAnswer>::parse(&answer).unwrap().says().reason
}

#[tokio::test]
async fn t28_t64_a_log_that_is_cut_is_found_by_its_lock_by_a_host_and_by_a_checkpoint() {
    let scene = Scene::of(if every() { 1000 } else { 300 }).await;
    let note = scene.lattice.path("checkpoint");
    std::fs::write(&note, &scene.checkpoint).unwrap();
    let cuts: Vec<u64> = if every() { (1..=100).collect() } else { vec![1, 38, 100] };
    for cut in &cuts {
        let older = Older::of(&scene, scene.size - cut).await;
        assert_eq!(refused_at_start(&older.folder()).await, Some(Reason::StateRollback), "{cut} rows");
        let folder = older.folder();
        let checked = ["--dir", path(&folder), "audit", "verify", "--checkpoint", path(&note)];
        let (code, said) = scene.lattice.json(&checked);
        assert_eq!((code, said["error"].as_str()), (3, Some("state_rollback")), "{cut} rows: {said}");
        older.with_its_lock().await;
        let service = service(&older.folder()).await;
        assert_eq!(told_with(&service, &scene.asker, scene.newest).await, Some(Reason::StateRollback), "{cut} rows");
        service.close().await.unwrap();
    }
    println!("{} cuts of up to 100 rows: found by the lock, by a checkpoint and by a host", cuts.len());
}

#[tokio::test]
async fn t64_older_and_other_logs_are_found_at_the_start_or_by_the_first_host() {
    let scene = Scene::of(150).await;
    let points = if every() { 200 } else { 5 };
    let (mut shorter, mut longer) = (0, 0);
    for point in 0..points {
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        // Every other one is close to the end, so that what is put in its place can outgrow it.
        let size =
            if point % 2 == 0 { scene.size - u64::from(random[0] % 12) - 1 } else { 40 + u64::from(random[0] % 100) };
        let older = Older::of(&scene, size).await;
        assert_eq!(refused_at_start(&older.folder()).await, Some(Reason::StateRollback), "back to {size}");
        older.with_its_lock().await;
        let forked = service(&older.folder()).await;
        for _ in 0..random[1] % 24 + 1 {
            forked.answer_start(&scene.asker.question()).await.unwrap();
        }
        let ends = forked.log().await.unwrap().size().await.unwrap();
        if ends < scene.size {
            shorter += 1
        } else {
            longer += 1
        }
        // The first host that saw the log that was is told no; and its checkpoint of it ends every grant to anybody.
        let refused = forked.inventory(&inventory(&scene, &forked)).await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::StateRollback), "back to {size}, then on to {ends}");
        let nothing = Seen { epoch: 0, index: 0, entry_sha256: Digest::of(b"") };
        let told = told_with(&forked, &scene.asker, nothing).await;
        assert_eq!(told, Some(Reason::StateRollback), "back to {size}, then on to {ends}");
        forked.close().await.unwrap();
        // With the lock that saw the other one it does not even open.
        older.with_lock_of(&scene);
        assert_eq!(refused_at_start(&older.folder()).await, Some(Reason::StateRollback), "{size}, {ends}");
    }
    println!("{points} points: {shorter} other logs were shorter, {longer} as long or longer; each was found");
}

// What a host says that runs nothing, and holds the checkpoint.
fn inventory(scene: &Scene, service: &Service) -> Vec<u8> {
    let asker = &scene.asker;
    let inventory = HostInventory {
        iss: asker.key.name(),
        aud: service.lattice().clone(),
        iat: harness::asker::now(),
        process: Nonce::from_random([5; 16]),
        sequence: 1,
        page: 0,
        pages: 1,
        seen: scene.newest,
        checkpoint: Some(String::from_utf8(scene.checkpoint.clone()).unwrap()),
        builtins_sha256: Digest::of(&asker.attachments[1]),
        at_hand: None,
        forked: None,
        running: Vec::new(),
        closed: Vec::new(),
    };
    asker.key.sign(&inventory, [])
}
