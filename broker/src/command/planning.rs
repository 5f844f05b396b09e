//! `--plan` and `--apply`: what would be done, to whom it would happen, and doing exactly that or nothing.

use policy::digest::Digest;
use policy::json;
use policy::reason::{Reason, Refusal};
use serde_json::{Map, Value, json};

use crate::client::{Client, Plan};
use crate::command::acting::member;
use crate::output::{self, Report};
use crate::view::{Look, rows};

/// Tells a plan; where a broker is there, also which of the starts it would change run now.
pub(super) fn planned(client: &Client, plan: Plan, mut members: Map<String, Value>) -> anyhow::Result<Report> {
    let Plan { sha256, epoch, events, view } = plan;
    // Without a broker nobody knows what runs, and the plan is no less true.
    let inventory =
        client.look(&Look::Inventory).ok().filter(|seen| seen.view.get("heard") == Some(&Value::Bool(true)));
    let runs = |row: &Value| inventory.as_ref().map(|seen| running(&seen.view, row));
    let flips: Vec<(&Value, Option<bool>)> = rows(&view, "flips").iter().map(|row| (row, runs(row))).collect();
    let mut text = "would be done, nothing was recorded\n".to_owned();
    for event in &events {
        text += &format!("  {}\n", output::shown(&String::from_utf8_lossy(&json::write(event))));
    }
    let starts = member(&view, "starts");
    text += &format!("{starts} starts of the log decided again, {} come out otherwise\n", flips.len());
    if !flips.is_empty() {
        let cells = flips.iter().map(|(row, runs)| {
            let runs = runs.map_or("unknown", |runs| if runs { "yes" } else { "no" });
            [
                member(row, "id"),
                member(row, "host").chars().take(16).collect(),
                side(row, "before"),
                side(row, "after"),
                runs.to_owned(),
            ]
        });
        text += &output::table(["ID", "HOST", "NOW", "THEN", "RUNS"], cells);
    }
    text += &format!("plan {sha256}, made at epoch {epoch}\n  next: the same command with `--apply` and this digest\n");
    let flips = flips.into_iter().map(|(row, runs)| {
        let mut row = row.clone();
        if let (Some(row), Some(runs)) = (row.as_object_mut(), runs) {
            row.insert("running".to_owned(), runs.into());
        }
        row
    });
    members.insert("flips".to_owned(), flips.collect());
    members.insert("starts".to_owned(), view.get("starts").cloned().unwrap_or_default());
    members.insert("plan_sha256".to_owned(), json!(sha256));
    members.insert("plan".to_owned(), serde_json::to_value(&events)?);
    Ok(Report::new(text, Value::Object(members)))
}

/// Whether a plan is still the one that was shown.
pub(super) fn still(plan: &Plan, shown: Digest) -> Result<(), Refusal> {
    if plan.sha256 == shown {
        return Ok(());
    }
    let detail =
        format!("the plan {shown} is not this one: {} at epoch {}; look with `--plan` again", plan.sha256, plan.epoch);
    Err(Refusal::new(Reason::Superseded, detail))
}

// Whether what a start was about runs on its host.
fn running(inventory: &Value, start: &Value) -> bool {
    let of_host = rows(inventory, "hosts").iter().filter(|host| host.get("host") == start.get("host"));
    let mut runs = of_host.flat_map(|host| rows(host, "running"));
    runs.any(|row| row.get("component") == start.get("id"))
}

fn side(row: &Value, side: &str) -> String {
    let reason = member(row, &format!("{side}_reason"));
    if reason.is_empty() { member(row, side) } else { reason }
}
