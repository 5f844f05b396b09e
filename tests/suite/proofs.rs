//! A log that proves itself: one entry to whoever has the lattice's digest, the whole to another implementation.
//!
//! What proves it is taken apart piece by piece, and each time somebody says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use data_encoding::BASE64;
use harness::caller::{Administrator, Caller, Said};
use harness::lattice::{Lattice, path, wait_for};
use harness::program::program;
use harness::verifiers::{edit, elsewhere, printed, python};
use policy::digest::Digest;
use policy::log::{prove_consistency, prove_inclusion};
use policy::name::Lattice as LatticeName;
use policy::wire::Topic;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A log with more entries than a tile has, made by a real broker, which has ended; and what was asked last.
struct Grown {
    lattice: Lattice,
    root: String,
    asked: u64,
    // Signed half-way.
    older: Vec<u8>,
}

fn grown() -> &'static Grown {
    static GROWN: OnceLock<Grown> = OnceLock::new();
    GROWN.get_or_init(|| {
        let mut lattice = Lattice::with_cart();
        let ask = |count: usize| {
            let asked = runtime().block_on(async {
                let (caller, mut last) = (Caller::new(&lattice, "host").await, Said::Nothing);
                for _ in 0..count {
                    last = caller.ask().await;
                }
                last
            });
            let Said::Signed(index, _, None) = asked else { panic!("{asked:?}") };
            index
        };
        let half = ask(150);
        let newest = lattice.path("lattice/tree/checkpoint");
        let older = wait_for("a checkpoint of what was asked", || {
            let note = std::fs::read(&newest).ok()?;
            (broker::store::says(&note)? > half).then_some(note)
        });
        let asked = ask(150);
        let root = lattice.accepted(&["status"])["root"].as_str().unwrap().to_owned();
        lattice.stop_broker();
        Grown { lattice, root, asked, older }
    })
}

