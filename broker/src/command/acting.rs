//! What every changing command shares: why, on which basis, and a plan in place of the act.
//!
//! How a command reaches its judge is left to [`crate::client`].

use policy::answer::Receipt;
use policy::digest::Digest;
use policy::envelope::Verified;
use policy::govern::{Lack, Operation};
use policy::name::ComponentId;
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use serde_json::{Map, Value};

use crate::client::{Act, Client, Done, LIFETIME_S, Over};
use crate::command::Globals;
use crate::command::moments::moments;
use crate::command::planning::{looked, planned, still};
use crate::command::when::Span;
use crate::output::{self, Report};
use crate::view::{Look, rows};

pub(super) use crate::command::doing::Doing;

/// Options of every changing command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Signing")]
pub(super) struct Acting {
    /// Why, for those who read the log.
    #[arg(long, visible_alias = "reason", value_name = "TEXT")]
    pub(super) because: Option<String>,
    /// Say what it would change and which starts would come out otherwise, and change nothing.
    #[arg(long, visible_alias = "dry-run")]
    plan: bool,
    /// Do it only if it is still what `--plan` showed under this digest.
    #[arg(long, value_name = "PLAN", conflicts_with = "plan", value_parser = digest)]
    apply: Option<Digest>,
    /// The epoch that the decision to do this rests on [default: the newest].
    #[arg(long, value_name = "EPOCH")]
    basis: Option<u64>,
    /// How long it may wait for others to sign, at most 7 days [default: a day where several must, else 10 minutes].
    #[arg(long, value_name = "TIME")]
    open_for: Option<Span>,
    /// Do not wait until what it takes away is effective on every host.
    #[arg(long)]
    no_wait: bool,
}

impl Acting {
    /// Whether nothing is to be changed.
    pub(super) const fn is_plan(&self) -> bool {
        self.plan
    }

    /// Has it judged, and tells what came of it. `seen` is the epoch of what the command was made from.
    pub(super) fn run(self, client: &Client, seen: Option<u64>, doing: Doing) -> anyhow::Result<Report> {
        let Doing { operations, statements, beside, anew, approved, says, mut members } = doing;
        // Whoever asks for several signatures needs them for that already.
        let raises = |it: &Operation| matches!(it, Operation::PutThreshold(put) if put.threshold > 1);
        let raised = operations.iter().any(raises).then_some(A_DAY_S);
        // What only takes away waits for nobody, and whoever held it back should not give it to the judge tomorrow. Who
        // administers is the one thing that several must agree to take away.
        let agreed = |it: &Operation| !it.narrows() || matches!(it, Operation::RemoveAdministrator(_));
        let alone = (!operations.iter().any(agreed)).then_some(LIFETIME_S);
        let open_for = self.open_for.map(|Span(seconds)| seconds).or(raised).or(alone);
        let (basis, open_for) = match (self.basis.or(seen), open_for) {
            (Some(basis), Some(seconds)) => (basis, Some(seconds)),
            (basis, open_for) => {
                // Asked before each act, so nothing that reads the log, which may be long.
                let seen = client.look(&Look::Administrators)?;
                let raised = |row: &Value| row.get("threshold").and_then(Value::as_u64).is_some_and(|many| many > 1);
                let several = rows(&seen.view, "thresholds").iter().any(raised).then_some(A_DAY_S);
                (basis.unwrap_or(seen.epoch), open_for.or(several))
            }
        };
        // What is turned down was never done, so nothing of it is to be taken away anywhere.
        let takes_away = |it: &Operation| it.narrows() && !matches!(it, Operation::RejectCommand(_));
        let narrows = operations.iter().chain(&approved).any(takes_away);
        let act = Act { operations, statements, beside, because: self.because, open_for, planned: None, anew };
        members.insert("lattice".to_owned(), client.lattice().as_str().into());
        members.insert("basis".to_owned(), basis.into());
        if self.plan {
            return Ok(planned(looked(client, basis, act)?, members));
        }
        let planned = match self.apply {
            Some(shown) => Some(still(&looked(client, basis, act.clone())?, shown)?),
            None => None,
        };
        let act = Act { planned, ..act };
        let Done { receipt, id, over } = client.command(basis, act)?;
        let over = if over == Over::Nats { "the broker" } else { "this process" };
        members.extend(entry(&receipt));
        members.insert("id".to_owned(), id.to_string().into());
        let (index, epoch, hash) = (receipt.index, receipt.epoch, receipt.entry_sha256);
        let place = format!("  entry {index} {hash}, epoch {epoch}, judged by {over}\n");
        let Some(reason) = receipt.reason else {
            let moments = if narrows { moments(client, index, !self.no_wait, &mut members) } else { String::new() };
            let text = format!("{}\n{place}{moments}", output::shown(&says));
            return Ok(Report::new(text, Value::Object(members)));
        };
        if let Some(lack) = &receipt.pending {
            return Ok(waiting(lack, &place, members));
        }
        let refusal = Refusal::new(reason, receipt.detail.clone().unwrap_or_default());
        Ok(Report::new(format!("refused, and recorded\n{place}"), Value::Object(members)).refused(refusal))
    }
}

