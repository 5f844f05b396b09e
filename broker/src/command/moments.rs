//! The two moments of an act that takes away: recorded, and effective on every host. Waits for the second, and tells both.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use policy::time::Timestamp;
use serde_json::{Map, Value};

use crate::client::{Client, Seen};
use crate::command::acting::member;
use crate::output;
use crate::view::{Look, rows};

/// Tells how far an act has come, after waiting for it if asked to.
///
/// The act is done, whatever becomes of this: a broker that cannot be asked any more is told as just that.
pub(super) fn moments(client: &Client, index: u64, wait: bool, members: &mut Map<String, Value>) -> String {
    let until = Instant::now() + PATIENCE;
    let mut told = false;
    let view = loop {
        let view = match client.look(&Look::Effective { index }) {
            Ok(Seen { view, .. }) => view,
            Err(error) => return format!("  recorded; whether it is effective cannot be told: {error:#}\n"),
        };
        let effective = view.get("effective") == Some(&Value::Bool(true));
        if effective || !wait || Instant::now() >= until {
            break view;
        }
        if !told && std::io::stderr().is_terminal() {
            output::hint("recorded; waiting until it is effective on every host\n");
            told = true;
        }
        let within_ms = view.get("within_ms").and_then(Value::as_u64).unwrap_or_default();
        std::thread::sleep(Duration::from_millis(within_ms.clamp(20, 200)));
    };
    let text = text(&view);
    if let Value::Object(moments) = view {
        let told = ["recorded_at_ms", "effective", "effective_at_ms", "hosts", "unacknowledged", "unacknowledged_more"];
        members.extend(moments.into_iter().filter(|(name, _)| told.contains(&name.as_str())));
    }
    text
}

fn text(view: &Value) -> String {
    let at = |name: &str| view.get(name).and_then(Value::as_u64).map(moment);
    let recorded = at("recorded_at_ms").unwrap_or_default();
    let within_ms = view.get("within_ms").and_then(Value::as_u64).unwrap_or_default();
    let effective =
        at("effective_at_ms").unwrap_or_else(|| format!("not yet, in {} at the latest", lasting(within_ms)));
    let silent = rows(view, "unacknowledged");
    let (hosts, mut text) = (member(view, "hosts"), format!("  recorded   {recorded}\n  effective  {effective}\n"));
    if silent.is_empty() {
        return text;
    }
    let more = view.get("unacknowledged_more").and_then(Value::as_u64).unwrap_or_default();
    let count = silent.len() as u64 + more;
    text += &format!("  not acknowledged by {count} of {hosts} hosts, whose older permits are over by then:\n");
    for host in silent.iter().take(MOST_TOLD) {
        let seen = host.get("last_seen").and_then(Value::as_u64).map(|seconds| moment(seconds * 1000));
        let seen = seen.map_or_else(|| "not heard of".to_owned(), |seen| format!("last seen {seen}"));
        text += &format!("    {}  {seen}\n", output::shown(&member(host, "host")));
    }
    text
}

fn lasting(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

fn moment(at_ms: u64) -> String {
    let whole = Timestamp::from_millis(at_ms).to_string();
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), at_ms % 1000)
}

// More than permits live; a broker that needs longer says so.
const PATIENCE: Duration = Duration::from_secs(15);
const MOST_TOLD: usize = 20;