/// A copy of that lattice's folder, to be tampered with.
struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let room = TempDir::new().unwrap();
        let from = grown().lattice.path("lattice");
        let done = Command::new("cp").args(["-a", path(&from), path(&room.path().join("lattice"))]).status().unwrap();
        assert!(done.success());
        Self(room)
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("lattice")
    }

    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let folder = self.folder();
        let arguments = [&["-o", "json", "--dir", path(&folder)], arguments].concat();
        printed(&program("countersign").args(arguments).current_dir(self.0.path()).output().unwrap())
    }

    fn holds(&self, arguments: &[&str]) -> Value {
        let (code, told) = self.json(arguments);
        assert_eq!(code, 0, "{arguments:?}: {told}");
        told
    }

    fn refused(&self, arguments: &[&str], reason: &str) -> Value {
        let (code, told) = self.json(arguments);
        assert_eq!((code, told["error"].as_str()), (3, Some(reason)), "{arguments:?}: {told}");
        told
    }

    fn size(&self) -> u64 {
        self.holds(&["audit", "tail", "-n", "1"])["next"].as_u64().unwrap()
    }

    fn edit(&self, change: &str, row: u64) {
        edit(&self.folder().join("log.db"), &change.replace("ROW", &row.to_string()));
    }

    fn python(&self) -> Output {
        python(&["log", path(&self.folder()), "--root", &grown().root])
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn write(file: &Path, exhibit: &Value) {
    std::fs::write(file, policy::json::write(exhibit)).unwrap();
}

// The text with one character changed, in the middle.
fn altered(text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = characters.len() / 2;
    characters[at] = if characters[at] == 'A' { 'B' } else { 'A' };
    characters.into_iter().collect()
}

#[test]
fn t62_t63_one_file_proves_an_entry_anywhere_and_any_change_of_it_is_named() {
    let (copy, grown) = (Copy::new(), grown());
    let file = copy.0.path().join("start.proof");
    let proved = copy.holds(&["audit", "prove", &grown.asked.to_string(), "--out", path(&file)]);
    assert_eq!((proved["index"].as_u64(), proved["root"].as_str()), (Some(grown.asked), Some(&*grown.root)));
    // By the start of its hash, and by its component, it is the same file.
    let sha256 = proved["entry_sha256"].as_str().unwrap();
    for about in [&sha256[..12], "cart"] {
        let again = copy.0.path().join("again.proof");
        copy.holds(&["audit", "prove", about, "--out", path(&again)]);
        assert_eq!(std::fs::read(&again).unwrap(), std::fs::read(&file).unwrap(), "{about}");
    }

    let (code, told) = elsewhere(&["--root", &grown.root, "audit", "verify", "--proof", path(&file)]);
    assert_eq!(code, 0, "{told}");
    assert_eq!((&told["entry"]["kind"], &told["pinned"]), (&json!("ruling"), &json!(true)), "{told}");
    assert!(told["answers"].to_string().contains("wasi:logging"), "{told}");
    assert!(told["evidence"][0]["what"].as_str().unwrap().contains("signed by host N"), "{told}");
    assert!(told["evidence"].to_string().contains("claims of a component, signed by issuer A"), "{told}");
    let (code, unpinned) = elsewhere(&["audit", "verify", "--proof", path(&file)]);
    assert_eq!((code, &unpinned["pinned"]), (0, &json!(false)), "{unpinned}");
    let second = python(&["proof", path(&file), "--root", &grown.root]);
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stdout));

    let exhibit: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let other = Lattice::quiet();
    let strange = other.path("strange.proof");
    other.accepted(&["audit", "prove", "0", "--out", path(&strange)]);
    let strange: Value = serde_json::from_slice(&std::fs::read(&strange).unwrap()).unwrap();
    let forged = copy.0.path().join("forged.proof");
    for (what, reason, changed) in changes(&exhibit, &strange) {
        write(&forged, &changed);
        let (code, told) = elsewhere(&["--root", &grown.root, "audit", "verify", "--proof", path(&forged)]);
        assert_eq!((code, told["error"].as_str()), (3, Some(reason)), "{what}: {told}");
        let second = python(&["proof", path(&forged), "--root", &grown.root]);
        assert_eq!(second.status.code(), Some(3), "{what}: {}", String::from_utf8_lossy(&second.stdout));
    }
    // Another form of the same, and another lattice.
    std::fs::write(&forged, serde_json::to_vec_pretty(&exhibit).unwrap()).unwrap();
    let (_, told) = elsewhere(&["--root", &grown.root, "audit", "verify", "--proof", path(&forged)]);
    assert_eq!(told["error"], "json_malformed", "{told}");
    let (_, told) = elsewhere(&["--root", &"0".repeat(64), "audit", "verify", "--proof", path(&file)]);
    assert_eq!(told["error"], "broker_key_unknown", "{told}");
}

