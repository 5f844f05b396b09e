//! The fold of a log without all of its rows: what the fold rests on, as a lock vouches for it, and every row behind that.
//!
//! Nothing that is passed here is proved here, but that the lock's last entry, its tree and all that the fold rests on are
//! what they were. Where anything of that is not so, every row is read, as of any log that no lock vouches for. The rows
//! between are for `check`, while the broker works, and for `audit verify`.

use std::collections::VecDeque;

use policy::digest::Digest;
use policy::log::{Edge, Entry, Frontier, Head, Ledger, Tile};
use policy::reason::{Reason, Refusal};

use super::chain::{Chain, PAGE, Reading};
use super::gleaned::{Asked, Gleaned, MOST_ASKED, RECENT_MS};
use super::{LogReader, Row};
use crate::error::Error;
use crate::export::Bulk;
use crate::store::lock::Vouched;
use crate::store::shelf::Shelf;
use crate::store::sqlite::failed;

/// How a log is to be opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    /// What its lock vouches for; where nothing, every row is read.
    pub(crate) vouched: Option<Vouched>,
    /// Up to how many entries every row is read all the same.
    pub(crate) whole: u64,
    /// The row that the lock stands behind, to be kept.
    pub(crate) watch: Option<u64>,
    /// How many entries a lock has seen; what comes behind them is held to what was signed.
    pub(crate) seen: Option<u64>,
}

/// What a log comes to.
pub(crate) struct Folded {
    pub(crate) ledger: Ledger,
    pub(crate) tree: Frontier,
    pub(crate) edge: Edge,
    pub(crate) gleaned: Gleaned,
    /// The row that was to be kept.
    pub(crate) watched: Option<Row>,
    /// Up to where rows were passed, and by whose word; nothing where every row was read.
    pub(crate) passed: Option<Vouched>,
}

// What grows with each row that is read.
#[derive(Default)]
struct Growing {
    tree: Frontier,
    edge: Edge,
    gleaned: Gleaned,
    watched: Option<Row>,
}

impl LogReader {
    /// What the log comes to; `whole` is told of each tile that is whole.
    ///
    /// # Errors
    /// `log_broken` with the row, or [`Error::Store`].
    pub(crate) async fn fold(&self, opening: Opening, mut whole: impl FnMut(Tile, &[Digest])) -> Result<Folded, Error> {
        if let Some(vouched) = opening.vouched.filter(|vouched| self.names_folds && vouched.size > opening.whole) {
            match self.pass(vouched, opening, &mut whole).await {
                Err(Error::Refused(refusal)) => {
                    tracing::error!(%refusal, "the log is not as its lock has seen it; every row is read");
                }
                passed => return passed,
            }
        }
        let chain = Chain::of(self).held_to(opening.vouched);
        self.grow(chain, Growing::default(), opening, &mut whole).await
    }

    async fn pass(
        &self,
        vouched: Vouched,
        opening: Opening,
        whole: &mut impl FnMut(Tile, &[Digest]),
    ) -> Result<Folded, Error> {
        if self.segments.last().is_some_and(|segment| segment.size > vouched.size) {
            return Err(broken("a segment ends behind its lock"));
        }
        let mut gleaned = Gleaned::default();
        let ledger = self.fold_before(vouched.size, &mut |row, entry| gleaned.take(row, Some(entry))).await?;
        let last = self.row(vouched.size.saturating_sub(1)).await?.ok_or_else(|| broken("it ends before its lock"))?;
        let (head, watched) = (ledger.head(), opening.watch.filter(|index| *index == last.index).map(|_| last));
        if (head.size, head.last) != (vouched.size, vouched.last) {
            return Err(broken("its last entry is another"));
        }
        if head.rests != vouched.rests {
            return Err(broken("what the fold rests on is not all named, or was changed"));
        }
        let (edge, tree) = self.edge(vouched.size, vouched.root).await?;
        let growing = Growing { tree, edge, gleaned, watched };
        let mut folded = self.grow(Chain::behind(self, ledger), growing, opening, whole).await?;
        folded.gleaned.asked = self.lately(folded.ledger.head()).await?;
        folded.passed = Some(vouched);
        Ok(folded)
    }

    async fn grow(
        &self,
        mut chain: Chain<'_>,
        mut growing: Growing,
        opening: Opening,
        whole: &mut impl FnMut(Tile, &[Digest]),
    ) -> Result<Folded, Error> {
        let mut visit = |row: &Row, entry: Option<&Entry>| {
            growing.tree.append(row.hash);
            let tiles = growing.edge.append(row.hash);
            tiles.iter().filter(|(tile, _)| tile.width == Tile::FULL).for_each(|(tile, hashes)| whole(*tile, hashes));
            growing.gleaned.take(row, entry);
            if opening.watch == Some(row.index) {
                growing.watched = Some(row.clone());
            }
            Ok(())
        };
        let reading = opening.seen.map_or(Reading::Whole, |size| Reading::Settled { size });
        while chain.page(PAGE, &mut Bulk::default(), reading, &mut visit).await? {}
        chain.end()?;
        let Growing { tree, edge, gleaned, watched } = growing;
        Ok(Folded { ledger: chain.ledger()?, tree, edge, gleaned, watched, passed: None })
    }

    /// The fold of the first `end` entries by what it rests on, and by the last of them; visits each that is read. Whether
    /// that was all is told by the head, to whoever knows what it should be.
    pub(crate) async fn fold_before(&self, end: u64, visit: &mut impl FnMut(&Row, &Entry)) -> Result<Ledger, Error> {
        self.fold_on(None, end, visit).await
    }

