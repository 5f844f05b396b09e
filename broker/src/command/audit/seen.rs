//! `audit seen`: who presented this, refused presentations too, from the log alone.

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{brief, member};
use crate::command::paging::{Paged, next};
use crate::output::{self, Report, Usage};
use crate::view::{Look, Page, Sought, rows};

/// Find presentations.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Starts, what answered them, what hosts offered, and what administrators brought to be admitted or \
    published; the newest first. What was turned away at the door is counted in the log and not found here.\n\n\
    Examples:\n  countersign audit seen 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n  \
    countersign audit seen cart --limit 20\n  countersign -o json audit seen A..."
)]
pub(super) struct Args {
    /// The digest of claims, of a file or of a contract; a component's or provider's key; an issuer's key; an id.
    #[arg(value_name = "HASH|SUBJECT|ISSUER|ID")]
    about: String,
    #[command(flatten)]
    paged: Paged,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let Page { after, limit } = self.paged.page();
        // Nobody presented a part of a digest; that must not look as if nobody presented the whole.
        let digits = self.about.bytes().filter(u8::is_ascii_digit).count();
        let is_part = (8..64).contains(&self.about.len()) && self.about.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_part && digits > 0 {
            return Err(Usage("a digest is searched for whole, with all its 64 digits".to_owned()).into());
        }
        let client = Client::of(globals)?;
        let before = after.as_deref().and_then(|after| after.parse::<u64>().ok());
        let progress = ProgressBar::hidden();
        let look = Look::Seen(Sought { about: self.about, after, limit });
        let seen = client.look_telling(&look, |page| advance(&progress, page))?;
        progress.finish_and_clear();
        let found = rows(&seen.view, "presentations");
        let heading = ["ENTRY", "AT", "WHAT", "VERDICT", "ID", "SHA256", "CLAIMS", "SIGNED BY", "BY"];
        let text = if found.is_empty() {
            "nobody presented it\n".to_owned()
        } else {
            output::table(heading, found.iter().map(told))
        };
        Ok(Report::new(text + &looked(&seen.view, before) + &next(&seen.view), seen.view))
    }
}

fn told(row: &Value) -> [String; 9] {
    let verdict = match row.get("reason") {
        None => member(row, "verdict"),
        Some(_) => format!("{}: {}", member(row, "verdict"), member(row, "reason")),
    };
    let package = row.get("package").map(|_| format!(" {}", member(row, "package"))).unwrap_or_default();
    let component = row.get("component").map(|_| format!(" for {}", member(row, "component"))).unwrap_or_default();
    let unsound = row.get("claims_refused").map(|_| format!(" ({})", member(row, "claims_refused")));
    let by = if row.get("host").is_some() { brief(row, "host") } else { brief(row, "by") };
    [
        member(row, "index"),
        member(row, "at"),
        format!("{}{package}{component}", member(row, "what")),
        verdict,
        member(row, "id"),
        brief(row, "sha256"),
        brief(row, "claims_sha256"),
        brief(row, "issuer") + &unsound.unwrap_or_default(),
        by,
    ]
}

fn looked(view: &Value, before: Option<u64>) -> String {
    let end = view.get("size").and_then(Value::as_u64).unwrap_or_default();
    let end = before.map_or(end, |before| before.min(end));
    let looked = format!("looked at entries {} to {}\n", member(view, "looked_from"), end.saturating_sub(1));
    match view.get("frozen_before") {
        None => looked,
        Some(_) => {
            let before = member(view, "frozen_before");
            format!("{looked}of those before {before}, what lies in segments was not looked at\n")
        }
    }
}

// A bar appears once there is more than a page.
fn advance(progress: &ProgressBar, page: &Value) {
    let number = |name: &str| page.get(name).and_then(Value::as_u64).unwrap_or_default();
    if progress.is_hidden() && page.get("next").is_some() {
        let style = ProgressStyle::with_template("{bar:40} {pos} of {len} entries, {per_sec}, {eta} left");
        progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        progress.set_draw_target(indicatif::ProgressDrawTarget::stderr());
    }
    progress.set_length(number("size"));
    progress.set_position(number("size").saturating_sub(number("looked_from")));
}