// Every member changed in every way that leaves an exhibit, with the reason that it is refused for.
fn changes(exhibit: &Value, strange: &Value) -> Vec<(String, &'static str, Value)> {
    let mut changes = Vec::new();
    let mut put = |what: &str, reason: &'static str, member: &str, value: Value| {
        let mut changed = exhibit.clone();
        changed[member] = value;
        changes.push((format!("{member}: {what}"), reason, changed));
    };
    let text = |member: &str| exhibit[member].as_str().unwrap().to_owned();
    put("another", "schema_mismatch", "format", json!("countersign.exhibit.v2"));
    put("unknown", "json_malformed", "more", json!("x"));
    put("another id", "proof_invalid", "entry", json!(text("entry").replace("\"cart\"", "\"kart\"")));
    put("a blank", "log_broken", "entry", json!(text("entry").replacen(':', ": ", 1)));
    put(
        "another's",
        "lattice_mismatch",
        "entry",
        json!(text("entry").replace("\"lattice\":\"default\"", "\"lattice\":\"other\"")),
    );
    put("the first", "proof_invalid", "entry", exhibit["inception"].clone());
    put("altered", "broker_key_unknown", "inception", json!(altered(&text("inception"))));
    put("another's", "broker_key_unknown", "inception", strange["inception"].clone());
    put("altered", "signature_invalid", "warrant", json!(cut_and_changed(&text("warrant"))));
    put("another's", "broker_key_unknown", "warrant", strange["warrant"].clone());
    put("nothing", "token_malformed", "warrant", json!(""));
    put("no token", "token_malformed", "roots", json!([["x"]]));
    put("of nobody", "token_header", "roots", json!([[text("warrant")]]));
    put("no change", "json_malformed", "roots", json!(["?"]));
    let note = text("checkpoint");
    let size = note.lines().nth(1).unwrap();
    put("more entries", "signature_invalid", "checkpoint", json!(note.replacen(size, &format!("{size}0"), 1)));
    put("another root", "signature_invalid", "checkpoint", json!(note.replacen('=', "A", 1)));
    put("another epoch", "signature_invalid", "checkpoint", json!(note.replacen("epoch ", "epoch 1", 1)));
    put("unsigned", "schema_mismatch", "checkpoint", json!(note.split("\n\n").next().unwrap()));
    put("another's", "schema_mismatch", "checkpoint", strange["checkpoint"].clone());
    for (member, reason) in [("inclusion", "proof_invalid"), ("evidence", "log_broken")] {
        let pieces = exhibit[member].as_array().unwrap().clone();
        assert!(pieces.len() > 1, "{member}");
        put("one more", reason, member, json!([&pieces[..], &pieces[..1]].concat()));
        put("none", reason, member, json!([]));
        for at in 0..pieces.len() {
            let (mut less, mut other, mut swapped) = (pieces.clone(), pieces.clone(), pieces.clone());
            less.remove(at);
            put("one less", reason, member, json!(less));
            let piece = pieces[at].as_str().unwrap();
            other[at] = if member == "inclusion" {
                json!(Digest::of(piece.as_bytes()))
            } else {
                json!(BASE64.encode(
                    altered(std::str::from_utf8(&BASE64.decode(piece.as_bytes()).unwrap()).unwrap()).as_bytes()
                ))
            };
            put("another", reason, member, json!(other));
            swapped.swap(at, (at + 1) % pieces.len());
            put("out of order", reason, member, json!(swapped));
        }
    }
    changes
}

// A token whose signature is that of another document: well-formed, and of nobody.
fn cut_and_changed(token: &str) -> String {
    let (head, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    format!("{head}.{first}{}", &signature[1..])
}

#[test]
fn t63_another_implementation_reads_the_log_and_names_each_change() {
    let copy = Copy::new();
    let read = copy.python();
    let said = String::from_utf8_lossy(&read.stdout).into_owned();
    assert!(read.status.success(), "{said}{}", String::from_utf8_lossy(&read.stderr));
    let verified = copy.holds(&["audit", "verify"]);
    assert!(said.contains(verified["tree_root"].as_str().unwrap()), "both come to one root: {said} {verified}");
    assert!(verified["tiles"].as_u64().unwrap() >= 1 && verified["checkpoints"].as_u64().unwrap() >= 1, "{verified}");
    let row = grown().asked / 2;
    for change in [
        "UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), '\"cart\"', '\"kart\"') AS BLOB) WHERE idx = ROW",
        "UPDATE entries SET hash = zeroblob(32) WHERE idx = ROW",
        "UPDATE entries SET document = CAST('x' AS BLOB) WHERE idx = ROW",
        "DELETE FROM entries WHERE idx = ROW",
        "UPDATE evidence SET bytes = CAST('x' AS BLOB)",
        "DELETE FROM entries WHERE idx > ROW",
    ] {
        let copy = Copy::new();
        copy.edit(change, row);
        let read = copy.python();
        assert_eq!(read.status.code(), Some(3), "{change}: {}", String::from_utf8_lossy(&read.stdout));
        let (code, told) = copy.json(&["audit", "verify"]);
        assert_eq!(code, 3, "{change}: {told}");
    }
}

#[test]
fn t62_the_end_cut_off_is_found_under_every_kept_checkpoint() {
    let copy = Copy::new();
    let (size, newest) = (copy.size(), copy.folder().join("tree/checkpoint"));
    let outside = copy.0.path().join("kept.note");
    std::fs::copy(&newest, &outside).unwrap();
    assert!(size > 256);
    for least in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 100] {
        copy.edit("DELETE FROM entries WHERE idx >= ROW", size - least);
        // What lies beside the log tells it, and so does what somebody kept elsewhere, when that is gone.
        copy.refused(&["audit", "verify", "--from", path(&outside)], "state_rollback");
        let hidden = copy.folder().join("tree.gone");
        std::fs::rename(copy.folder().join("tree"), &hidden).unwrap();
        copy.refused(&["audit", "verify", "--from", path(&outside), "--checkpoint", path(&outside)], "state_rollback");
        std::fs::rename(&hidden, copy.folder().join("tree")).unwrap();
    }
    copy.refused(&["audit", "verify"], "state_rollback");
    assert_eq!(copy.python().status.code(), Some(3));
}

