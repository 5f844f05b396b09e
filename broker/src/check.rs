//! The rest of a long log: what a start passed is read row by row while the broker works, gently, and held to what the
//! lock vouched for. Where it does not hold, nothing is granted any more; what only takes away goes on.
//!
//! What a start reads itself is left to `store`, what is recorded meanwhile to the sequencer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::digest::Digest;
use policy::log::{Edge, Frontier, Tile, Worth};
use policy::reason::{Reason, Refusal};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::export::Bulk;
use crate::guard::Guard;
use crate::present::Present;
use crate::store::{Chain, LogReader, Reading, Shelf, Vouched, mend};

/// How far the rows of the log are known to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Every row was read when it was opened.
    Whole,
    /// So many of those that were passed hold; the others are not read yet.
    UnderWay {
        /// How many hold.
        held: u64,
        /// Of how many.
        of: u64,
    },
    /// Every row that was passed was read since, and holds.
    Done {
        /// How many.
        of: u64,
    },
    /// Not all of them hold.
    Broken {
        /// How many before it do.
        held: u64,
        /// Of how many.
        of: u64,
        /// What does not follow.
        why: Refusal,
    },
}

impl Check {
    /// The least that is recorded.
    pub(crate) const fn least(&self) -> Worth {
        match self {
            Self::Whole | Self::UnderWay { .. } | Self::Done { .. } => Worth::Grants,
            Self::Broken { .. } => Worth::Notes,
        }
    }

    /// What is wrong, and what to do.
    pub fn alarm(&self) -> Option<String> {
        let Self::Broken { held, of, why } = self else { return None };
        // Where every row follows from those before it, it is another log than its lock has seen.
        let what = if held < of { format!("row {held} of the log") } else { "the log".to_owned() };
        Some(format!(
            "{what} does not hold ({}), so nothing is granted; acts that only take away are recorded; run \
             `countersign audit verify`",
            why.detail
        ))
    }

    /// It as people and programs read it.
    pub(crate) fn told(&self) -> Value {
        match self {
            Self::Whole => json!({"state": "whole"}),
            Self::UnderWay { held, of } => json!({"state": "under_way", "held": held, "of": of}),
            Self::Done { of } => json!({"state": "done", "held": of, "of": of}),
            Self::Broken { held, of, .. } => json!({"state": "broken", "held": held, "of": of}),
        }
    }
}

/// The task that checks.
pub(crate) struct Checker {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Checker {
    /// Checks what the openings of a log passed, one after the other.
    pub(crate) fn start(
        log: PathBuf,
        passed: watch::Receiver<Option<Vouched>>,
        present: Arc<Present>,
        guard: &Guard,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        // From the first moment on: what is not read yet is not said to hold.
        if let Some(Vouched { size, .. }) = *passed.borrow() {
            present.checks(Check::UnderWay { held: 0, of: size });
        }
        Self { task: guard.spawn("check of the log", check_each(log, passed, present, stopped)), stop }
    }

    /// Ends it in order: the log is closed when this returns.
    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        if self.task.await.is_err() {
            tracing::warn!("the check of the log did not end in order");
        }
    }

    /// Ends it at once.
    pub(crate) fn abort(&self) {
        self.task.abort();
    }
}

async fn check_each(
    log: PathBuf,
    mut passed: watch::Receiver<Option<Vouched>>,
    present: Arc<Present>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let vouched = *passed.borrow_and_update();
        if let Some(vouched) = vouched {
            let check = checked(&log, vouched, &present, &stopped).await;
            let ends = matches!(check, Check::UnderWay { .. } | Check::Broken { .. });
            if let Some(alarm) = check.alarm() {
                tracing::error!("{alarm}");
            }
            present.checks(check);
            if ends {
                return;
            }
        }
        tokio::select! {
            opened = passed.changed() => if opened.is_err() { return },
            _ = stopped.changed() => return,
        }
    }
}

// A disk that cannot be read now may be later; nothing that was read is read again.
async fn checked(log: &std::path::Path, vouched: Vouched, present: &Present, stopped: &watch::Receiver<bool>) -> Check {
    let began = Instant::now();
    let reader = loop {
        match LogReader::open(log).await {
            Ok(reader) => break reader,
            Err(error) => tracing::warn!(%error, "the log cannot be read to check it; tried again"),
        }
        if *stopped.borrow() {
            return Check::UnderWay { held: 0, of: vouched.size };
        }
        tokio::time::sleep(PAUSE).await;
    };
    let check = Checking::of(&reader, vouched).run(present, stopped).await;
    if let Check::Done { of } = check {
        tracing::info!(rows = of, seconds = began.elapsed().as_secs(), "every row of the log holds");
    }
    // It was only read.
    if let Err(error) = reader.close().await {
        tracing::warn!(%error, "the log was not closed in order");
    }
    check
}

