//! Replay: rows one after the other, each held to those before it, and every decision anew where that is asked.

use policy::log::{Entry, Head, Ledger, Rejudge};
use policy::reason::{Reason, Refusal};

use super::frozen::Segments;
use super::shared::Shared;
use super::{Kept, LogReader, Row};
use crate::error::Error;
use crate::export::Bulk;
use crate::store::lock::Vouched;

/// A replay that is under way.
pub(crate) struct Chain<'a> {
    log: &'a LogReader,
    ledger: Option<Ledger>,
    segments: Segments<'a>,
    shared: Shared,
    vouched: Option<Vouched>,
    next: u64,
}

impl<'a> Chain<'a> {
    /// From the first row on.
    pub(crate) fn of(log: &'a LogReader) -> Self {
        Self { log, ledger: None, segments: Segments::of(&log.segments), shared: Shared::new(), vouched: None, next: 0 }
    }

    /// From the end of a ledger on, behind every segment.
    pub(super) fn behind(log: &'a LogReader, ledger: Ledger) -> Self {
        let (next, segments) = (ledger.head().size, Segments::of(&[]));
        Self { log, next, ledger: Some(ledger), segments, shared: Shared::new(), vouched: None }
    }

    /// The same, held to what a lock vouches for.
    pub(crate) fn held_to(self, vouched: Option<Vouched>) -> Self {
        Self { vouched, ..self }
    }

    /// How many rows hold.
    pub(crate) const fn held(&self) -> u64 {
        self.next
    }

    /// Their end.
    pub(crate) fn head(&self) -> Option<Head> {
        self.ledger.as_ref().map(Ledger::head)
    }

    /// Whether the log, which ends here, goes as far as its segments, and tells of each.
    pub(crate) fn end(&self) -> Result<(), Error> {
        Ok(self.segments.end()?)
    }

    /// What they come to.
    pub(crate) fn ledger(self) -> Result<Ledger, Error> {
        self.ledger.ok_or_else(|| Error::refused(Reason::LogBroken, "the log is empty"))
    }

    /// Takes at most so many rows more; false where there are none.
    pub(crate) async fn page(
        &mut self,
        most: u32,
        bulk: &mut Bulk,
        reading: Reading,
        visit: &mut impl FnMut(&Row, Option<&Entry>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let page = self.log.rows(self.next, most).await?;
        let more = !page.is_empty();
        for row in page {
            let at = row.index;
            let within = |refusal: Refusal| refusal.within(format!("row {at}"));
            let moved = row.is_frozen();
            let found = if moved { bulk.find(&row, &self.log.segments)? } else { None };
            let (row, found) = found.map_or((row, None), |(row, kept)| (row, Some(kept)));
            let entry = match (&mut self.ledger, reading) {
                (Some(ledger), Reading::Judged { from }) if at < from => skim(ledger, &row),
                (Some(ledger), Reading::Skimmed) => skim(ledger, &row),
                (_, Reading::Settled { size }) if at < size => follow(&mut self.ledger, &row, Rejudge::No),
                (_, Reading::Judged { .. } | Reading::Settled { .. }) => self.judge(&row, found).await?,
                (_, Reading::Skimmed | Reading::Whole) => follow(&mut self.ledger, &row, Rejudge::No),
            };
            let entry = entry.map_err(within)?;
            self.segments.step(self.ledger.as_ref(), (&row, moved), entry.as_ref()).map_err(within)?;
            self.vouched_for().map_err(within)?;
            visit(&row, entry.as_ref())?;
            self.next = at + 1;
        }
        Ok(more)
    }

    // That the last entry is the lock's is for whoever knows what it means that it is not.
    fn vouched_for(&self) -> Result<(), Refusal> {
        let (Some(vouched), Some(head)) = (self.vouched, self.head()) else { return Ok(()) };
        if head.size != vouched.size || head.last != vouched.last || head.rests == vouched.rests {
            return Ok(());
        }
        let detail = "an entry before it that the fold rests on is not here, or was not when its lock moved";
        Err(Refusal::new(Reason::LogBroken, detail))
    }

    // By the evidence that was found with the row, else by what the log keeps.
    async fn judge(&mut self, row: &Row, found: Option<Kept>) -> Result<Result<Option<Entry>, Refusal>, Error> {
        let kept = match (found, row.entry()) {
            (_, Err(refusal)) => return Ok(Err(refusal)),
            (Some(kept), _) => kept,
            (None, Ok(Some(entry))) => self.shared.kept(self.log, row, &entry).await?,
            (None, Ok(None)) => Kept::default(),
        };
        Ok(follow(&mut self.ledger, row, Rejudge::Yes(&self.shared.known(kept))))
    }
}

/// How much of each row is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reading {
    /// What the fold rests on; of all else its hash and its place in the chain.
    Skimmed,
    /// Every entry.
    Whole,
    /// Every entry; what comes behind so many is decided anew, because nothing vouches for it yet.
    Settled {
        /// How many.
        size: u64,
    },
    /// Every entry from there on, each decided anew; before, as skimmed.
    Judged {
        /// The first.
        from: u64,
    },
}

