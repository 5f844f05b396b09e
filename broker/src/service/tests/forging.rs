//! Who can write the database, and sign for nothing: rows that are appended, and rows that are said to lie elsewhere.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use policy::digest::Digest;
use policy::key::Host;
use policy::log::leaf_hash;
use policy::reason::Reason;
use serde_json::{Value, json};

use super::asker::{Closed, Lattice};
use super::freezing::{aged, day, frozen};
use super::starting::tamper;
use crate::audit::{self, Against};
use crate::clock::Clock;
use crate::error::Error;
use crate::export::Until;
use crate::keys::SigningKey;
use crate::service::Service;
use crate::store::LogReader;

const BROKEN: Option<Reason> = Some(Reason::LogBroken);

// What whoever only reads finds, and what a broker finds that would serve.
async fn found(lattice: &Closed, segments: Option<PathBuf>) -> (Option<Reason>, Option<Reason>) {
    let read = async {
        let log = LogReader::open(&lattice.folder.log()).await?;
        let verdict = audit::log(&log, Against { segments, ..Against::default() }, || ()).await?;
        log.close().await?;
        verdict.map(drop).map_err(|broken| Error::Refused(broken.refusal))
    };
    let read = read.await.err().and_then(|error| error.reason());
    let served = match Service::open(&lattice.folder, Arc::clone(&lattice.clock) as Arc<dyn Clock>).await {
        Ok(service) => service.close().await.err(),
        Err(error) => Some(error),
    };
    (read, served.and_then(|error| error.reason()))
}

async fn asked(lattice: Lattice, host: &SigningKey<Host>) -> Closed {
    lattice.service.answer_start(&lattice.request(host)).await.unwrap();
    lattice.closed().await
}

fn hex(bytes: &[u8]) -> String {
    format!("x'{}'", HEXLOWER.encode(bytes))
}

struct Row {
    entry: Value,
    document: Vec<u8>,
}

async fn row(lattice: &Closed, index: u64) -> Row {
    let log = LogReader::open(&lattice.folder.log()).await.unwrap();
    let entry = serde_json::from_slice(&log.row(index).await.unwrap().unwrap().bytes).unwrap();
    let document = log.document(index).await.unwrap().unwrap_or_default();
    log.close().await.unwrap();
    Row { entry, document }
}

// Puts a row behind the last one, as it would stand there.
async fn append(lattice: &Closed, row: Row, folds: bool) {
    let log = LogReader::open(&lattice.folder.log()).await.unwrap();
    let index = log.size().await.unwrap();
    let last = log.row(index - 1).await.unwrap().unwrap();
    log.close().await.unwrap();
    let newest: Value = serde_json::from_slice(&last.bytes).unwrap();
    let Row { mut entry, document } = row;
    let governs = entry["kind"] == "governance";
    entry["epoch"] = if governs { json!(index) } else { newest["epoch"].clone() };
    entry["index"] = json!(index);
    entry["prev"] = json!(last.hash);
    let bytes = policy::json::write(&entry);
    let document = if document.is_empty() { "NULL".to_owned() } else { hex(&document) };
    let (at, hash) = (index.to_string(), hex(leaf_hash(&bytes).as_bytes()));
    let values = [&at, &hash, &hex(&bytes), &document].map(String::as_str).join(", ");
    let insert = ["INSERT INTO entries VALUES (", &values, ");"].concat();
    let fold = if folds { ["INSERT INTO folds VALUES (", &at, ");"].concat() } else { String::new() };
    tamper(&lattice.folder.log(), &[&insert, &fold]).await;
}

#[tokio::test]
async fn t61_t63_an_old_question_that_is_recorded_again_is_no_new_start() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let lattice = asked(lattice, &host).await;
    let before = found(&lattice, None).await;
    let log = LogReader::open(&lattice.folder.log()).await.unwrap();
    let last = log.size().await.unwrap() - 1;
    log.close().await.unwrap();
    let mut again = row(&lattice, last).await;
    again.entry["at_ms"] = json!(again.entry["at_ms"].as_u64().unwrap() + 5 * 3_600_000);
    append(&lattice, again, false).await;
    lattice.clock.advance(5 * 3_600_000);
    assert_eq!((before, found(&lattice, None).await), ((None, None), (BROKEN, BROKEN)));
}

#[tokio::test]
async fn t61_a_question_that_waited_too_long_is_not_decided() {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    let before = lattice.size().await;
    let clock = Arc::clone(&lattice.clock);
    let request = lattice.request(&host);
    // Past the door, the clock is set before anything is decided.
    let mut asked = Box::pin(lattice.service.answer_start(&request));
    assert!(futures::poll!(&mut asked).is_pending());
    clock.advance(3_000_000);
    let refused = asked.await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::AuditUnavailable), "{refused}");
    assert_eq!(lattice.size().await, before);
    assert_eq!(found(&lattice.closed().await, None).await, (None, None));
}