    /// The same, from the end of a ledger on.
    pub(crate) async fn fold_after(&self, ledger: Ledger, end: u64) -> Result<Ledger, Error> {
        if ledger.head().size >= end { Ok(ledger) } else { self.fold_on(Some(ledger), end, &mut |_, _| ()).await }
    }

    /// Whether the log names what its fold rests on.
    pub(crate) const fn names_folds(&self) -> bool {
        self.names_folds
    }

    async fn fold_on(
        &self,
        mut ledger: Option<Ledger>,
        end: u64,
        visit: &mut impl FnMut(&Row, &Entry),
    ) -> Result<Ledger, Error> {
        let (last, mut next) = (end.saturating_sub(1), ledger.as_ref().map_or(0, |ledger| ledger.head().size));
        loop {
            let page = self.resting(next, last).await?;
            let Some(newest) = page.last() else { break };
            next = newest.index + 1;
            page.iter().try_for_each(|row| leap(&mut ledger, row, visit))?;
        }
        let row = self.row(last).await?.ok_or_else(|| broken(&format!("row {last} is missing")))?;
        leap(&mut ledger, &row, visit)?;
        ledger.ok_or_else(|| broken("the log is empty"))
    }

    // The rows that the fold rests on from an index on, before another: a page of them.
    async fn resting(&self, from: u64, end: u64) -> Result<Vec<Row>, Error> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query_as(RESTING).bind(from.cast_signed()).bind(end.cast_signed()).bind(i64::from(PAGE));
        let rows = rows.fetch_all(&mut *connection).await;
        let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = rows.map_err(failed("read", &self.path))?;
        rows.into_iter().map(|(index, hash, bytes)| Row::read(index, hash, bytes)).collect()
    }

    // The right edge of the tree of that size: out of the tiles where they lead to that root, else out of the rows.
    async fn edge(&self, size: u64, root: Digest) -> Result<(Edge, Frontier), Error> {
        for shelf in [Some(self.shelf()), None] {
            let mut open = Vec::new();
            for tile in Edge::tiles(size) {
                open.push(self.hashes_at(tile, shelf.as_ref()).await?);
            }
            let found = Edge::of(size, open).and_then(|edge| edge.frontier().map(|tree| (edge, tree)));
            if let Some(found) = found.filter(|(_, tree)| tree.root() == root) {
                return Ok(found);
            }
            tracing::warn!("the tiles beside the log are not of its entries; the entries are read instead");
        }
        Err(broken("its tree is another"))
    }

    async fn hashes_at(&self, tile: Tile, shelf: Option<&Shelf>) -> Result<Vec<Digest>, Error> {
        if tile.width == 0 {
            return Ok(Vec::new());
        }
        // The leaves at the edge are in no tile yet.
        let shelf = shelf.filter(|_| tile.level > 0);
        match shelf.and_then(|shelf| shelf.tile(tile)) {
            Some(hashes) => Ok(hashes),
            None => self.hashes_of(tile).await,
        }
    }

    // The questions of the last minutes, back from the end along the chain, so that each is the one that was decided.
    async fn lately(&self, head: Head) -> Result<VecDeque<Asked>, Error> {
        let (mut asked, mut end, mut expected, mut newest) = (VecDeque::new(), head.size, head.last, None);
        while end > 0 {
            let most = end.min(u64::from(PAGE));
            let page = self.rows(end - most, PAGE.min(u32::try_from(most).unwrap_or(PAGE))).await?;
            for row in page.iter().rev() {
                end = end.saturating_sub(1);
                if row.index != end || row.hash != expected {
                    return Err(broken(&format!("row {end} is not the one that the next one names")));
                }
                if row.is_frozen() {
                    return Ok(asked);
                }
                row.fits().map_err(|refusal| refusal.within(format!("row {end}")))?;
                let glance = Entry::glance(&row.bytes)?;
                expected = glance.prev;
                let newest = *newest.get_or_insert(glance.at_ms);
                if glance.at_ms + RECENT_MS < newest || asked.len() >= MOST_ASKED {
                    return Ok(asked);
                }
                if let Some(request_sha256) = glance.asked {
                    asked.push_front(Asked { request_sha256, index: row.index, at_ms: glance.at_ms });
                }
            }
            if page.is_empty() {
                return Err(broken(&format!("row {} is missing", end - 1)));
            }
        }
        Ok(asked)
    }
}

fn leap(ledger: &mut Option<Ledger>, row: &Row, visit: &mut impl FnMut(&Row, &Entry)) -> Result<(), Error> {
    let within = |refusal: Refusal| refusal.within(format!("row {}", row.index));
    if let (Some(ledger), true) = (&mut *ledger, row.is_frozen()) {
        return Ok(ledger.reach(row.index + 1, row.hash).map_err(within)?);
    }
    row.fits().map_err(within)?;
    let entry = match ledger {
        Some(ledger) => ledger.leap(row.index, &row.bytes).map_err(within)?,
        None => {
            let begun = Ledger::begin(&row.bytes).map_err(within)?;
            *ledger = Some(crate::rules::reading(begun));
            Entry::read(&row.bytes)?
        }
    };
    visit(row, &entry);
    Ok(())
}

fn broken(what: &str) -> Error {
    Error::refused(Reason::LogBroken, what)
}

const RESTING: &str = "SELECT entries.idx, entries.hash, entries.bytes \
    FROM folds CROSS JOIN entries ON entries.idx = folds.idx \
    WHERE folds.idx >= ?1 AND folds.idx < ?2 ORDER BY folds.idx LIMIT ?3";
