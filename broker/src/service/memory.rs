//! What was asked a moment ago: a duplicate gets the same answer, and no second row (T61), after a restart too.
//!
//! Bounded: answers are dropped once no permit in them can live, keys once the door would turn the duplicate away.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use policy::digest::Digest;
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::wire::FRESHNESS_S;

use crate::sequencer::Unavailable;
use crate::store::Asked;

/// An answer on its way, or given.
pub(super) type Answer = Shared<BoxFuture<'static, Result<Arc<[u8]>, Unavailable>>>;

/// The answers of the last moments, at most so many; and of the minutes before, that they were given.
pub(super) struct Memory {
    most: usize,
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    answers: BTreeMap<Digest, Given>,
    // When each key is forgotten, and when each answer is.
    ends: BTreeSet<(Timestamp, Digest)>,
    spent: BTreeSet<(Timestamp, Digest)>,
}

enum Given {
    Answer(Answer),
    // It stands in the log at that index, since before this process.
    Recorded(u64),
    // It was answered, too long ago to be of use.
    Spent,
}

impl Default for Memory {
    fn default() -> Self {
        Self::holding(MOST)
    }
}

impl Memory {
    /// A memory of at most so many answers, and of ten times as many keys.
    pub(super) fn holding(most: usize) -> Self {
        Self { most, remembered: Mutex::default() }
    }

    /// A memory of what the log decided a moment ago.
    pub(super) fn recalling<'a>(asked: impl Iterator<Item = &'a Asked>) -> Self {
        let mut remembered = Remembered::default();
        for Asked { request_sha256, index, at_ms } in asked {
            let at = Timestamp::from_millis(*at_ms);
            remembered.answers.insert(*request_sha256, Given::Recorded(*index));
            remembered.ends.insert((at.plus(2 * FRESHNESS_S + 1), *request_sha256));
            remembered.spent.insert((at.plus(ANSWER_S), *request_sha256));
        }
        Self { most: MOST, remembered: Mutex::new(remembered) }
    }

    /// The index of the entry that answers this key, if another process made it a moment ago.
    pub(super) fn recorded(&self, key: Digest, now: Timestamp) -> Option<u64> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.forget(now);
        match remembered.answers.get(&key) {
            Some(Given::Recorded(index)) => Some(*index),
            Some(Given::Answer(_) | Given::Spent) | None => None,
        }
    }

    /// The answer to this key: the one that is remembered, or what `work` makes.
    ///
    /// Whoever waits for it drives it. An asker who goes away leaves a record at most, and no answer that was not given.
    pub(super) fn once(
        &self,
        key: Digest,
        until: Timestamp,
        now: Timestamp,
        work: impl Future<Output = Result<Vec<u8>, Unavailable>> + Send + 'static,
    ) -> Result<Answer, Refusal> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.forget(now);
        match remembered.answers.get(&key) {
            // What could not be recorded is asked anew.
            Some(Given::Answer(answer)) if !matches!(answer.peek(), Some(Err(_))) => return Ok(answer.clone()),
            Some(Given::Spent) => {
                return Err(Refusal::new(
                    Reason::RequestStale,
                    "this request was answered before, and its permit is over",
                ));
            }
            Some(Given::Answer(_) | Given::Recorded(_)) | None => {}
        }
        // An answer weighs as much as a hundred keys, and is of use for a sixth of their time.
        let (answers, keys) = (remembered.spent.len(), remembered.answers.len());
        if answers >= self.most || keys >= self.most.saturating_mul(KEYS) {
            let detail = format!("{answers} answers and {keys} requests are remembered already");
            return Err(Refusal::new(Reason::RateLimited, detail));
        }
        // Whatever goes wrong in there is nobody's answer.
        let work = AssertUnwindSafe(work).catch_unwind();
        let answer = async move { work.await.unwrap_or(Err(Unavailable)).map(Arc::from) }.boxed().shared();
        remembered.answers.insert(key, Given::Answer(answer.clone()));
        remembered.ends.insert((until, key));
        remembered.spent.insert((now.plus(ANSWER_S), key));
        Ok(answer)
    }

    /// Whether a duplicate of this key would find an answer.
    pub(super) fn knows(&self, key: Digest, now: Timestamp) -> bool {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.forget(now);
        remembered.answers.contains_key(&key)
    }
}

impl Remembered {
    fn forget(&mut self, now: Timestamp) {
        while let Some((_, key)) = first_before(&mut self.spent, now) {
            self.answers.entry(key).and_modify(|given| *given = Given::Spent);
        }
        while let Some((_, key)) = first_before(&mut self.ends, now) {
            self.answers.remove(&key);
        }
    }
}

fn first_before(queue: &mut BTreeSet<(Timestamp, Digest)>, now: Timestamp) -> Option<(Timestamp, Digest)> {
    let first = queue.first().copied().filter(|(end, _)| *end < now)?;
    queue.pop_first();
    Some(first)
}

// Twice the life of a permit, rounded up to the clock's seconds.
const ANSWER_S: u64 = 10;
// At 10,000 questions a second, all of their answers.
const MOST: usize = 100_000;
const KEYS: usize = 10;
