//! How much each enrolled host may still ask, and how many signatures may still be checked under its key.
//!
//! A host's share is charged with what verified and was new, so that nobody else can use it up. A check that brought
//! nothing new (a wrong signature, a repetition, a question beyond the share) is charged to the key it was made under,
//! and when that has none left, to what all keys have to spare (T87).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use policy::key::{Host, Name};
use policy::reason::{Reason, Refusal};

use crate::settings::Settings;

/// The shares of all enrolled hosts.
pub(super) struct Shares {
    pace: Pace,
    spare: Pace,
    books: Mutex<Books>,
}

/// The right to check one signature, until it is known what came of it.
#[must_use]
pub(super) struct Check {
    host: Name<Host>,
    banned: bool,
    spare: bool,
}

#[derive(Default)]
struct Books {
    accounts: BTreeMap<Name<Host>, Account>,
    spare: Option<Bucket>,
}

struct Account {
    questions: Bucket,
    checks: Bucket,
}

impl Shares {
    pub(super) fn new(settings: &Settings) -> Self {
        let pace = Pace { full: units(settings.host_burst), rate: settings.host_rate.into(), over: 1 };
        let spare = Pace { full: units(settings.spare_checks) * 2, rate: settings.spare_checks.into(), over: 1 };
        Self { pace, spare, books: Mutex::default() }
    }

    /// Whether the signature of a question in this host's name is worth a look.
    ///
    /// Only enrolled hosts come this far, so there are no more accounts than hosts.
    pub(super) fn check(&self, host: Name<Host>, banned: bool, now_ms: u64) -> Result<Check, Refusal> {
        let pace = if banned { BANNED } else { self.pace };
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let Books { accounts, spare } = &mut *books;
        let account = accounts
            .entry(host)
            .or_insert_with(|| Account { questions: Bucket::full(pace, now_ms), checks: Bucket::full(CHECKS, now_ms) });
        account.questions.grow(pace, now_ms);
        account.checks.grow(CHECKS, now_ms);
        // Though it were genuine, it would be one too many: that needs no signature.
        if account.questions.is_empty() {
            return Err(self.too_many(&host, banned));
        }
        if account.checks.take() {
            return Ok(Check { host, banned, spare: false });
        }
        let spare = spare.get_or_insert_with(|| Bucket::full(self.spare, now_ms));
        spare.grow(self.spare, now_ms);
        if spare.take() {
            return Ok(Check { host, banned, spare: true });
        }
        let why = format!("too much under the key of host `{host}` is repeated or not signed by it");
        Err(Refusal::new(Reason::RateLimited, why))
    }

    /// Charges a question that verified and is new. What cannot be charged keeps its check.
    pub(super) fn charge(&self, check: Check) -> Result<(), Refusal> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let Books { accounts, spare } = &mut *books;
        // INVARIANT: `check` made the account, and none is ever removed.
        let Some(account) = accounts.get_mut(&check.host) else {
            return Err(self.too_many(&check.host, check.banned));
        };
        if !account.questions.take() {
            return Err(self.too_many(&check.host, check.banned));
        }
        match spare.as_mut().filter(|_| check.spare) {
            Some(spare) => spare.give_back(self.spare),
            None => account.checks.give_back(CHECKS),
        }
        Ok(())
    }

    // A banned one is told so once a minute, on record; the rest is counted (T70).
    fn too_many(&self, host: &Name<Host>, banned: bool) -> Refusal {
        if banned {
            return Refusal::new(Reason::HostBanned, format!("host `{host}` was banned, and was told so"));
        }
        let rate = self.pace.rate;
        Refusal::new(Reason::RateLimited, format!("host `{host}` may ask {rate} times a second"))
    }
}

// How much there is at most, and how it grows: `rate` thousandths each `over` milliseconds.
#[derive(Debug, Clone, Copy)]
struct Pace {
    full: u64,
    rate: u64,
    over: u64,
}

// What is left, in thousandths.
struct Bucket {
    left: u64,
    at_ms: u64,
}

impl Bucket {
    const fn full(pace: Pace, now_ms: u64) -> Self {
        Self { left: pace.full, at_ms: now_ms }
    }

    fn grow(&mut self, pace: Pace, now_ms: u64) {
        let grown = now_ms.saturating_sub(self.at_ms).saturating_mul(pace.rate) / pace.over;
        self.left = self.left.saturating_add(grown).min(pace.full);
        if grown > 0 {
            self.at_ms = now_ms;
        }
    }

    const fn is_empty(&self) -> bool {
        self.left < ONE
    }

    fn take(&mut self) -> bool {
        let left = self.left.checked_sub(ONE);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    fn give_back(&mut self, pace: Pace) {
        self.left = self.left.saturating_add(ONE).min(pace.full);
    }
}

fn units(count: u32) -> u64 {
    u64::from(count) * ONE
}

const ONE: u64 = 1000;
// One a minute.
const BANNED: Pace = Pace { full: ONE, rate: 1, over: 60 };
// Checks of one key's signatures that may come to nothing: 50 a second.
const CHECKS: Pace = Pace { full: 100 * ONE, rate: 50, over: 1 };
