//! `--plan` and `--apply`: what would be done, to whom it would happen, and doing exactly that or nothing.

use std::time::Duration;

use indicatif::ProgressBar;
use policy::digest::Digest;
use policy::govern::Event;
use policy::json;
use policy::reason::{Reason, Refusal};
use serde_json::{Map, Value, json};

use crate::client::{Act, Client, Plan};
use crate::command::acting::{brief, member};
use crate::output::{self, Report};
use crate::view::{rows, text};

/// Has it planned; who waits at a terminal sees that something is done, for thousands of starts are decided again.
pub(super) fn looked(client: &Client, basis: u64, act: Act) -> anyhow::Result<Plan> {
    let waiting = ProgressBar::new_spinner().with_message("the newest starts are decided again");
    waiting.enable_steady_tick(TICK);
    let plan = client.plan(basis, act);
    waiting.finish_and_clear();
    plan
}

/// Tells a plan: what would be recorded, who depends on it, what runs on its ground, and which starts come out otherwise.
pub(super) fn planned(plan: Plan, mut members: Map<String, Value>) -> Report {
    let Plan { sha256, epoch, view, anew } = plan;
    let mut text = "would be done, nothing was recorded\n".to_owned();
    for event in rows(&view, "events") {
        if let Ok(event) = json::from_value::<Event>(event.clone()) {
            text += &format!("  {}\n", output::shown(&event.told()));
        }
        text += &format!("    {}\n", output::shown(&String::from_utf8_lossy(&json::write(event))));
    }
    if let Some(lack) = view.get("lack") {
        text += &format!("it would wait: {} more must sign\n", member(lack, "missing"));
    }
    text += &dependents(&view);
    text += &running(&view);
    text += &starts(&view);
    for made in &anew {
        text += &format!("made when it is done: {}\n", output::shown(made));
    }
    text += &format!("plan {sha256}, made at epoch {epoch}\n  next: the same command with `--apply` and this digest\n");
    members.insert("plan_sha256".to_owned(), json!(sha256));
    members.insert("made_anew".to_owned(), json!(anew));
    if let Value::Object(told) = view {
        let named = |name: String| if name == "events" { "plan".to_owned() } else { name };
        members.extend(told.into_iter().map(|(name, value)| (named(name), value)));
    }
    Report::new(text, Value::Object(members))
}

// Who stands on what would be changed, kind by kind.
fn dependents(view: &Value) -> String {
    let Some(depends) = view.get("depends") else { return String::new() };
    let kinds = ["delegates", "components", "providers", "contracts", "defaults", "links"];
    let told: Vec<String> = kinds.into_iter().filter_map(|kind| some(kind, depends.get(kind)?)).collect();
    if told.is_empty() {
        "nobody in state depends on it\n".to_owned()
    } else {
        format!("on it depend\n{}", told.concat())
    }
}

fn some(kind: &str, found: &Value) -> Option<String> {
    let count = found.get("count").and_then(Value::as_u64).filter(|count| *count > 0)?;
    let listed: Vec<String> = rows(found, "listed").iter().take(MOST_NAMED).map(text).collect();
    let more = if count > listed.len() as u64 { ", …" } else { "" };
    Some(format!("  {count} {kind}: {}{more}\n", output::shown(&listed.join(", "))))
}

// What runs on its ground, where a broker hears hosts.
fn running(view: &Value) -> String {
    let Some(running) = view.get("running") else {
        return "what of it runs is unknown: no broker was asked\n".to_owned();
    };
    let rows = rows(running, "listed");
    let mut text = format!("{} running, with {} bindings\n", member(running, "count"), member(running, "bindings"));
    if !rows.is_empty() {
        let cells = rows.iter().take(MOST_ROWS).map(|row| {
            let [component, entry, bindings, becomes] =
                ["component", "entry", "bindings", "becomes"].map(|name| member(row, name));
            [component, brief(row, "host"), entry, bindings, becomes]
        });
        text += &output::table(["COMPONENT", "HOST", "ENTRY", "BINDINGS", "BECOMES"], cells);
    }
    text
}

fn starts(view: &Value) -> String {
    let flips = rows(view, "flips");
    let more = |name: &str| view.get(name).and_then(Value::as_u64).unwrap_or_default();
    let otherwise = flips.len() as u64 + more("flips_more");
    let mut text =
        format!("{} starts of the log decided again, {otherwise} come out otherwise\n", member(view, "starts"));
    if more("starts_more") > 0 {
        text += &format!("  {} more were too many to decide\n", more("starts_more"));
    }
    if !flips.is_empty() {
        let cells = flips.iter().take(MOST_ROWS).map(|row| {
            let runs =
                row.get("running").map_or("unknown", |runs| if *runs == Value::Bool(true) { "yes" } else { "no" });
            [member(row, "id"), brief(row, "host"), side(row, "before"), side(row, "after"), runs.to_owned()]
        });
        text += &output::table(["ID", "HOST", "NOW", "THEN", "RUNS"], cells);
    }
    text
}

/// Whether a plan is still the one that was shown.
pub(super) fn still(plan: &Plan, shown: Digest) -> Result<u64, Refusal> {
    if plan.sha256 == shown {
        return Ok(plan.epoch);
    }
    let detail = format!(
        "the plan {shown} is not this one: {} at epoch {}; something else is asked, or somebody changed the lattice since: \
         look with `--plan` again",
        plan.sha256, plan.epoch
    );
    Err(Refusal::new(Reason::Superseded, detail))
}

// A start that only a weakening lets through is told as just that.
fn side(row: &Value, side: &str) -> String {
    let [reason, relaxed] = [format!("{side}_reason"), format!("{side}_relaxations")].map(|name| member(row, &name));
    match (reason.is_empty(), relaxed.is_empty()) {
        (false, _) => reason,
        (true, false) => format!("{} by relaxation {relaxed}", member(row, side)),
        (true, true) => member(row, side) + &answerers(row, side),
    }
}

// Which import is answered by what, where that is all that changes.
fn answerers(row: &Value, side: &str) -> String {
    let answered = row.get(format!("{side}_providers")).and_then(Value::as_object);
    let told = answered.into_iter().flatten().map(|(import, answer)| match member(answer, "id") {
        id if id.is_empty() => format!("; {import}: {}", member(answer, "reason")),
        id => format!("; {import} by {} {id} {}", member(answer, "by"), brief(answer, "sha256")),
    });
    told.collect()
}

// The most names of a kind, and the most rows of a table, that people are shown; programs get more.
const MOST_NAMED: usize = 10;
const MOST_ROWS: usize = 50;
const TICK: Duration = Duration::from_millis(100);
