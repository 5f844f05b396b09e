//! How issuers are listed: all of them, or those whose trust ends soon.

use serde_json::Value;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{member, with_epoch};
use crate::command::verify::now;
use crate::command::when::Span;
use crate::output::{self, Report};
use crate::view::{Look, rows};

/// Those that there are, or only those whose trust ends within a time.
pub(super) fn list(globals: &Globals, expiring: Option<Span>) -> anyhow::Result<Report> {
    let mut seen = Client::of(globals)?.look(&Look::Issuers)?;
    if let Some(Span(seconds)) = expiring {
        let before = now()?.plus(seconds).seconds();
        if let Some(rows) = seen.view.get_mut("issuers").and_then(Value::as_array_mut) {
            // Only what has not ended yet tells an end.
            rows.retain(|row| row.get("end").and_then(Value::as_u64).is_some_and(|end| end <= before));
            rows.sort_by_key(|row| row.get("end").and_then(Value::as_u64));
        }
    }
    let heading = ["KEY", "SCOPE", "KINDS", "STANDING", "END", "KNOWN", "MAX LIFETIME"];
    let names = ["key", "scope", "kinds", "standing", "end", "known", "max_lifetime_s"];
    let found = rows(&seen.view, "issuers");
    let text = match (found.is_empty(), expiring) {
        (true, Some(_)) => "no issuer's trust ends by then\n".to_owned(),
        (true, None) => "no issuers\n".to_owned(),
        (false, _) => output::table(heading, found.iter().map(|row| names.map(|name| member(row, name)))),
    };
    Ok(Report::new(text, with_epoch(seen.view, seen.epoch)))
}