impl LogReader {
    /// Replays the whole log: its chain, and from the entry `rejudge` on, where one is named, every decision anew. Visits
    /// each row with its entry; with none where its bytes lie in a segment, or where it comes before `rejudge` and the
    /// fold does not rest on it.
    ///
    /// # Errors
    /// `log_broken` with the row, [`Error::Store`], or the visitor's own error.
    pub async fn replay(
        &self,
        rejudge: Option<u64>,
        visit: impl FnMut(&Row, Option<&Entry>) -> Result<(), Error>,
    ) -> Result<Ledger, Error> {
        self.replay_with(&mut Bulk::default(), rejudge, visit).await
    }

    /// As [`LogReader::replay`], with segments at hand: what is found in them is taken as if it stood in its row.
    ///
    /// # Errors
    /// As [`LogReader::replay`].
    pub async fn replay_with(
        &self,
        bulk: &mut Bulk,
        rejudge: Option<u64>,
        visit: impl FnMut(&Row, Option<&Entry>) -> Result<(), Error>,
    ) -> Result<Ledger, Error> {
        self.replay_held(bulk, rejudge, None, visit).await
    }

    /// The same, of a log whose lock vouches for that: it is the one that the lock has seen.
    pub(crate) async fn replay_held(
        &self,
        bulk: &mut Bulk,
        rejudge: Option<u64>,
        vouched: Option<Vouched>,
        mut visit: impl FnMut(&Row, Option<&Entry>) -> Result<(), Error>,
    ) -> Result<Ledger, Error> {
        let mut chain = Chain::of(self).held_to(vouched);
        let reading = rejudge.map_or(Reading::Whole, |from| Reading::Judged { from });
        while chain.page(PAGE, bulk, reading, &mut visit).await? {}
        chain.end()?;
        let ledger = chain.ledger()?;
        if let Some(vouched) = vouched {
            self.refuse_older(ledger.head().size, vouched).await?;
        }
        Ok(ledger)
    }

    /// Refuses a log that has come less far than its lock has seen, or went another way.
    ///
    /// # Errors
    /// `state_rollback`, or [`Error::Store`].
    pub(crate) async fn refuse_older(&self, size: u64, vouched: Vouched) -> Result<(), Error> {
        let last = self.hashes(vouched.size.saturating_sub(1), 1).await?.first().copied();
        if size >= vouched.size && last == Some(vouched.last) {
            return Ok(());
        }
        let detail = format!("the log has {size} entries, its lock has seen {} and ends otherwise", vouched.size);
        Err(Error::refused(Reason::StateRollback, detail))
    }
}

/// Takes one row after those before it; the first begins the ledger. Comes back with its entry, unless that lies in a
/// segment. After a refusal the ledger is to be thrown away.
///
/// # Errors
/// `log_broken`.
pub fn follow(ledger: &mut Option<Ledger>, row: &Row, how: Rejudge<'_>) -> Result<Option<Entry>, Refusal> {
    if !row.is_frozen() {
        row.fits()?;
    }
    match ledger {
        Some(ledger) if row.is_frozen() => ledger.pass(row.index, row.hash).map(|()| None),
        Some(ledger) => ledger.replay(&row.bytes, how).map(Some),
        None => {
            *ledger = Some(crate::rules::reading(Ledger::begin(&row.bytes)?));
            Entry::read(&row.bytes).map(Some)
        }
    }
}

fn skim(ledger: &mut Ledger, row: &Row) -> Result<Option<Entry>, Refusal> {
    if row.is_frozen() {
        return ledger.pass(row.index, row.hash).map(|()| None);
    }
    row.fits()?;
    ledger.skim(&row.bytes, row.hash)
}

/// Rows are read in pages of this many, so that memory stays bounded.
pub(super) const PAGE: u32 = 256;