fn digest(text: &str) -> Result<Digest, Refusal> {
    Digest::parse(text)
}

// Neither done nor refused: recorded, and changing nothing before others sign it.
pub(super) fn waiting(lack: &Lack, place: &str, mut members: Map<String, Value>) -> Report {
    let Lack { id, missing, roles, until } = lack;
    let roles: Vec<&str> = roles.iter().map(|role| role.word()).collect();
    let who = if *missing == 1 { "somebody else signs".to_owned() } else { format!("{missing} others sign") };
    // An operator has every role.
    let mut able = roles.clone();
    able.push("operator");
    able.dedup();
    let text = format!(
        "waiting: nothing is changed before {who} it\n{place}  command {id}, until {until}\n  \
         who may: another administrator with the role {}\n  next: countersign approve {id}\n",
        able.join(" or ")
    );
    members.insert("reason".to_owned(), Reason::PendingApproval.code().into());
    members.insert("remedy".to_owned(), Reason::PendingApproval.remedy().into());
    let pending = serde_json::json!({"id": id, "missing": missing, "roles": roles, "not_after": until});
    members.insert("pending".to_owned(), pending);
    Report::new(text, Value::Object(members)).waiting()
}

fn entry(receipt: &Verified<Receipt>) -> impl Iterator<Item = (String, Value)> {
    let members = [
        ("index", Value::from(receipt.index)),
        ("entry_sha256", receipt.entry_sha256.to_string().into()),
        ("epoch", receipt.epoch.into()),
        ("request_sha256", receipt.request_sha256.to_string().into()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value))
}

/// Looks, and shows the rows of a list as a table.
pub(super) fn listing<const N: usize>(
    globals: &Globals,
    look: &Look,
    list: &str,
    heading: [&str; N],
    row: impl Fn(&Value) -> [String; N],
) -> anyhow::Result<Report> {
    let seen = Client::of(globals)?.look(look)?;
    let rows = rows(&seen.view, list);
    let text = if rows.is_empty() { format!("no {list}\n") } else { output::table(heading, rows.iter().map(row)) };
    let text = text + &super::paging::next(&seen.view);
    Ok(Report::new(text, with_epoch(seen.view, seen.epoch)))
}

/// Looks, and shows the one row of a list that is meant.
pub(super) fn showing(
    globals: &Globals,
    look: &Look,
    list: &str,
    meant: impl Fn(&Value) -> bool,
    name: &str,
) -> anyhow::Result<Report> {
    let seen = Client::of(globals)?.look(look)?;
    let found: Vec<&Value> = rows(&seen.view, list).iter().filter(|row| meant(row)).collect();
    if found.is_empty() {
        let name: String = name.chars().take(80).collect();
        return Err(Refusal::new(Reason::NotFound, format!("`{name}` is not among the {list}")).into());
    }
    let text: String = found.iter().map(|row| paragraph(row)).collect::<Vec<_>>().join("\n");
    let members = match found.as_slice() {
        [only] => (*only).clone(),
        several => serde_json::json!({ list: several }),
    };
    Ok(Report::new(text, with_epoch(members, seen.epoch)))
}

