//! The log before an entry: its fold, out of what it rests on where the log names that, else out of every row.

use policy::log::{Entry, Ledger, Rejudge};
use policy::reason::{Reason, Refusal};

use super::Scene;
use crate::error::Error;
use crate::rules::reading;

impl Scene<'_> {
    /// The fold of the entries before `end`.
    pub(super) async fn fold_before(&self, end: u64) -> Result<Ledger, Error> {
        if let Some(ledger) = self.fold_resting(end).await? {
            return Ok(ledger);
        }
        let mut ledger: Option<Ledger> = None;
        let visited = self.forwards(end, |row| match &mut ledger {
            None => Ledger::begin(&row.bytes).map(|begun| ledger = Some(reading(begun))),
            Some(ledger) if row.is_frozen() => ledger.pass(row.index, row.hash),
            Some(ledger) => ledger.replay(&row.bytes, Rejudge::No).map(drop),
        });
        visited.await?;
        ledger.ok_or_else(|| Refusal::new(Reason::LogBroken, "nothing comes before the first entry").into())
    }

    /// Visits, in order, each entry before `end` that the fold rests on, and it may be others.
    pub(super) async fn resting(&self, end: u64, mut visit: impl FnMut(&Entry)) -> Result<(), Error> {
        if self.fold_resting(end).await?.is_some() {
            return self.log.fold_before(end, &mut |_, entry| visit(entry)).await.map(drop);
        }
        let visited = self.forwards(end, |row| {
            row.entry()?.iter().for_each(&mut visit);
            Ok(())
        });
        visited.await
    }

    // What the log names is believed only where it leads to the head of this scene; so it is read to the end.
    async fn fold_resting(&self, end: u64) -> Result<Option<Ledger>, Error> {
        if end == 0 || !self.log.names_folds() {
            return Ok(None);
        }
        let folded = async {
            let before = self.log.fold_before(end, &mut |_, _| ()).await?;
            let all = self.log.fold_after(before.clone(), self.head.size).await?;
            Ok::<_, Error>((before, all.head()))
        };
        match folded.await {
            Ok((before, head)) if head == self.head => Ok(Some(before)),
            Err(error) if !matches!(error, Error::Refused(_)) => Err(error),
            Ok(_) | Err(_) => {
                tracing::warn!("what the log names does not lead to its end; every row is read");
                Ok(None)
            }
        }
    }
}
