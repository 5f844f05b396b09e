//! `status`: the lattice at a glance, and whether its broker runs.

use serde_json::{Value, json};

use crate::client::{Client, Seen};
use crate::command::Globals;
use crate::command::acting::{member, paragraph};
use crate::command::warrant::ends_soon;
use crate::output::{self, Report};
use crate::view::{Look, rows};

/// Show the lattice at a glance.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  countersign status\n  countersign -o json status\n  \
    countersign --root DIGEST --nats-url nats://broker:4222 status")]
pub struct Args {}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let client = Client::of(globals)?;
        let Seen { mut view, warrant_until, .. } = client.look(&Look::Status)?;
        // What hosts found and say is in no folder, nor how far the log was read: only a broker that runs knows.
        let live = client.look_live(&Look::Status).map(|seen| seen.view).unwrap_or_default();
        let heard = |alarm: &&Value| HEARD.contains(&member(alarm, "alarm").as_str());
        let heard = rows(&live, "alarms").iter().filter(heard);
        if let Some(alarms) = view.get_mut("alarms").and_then(Value::as_array_mut) {
            alarms.extend(heard.cloned());
        }
        if let Some(members) = view.as_object_mut() {
            members.extend(live.get("check").map(|check| ("check".to_owned(), check.clone())));
            let broker = match client.folder() {
                Some(folder) if !folder.is_locked() => "not running",
                Some(_) | None => "running",
            };
            members.insert("broker".to_owned(), broker.into());
            members.insert("nats_url".to_owned(), output::bare_url(&client.nats_url()).into());
            if let Some(until) = warrant_until {
                members.insert("warrant_until".to_owned(), until.seconds().into());
                if let Some(warning) = ends_soon(until, crate::command::verify::now()?) {
                    members.insert("warning".to_owned(), warning.into());
                }
            }
            if let Some(folder) = client.folder() {
                let lock = folder.lock_file();
                members.insert("dir".to_owned(), folder.path().display().to_string().into());
                let (file, missing) = (lock.display().to_string(), !lock.exists());
                let lock = json!({"file": file, "missing": missing, "shares_folder": folder.shares_lock()});
                members.insert("lock".to_owned(), lock);
            }
        }
        let text = text(&view);
        Ok(Report::new(text, view))
    }
}

fn text(view: &Value) -> String {
    let lock = view.get("lock").map(|lock| {
        let is = |name: &str| lock.get(name) == Some(&Value::Bool(true));
        let what = match (is("missing"), is("shares_folder")) {
            (true, _) => ": is missing, and nothing starts without it; `--lock FILE` names one elsewhere",
            (false, true) => {
                ": in the same folder, so only hosts notice when all of it is put back; `--lock FILE` moves it"
            }
            (false, false) => "",
        };
        format!("{}{what}", member(lock, "file"))
    });
    let mut pairs = vec![
        ("lattice", member(view, "lattice")),
        ("root digest", member(view, "root")),
        ("broker", format!("{}, NATS at {}", member(view, "broker"), member(view, "nats_url"))),
        ("log", format!("{} entries, the last at {}", member(view, "size"), member(view, "at"))),
        ("read", view.get("check").map(read).unwrap_or_default()),
        ("head", member(view, "head")),
        ("epoch", member(view, "epoch")),
        ("warrant", format!("serial {}, until {}", member(view, "warrant_serial"), member(view, "warrant_until"))),
        ("roots", format!("{} of {} must sign a warrant", member(view, "root_threshold"), rows(view, "roots").len())),
        ("administrators", format!("{} of {}", member(view, "threshold"), member(view, "administrators"))),
        ("law", member(view, "law")),
    ];
    pairs.retain(|(name, value)| *name != "read" || !value.is_empty());
    let segments = rows(view, "segments");
    if let Some(last) = segments.last() {
        let what =
            format!("{}, up to entry {}; `audit tail` tells when", segments.len(), crate::view::cell(last, "last"));
        pairs.push(("segments", what));
    }
    pairs.extend([("folder", member(view, "dir"))].into_iter().filter(|(_, value)| !value.is_empty()));
    pairs.extend(lock.map(|lock| ("lock", lock)));
    pairs.extend([("warning", member(view, "warning"))].into_iter().filter(|(_, value)| !value.is_empty()));
    let counts = view.get("counts").map(paragraph).unwrap_or_default();
    let alarms: String = rows(view, "alarms").iter().map(told).collect();
    output::fields(pairs) + &alarms + "in force\n" + &counts + &relaxed(rows(view, "relaxations"))
}

fn read(check: &Value) -> String {
    let (held, of) = (member(check, "held"), member(check, "of"));
    match member(check, "state").as_str() {
        "whole" => "every row, at the start".to_owned(),
        "under_way" => format!("{held} of {of} rows that the start passed; the others are being read"),
        "done" => format!("every row, {of} of them since the start"),
        _ => format!("the first {held} rows hold, the next does not"),
    }
}

fn told(alarm: &Value) -> String {
    let entry = alarm.get("entry").map(|entry| format!(" (entry {entry})")).unwrap_or_default();
    format!("ALARM  {}: {}{entry}\n", output::shown(&member(alarm, "alarm")), output::shown(&member(alarm, "says")))
}

// What is weakened now, until when, and what that let through.
fn relaxed(standing: &[Value]) -> String {
    if standing.is_empty() {
        return String::new();
    }
    let row = |row: &Value| {
        let [id, weakens, end, reason] = ["id", "weakens", "end", "reason"].map(|name| member(row, name));
        [id, weakens, end, crate::command::relax::let_through(row), reason]
    };
    let heading = ["RELAXED", "WHAT", "UNTIL", "LET THROUGH", "REASON"];
    "weakened\n".to_owned() + &output::table(heading, standing.iter().map(row))
}

// The alarms that only a broker that runs knows of.
const HEARD: [&str; 4] = ["log_fork", "log_broken", "binding_differs", "host_silent"];
