//! How issuers are listed: all of them, or those whose trust ends soon.

use policy::key::{self, Name};
use serde_json::Value;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{brief, member, showing, with_epoch};
use crate::command::paging::{Paged, next};
use crate::command::verify::now;
use crate::command::when::Span;
use crate::output::{self, Report};
use crate::view::{Look, Page, WhichRuns, cell, rows};

/// One issuer, and what runs under it now.
pub(super) fn show(globals: &Globals, key: Name<key::Issuer>) -> anyhow::Result<Report> {
    let text = key.to_string();
    let meant = |row: &Value| cell(row, "key") == text;
    let report = showing(globals, &Look::Issuers(Page::default()), "issuers", meant, &text)?;
    let running = running(&Client::of(globals)?, key);
    let (mut text, mut members) = (report.text().to_owned(), report.json());
    if let (Some(under), Some(members)) = (running, members.as_object_mut()) {
        let words = under.iter().map(|row| format!("{} on {}", member(row, "component"), brief(row, "host")));
        let words: Vec<String> = words.collect();
        text += &output::fields([("runs now", if words.is_empty() { "nothing".to_owned() } else { words.join(", ") })]);
        members.insert("running".to_owned(), under.into());
    }
    Ok(Report::new(text, members))
}

// Each binding that rests on its word, with its host, where a broker hears them.
fn running(client: &Client, issuer: Name<key::Issuer>) -> Option<Vec<Value>> {
    if client.folder().is_some_and(|folder| !folder.is_locked()) {
        return None;
    }
    // Who cannot be asked leaves the list as it is without.
    let which = WhichRuns { issuer: Some(issuer), ..WhichRuns::default() };
    let seen = client.look(&Look::Inventory(Box::new(which))).ok()?;
    let mut running = Vec::new();
    for host in rows(&seen.view, "hosts") {
        for row in rows(host, "running") {
            let mut row = row.clone();
            row.as_object_mut().map(|members| members.insert("host".to_owned(), cell(host, "host").into()));
            running.push(row);
        }
    }
    Some(running)
}

/// Those that there are, or only those whose trust ends within a time.
pub(super) fn list(globals: &Globals, expiring: Option<Span>, paged: Paged) -> anyhow::Result<Report> {
    let client = Client::of(globals)?;
    let mut seen = client.look(&Look::Issuers(paged.page()))?;
    if let Some(Span(seconds)) = expiring {
        let before = now()?.plus(seconds).seconds();
        if let Some(rows) = seen.view.get_mut("issuers").and_then(Value::as_array_mut) {
            // Only what has not ended yet tells an end.
            rows.retain(|row| row.get("end").and_then(Value::as_u64).is_some_and(|end| end <= before));
            rows.sort_by_key(|row| row.get("end").and_then(Value::as_u64));
        }
    }
    let heading = ["KEY", "SCOPE", "KINDS", "STANDING", "END", "KNOWN", "MAX LIFETIME", "BOUND"];
    let names = ["key", "scope", "kinds", "standing", "end", "known", "max_lifetime_s", "bound"];
    let found = rows(&seen.view, "issuers");
    let text = match (found.is_empty(), expiring) {
        (true, Some(_)) => "no issuer's trust ends by then\n".to_owned(),
        (true, None) => "no issuers\n".to_owned(),
        (false, _) => output::table(heading, found.iter().map(|row| names.map(|name| member(row, name)))),
    };
    Ok(Report::new(text + &next(&seen.view), with_epoch(seen.view, seen.epoch)))
}
