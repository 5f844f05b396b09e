//! Proof files and logs after the roots changed, of warrants that two of them signed, under another log key: both
//! verifiers take them, and whatever is taken away or exchanged is refused by both.

use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use harness::lattice::{Lattice, path};
use harness::verifiers::{both_on_log, both_on_proof, edit};
use serde_json::{Value, json};

use super::roots::two_others;
use super::{lattice_with_roots_elsewhere, start};

fn of(lattice: &Lattice, kind: impl Fn(&str) -> bool) -> u64 {
    let tail = lattice.accepted(&["audit", "tail", "-n", "1000"]);
    let rows = tail["entries"].as_array().unwrap();
    let row = rows.iter().rfind(|row| kind(&row.to_string())).unwrap_or_else(|| panic!("{tail}"));
    row["index"].as_u64().unwrap()
}

fn proof(lattice: &Lattice, index: u64) -> Value {
    let file = lattice.path(&format!("entry-{index}.proof"));
    lattice.accepted(&["audit", "prove", &index.to_string(), "--out", path(&file)]);
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn write(file: &Path, exhibit: &Value) {
    std::fs::write(file, policy::json::write(exhibit)).unwrap();
}

// A token's document.
fn says(token: &str) -> Value {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap()).unwrap()
}

// The same signature under another document.
fn saying(token: &str, document: &Value) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], BASE64URL_NOPAD.encode(&policy::json::write(document)), parts[2])
}

#[test]
fn t17_t63_t66_changed_roots_cosigned_warrants_and_another_log_key_are_proved_to_both_verifiers() {
    let mut lattice = lattice_with_roots_elsewhere(&[]);
    let root = lattice.accepted(&["status"])["root"].as_str().unwrap().to_owned();
    let before = lattice.accepted(&["status"])["log_key"].clone();
    let first = proof(&lattice, 1);
    two_others(&mut lattice);
    let offline = |name: &str| path(&lattice.path("offline").join(name)).to_owned();
    lattice.accepted(&["warrant", "rotate", "log"]);
    lattice.accepted(&["warrant", "issue", "--root-key", &offline("b.nk"), "--out", "next.jws"]);
    let alone = std::fs::read_to_string(lattice.path("next.jws")).unwrap().trim().to_owned();
    lattice.accepted(&["warrant", "issue", "--partial", "next.jws", "--root-key", &offline("a.nk")]);
    lattice.accepted(&["warrant", "install", "warrant.jws"]);
    assert_ne!(lattice.accepted(&["status"])["log_key"], before);
    assert_eq!(start(&lattice, "host", "30"), None);
    let stands = |row: &str, word: &str| row.contains(word);
    let entries = [
        of(&lattice, |row| stands(row, "\"ruling\"")),
        of(&lattice, |row| stands(row, "\"governance\"") && stands(row, "warrant")),
        of(&lattice, |row| stands(row, "\"governance\"") && stands(row, "roots")),
        of(&lattice, |row| stands(row, "\"governance\"") && stands(row, "joined")),
        1,
    ];
    lattice.stop_broker();
    assert_eq!(both_on_log(&lattice.path("lattice"), &root, None), (None, true));

    let file = lattice.path("one.proof");
    for index in entries {
        let exhibit = proof(&lattice, index);
        assert_eq!(exhibit["roots"].as_array().unwrap().len(), 1, "{exhibit}");
        write(&file, &exhibit);
        assert_eq!(both_on_proof(&file, &root), (None, true), "entry {index}");
        let warrant = exhibit["warrant"].as_str().unwrap();
        let (mut uncosigned, mut other) = (says(warrant), says(warrant));
        assert_eq!(uncosigned["cosigned"].as_object().unwrap().len(), 1);
        uncosigned.as_object_mut().unwrap().remove("cosigned");
        for signature in other["cosigned"].as_object_mut().unwrap().values_mut() {
            *signature = json!(BASE64URL_NOPAD.encode(&[7; 64]));
        }
        let signers = exhibit["roots"][0].as_array().unwrap().clone();
        let reversed: Vec<_> = signers.iter().rev().cloned().collect();
        for (what, member, changed) in [
            ("no change of the roots", "roots", json!([])),
            ("one who did not sign the change", "roots", json!([&signers[..1]])),
            ("others who signed it", "roots", json!([&signers[1..]])),
            ("twice", "roots", json!([signers, signers])),
            ("no second signature", "warrant", json!(saying(warrant, &uncosigned))),
            ("another second signature", "warrant", json!(saying(warrant, &other))),
            ("signed by one alone", "warrant", json!(alone)),
            ("the roots' of before, for the log key of before", "warrant", first["warrant"].clone()),
            ("the checkpoint of before", "checkpoint", first["checkpoint"].clone()),
        ] {
            let mut forged = exhibit.clone();
            forged[member] = changed;
            write(&file, &forged);
            let (refused, second) = both_on_proof(&file, &root);
            assert!(refused.is_some() && !second, "entry {index}, {what}: {refused:?} {second}");
        }
        // Who of them signed first is all one, if it is told as it was signed.
        let mut turned = exhibit.clone();
        turned["roots"] = json!([reversed]);
        write(&file, &turned);
        let (refused, second) = both_on_proof(&file, &root);
        assert_eq!(refused.is_none(), second, "entry {index}: {refused:?}");
    }
    // What was proved before holds for whoever knows no more.
    write(&file, &first);
    assert_eq!(both_on_proof(&file, &root), (None, true));

    // In the log each of these documents is held to its signers, too.
    for index in &entries[..4] {
        let room = tempfile::tempdir().unwrap();
        let folder = room.path().join("lattice");
        super::copy_all(&lattice.path("lattice"), &folder);
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let change = "UPDATE entries SET document = CAST(substr(CAST(document AS TEXT), 1, length(document) - 8) || \
                      'AAAAAAAA' AS BLOB) WHERE idx = ";
        edit(&folder.join("log.db"), &[change, &index.to_string()].concat());
        let (refused, second) = both_on_log(&folder, &root, None);
        assert!(refused.is_some() && !second, "entry {index}: {refused:?} {second}");
    }
}
