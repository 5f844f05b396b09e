//! Wrong uses of the types that carry a proof: each does not compile, beside a right use that does (T100).
//!
//! `cargo test --doc` tries them; this holds the list, so that none is taken away unnoticed.

use std::collections::BTreeMap;

use harness::vectors::repository;

const WRONG: [(&str, &str); 18] = [
    ("policy/src/key.rs", "a host's key where an issuer's belongs"),
    ("policy/src/govern/administrators.rs", "a keyring of one's own"),
    ("policy/src/envelope.rs", "a signature checked against nobody"),
    ("policy/src/command.rs", "a command verified as if hosts could command"),
    ("policy/src/command.rs", "an unverified document that was consumed"),
    ("policy/src/envelope.rs", "a forged Verified"),
    ("policy/src/claims.rs", "claims that nobody signed"),
    ("broker/src/store/recorded.rs", "a ruling signed before it is on record"),
    ("broker/src/store/recorded.rs", "a forged Recorded"),
    ("host/src/permit.rs", "a permit rewritten for another import"),
    ("host/src/permit.rs", "an answer that nobody verified"),
    ("host/src/permit.rs", "a receipt where an answer belongs"),
    ("host/src/permit.rs", "a permit copied"),
    ("host/src/permit.rs", "a permit from nothing"),
    ("host/src/slot.rs", "a slot filled without a permit"),
    ("host/src/slot.rs", "a permit used twice"),
    ("host/src/slot.rs", "a refusal that nobody reads"),
    ("host/src/slot.rs", "a slot of one's own"),
];

/// One example in a documentation comment: how it is to come out, and its lines.
struct Example {
    tag: String,
    lines: Vec<String>,
}

fn examples(file: &str) -> Vec<Example> {
    let text = std::fs::read_to_string(repository().join(file)).unwrap();
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("///")) {
        let line = line.strip_prefix(' ').unwrap_or(line);
        match (inside, line.strip_prefix("```")) {
            (false, Some(tag)) => examples.push(Example { tag: tag.to_owned(), lines: Vec::new() }),
            (true, None) => examples.last_mut().unwrap().lines.push(line.to_owned()),
            (_, _) => {}
        }
        inside ^= line.starts_with("```");
    }
    examples
}

#[test]
fn t100_wrong_uses_do_not_compile_beside_right_ones_that_do() {
    let files: BTreeMap<&str, Vec<Example>> = WRONG.iter().map(|(file, _)| (*file, examples(file))).collect();
    let mut found = Vec::new();
    for (file, examples) in &files {
        for (at, wrong) in examples.iter().enumerate().filter(|(_, example)| example.tag == "compile_fail") {
            let label = wrong.lines.iter().find_map(|line| line.strip_prefix("# // T100: "));
            let label =
                label.unwrap_or_else(|| panic!("{file}: a wrong use does not say what is wrong: {:?}", wrong.lines));
            // A typo fails to compile as well: so the last right use before it compiles, and names the same things.
            let twin = examples[..at].iter().rfind(|example| example.tag.is_empty());
            let twin = twin.unwrap_or_else(|| panic!("{file}: `{label}` has no compiling twin before it"));
            let shared = wrong.lines.iter().filter(|line| twin.lines.contains(line)).count();
            assert!(shared >= 1, "{file}: `{label}` and its twin have nothing in common");
            found.push((*file, label));
        }
    }
    for wrong in &WRONG {
        assert!(found.contains(wrong), "{wrong:?} is gone");
    }
    assert_eq!(found.len(), WRONG.len(), "a wrong use is not on the list: {found:?}");
    println!("wrong uses that do not compile: {}", found.len());
}
