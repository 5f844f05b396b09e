//! Old entries move to segments, and the log is the log that it was: the same tree, every decision, every refusal.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::digest::Digest;
use policy::log::{Body, Exhibit};
use policy::reason::Reason;
use serde_json::{Value, json};

use super::asker::{Closed, Lattice, NOW_MS};
use super::starting::{folded, quick, same, settled, tamper};
use crate::audit::{self, Against, Broken, Sound, Verdict};
use crate::check::Check;
use crate::client::Local;
use crate::clock::Clock;
use crate::error::Error;
use crate::export::{Bulk, Freeze, Frozen, Pieces, Until, Writing, freeze};
use crate::service::Service;
use crate::store::{Lock, LogReader};
use crate::view::{self, Look};

const DAY_MS: u64 = 86_400_000;
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const HIDE: &str = "
    CREATE TEMP TABLE hidden AS SELECT idx, hash FROM entries WHERE idx = (SELECT max(idx) - 1 FROM entries);
    DELETE FROM entries WHERE idx IN (SELECT idx FROM hidden);
    INSERT INTO frozen SELECT idx, hash FROM hidden;";

// A lattice whose hosts asked for some days, and nobody at work in it.
pub(super) async fn aged() -> Closed {
    let lattice = Lattice::new().await;
    let host = lattice.enrolled_host().await;
    for _ in 0..12 {
        lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    }
    lattice.service.turn_away(Reason::HostUnknown);
    let lattice = lattice.closed().await;
    lattice.clock.advance(20 * DAY_MS);
    let lattice = lattice.opened().await;
    for _ in 0..3 {
        lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    }
    lattice.closed().await
}

pub(super) async fn frozen(lattice: &Closed, until: Until, out: &Path) -> Result<Frozen, Error> {
    fs::create_dir_all(out).unwrap();
    let as_of = lattice.clock.now();
    freeze(&lattice.folder, as_of, &Freeze { until, as_of, out: out.to_owned() }).await
}

async fn verdict(lattice: &Closed, segments: Option<PathBuf>) -> Verdict {
    let log = match LogReader::open(&lattice.folder.log()).await {
        Err(Error::Refused(refusal)) => return Err(Broken { refusal, held: 0 }),
        opened => opened.unwrap(),
    };
    let verdict = audit::log(&log, Against { segments, ..Against::default() }, || ()).await.unwrap();
    log.close().await.unwrap();
    verdict
}

async fn sound(lattice: &Closed, segments: Option<PathBuf>) -> Sound {
    verdict(lattice, segments).await.unwrap()
}

async fn exported(lattice: &Closed, segments: Option<&Path>) -> Vec<u8> {
    let log = LogReader::open(&lattice.folder.log()).await.unwrap();
    let mut writing = Writing::of(&log, Bulk::of(segments), Pieces::WithEvidence);
    let (size, mut next, mut all) = (log.size().await.unwrap(), 0, Vec::new());
    while next < size {
        let (lines, after) = writing.page(next, size).await.unwrap();
        all.extend(lines);
        next = after;
    }
    all
}

pub(super) fn day(lattice: &Closed, days: u64) {
    lattice.clock.set(NOW_MS + days * DAY_MS);
}