#[tokio::test]
async fn t63_t67_what_nobody_signed_behind_the_lock_does_not_open() {
    let lattice = Lattice::new().await;
    lattice.invite().await;
    let index = lattice.size().await - 1;
    let lattice = lattice.closed().await;
    let mut forged = row(&lattice, index).await;
    assert_eq!(forged.entry["kind"], "governance");
    forged.document = b"nobody signed this".to_vec();
    let sha256 = json!(Digest::of(&forged.document));
    forged.entry["body"]["token_sha256"] = sha256.clone();
    forged.entry["evidence"] = json!([sha256]);
    append(&lattice, forged, true).await;
    assert_eq!(found(&lattice, None).await, (BROKEN, BROKEN));
}

#[tokio::test]
async fn t28_t63_a_public_checkpoint_seals_no_segment_in_which_an_act_is_hidden() {
    for (size, seal) in [(None, None), (Some(1_u64 << 62), Some("nobody signed this"))] {
        let lattice = Lattice::new().await;
        let (host, invite) = (SigningKey::<Host>::generate().unwrap(), lattice.invite().await);
        lattice.invite().await;
        let hidden = lattice.size().await - 1;
        // The next entry governs too, so that its epoch says nothing, and was nobody's command.
        lattice.service.join(&lattice.join(&host, &invite)).await.unwrap();
        let end = lattice.size().await;
        let lattice = lattice.closed().await;
        let note = fs::read(lattice.folder.path().join("tree/checkpoint")).unwrap();
        assert_eq!(crate::store::says(&note), Some(end));
        let (size, seal) = (size.unwrap_or(end), seal.map_or(note, |seal| seal.as_bytes().to_vec()));
        let sha256 = Digest::of(b"no file");
        let (at, end_at, sha256_of, seal) = (hidden.to_string(), size.to_string(), hex(sha256.as_bytes()), hex(&seal));
        let hide = [
            "INSERT INTO frozen SELECT idx, hash FROM entries WHERE idx = ",
            &at,
            "; DELETE FROM entries WHERE idx = ",
            &at,
        ];
        let fold = ["; DELETE FROM folds WHERE idx = ", &at, "; INSERT INTO segments VALUES ("];
        let segment = [&end_at, ", 0, ", &sha256_of, ", ", &seal, ");"];
        tamper(&lattice.folder.log(), &[hide.concat(), fold.concat(), segment.concat()].each_ref().map(String::as_str))
            .await;
        let mut told = row(&lattice, 0).await;
        told.entry["body"] = json!({"first": 0, "moved": 1, "sha256": sha256, "size": end});
        told.entry["kind"] = json!("freeze");
        append(&lattice, told, true).await;
        tamper(&lattice.folder.lock_file(), &["UPDATE lock SET rests = NULL, root = NULL"]).await;
        assert_eq!(found(&lattice, None).await, (BROKEN, BROKEN), "{size}");
    }
}

#[tokio::test]
async fn t63_a_segment_of_which_no_entry_tells_or_another_one_is_named() {
    let lattice = aged().await;
    let out = lattice.place.path().join("segments");
    day(&lattice, 40);
    let done = frozen(&lattice, Until::OlderThan(1), &out).await.unwrap();
    assert_eq!(found(&lattice, Some(out.clone())).await, (None, None));
    // The file is rewritten, and its digest beside the log with it: the entry in the chain names the one that was written.
    let whole = fs::read_to_string(&done.file).unwrap();
    let (lines, seal) = whole.trim_end().rsplit_once('\n').unwrap();
    let mut seal: Value = serde_json::from_str(seal).unwrap();
    seal["segment"]["checkpoint"] = json!("forged");
    let rewritten = format!("{lines}\n{}\n", String::from_utf8(policy::json::write(&seal)).unwrap());
    fs::write(&done.file, &rewritten).unwrap();
    let named = |bytes: &[u8]| ["UPDATE segments SET sha256 = ", &hex(Digest::of(bytes).as_bytes())].concat();
    tamper(&lattice.folder.log(), &[&named(rewritten.as_bytes())]).await;
    assert_eq!(found(&lattice, Some(out.clone())).await.0, BROKEN);
    fs::write(&done.file, &whole).unwrap();
    tamper(&lattice.folder.log(), &[&named(whole.as_bytes())]).await;
    assert_eq!(found(&lattice, Some(out.clone())).await, (None, None));
    // Without the entry that tells of it.
    let from = done.entry.to_string();
    let drop = ["DELETE FROM entries WHERE idx >= ", &from, "; DELETE FROM folds WHERE idx >= ", &from];
    tamper(&lattice.folder.log(), &drop).await;
    assert_eq!(found(&lattice, None).await.0, BROKEN);
}

#[tokio::test]
async fn t63_nothing_lies_beside_an_entry_that_rests_on_nothing() {
    let lattice = Lattice::new().await.closed().await;
    assert_eq!(found(&lattice, None).await, (None, None));
    tamper(&lattice.folder.log(), &["UPDATE entries SET document = CAST('planted' AS BLOB) WHERE idx = 0"]).await;
    assert_eq!(found(&lattice, None).await.0, BROKEN);
}
