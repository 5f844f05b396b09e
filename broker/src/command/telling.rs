//! How a decision is told to people: what answers each import and why, rule by rule, and what would lift a refusal.

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

/// Each rule in order, with its verdict.
pub(super) fn rules(told: &Value) -> String {
    let Some(rules) = told.get("rules") else {
        return String::new();
    };
    let mut text = String::from("rules on the start\n");
    rows(rules, "start").iter().for_each(|rule| text += &line(rule));
    for import in rows(rules, "imports") {
        let (package, link) = (member(import, "package"), member(import, "link"));
        text += &output::shown(&format!("rules on {package} under {link}"));
        text.push('\n');
        rows(import, "rules").iter().for_each(|rule| text += &line(rule));
    }
    text
}

/// The acts that would lift a refusal.
pub(super) fn fix(told: &Value) -> String {
    let Some(fix) = told.get("fix") else {
        return String::new();
    };
    let acts = rows(fix, "acts");
    let mut text = match (acts.is_empty(), fix.get("still")) {
        (true, _) => "fix: no act of an administrator lifts this\n".to_owned(),
        (false, None) => "fix: these acts, in order, would permit it\n".to_owned(),
        (false, Some(_)) => {
            format!("fix: these acts help, and it would still be refused: {}\n", output::shown(&member(fix, "still")))
        }
    };
    for (number, act) in (1..).zip(acts) {
        let (command, who, lifts) = (member(act, "command"), member(act, "who"), member(act, "lifts"));
        text += &format!(
            "  {number}. {}\n     ({}; lifts {})\n",
            output::shown(&command),
            output::shown(&who),
            output::shown(&lifts)
        );
    }
    text
}

fn line(rule: &Value) -> String {
    match rule.get("reason") {
        None => format!("  yes  {}\n", output::shown(&member(rule, "rule"))),
        Some(_) => {
            let told = format!("{}: {}: {}", member(rule, "rule"), member(rule, "reason"), member(rule, "detail"));
            format!("  NO   {}\n", output::shown(&told))
        }
    }
}

fn import(row: &Value) -> String {
    let version = Some(member(row, "version")).filter(|version| !version.is_empty());
    member(row, "package") + &version.map(|version| format!("@{version}")).unwrap_or_default()
}
