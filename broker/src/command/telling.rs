//! How a decision is told to people: what answers each import and why, rule by rule with what each read, and what would
//! lift a refusal, who may do it, and what else it would change.

use serde_json::Value;

use crate::command::acting::member;
use crate::output;
use crate::view::rows;

/// What became of each import.
pub(super) fn outcomes(told: &Value) -> String {
    let names = told.get("providers");
    let row = |row: &Value| {
        let sha256 = member(row, "sha256");
        let id = names.map(|names| member(names, &sha256)).unwrap_or_default();
        let answer = match row.get("reason") {
            Some(_) => "refused".to_owned(),
            None => member(row, "by"),
        };
        let by =
            [id, member(row, "provider")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        let why = if by.is_empty() { member(row, "reason") } else { by };
        [import(row), member(row, "link"), answer, why]
    };
    let found = rows(told, "outcomes");
    if found.is_empty() {
        return String::new();
    }
    output::table(["IMPORT", "LINK", "ANSWERED", "BY, OR WHY NOT"], found.iter().map(row))
}

/// What relaxations let through.
pub(super) fn relaxed(told: &Value) -> String {
    let mut text = String::new();
    for row in rows(told, "relaxations") {
        let about = Some(member(row, "package")).filter(|package| !package.is_empty());
        let about = about.map(|package| format!(" for {package}")).unwrap_or_default();
        let line = format!(
            "relaxed: {}{about} would refuse, `{}` lets it pass",
            member(row, "would_refuse"),
            member(row, "id")
        );
        text += &output::shown(&line);
        text.push('\n');
    }
    text
}

/// Each rule in order, with its verdict and what it read; keys and digests cut short unless they are wanted whole.
pub(super) fn rules(told: &Value, whole: bool) -> String {
    let Some(rules) = told.get("rules") else {
        return String::new();
    };
    let mut text = section("rules on the start", rows(rules, "start"), whole);
    for lines in rows(rules, "imports") {
        let heading = format!("rules on {} under `{}`", import(lines), member(lines, "link"));
        text += &section(&heading, rows(lines, "rules"), whole);
    }
    text
}

/// The acts that would lift a refusal, and what must be done by whom outside.
pub(super) fn fix(told: &Value) -> String {
    let Some(fix) = told.get("fix") else {
        return String::new();
    };
    let (acts, outside) = (rows(fix, "acts"), rows(fix, "outside"));
    let mut text = match (acts.is_empty(), fix.get("still")) {
        (true, _) => "fix: no act on this lattice lifts it\n".to_owned(),
        (false, None) => "fix: these acts, in order, would permit it\n".to_owned(),
        (false, Some(_)) => {
            format!("fix: these acts help, and it would still be refused: {}\n", output::shown(&member(fix, "still")))
        }
    };
    for (number, act) in (1..).zip(acts) {
        let lifts = [member(act, "lifts"), member(act, "package")];
        let lifts = lifts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" for ");
        text += &format!("  {number}. {}\n", output::shown(&member(act, "command")));
        text += &output::shown(&format!("     by {}; lifts {lifts}", member(act, "who")));
        text += &format!("\n{}", changes(act));
    }
    for left in outside {
        let about = Some(member(left, "package")).filter(|package| !package.is_empty());
        let about = about.map(|package| format!(" for {package}")).unwrap_or_default();
        let told = format!("  {}{about}, by {}: {}", member(left, "reason"), member(left, "who"), member(left, "must"));
        text += &output::shown(&told);
        text.push('\n');
    }
    text
}

// What an act would change besides.
fn changes(act: &Value) -> String {
    let (changes, more, unseen) = (rows(act, "changes"), count(act, "changes_more"), count(act, "changes_unseen"));
    let mut text = match changes.len() {
        0 if unseen == 0 => return "     changes no other outcome in state\n".to_owned(),
        0 => String::new(),
        _ => "     also changes\n".to_owned(),
    };
    for change in changes {
        let [before, after] = ["before", "after"].map(|side| change.get(side).map(answered).unwrap_or_default());
        let (component, link) = (member(change, "component"), member(change, "link"));
        text += "       ";
        text += &output::shown(&format!("`{component}` {} under `{link}`: {before} -> {after}", import(change)));
        text.push('\n');
    }
    if more > 0 {
        text += &format!("       and {more} more\n");
    }
    if unseen > 0 {
        text += &format!("     {unseen} imports in state were not looked at: there are too many\n");
    }
    text
}

