//! `relax`: the one way to weaken anything. Each weakening has a reason and an end, is shown, and lets through no more
//! than it says.

use std::collections::{BTreeMap, BTreeSet};

use clap::Subcommand;
use policy::digest::Digest;
use policy::govern::{EndRelaxation, Operation, PutRelaxation};
use policy::json;
use policy::key::{self, Host, Name};
use policy::name::{ComponentId, Package, RelaxationId};
use policy::reason::{Reason, Refusal};
use policy::relax::{RELAXATION_LIFETIME_S, Weakening};
use policy::time::Timestamp;
use serde_json::{Value, json};

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{A_DAY_S, Acting, Doing, listing, member, showing, with_epoch};
use crate::command::verify::now;
use crate::command::when::{Span, When};
use crate::output::{self, Report, Usage};
use crate::view::{Look, cell, rows};

/// Weaken something until a moment, and see what that lets through.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Permit and record what would be refused, in the whole lattice or for one package
    #[command(after_help = "What was taken away, forged or ambiguous is refused all the same.\n\n\
        Examples:\n  countersign relax observe --until +7d --reason 'first week in production'\n  \
        countersign relax observe --package wasi:logging --until +2d --reason 'a new contract'\n  \
        countersign relax report")]
    Observe {
        /// Only imports of this package; the whole lattice, if not given.
        #[arg(long)]
        package: Option<String>,
        #[command(flatten)]
        putting: Putting,
    },
    /// Let one reason not count for one file
    #[command(after_help = "Examples:\n  countersign relax exception \
        9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --allow expired --until +2d \
        --reason 'renewed on Monday'")]
    Exception {
        /// SHA-256 of the component that starts, or of the provider that would answer.
        #[arg(value_name = "SHA256", value_parser = crate::command::parse_digest)]
        sha256: Digest,
        /// The code of the reason.
        #[arg(long, value_name = "REASON_CODE")]
        allow: String,
        #[command(flatten)]
        putting: Putting,
    },
    /// Let one file count that was admitted before its issuer was revoked
    #[command(after_help = "Whatever else a revoked issuer signed stays refused; what was admitted is listed by \
        `issuer show`, when it was first permitted by `audit seen SHA256`.\n\n\
        Examples:\n  countersign relax reprieve \
        9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --issuer A... --until +7d \
        --reason 'in the log since May, stolen in June'")]
    Reprieve {
        /// SHA-256 of the component that starts, or of the provider that would answer.
        #[arg(value_name = "SHA256", value_parser = crate::command::parse_digest)]
        sha256: Digest,
        /// The key of the issuer.
        #[arg(long, value_name = "KEY")]
        issuer: String,
        #[command(flatten)]
        putting: Putting,
    },
    /// Have permits of what is named last for a while, for restarts while no broker answers
    #[command(after_help = "Each start that the broker permits meanwhile takes a standby permit along.\n\n\
        Examples:\n  countersign relax standby --component cart --host N... --until +30d --life 12h \
        --reason 'restarts at night' \
        --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    Standby {
        /// An id that may run; a linked provider's, too. May be given more than once.
        #[arg(long, value_name = "ID", required = true)]
        component: Vec<String>,
        /// SHA-256 of a file that may run. May be given more than once.
        #[arg(long, value_name = "SHA256", required = true, value_parser = crate::command::parse_digest)]
        sha256: Vec<Digest>,
        /// The key of a host on which it may. May be given more than once.
        #[arg(long, value_name = "KEY", required = true)]
        host: Vec<String>,
        /// How long one permit lasts, at most 24h.
        #[arg(long, value_name = "SPAN", default_value = "24h")]
        life: Span,
        #[command(flatten)]
        putting: Putting,
    },
    /// List the relaxations, with their ends and what each let through lately
    #[command(visible_alias = "ls", after_help = "Examples:\n  countersign relax list")]
    List,
    /// Show one relaxation
    #[command(visible_alias = "get", after_help = "Examples:\n  countersign relax show first-week")]
    Show {
        /// Its name.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// End a relaxation before its time
    #[command(visible_alias = "rm", after_help = "Examples:\n  countersign relax end first-week")]
    End {
        /// Its name.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        acting: Acting,
    },
    /// Tell what would have been refused, and what was started without a broker: the last 30 days
    #[command(after_help = "Examples:\n  countersign relax report\n  countersign -o json relax report")]
    Report,
}