/// The members of an object as labelled lines.
pub(super) fn paragraph(row: &Value) -> String {
    let Some(members) = row.as_object() else {
        return String::new();
    };
    output::fields(members.iter().map(|(name, value)| (name.as_str(), cell(name, value))))
}

/// A member as people read it: times as dates, imports as they are written.
pub(super) fn cell(name: &str, value: &Value) -> String {
    match (name, value) {
        (
            "at" | "iat" | "exp" | "end" | "not_after" | "not_before" | "since" | "last" | "counted_since"
            | "warrant_until",
            Value::Number(_),
        ) => {
            let time = value.as_u64().and_then(|seconds| Timestamp::from_seconds(seconds).ok());
            time.map_or_else(|| value.to_string(), |time| time.to_string())
        }
        ("ends", Value::Object(ends)) => {
            let told = ends.iter().map(|(what, end)| format!("{what} {}", cell("end", end)));
            told.collect::<Vec<_>>().join(", ")
        }
        ("imports" | "exports" | "serves", Value::Array(items)) => {
            let spelled = items.iter().map(|item| match serde_json::from_value(item.clone()) {
                Ok(import) => crate::view::spelled(&import),
                Err(_) => crate::view::text(item),
            });
            let spelled: Vec<String> = spelled.collect();
            if spelled.is_empty() { "none".to_owned() } else { spelled.join(", ") }
        }
        ("contract" | "kind", Value::Object(_)) => String::from_utf8_lossy(&policy::json::write(value)).into_owned(),
        _ => crate::view::text(value),
    }
}

/// A member of a row as people read it.
pub(super) fn member(row: &Value, name: &str) -> String {
    row.get(name).map(|value| cell(name, value)).unwrap_or_default()
}

/// The start of a digest or key, enough to tell it apart; a native builtin's name is short enough whole.
pub(super) fn brief(row: &Value, name: &str) -> String {
    let cell = crate::view::cell(row, name);
    if cell.starts_with("native/") { cell } else { cell.chars().take(16).collect() }
}

/// A view with the epoch at which it was taken.
pub(super) fn with_epoch(view: Value, epoch: u64) -> Value {
    match view {
        Value::Object(mut members) => {
            members.insert("epoch".to_owned(), epoch.into());
            Value::Object(members)
        }
        other => other,
    }
}

/// An id for what has none yet: its own name in an id's letters, else the file's.
pub(super) fn id_from(name: Option<&str>, path: &std::path::Path) -> anyhow::Result<ComponentId> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let shaped = name.into_iter().chain(stem.as_deref()).find_map(|name| ComponentId::parse(&shape(name)).ok());
    Ok(shaped
        .ok_or_else(|| Refusal::new(Reason::NameMalformed, "no id can be made of its name; give one with `--id`"))?)
}

fn shape(name: &str) -> String {
    let letter = |char: char| match char.to_ascii_lowercase() {
        char @ ('a'..='z' | '0'..='9' | '_') => char,
        _ => '-',
    };
    let shaped: String = name.chars().map(letter).collect();
    shaped.trim_matches(['-', '_']).chars().take(64).collect()
}

/// Reads `k=v` options.
pub(super) fn pairs(options: &[String]) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
    let mut pairs = std::collections::BTreeMap::new();
    for option in options {
        let pair = option.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) = pair.ok_or_else(|| output::Usage("a pair is written `key=value`".to_owned()))?;
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(output::Usage(format!("`{}` is given twice", output::shown(key))).into());
        }
    }
    Ok(pairs)
}

// People who must agree are not always awake at the same time.
pub(super) const A_DAY_S: u64 = 86_400;