#[test]
fn t63_a_tile_or_a_kept_checkpoint_of_another_log_is_found_and_proves_nothing() {
    let mut copy = Copy::new();
    let tile = copy.folder().join("tree/tile/0/000");
    let kept = std::fs::read(&tile).unwrap();
    assert_eq!(kept.len(), 256 * 32);
    for changed in [[&[kept[0] ^ 1], &kept[1..]].concat(), kept[32..].to_vec()] {
        std::fs::write(&tile, &changed).unwrap();
        copy.refused(&["audit", "verify"], "proof_invalid");
        assert_eq!(copy.python().status.code(), Some(3));
        // The entries are read instead.
        let file = copy.0.path().join("entry.proof");
        copy.holds(&["audit", "prove", "3", "--out", path(&file)]);
        let (code, told) = elsewhere(&["--root", &grown().root, "audit", "verify", "--proof", path(&file)]);
        assert_eq!(code, 0, "{told}");
    }
    // The next command opens the log, and makes it again.
    copy.holds(&["host", "invite"]);
    assert_eq!(std::fs::read(&tile).unwrap(), kept);
    copy.holds(&["audit", "verify"]);
    std::fs::remove_file(&tile).unwrap();
    assert_eq!(copy.holds(&["audit", "verify"])["tiles_missing"], 1);
    copy.holds(&["audit", "prove", "3"]);

    copy = Copy::new();
    let newest = copy.folder().join("tree/checkpoint");
    let note = std::fs::read_to_string(&newest).unwrap();
    for changed in [note.replacen("epoch ", "epoch 1", 1), "nothing".to_owned(), note.replacen('=', "A", 1)] {
        std::fs::write(&newest, changed).unwrap();
        copy.refused(&["audit", "verify"], "proof_invalid");
        assert_eq!(copy.python().status.code(), Some(3));
    }
    std::fs::remove_dir_all(copy.folder().join("tree")).unwrap();
    copy.holds(&["audit", "verify"]);
    copy.refused(&["audit", "prove", "3"], "not_found");
}

#[test]
fn what_was_verified_before_is_not_decided_again_and_still_held_to_its_checkpoint() {
    let copy = Copy::new();
    let older = copy.0.path().join("older.note");
    std::fs::write(&older, &grown().older).unwrap();
    let since = broker::store::says(&grown().older).unwrap();
    let (all, rest) = (copy.holds(&["audit", "verify"]), copy.holds(&["audit", "verify", "--from", path(&older)]));
    assert_eq!((&all["tree_root"], &all["entries"]), (&rest["tree_root"], &rest["entries"]));
    assert_eq!(rest["verified_before"], since);
    let decided = |told: &Value| told["rulings"].as_u64().unwrap() + told["judged"].as_u64().unwrap();
    assert!(decided(&rest) > 100 && decided(&rest) < decided(&all) - 100, "{all} {rest}");
    // A checkpoint of nobody's, or of another lattice, covers nothing.
    let other = Lattice::quiet();
    copy.refused(&["audit", "verify", "--from", path(&other.path("lattice/tree/checkpoint"))], "signature_invalid");
    std::fs::write(&older, String::from_utf8(grown().older.clone()).unwrap().replacen("epoch ", "epoch 1", 1)).unwrap();
    copy.refused(&["audit", "verify", "--from", path(&older)], "signature_invalid");
    std::fs::write(&older, &grown().older).unwrap();
    // A row before it that was changed is found by its place in the chain and the tree.
    copy.edit("UPDATE entries SET hash = zeroblob(32) WHERE idx = ROW", since - 3);
    copy.refused(&["audit", "verify", "--from", path(&older)], "log_broken");
}