#[tokio::test]
async fn frozen_entries_leave_the_log_and_stay_what_they_were() {
    let lattice = aged().await;
    let out = lattice.place.path().join("segments");
    let (before, lines) = (sound(&lattice, None).await, exported(&lattice, None).await);
    day(&lattice, 40);
    let done = frozen(&lattice, Until::OlderThan(1), &out).await.unwrap();
    assert_eq!((done.segment.first, done.moved >= 13), (0, true), "{done:?}");
    // Without its segment the log holds, and what could not be decided again is named; with it everything is as it was.
    let bare = sound(&lattice, None).await;
    assert_eq!((bare.entries, done.entry), (before.entries + 1, before.entries));
    let undecided: u64 = bare.undecided.iter().map(|(first, end)| end - first).sum();
    assert_eq!((undecided, bare.rulings), (done.moved, 3));
    let whole = sound(&lattice, Some(out.clone())).await;
    assert_eq!((whole.rulings, whole.judged, whole.undecided), (before.rulings, before.judged, Vec::new()));
    assert_eq!(whole.tree_root, bare.tree_root);
    let after = exported(&lattice, Some(&out)).await;
    assert!(after.starts_with(&lines), "what was there is as it was, and one entry more");
    assert_eq!(after.iter().filter(|byte| **byte == b'\n').count() as u64, whole.entries);
    // The segment alone, and with what followed it.
    let alone = audit::exports(std::slice::from_ref(&done.file), Against::default(), || ()).await.unwrap().unwrap();
    assert_eq!((alone.rulings, alone.undecided.len()), (12, 0));
    // Who asks for one of them is told where it is, and not that the log is broken.
    let mut local = Local::read(&lattice.folder).await.unwrap();
    let moved = done.segment.size - 2;
    for look in [Look::Prove { about: moved.to_string() }, Look::Why { about: moved.to_string(), contract: None }] {
        let told = view::answer(local.scene(lattice.clock.now()), &look).await.unwrap_err();
        assert_eq!(told.reason(), Some(Reason::SegmentMissing), "{told}");
    }
    // With the segments at hand it is told as ever.
    local.reader = local.reader.with_segments(Some(&out));
    let why = Look::Why { about: moved.to_string(), contract: None };
    let told = view::answer(local.scene(lattice.clock.now()), &why).await.unwrap();
    assert_eq!((&told["index"], &told["follows"]), (&json!(moved), &json!(true)), "{told}");
    let told = view::answer(local.scene(lattice.clock.now()), &Look::Prove { about: moved.to_string() }).await.unwrap();
    let proven = serde_json::from_value::<Exhibit>(told).unwrap().prove(Some(lattice.report.root_sha256)).unwrap();
    assert_eq!((proven.entry.index, proven.pieces.is_empty()), (moved, false));
    drop(local);
    // By what its fold rests on it comes to the same, and every row that the start passed is read behind it.
    let (few, all) = (folded(&lattice, 1).await, folded(&lattice, u64::MAX).await);
    assert!(few.passed.is_some());
    same(&few, &all);
    let lattice = lattice.opened_with(quick()).await;
    assert!(matches!(settled(&lattice.service).await, Check::Done { .. }));
    // It goes on and answers; a second segment follows the first.
    let host = lattice.enrolled_host().await;
    lattice.service.answer_start(&lattice.request(&host)).await.unwrap();
    let lattice = lattice.closed().await;
    day(&lattice, 60);
    let second = frozen(&lattice, Until::OlderThan(1), &out).await.unwrap();
    assert_eq!((second.segment.first, second.moved), (done.segment.size, 3));
    let whole = sound(&lattice, Some(out.clone())).await;
    assert_eq!((whole.rulings, whole.undecided), (before.rulings + 1, Vec::new()));
    let files = [done.file, second.file];
    let both = audit::exports(&files, Against::default(), || ()).await.unwrap().unwrap();
    assert_eq!((both.rulings, both.entries), (15, second.segment.size));
    let later = audit::exports(&files[1..], Against::default(), || ()).await.unwrap().unwrap();
    assert_eq!((later.entries, later.tree_root), (second.segment.size - second.segment.first, None));
    // An export without them says how many lines have no entry.
    let log = LogReader::open(&lattice.folder.log()).await.unwrap();
    let mut writing = Writing::of(&log, Bulk::default(), Pieces::EntriesAlone);
    writing.page(0, u64::MAX).await.unwrap();
    assert_eq!(writing.bare(), done.moved + second.moved);
    log.close().await.unwrap();
    // What proves nothing of a file that begins later is not taken for a proof.
    let pinned = Some(lattice.report.root_sha256);
    let turned = audit::exports(&files[1..], Against { pinned, ..Against::default() }, || ()).await.unwrap();
    assert_eq!(turned.unwrap_err().refusal.reason, Reason::ExportMismatch);
    assert!(audit::exports(&files, Against { pinned, ..Against::default() }, || ()).await.unwrap().is_ok());
    // A verification of before vouches for what lies in segments that are not at hand, and for nothing behind its end.
    let since = fs::read(lattice.folder.path().join("tree/checkpoint")).unwrap();
    let covered = crate::store::says(&since).unwrap() >= second.segment.size;
    let log = LogReader::open(&lattice.folder.log()).await.unwrap();
    let again = audit::log(&log, Against { since: Some(since), ..Against::default() }, || ()).await.unwrap().unwrap();
    log.close().await.unwrap();
    assert_eq!((covered, again.undecided), (true, Vec::new()));
    assert!(!sound(&lattice, None).await.undecided.is_empty(), "without it they are named");
    // Each member of a seal counts, in a file alone and behind the one before it.
    for (changed, alone) in [(&files[0], true), (&files[1], true), (&files[1], false)] {
        let text = fs::read_to_string(changed).unwrap();
        let (lines, seal) = text.trim_end().rsplit_once('\n').unwrap();
        let seal: Value = serde_json::from_str(seal).unwrap();
        for (member, other) in
            [("first", json!(7)), ("size", json!(7)), ("peaks", json!([])), ("peaks_before", json!([ZEROS]))]
        {
            let mut seal = seal.clone();
            seal["segment"][member] = other;
            let file = lattice.place.path().join("changed.jsonl");
            let seal = String::from_utf8(policy::json::write(&seal)).unwrap();
            fs::write(&file, format!("{lines}\n{seal}\n")).unwrap();
            let given = if alone { vec![file] } else { vec![files[0].clone(), file] };
            let broken = audit::exports(&given, Against::default(), || ()).await.unwrap().unwrap_err();
            assert_eq!(broken.refusal.reason, Reason::LogBroken, "{member} {alone}");
        }
    }
    lattice.opened().await;
}