fn answered(side: &Value) -> String {
    match member(side, "verdict").as_str() {
        "permitted" => format!("{} `{}`", member(side, "by"), member(side, "id")),
        "refused" => format!("refused {}", member(side, "reason")),
        _ => "not there".to_owned(),
    }
}

fn count(row: &Value, name: &str) -> u64 {
    row.get(name).and_then(Value::as_u64).unwrap_or_default()
}

// The rules in one column, their verdicts in the next, what they read in the last.
fn section(heading: &str, lines: &[Value], whole: bool) -> String {
    let heading = output::shown(heading);
    let reached = |line: &&Value| member(line, "verdict") != "not_reached";
    if !lines.iter().any(|line| reached(&line)) {
        return format!("{heading}: not reached, the start itself is refused\n");
    }
    let mut text = heading + "\n";
    let width = lines.iter().map(|line| member(line, "rule").len()).max().unwrap_or_default();
    for line in lines {
        let (rule, fact) = (member(line, "rule"), member(line, "fact"));
        let fact = if whole { fact } else { shortened(&fact) };
        let (verdict, told) = match member(line, "verdict").as_str() {
            "passed" => ("passed", vec![fact]),
            "relaxed" => {
                let why = format!("{}: {}", member(line, "reason"), member(line, "detail"));
                (
                    "RELAXED",
                    vec![format!("`{}` lets pass {why}", member(line, "relaxations")), format!("it read: {fact}")],
                )
            }
            "refused" => {
                let why = format!("{}: {}", member(line, "reason"), member(line, "detail"));
                ("REFUSED", vec![why, format!("it read: {fact}")])
            }
            _ => ("not reached", Vec::new()),
        };
        let start = output::shown(&format!("  {rule:width$}  {verdict:11}"));
        let told: Vec<String> = told.iter().flat_map(|told| wrapped(&output::shown(told), start.len() + 2)).collect();
        text += if told.is_empty() { start.trim_end() } else { &start };
        text += &told.join(&format!("\n{:1$}", "", start.len()));
        text.push('\n');
    }
    text
}

// Lines that end at the terminal's width, if there is one, each with the gap that parts it from the column before.
fn wrapped(told: &str, indent: usize) -> Vec<String> {
    let room = output::width().map_or(usize::MAX, |width| width.saturating_sub(indent));
    let mut lines = vec![String::new()];
    for word in told.split(' ') {
        let Some(line) = lines.last_mut() else { continue };
        if !line.is_empty() && line.len() + 1 + word.len() > room {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.into_iter().map(|line| format!("  {line}")).collect()
}

// Keys and digests by their first letters: enough to tell them apart, and a line stays a line.
fn shortened(fact: &str) -> String {
    let is_long = |word: &str| {
        let key = word.len() == 56 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        let digest = word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        key || digest
    };
    let mut short = String::with_capacity(fact.len());
    for piece in fact.split_inclusive(|char: char| !char.is_ascii_alphanumeric()) {
        let word = piece.trim_end_matches(|char: char| !char.is_ascii_alphanumeric());
        if is_long(word) {
            short.extend(word.get(..SHORT));
            short.push_str("...");
            short.extend(piece.get(word.len()..));
        } else {
            short.push_str(piece);
        }
    }
    short
}

fn import(row: &Value) -> String {
    let version = Some(member(row, "version")).filter(|version| !version.is_empty());
    member(row, "package") + &version.map(|version| format!("@{version}")).unwrap_or_default()
}

const SHORT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_digests_are_cut_and_nothing_else_is() {
        let (key, digest) = ("A".repeat(56), "0f".repeat(32));
        let fact = format!("issuer `{key}` has scope `wasi:*`, bytes {digest}; signed at 2026-11-22T12:26:57Z");
        let short = "issuer `AAAAAAAA...` has scope `wasi:*`, bytes 0f0f0f0f...; signed at 2026-11-22T12:26:57Z";
        assert_eq!(shortened(&fact), short);
    }

    #[test]
    fn an_import_that_was_not_reached_is_one_line() {
        let line = |verdict: &str| serde_json::json!({"rule": "r", "verdict": verdict, "fact": "f"});
        let text = section("rules on x", &[line("not_reached"), line("not_reached")], false);
        assert_eq!(text, "rules on x: not reached, the start itself is refused\n");
        let text = section("rules on x", &[line("passed"), line("not_reached")], false);
        assert_eq!(text, "rules on x\n  r  passed       f\n  r  not reached\n");
    }
}