#[derive(Debug, clap::Args)]
struct Putting {
    /// Its end: seconds since 1970, or so long from now, as `+7d`; at most 30 days ahead.
    #[arg(long, value_name = "TIME")]
    until: When,
    /// Its name; one is made, if not given.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    acting: Acting,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Observe { package, putting } => {
                let package = package.as_deref().map(Package::parse).transpose()?;
                putting.run(globals, "observe", Weakening::Observe { package })
            }
            Command::Exception { sha256, allow, putting } => {
                let unknown = || Refusal::new(Reason::NotFound, format!("`{}` is no reason", output::shown(&allow)));
                let allow = Reason::from_code(&allow).ok_or_else(unknown)?;
                let put = putting.run(globals, "exception", Weakening::Exception { sha256, allow });
                if allow == Reason::IssuerRevoked { output::fixed(put, Reason::NotRelaxable, REPRIEVE) } else { put }
            }
            Command::Reprieve { sha256, issuer, putting } => {
                let issuer = Name::<key::Issuer>::parse(&issuer)?;
                putting.run(globals, "reprieve", Weakening::Reprieve { sha256, issuer })
            }
            Command::Standby { component, sha256, host, life: Span(life_s), putting } => {
                let components = component.iter().map(|id| ComponentId::parse(id)).collect::<Result<_, _>>()?;
                let hosts = host.iter().map(|key| Name::<Host>::parse(key)).collect::<Result<_, _>>()?;
                let sha256 = sha256.into_iter().collect();
                putting.run(globals, "standby", Weakening::Standby { components, sha256, hosts, life_s })
            }
            Command::List => {
                let heading = ["ID", "WEAKENS", "STANDING", "END", "LET THROUGH", "REASON"];
                listing(globals, &Look::Relaxations, "relaxations", heading, |row| {
                    let [id, weakens, standing, end, reason] =
                        ["id", "weakens", "standing", "end", "reason"].map(|name| member(row, name));
                    [id, weakens, standing, end, let_through(row), reason]
                })
            }
            Command::Show { id } => {
                showing(globals, &Look::Relaxations, "relaxations", |row| cell(row, "id") == id, &id)
            }
            Command::End { id, acting } => {
                let id = RelaxationId::parse(&id)?;
                let says = format!("relaxation `{id}` ended");
                let end = Operation::EndRelaxation(EndRelaxation { id: id.clone() });
                acting.run(&Client::of(globals)?, None, Doing::one(end, says).with("relaxation", id.as_str()))
            }
            Command::Report => report(globals),
        }
    }
}

impl Putting {
    fn run(self, globals: &Globals, word: &str, kind: Weakening) -> anyhow::Result<Report> {
        let Self { until, id, acting } = self;
        // Why it is done is why it stands: everybody who meets it reads that.
        let unsaid = || Usage("a weakening needs a reason: `--because TEXT`".to_owned());
        let reason = acting.because.clone().ok_or_else(unsaid)?;
        let is_named = id.is_some();
        let id = match id {
            Some(id) => RelaxationId::parse(&id)?,
            None => RelaxationId::parse(&format!("{word}-{}", made()?))?,
        };
        let end = near(until)?;
        let says = format!("relaxation `{id}` until {end}: {}", kind.told());
        let put = Operation::PutRelaxation(PutRelaxation { id: id.clone(), kind, until: end, reason });
        let doing = Doing::one(put, says).with("relaxation", id.as_str()).with("end", end.seconds());
        let doing = doing.until(end, until);
        let doing = if is_named { doing } else { doing.anew(&id, "the relaxation's name") };
        acting.run(&Client::of(globals)?, None, doing)
    }
}

