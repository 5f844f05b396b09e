//! How far the log is proved to have only grown, and what a host makes of an answer about it (T65).
//!
//! It begins at the pinned first entry, which is a tree of its own, and moves by proof alone. What narrows, epoch and head,
//! is raised at once by whatever is signed, proved or not; so a proof that is missing lets in nothing more than before.

use std::sync::PoisonError;

use policy::envelope::Verified;
use policy::growth::{Grown, Stand};
use policy::log::{Checkpoint, Contradiction, NoteKey, Place};
use policy::reason::{Reason, Refusal};
use serde::{Deserialize, Serialize};

use super::piece::{Fork, Piece, Shown};
use super::record::{Head, Record, Sighting, Standing, raised};
use super::{Memory, SystemClock};
use crate::clock::Clock;
use crate::error::Error;

/// The newest checkpoint that is proved to have grown out of the pinned first entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proved {
    /// The signed note.
    pub note: String,
    /// How many entries it counts.
    pub size: u64,
    /// When it was proved, by the host's clock, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What a host would have proved: trees that it holds, the smallest first among equals, and the entry of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) trees: Vec<Shown>,
    pub(crate) answer: Option<Shown>,
}

impl Record {
    /// Since when the broker owes a proof, if that is longer ago than any outage that passes by itself.
    pub fn unproved_since_ms(&self, now_ms: u64) -> Option<u64> {
        self.asked_since_ms.filter(|since| since.saturating_add(PATIENCE_MS) <= now_ms)
    }

    /// From where on growth is to be proved: the newest that was, or the pinned first entry.
    fn anchor(&self) -> Shown {
        let proved = self.proved.as_ref().and_then(|proved| self.opened(&proved.note));
        proved.unwrap_or_else(|| Shown { place: Place::pinned(self.root), piece: Piece::FirstEntry })
    }

    fn opened(&self, note: &str) -> Option<Shown> {
        Shown::checkpoint(&self.log_key, note.as_bytes()).ok()
    }

    // Whether a piece that was asked about is still one that this host holds.
    fn holds(&self, held: &Shown) -> bool {
        match &held.piece {
            Piece::Checkpoint(note) => self.opened(note).is_some(),
            Piece::Answer { .. } => self.answer.as_ref() == Some(held),
            Piece::FirstEntry => true,
            Piece::Growth { .. } => false,
        }
    }

    // What is told to be lost is of no log any more.
    fn without(&self, lost: &[Shown]) -> Self {
        let is_lost = |shown: &Shown| lost.iter().any(|lost| lost.piece == shown.piece);
        let note = |note: &String| lost.iter().any(|lost| lost.piece == Piece::Checkpoint(note.clone()));
        Self {
            answer: self.answer.clone().filter(|answer| !is_lost(answer)),
            checkpoint: self.checkpoint.clone().filter(|checkpoint| !note(checkpoint)),
            ..self.clone()
        }
    }
}

impl Memory {
    /// What is to be proved now; nothing where all that is held was.
    pub(crate) fn open(&self) -> Option<Open> {
        let (record, aside) = (self.record(), self.aside());
        let anchor = record.anchor();
        let of =
            |note: Option<String>| note.and_then(|note| record.opened(&note)).filter(|held| held.piece != anchor.piece);
        let others: Vec<_> = [of(record.checkpoint.clone()), of(aside)].into_iter().flatten().collect();
        let answer = record.answer.clone();
        let unproved = answer.as_ref().is_some_and(|answer| answer.place.index > anchor.place.index);
        (!others.is_empty() || unproved)
            .then(|| Open { trees: std::iter::once(anchor).chain(others).collect(), answer })
    }

    /// What is to be proved at the beginning, whatever was before: at least how far the log was proved to have grown.
    pub(crate) fn open_anew(&self) -> Open {
        let anchored = || Open { trees: vec![self.record().anchor()], answer: self.record().answer };
        self.open().unwrap_or_else(anchored)
    }

    /// Keeps the note that another one has taken the place of, until it is proved, too: it may be of another log.
    pub(super) fn put_aside(&self, before: Option<String>, met: &String) {
        let record = self.record();
        let overtaken = if record.checkpoint.as_ref() == Some(met) { before } else { Some(met.clone()) };
        let known = [record.checkpoint, record.proved.map(|proved| proved.note)];
        let Some(note) = overtaken.filter(|note| !known.iter().flatten().any(|known| known == note)) else { return };
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        aside.get_or_insert(note);
    }

    fn aside(&self) -> Option<String> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that a proof was asked for, so that one which never comes is told of.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn asks(&self) -> Result<(), Error> {
        let now_ms = SystemClock.wall_ms();
        self.change(|record| Ok(Record { asked_since_ms: record.asked_since_ms.or(Some(now_ms)), ..record.clone() }))
    }

