//! Operator rules: what one forbids, what one cannot decide, what is no text of rules, and what was not meant.

use std::path::PathBuf;

use harness::lattice::path;
use serde_json::json;

use super::seen::Seen;
use super::stage::{Live, Stage};

// One text for both attacks, about ids that nobody else uses: the lattice has one text, and others are at work in it.
const TEXT: &str = "\
@id(\"not-this-one\")
forbid (principal, action == Action::\"start\", resource)
when { resource.id == \"ruled-out\" };

@id(\"sums-too-far\")
forbid (principal, action == Action::\"start\", resource)
when { resource.id == \"undecided\" && context.now + 9223372036854775807 == 0 };
";

fn under_rules(live: &Live, id: &str) -> PathBuf {
    let file = live.lattice.path(&format!("{id}.cedar"));
    // A text that differs by its comment is another text: each attack puts its own.
    std::fs::write(&file, format!("// {id}\n{TEXT}")).unwrap();
    live.done(&["rules", "put", path(&file)]);
    live.component(id, "(component)")
}

pub(super) fn forbidden(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = under_rules(live, "ruled-out");
    live.run(&file, "ruled-out", &[])
}

// The sum is too large for any number of the language: nobody knows what the rule would have said.
pub(super) fn undecided(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = under_rules(live, "undecided");
    live.run(&file, "undecided", &[])
}

pub(super) fn otherwise_than_written(stage: &Stage) -> Seen {
    let rules = stage.file("untold.cedar", TEXT);
    let case = json!({"host": {"key": "N"}, "runs": {"id": "ruled-out"}});
    let cases = json!({"cases": [{"name": "let in", "case": case, "expect": "permitted"}]});
    let cases = stage.file("untold.json", cases.to_string());
    stage.alone("untold", &["rules", "test", path(&cases), "--rules", path(&rules)])
}

// Straight to the broker, past the check of the command line: rules that would widen what the law allows.
pub(super) fn permitting(stage: &Stage) -> Seen {
    let live = stage.live();
    let text = ["@id(\"anything-goes\")", "permit (principal, action, resource);"];
    let operations = stage.file("permitting.json", json!([{"put_rules": {"text": text}}]).to_string());
    live.told(&["apply", "-f", path(&operations)])
}
