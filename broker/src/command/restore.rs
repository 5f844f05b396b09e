//! `restore`: puts an older log right that was put back on purpose, and says what is lost.

use policy::govern::{Operation, Restore};

use crate::client::{Act, Client, Done};
use crate::command::Globals;
use crate::command::acting::{A_DAY_S, waiting};
use crate::output::Report;
use crate::service::Survey;

/// Restore an older log: name what is lost, and raise the epoch above what was seen.
#[derive(Debug, clap::Args)]
#[command(after_help = "No broker may run. Put the copy of `log.db` in place, leave `lock.db` where it is.\n\
    Whatever was revoked, banned or withdrawn in the lost entries is to be done again before the broker starts.\n\n\
    Examples:\n  countersign restore --because 'the disk died, the copy is of 03:00'\n  \
    countersign restore --seen 4120 --epoch 4102 --because 'a host had seen more than the lock'")]
pub struct Args {
    /// How many entries were seen by somebody, where that is more than the lock and the log know.
    #[arg(long, value_name = "ENTRIES", default_value_t = 0)]
    seen: u64,
    /// The highest epoch that was seen by somebody.
    #[arg(long, value_name = "EPOCH", default_value_t = 0)]
    epoch: u64,
    /// Why, for those who read the log.
    #[arg(long, visible_alias = "reason", value_name = "TEXT")]
    because: Option<String>,
    /// Say what is lost, and change nothing.
    #[arg(long, visible_alias = "dry-run")]
    plan: bool,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let client = Client::of(globals)?;
        let Survey { kept, kept_sha256, epoch, seen, seen_epoch, disowned } = client.survey((self.seen, self.epoch))?;
        let lost = seen.saturating_sub(kept);
        let says = format!(
            "the entries from {kept} on, before {seen}, are lost, {lost} of them; what was seen had come to epoch {seen_epoch}"
        );
        let says = match lost {
            0 => format!("the log has grown past what is lost; what was seen had come to epoch {seen_epoch}"),
            _ => says,
        };
        let says = match disowned.len() {
            0 => says,
            ends => format!("{says}\n  {ends} signed checkpoints are of a log that is lost, and are told to be"),
        };
        let mut members = serde_json::json!({
            "kept": kept, "kept_sha256": kept_sha256, "seen": seen, "seen_epoch": seen_epoch, "lost": lost,
            "disowned": disowned,
        });
        if self.plan {
            return Ok(Report::new(format!("{says}\n"), members));
        }
        let restore = Operation::Restore(Restore { kept, kept_sha256, seen, seen_epoch, disowned });
        let act = Act { operations: vec![restore], because: self.because, open_for: Some(A_DAY_S), ..Act::default() };
        let Done { receipt, .. } = client.restore(epoch, act)?;
        if let Some(members) = members.as_object_mut() {
            members.insert("index".to_owned(), receipt.index.into());
            members.insert("epoch".to_owned(), receipt.epoch.into());
        }
        if let Some(lack) = &receipt.pending {
            let place = format!("  entry {} {}, epoch {}\n", receipt.index, receipt.entry_sha256, receipt.epoch);
            return Ok(waiting(lack, &place, members.as_object().cloned().unwrap_or_default()));
        }
        let text = format!("restored, epoch {}\n  {says}\n  do again what they took away\n", receipt.epoch);
        Ok(Report::new(text, members))
    }
}