#[tokio::test]
async fn what_is_young_and_what_the_state_rests_on_stays() {
    let lattice = aged().await;
    let out = lattice.place.path().join("segments");
    for until in [Until::OlderThan(1), Until::Before(10)] {
        let refused = frozen(&lattice, until, &out).await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::NotFound), "{refused}");
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    day(&lattice, 40);
    let done = frozen(&lattice, Until::OlderThan(1), &out).await.unwrap();
    let log = LogReader::open(&lattice.folder.log()).await.unwrap();
    for row in log.rows(0, 10_000).await.unwrap() {
        if row.is_frozen() {
            assert!(row.index < done.segment.size);
            assert!(log.document(row.index).await.unwrap().is_none());
        } else if row.index < done.segment.size {
            assert!(!row.entry().unwrap().unwrap().changes_nothing(), "row {}", row.index);
        }
    }
    // Nothing is left to freeze, and a broker in the folder keeps it.
    let again = frozen(&lattice, Until::OlderThan(1), &out).await.unwrap_err();
    assert_eq!(again.reason(), Some(Reason::NotFound));
    log.close().await.unwrap();
    let lattice = lattice.opened().await;
    let asked = Freeze { until: Until::OlderThan(1), as_of: lattice.clock.now(), out };
    assert!(matches!(freeze(&lattice.folder, lattice.clock.now(), &asked).await, Err(Error::Locked(_))));
}