struct Checking<'a> {
    log: &'a LogReader,
    vouched: Vouched,
    chain: Chain<'a>,
    shelf: Shelf,
    tree: Frontier,
    edge: Edge,
    // The last piece of evidence that was read.
    evidence: Option<Digest>,
}

impl<'a> Checking<'a> {
    fn of(log: &'a LogReader, vouched: Vouched) -> Self {
        let (tree, edge) = (Frontier::default(), Edge::default());
        Self { log, vouched, chain: Chain::of(log), shelf: log.shelf(), tree, edge, evidence: None }
    }

    async fn run(mut self, present: &Present, stopped: &watch::Receiver<bool>) -> Check {
        let of = self.vouched.size;
        loop {
            let held = self.chain.held();
            present.checks(Check::UnderWay { held, of });
            if *stopped.borrow() {
                return Check::UnderWay { held, of };
            }
            let began = Instant::now();
            let stepped = self.step().await;
            let held = self.chain.held();
            match stepped {
                Ok(true) => {}
                Ok(false) => return Check::Done { of },
                Err(Error::Refused(why)) => return Check::Broken { held, of, why },
                Err(error) if is_damaged(&error) => {
                    let why = Refusal::new(Reason::LogBroken, format!("row {held}: its page is damaged"));
                    return Check::Broken { held, of, why };
                }
                Err(error) => {
                    tracing::warn!(%error, "the log cannot be read to check it; tried again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // Half of one core at most: whoever asks comes first.
            tokio::time::sleep(began.elapsed().min(PAUSE)).await;
        }
    }

    // One page more; false at the end of everything.
    async fn step(&mut self) -> Result<bool, Error> {
        let left = self.vouched.size.saturating_sub(self.chain.held());
        if left > 0 {
            return self.rows(u32::try_from(left).unwrap_or(PAGE).min(PAGE)).await;
        }
        let page = self.log.evidence_after(self.evidence).await?;
        for (sha256, bytes) in &page {
            if Digest::of(bytes) != *sha256 {
                let detail = format!("the evidence under {sha256} was changed");
                return Err(Error::refused(Reason::LogBroken, detail));
            }
        }
        self.evidence = page.last().map(|(sha256, _)| *sha256);
        Ok(self.evidence.is_some())
    }

    async fn rows(&mut self, most: u32) -> Result<bool, Error> {
        let Self { chain, tree, edge, shelf, .. } = self;
        let mut visit = |row: &crate::store::Row, _: Option<&policy::log::Entry>| {
            tree.append(row.hash);
            let whole = edge.append(row.hash).into_iter().filter(|(tile, _)| tile.width == Tile::FULL);
            whole.for_each(|(tile, hashes)| mend(shelf, tile, &hashes));
            Ok(())
        };
        let broken = |what: &str| Err(Error::refused(Reason::LogBroken, what));
        if !chain.page(most, &mut Bulk::default(), Reading::Skimmed, &mut visit).await? {
            return broken("it ends before its lock");
        }
        let Some(head) = self.chain.head().filter(|head| head.size == self.vouched.size) else { return Ok(true) };
        self.chain.end()?;
        match self.vouched {
            Vouched { last, .. } if last != head.last => broken("its last entry is not the one that the lock has seen"),
            Vouched { rests, .. } if rests != head.rests => {
                broken("what the fold rests on is not what the lock has seen, so a start passed something of it")
            }
            Vouched { root, .. } if root != self.tree.root() => {
                broken("its tree is not the one that the lock has seen")
            }
            Vouched { .. } => Ok(true),
        }
    }
}

// SQLITE_CORRUPT, also in its extended forms, and SQLITE_NOTADB.
fn is_damaged(error: &Error) -> bool {
    let Error::Store { source: sqlx::Error::Database(error), .. } = error else { return false };
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code % 256, 11 | 26))
}

const PAGE: u32 = 256;
const PAUSE: Duration = Duration::from_secs(1);