    /// Takes in what the broker proved of what was open; `met` is its answer, as it came.
    ///
    /// # Errors
    /// `log_fork` when it proves something else, and from then on; why it is no answer; or when it cannot be written.
    pub(crate) fn prove(
        &self,
        open: &Open,
        told: &Verified<Grown>,
        warrant: &Standing,
        met: Piece,
    ) -> Result<(), Error> {
        let end = NoteKey::parse(&self.record().log_key)?.open(told.checkpoint.as_bytes())?;
        let malformed =
            || Refusal::new(Reason::SchemaMismatch, "the checkpoint is empty, or its epoch lies after its end");
        let place = Place::of_checkpoint(&end).ok_or_else(malformed)?;
        let Judged { lost, beyond } = match self.judged(open, told, &end)? {
            Ok(judged) => judged,
            Err((held, how)) => return self.accuse(&held, &Shown { place, piece: met }, warrant, how),
        };
        if !lost.is_empty() {
            tracing::warn!(
                event = "log_restored",
                "what this host held of the log is lost: an administrator restored an older one"
            );
        }
        let note = Shown { place, piece: Piece::Checkpoint(told.checkpoint.clone()) };
        let head = Head { index: place.index, entry_sha256: place.entry_sha256 };
        let sighting = Sighting { epoch: place.epoch, head, warrant: None, shown: Some(note) };
        let proved = Proved { note: told.checkpoint.clone(), size: end.size, at_ms: SystemClock.wall_ms() };
        self.change(|record| {
            record.refuse_forked()?;
            let before = record.proved.as_ref().map_or(1, |proved| proved.size);
            let after = raised(&record.without(&lost), &sighting)?;
            // A log that ends before what is held proves nothing of it, and what is proved does not go where it may not lead.
            if end.size < before || beyond {
                return Ok(after);
            }
            Ok(Record { proved: Some(proved.clone()), asked_since_ms: None, ..after })
        })?;
        if !beyond {
            let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
            let was_open = |note: &String| open.trees.iter().any(|held| held.piece == Piece::Checkpoint(note.clone()));
            *aside = aside.take().filter(|note| !was_open(note));
        }
        Ok(())
    }

    // What became of each piece, or the first that the answer contradicts.
    fn judged(&self, open: &Open, told: &Verified<Grown>, end: &Checkpoint) -> Result<Verdict, Refusal> {
        let restores = told.restores(end, self.record().inception.as_bytes())?;
        let held = || open.trees.iter().chain(&open.answer);
        let stood: Vec<_> = held().map(|held| (held, told.stand(end, &restores, &held.place))).collect();
        // What came before a piece that is told to be lost was of the same log, and is lost with it or still stands.
        let lost = stood.iter().filter(|(_, stand)| *stand == Ok(Stand::Lost)).map(|(held, _)| held.place.index).max();
        let contradicts = |(held, stand): &(&Shown, Result<Stand, _>)| {
            let contradiction = stand.err().filter(|_| lost.is_none_or(|lost| held.place.index > lost))?;
            Some(((*held).clone(), contradiction))
        };
        if let Some(found) = stood.iter().find_map(contradicts) {
            return Ok(Err(found));
        }
        let is_lost = |stand: &Result<Stand, _>| matches!(stand, Ok(Stand::Lost) | Err(_));
        let lost = stood.iter().filter(|(_, stand)| is_lost(stand)).map(|(held, _)| (*held).clone()).collect();
        let beyond = stood.iter().any(|(held, stand)| *stand == Ok(Stand::Beyond) && held.place.root.is_some());
        Ok(Ok(Judged { lost, beyond }))
    }

    fn accuse(&self, held: &Shown, met: &Shown, warrant: &Standing, how: Contradiction) -> Result<(), Error> {
        let found_at_ms = SystemClock.wall_ms();
        self.change(|record| {
            record.refuse_forked()?;
            // Another process may have been told otherwise meanwhile; then the next answer is judged by that.
            if !record.holds(held) || record.warrant_sha256 != Some(warrant.sha256) {
                let detail = format!("what it is about is held no more: entry {}", held.place.index);
                return Err(Refusal::new(Reason::AnswerMismatch, detail));
            }
            let fork = Fork::new(record, found_at_ms, how, (held.clone(), met.clone()));
            Ok(Record { forked: Some(Box::new(fork)), ..record.clone() })
        })?;
        Ok(self.record().refuse_forked()?)
    }
}

// What became of all that was open: what an administrator told to be lost, and whether a tree lies further than the proof.
struct Judged {
    lost: Vec<Shown>,
    beyond: bool,
}

type Verdict = Result<Judged, (Shown, Contradiction)>;

// An outage that passes by itself is not worth a word.
const PATIENCE_MS: u64 = 5 * 60_000;