#[tokio::test]
async fn t63_a_changed_segment_or_one_that_never_was_is_named() {
    let lattice = aged().await;
    let out = lattice.place.path().join("segments");
    day(&lattice, 40);
    let done = frozen(&lattice, Until::OlderThan(1), &out).await.unwrap();
    let whole = fs::read(&done.file).unwrap();
    let mut changed = whole.clone();
    let at = changed.len() / 2;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    fs::write(&done.file, &changed).unwrap();
    let broken = verdict(&lattice, Some(out.clone())).await.unwrap_err();
    assert_eq!(broken.refusal.reason, Reason::LogBroken);
    fs::write(&done.file, &whole).unwrap();
    assert!(verdict(&lattice, Some(out)).await.is_ok());
    // Who can write the database, and cannot sign for the log, hides no row behind a segment of his own: he drops the
    // guard rail, says that a ruling lies elsewhere, and puts the guard rail back.
    let rail = "SELECT sql FROM sqlite_schema WHERE name = 'entries_are_not_deleted'";
    let mut connection = super::disk::plain(&lattice.folder.log()).await;
    let rail: String = sqlx::query_scalar(rail).fetch_one(&mut connection).await.unwrap();
    for sql in ["DROP TRIGGER entries_are_not_deleted", HIDE, &rail] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }
    sqlx::Connection::close(connection).await.unwrap();
    let broken = verdict(&lattice, None).await.unwrap_err();
    assert_eq!(broken.refusal.reason, Reason::LogBroken, "{broken:?}");
    let clock = Arc::clone(&lattice.clock) as Arc<dyn Clock>;
    assert_eq!(Service::open(&lattice.folder, clock).await.err().unwrap().reason(), Some(Reason::LogBroken));
}

#[tokio::test]
async fn a_freeze_that_fails_changes_nothing() {
    let lattice = aged().await;
    day(&lattice, 40);
    let before = sound(&lattice, None).await;
    let (as_of, out) = (lattice.clock.now(), lattice.place.path().join("nowhere"));
    let asked = Freeze { until: Until::OlderThan(1), as_of, out };
    let refused = freeze(&lattice.folder, lattice.clock.now(), &asked).await;
    assert!(matches!(refused, Err(Error::Io { .. })));
    assert_eq!(sound(&lattice, None).await.tree_root, before.tree_root);
    // A file of that name which is another one is not overwritten.
    let out = lattice.place.path().join("segments");
    let done = frozen(&lattice, Until::Before(10), &out).await.unwrap();
    let after = sound(&lattice, Some(out.clone())).await;
    let stranger = out.join("stranger");
    fs::create_dir(&stranger).unwrap();
    let name = crate::store::name_of(done.segment.size, before.entries - 3);
    fs::write(stranger.join(&name), "mine").unwrap();
    let refused = frozen(&lattice, Until::OlderThan(1), &stranger).await.unwrap_err();
    assert!(matches!(refused, Error::AlreadyThere(_)), "{refused}");
    assert_eq!(fs::read(stranger.join(&name)).unwrap(), b"mine");
    assert_eq!(fs::read_dir(&stranger).unwrap().count(), 1);
    assert_eq!(sound(&lattice, Some(out)).await.tree_root, after.tree_root);
    assert!(!lattice.folder.path().join("log.db.new").exists());
    lattice.opened().await;
}

#[tokio::test]
async fn a_freeze_is_on_record_before_anything_moves() {
    let lattice = aged().await;
    let out = lattice.place.path().join("segments");
    day(&lattice, 40);
    let before = sound(&lattice, None).await;
    // It dies between the record and the move: the entries are where they were, and the next one moves them.
    let way = lattice.folder.path().join("log.db.new");
    fs::create_dir(&way).unwrap();
    fs::write(way.join("in the way"), "").unwrap();
    frozen(&lattice, Until::OlderThan(1), &out).await.unwrap_err();
    let noted = sound(&lattice, None).await;
    assert_eq!((noted.entries, noted.rulings, noted.undecided), (before.entries + 1, before.rulings, Vec::new()));
    fs::remove_dir_all(&way).unwrap();
    let done = frozen(&lattice, Until::OlderThan(1), &out).await.unwrap();
    let log = LogReader::open(&lattice.folder.log()).await.unwrap();
    let entry = log.row(done.entry).await.unwrap().unwrap().entry().unwrap().unwrap();
    let Body::Freeze(freezing) = entry.body else { panic!("{entry:?}") };
    assert_eq!((freezing.first, freezing.size, freezing.moved), (0, done.segment.size, done.moved));
    assert_eq!(freezing.sha256, Digest::of(&fs::read(&done.file).unwrap()));
    log.close().await.unwrap();
    // Who looks sees when each segment was made, and which there are.
    let lattice = lattice.opened().await;
    let tail = lattice.look(&Look::Tail { from: None, most: 100 }).await;
    let told = tail["entries"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "freeze").count();
    assert_eq!(told, 2, "{tail}");
    let status = lattice.look(&Look::Status).await;
    assert_eq!(status["segments"][0]["sha256"], freezing.sha256.to_string());
}