#[test]
fn t60_t65_a_broker_proves_over_the_wire_that_its_log_grew_and_holds_an_entry() {
    let lattice = Lattice::with_cart();
    let shown = runtime().block_on(async {
        let (caller, admin) = (Caller::new(&lattice, "host").await, Administrator::new(&lattice).await);
        let Said::Signed(index, hash, None) = caller.ask().await else { panic!("no answer") };
        let before = look(&admin, json!({"proof": {}})).await;
        for _ in 0..5 {
            assert!(caller.ask().await.is_yes());
        }
        let from = before["size"].as_u64().unwrap();
        let after = look(&admin, json!({"proof": {"index": index, "from": from}})).await;
        let (size, new) = (after["size"].as_u64().unwrap(), digest(&after["root"]));
        assert!(size >= from + 5, "{before} {after}");
        prove_inclusion(hash, index, size, &proof(&after["inclusion"]), new).unwrap();
        assert_eq!((digest(&after["entry_sha256"]), digest(&after["from_root"])), (hash, digest(&before["root"])));
        prove_consistency((from, digest(&before["root"])), (size, new), &proof(&after["consistency"])).unwrap();
        // Of an older size it is another proof, to the root of that time.
        let then = look(&admin, json!({"proof": {"index": index, "size": from}})).await;
        prove_inclusion(hash, index, from, &proof(&then["inclusion"]), digest(&before["root"])).unwrap();
        for impossible in
            [json!({"index": size + 1000}), json!({"size": size + 1000}), json!({"from": 0}), json!({"size": 0})]
        {
            let refused = look(&admin, json!({"proof": impossible})).await;
            assert_eq!(refused["refused"], "proof_invalid", "{refused}");
        }
        let exhibit = look_until(&admin, json!({"prove": {"about": index.to_string()}}), "format").await;
        assert_eq!(exhibit["format"], "countersign.exhibit.v1", "{exhibit}");
        exhibit
    });
    // What the broker showed over the wire is a file like any other.
    let file = lattice.path("shown.proof");
    write(&file, &shown);
    let root = lattice.accepted(&["status"])["root"].as_str().unwrap().to_owned();
    let (code, told) = elsewhere(&["--root", &root, "audit", "verify", "--proof", path(&file)]);
    assert_eq!(code, 0, "{told}");
}

async fn look(admin: &Administrator, look: Value) -> Value {
    let what = look.as_object().unwrap().keys().next().unwrap().clone();
    let lattice = LatticeName::parse("default").unwrap();
    let subject = Topic::Query.subject(&lattice).replace('*', &what);
    let view = admin.look(&subject, admin.query(&what, &look)).await.expect("a signed view");
    serde_json::from_slice(&view).unwrap()
}

// A checkpoint of what was just asked is signed within a second.
async fn look_until(admin: &Administrator, wanted: Value, member: &str) -> Value {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let seen = look(admin, wanted.clone()).await;
        if seen.get(member).is_some() || std::time::Instant::now() > until {
            return seen;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn digest(value: &Value) -> Digest {
    Digest::parse(value.as_str().unwrap()).unwrap()
}

fn proof(value: &Value) -> Vec<Digest> {
    value.as_array().unwrap().iter().map(digest).collect()
}