// Its end, which is a month ahead at most: that is no matter of clocks, and is said here.
fn near(until: When) -> anyhow::Result<Timestamp> {
    let end = until.timestamp()?;
    let ahead_s = end.seconds().saturating_sub(now()?.seconds());
    if ahead_s <= RELAXATION_LIFETIME_S {
        return Ok(end);
    }
    let [days, longest] = [ahead_s.div_ceil(A_DAY_S), RELAXATION_LIFETIME_S / A_DAY_S];
    let detail = format!("it would stand for {days} days, until {end}; the longest is {longest} days");
    Err(Refusal::new(Reason::RelaxationExcessive, detail).into())
}

// Few enough letters to type, and enough to be another one's each time.
fn made() -> anyhow::Result<String> {
    Ok(crate::keys::nonce()?.to_string().chars().take(8).collect())
}

/// What a relaxation let through: where only the newest entries were counted, that it is more, perhaps.
pub(super) fn let_through(row: &Value) -> String {
    let (count, since) = (member(row, "let_through"), member(row, "counted_since"));
    if since.is_empty() { count } else { format!("at least {count}, since {since}") }
}

fn report(globals: &Globals) -> anyhow::Result<Report> {
    let mut seen = Client::of(globals)?.look(&Look::Relaxed { after: None })?;
    let (observed, stood_in) = (summed(rows(&seen.view, "observed")), once(rows(&seen.view, "stood_in")));
    let mut text = "nothing would have been refused\n".to_owned();
    if !observed.is_empty() {
        let row = |row: &Value| {
            ["component", "package", "reason", "count", "last", "relaxation"].map(|name| member(row, name))
        };
        let heading = ["COMPONENT", "IMPORT", "WOULD REFUSE", "COUNT", "LAST", "BY"];
        text = output::table(heading, observed.iter().map(row));
    }
    if !stood_in.is_empty() {
        let row = |row: &Value| ["at", "component", "host", "relaxation", "index"].map(|name| member(row, name));
        text += "started by standby permits\n";
        text += &output::table(["AT", "COMPONENT", "HOST", "BY", "ENTRY"], stood_in.iter().map(row));
    }
    seen.view = json!({"observed": observed, "stood_in": stood_in});
    Ok(Report::new(text, with_epoch(seen.view, seen.epoch)))
}

// What several pages of entries counted, each thing once.
fn summed(pages: &[Value]) -> Vec<Value> {
    let count = |row: &Value, name: &str| row.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut all = BTreeMap::<_, Value>::new();
    for page in pages {
        let key = ["relaxation", "component", "package", "reason"].map(|name| cell(page, name));
        let before = all.remove(&key).unwrap_or_default();
        let mut row = page.clone();
        if let Some(row) = row.as_object_mut() {
            row.insert("count".to_owned(), (count(page, "count") + count(&before, "count")).into());
            row.insert("last".to_owned(), count(page, "last").max(count(&before, "last")).into());
        }
        all.insert(key, row);
    }
    all.into_values().collect()
}

// A host says it again until it is answered.
fn once(pages: &[Value]) -> Vec<Value> {
    let mut told = BTreeSet::new();
    pages.iter().filter(|row| told.insert(json::write(row))).cloned().collect()
}

const REPRIEVE: &str = "`countersign relax reprieve SHA256 --issuer KEY` lets one file count that was admitted before its issuer \
    was revoked";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_report_are_added_up_and_what_is_said_twice_is_told_once() {
        let row = |of: &str, count: u64, last: u64| json!({"component": of, "count": count, "last": last});
        let all = summed(&[row("cart", 2, 90), row("till", 1, 80), row("cart", 3, 70)]);
        assert_eq!(all, [row("cart", 5, 90), row("till", 1, 80)]);
        let stood = |at: u64| json!({"at": at, "component": "cart"});
        assert_eq!(once(&[stood(2), stood(1), stood(2)]), [stood(2), stood(1)]);
    }
}