async fn opened(lattice: &Closed) -> Option<Reason> {
    match Service::open(&lattice.folder, Arc::clone(&lattice.clock) as Arc<dyn Clock>).await {
        Ok(service) => service.close().await.map(|()| None).unwrap(),
        Err(error) => error.reason(),
    }
}

async fn refused(lattice: &Closed) -> Option<Reason> {
    let log = match LogReader::open(&lattice.folder.log()).await {
        Ok(log) => log,
        Err(error) => return error.reason(),
    };
    let vouched = Lock::peek(&lattice.folder.lock_file()).await;
    let verdict = audit::log(&log, Against { vouched, ..Against::default() }, || ()).await.unwrap();
    verdict.err().map(|broken| broken.refusal.reason)
}

#[tokio::test]
async fn t28_t63_an_act_that_is_hidden_among_frozen_entries_is_missed_without_the_segment() {
    let lattice = aged().await;
    day(&lattice, 40);
    frozen(&lattice, Until::OlderThan(1), &lattice.place.path().join("segments")).await.unwrap();
    assert_eq!((opened(&lattice).await, refused(&lattice).await), (None, None));
    // The next entry governs too, so that its epoch says nothing.
    let hide = "INSERT INTO frozen SELECT idx, hash FROM entries WHERE idx = 3; DELETE FROM entries WHERE idx = 3; \
        DELETE FROM folds WHERE idx = 3;";
    tamper(&lattice.folder.log(), &[hide]).await;
    let broken = Some(Reason::LogBroken);
    assert_eq!((opened(&lattice).await, refused(&lattice).await), (broken, broken));
}

#[tokio::test]
async fn t28_t63_what_the_fold_rests_on_is_what_the_lock_has_seen_of_a_short_log_too() {
    let lattice = aged().await;
    tamper(&lattice.folder.lock_file(), &["UPDATE lock SET rests = zeroblob(32)"]).await;
    let broken = Some(Reason::LogBroken);
    assert_eq!((opened(&lattice).await, refused(&lattice).await), (broken, broken));
}

#[tokio::test]
async fn t63_a_row_that_is_frozen_and_in_no_segment_is_found() {
    for plant in ["SELECT idx, hash FROM entries WHERE idx = 5", "VALUES (9999, zeroblob(32))"] {
        let lattice = aged().await;
        tamper(&lattice.folder.log(), &["INSERT INTO frozen ", plant]).await;
        let broken = Some(Reason::LogBroken);
        assert_eq!((opened(&lattice).await, refused(&lattice).await), (broken, broken), "{plant}");
    }
}

#[tokio::test]
async fn t28_t64_a_log_that_was_cut_is_not_the_one_that_its_lock_has_seen_for_whoever_only_looks() {
    let lattice = aged().await;
    assert_eq!(refused(&lattice).await, None);
    tamper(&lattice.folder.log(), &["DELETE FROM entries WHERE idx >= 9; DELETE FROM folds WHERE idx >= 9"]).await;
    assert_eq!(refused(&lattice).await, Some(Reason::StateRollback));
}
