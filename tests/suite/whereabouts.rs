//! Every error of both programs says where it was and what to do next: folder, lattice, broker and remedy.
//!
//! The commands are found by walking the help of the built programs, and held against the tree that the broker parses.

use std::path::Path;

use harness::program::program;
use policy::reason::Reason;
use serde_json::Value;

const URL: &str = "nats://me:hunter2@127.0.0.1:1";

/// A command without subcommands: its words, and what its usage line demands.
#[derive(Debug)]
struct Leaf {
    words: Vec<String>,
    needs: Vec<String>,
}

fn leaves(name: &str, words: &[String]) -> Vec<Leaf> {
    let output = program(name).args(words).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Longer descriptions go on further to the right.
    let commands = listed.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let commands = commands.filter_map(|line| line.split_whitespace().next()).filter(|command| *command != "help");
    let below: Vec<Leaf> =
        commands.flat_map(|command| leaves(name, &[words, &[command.to_owned()]].concat())).collect();
    if !below.is_empty() {
        return below;
    }
    let usage = help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap();
    let demanded = usage.split_whitespace().skip(1 + words.len()).filter(|word| !word.starts_with('['));
    let needs = demanded.map(|word| if word.starts_with("--") { word.to_owned() } else { "x".to_owned() }).collect();
    vec![Leaf { words: words.to_vec(), needs }]
}

fn parsed(command: &clap::Command, words: &[String]) -> Vec<Vec<String>> {
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    let below: Vec<_> =
        below.flat_map(|below| parsed(below, &[words, &[below.get_name().to_owned()]].concat())).collect();
    if below.is_empty() { vec![words.to_vec()] } else { below }
}

#[test]
fn the_help_tells_of_every_command_that_is_parsed() {
    let mut told: Vec<_> = leaves("countersign", &[]).into_iter().map(|leaf| leaf.words).collect();
    let mut found = parsed(&broker::command::tree(), &[]);
    told.sort();
    found.sort();
    assert_eq!(told, found);
    assert!(found.len() > 35, "{found:?}");
}

#[test]
fn every_error_of_every_command_says_where_it_was_and_what_to_do() {
    let room = tempfile::tempdir().unwrap();
    std::fs::write(room.path().join("plain"), b"no folder").unwrap();
    // Below a file there is no folder, and none can be made.
    let folder = room.path().join("plain").join("below");
    for (name, option) in [("countersign", "--dir"), ("countersign-host", "--host-dir")] {
        for leaf in leaves(name, &[]) {
            let sound = [&leaf.words[..], &leaf.needs].concat();
            let odd = [&leaf.words[..], &["--frobnicate".to_owned()]].concat();
            for arguments in [sound, odd] {
                let arguments = [&[option.to_owned(), folder.to_str().unwrap().to_owned()], &arguments[..]].concat();
                says_where(name, &arguments, room.path(), &folder);
            }
        }
    }
    // Also what is not parsed as far as a command, and what must not be repeated.
    let seed = nkeys::KeyPair::new_account().seed().unwrap();
    for words in [&["nonsense"][..], &["--key", &seed, "status"], &["status", &seed]] {
        let told = [&["--dir", folder.to_str().unwrap()][..], words].concat();
        says_where("countersign", &told.iter().map(ToString::to_string).collect::<Vec<_>>(), room.path(), &folder);
    }
}

fn says_where(name: &str, arguments: &[String], here: &Path, folder: &Path) {
    let run = |format: &str| {
        let mut command = program(name);
        command.args(["-o", format]).args(arguments).current_dir(here).env("COUNTERSIGN_NATS_URL", URL);
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.code().is_some_and(|code| (1..=3).contains(&code)), "{arguments:?}: {out}{err}");
        assert!(!format!("{out}{err}").contains("hunter2"), "{arguments:?}: the password came back");
        err
    };
    let (text, json) = (run("text"), run("json"));
    let told: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {json}"));
    let folder = folder.to_str().unwrap();
    assert_eq!((&told["success"], &told["folder"]), (&false.into(), &folder.into()), "{arguments:?}: {told}");
    assert_eq!(told["broker"], "nats://127.0.0.1:1", "{arguments:?}: {told}");
    // A host that has not joined has no lattice yet, and says so.
    let lattice = if name == "countersign" { "default" } else { "not joined" };
    assert!(told.get("lattice").is_some_and(|told| told.is_null() || told == lattice), "{arguments:?}: {told}");
    let (code, remedy) = (told["error"].as_str().unwrap(), told["remedy"].as_str().unwrap());
    assert!(Reason::from_code(code).is_none_or(|reason| reason.remedy() == remedy), "{arguments:?}: {told}");
    for part in [&format!("folder: {folder}"), &format!("lattice: {lattice}"), "broker: nats://127.0.0.1:1"] {
        assert!(text.contains(part), "{arguments:?}: no `{part}` in\n{text}");
    }
    assert!(text.contains(&format!("fix: {remedy}")) && text.contains(code), "{arguments:?}:\n{text}");
}
