//! What a refusal for a time's sake says of clocks: both times, how far they lie apart, and which two to compare.
//!
//! It travels beside the recorded sentence and is never part of it: the log keeps what was judged, people get this too.

use std::fmt;

use crate::time::Timestamp;

/// A document's time against a clock's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// The time that the document says.
    pub document: Timestamp,
    /// The time that the judging clock said.
    pub clock: Timestamp,
    /// What the document's time is.
    pub says: Says,
    /// Whose clock the document's time was read from.
    pub signer: Clock,
    /// Whose clock judged.
    pub judge: Clock,
}

/// What a document's time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// When it was signed.
    Signed,
    /// When its validity begins.
    Begins,
    /// When its validity ends.
    Ends,
}

/// Whose clock it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The host's.
    Host,
    /// The broker's.
    Broker,
    /// That of the issuer who signed claims or a contract.
    Issuer,
    /// That of the administrator's machine.
    Administrator,
    /// That of the machine where the root signed.
    Root,
    /// That of the machine on which the check runs.
    ThisMachine,
}

impl Skew {
    /// Seconds between the two.
    pub const fn difference_s(&self) -> u64 {
        self.document.distance(self.clock)
    }
}

impl Clock {
    /// The stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Broker => "broker",
            Self::Issuer => "issuer",
            Self::Administrator => "administrator",
            Self::Root => "root",
            Self::ThisMachine => "this_machine",
        }
    }

    const fn whose(self) -> &'static str {
        match self {
            Self::Host => "the host's clock",
            Self::Broker => "the broker's clock",
            Self::Issuer => "the issuer's clock",
            Self::Administrator => "the administrator's clock",
            Self::Root => "the clock where the root signed",
            Self::ThisMachine => "this machine's clock",
        }
    }
}

// Both times stand in the recorded sentence before it.
impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (apart, ahead, judge) = (span(self.difference_s()), self.document > self.clock, self.judge.whose());
        match (self.says, ahead) {
            (Says::Signed, true) => write!(f, "signed {apart} ahead of {judge}")?,
            (Says::Signed, false) => write!(f, "signed {apart} behind {judge}")?,
            (Says::Begins, true) => write!(f, "begins {apart} ahead of {judge}")?,
            (Says::Begins, false) => write!(f, "began {apart} ago by {judge}")?,
            (Says::Ends, true) => write!(f, "ends {apart} ahead of {judge}")?,
            (Says::Ends, false) => write!(f, "ended {apart} ago by {judge}")?,
        }
        let ended = self.says == Says::Ends && !ahead;
        let doubt = if ended { "if that should not be so, compare" } else { "compare" };
        write!(f, "; {doubt} {} with {judge}", self.signer.whose())
    }
}

/// A span of time in its two largest units.
pub fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let largest = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let mut words = Vec::with_capacity(2);
    for (unit, word) in units.iter().skip(largest).take(2) {
        if left >= *unit || words.is_empty() {
            words.push(format!("{} {word}", left / unit));
        }
        left %= unit;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        for (seconds, told) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (252, "4 min 12 s"),
            (3600, "1 h"),
            (3601, "1 h"),
            (7260, "2 h 1 min"),
            (86_400 * 3 + 4 * 3600 + 59, "3 d 4 h"),
        ] {
            assert_eq!(span(seconds), told);
        }
    }

    #[test]
    fn a_skew_names_the_difference_and_both_clocks() {
        let clock = Timestamp::from_seconds(1_795_350_417).unwrap();
        let at = |document, says| Skew { document, clock, says, signer: Clock::Host, judge: Clock::Broker }.to_string();
        assert_eq!(
            at(clock.plus(252), Says::Signed),
            "signed 4 min 12 s ahead of the broker's clock; compare the host's clock with the broker's clock"
        );
        let past = Timestamp::from_seconds(1_795_350_417 - 7200).unwrap();
        assert!(at(past, Says::Signed).starts_with("signed 2 h behind the broker's clock"));
        assert!(at(past, Says::Ends).starts_with("ended 2 h ago by the broker's clock"));
        assert!(at(past, Says::Ends).contains("if that should not be so, compare"));
        assert!(at(clock.plus(60), Says::Begins).starts_with("begins 1 min ahead of"));
    }

    #[test]
    fn each_refusal_for_a_times_sake_names_both_times_and_is_recorded_without_more() {
        let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
        let validity = crate::time::Validity { iat: at(1000), nbf: Some(at(2000)), exp: Some(at(3000)) };
        for (now, document) in [(748, 1000), (1500, 2000), (3600, 3000)] {
            let refusal = validity.covers(at(now)).unwrap_err();
            let sentence = refusal.sentence();
            for part in [at(now).to_string(), at(document).to_string(), span(at(now).distance(at(document)))] {
                assert!(sentence.contains(&part), "{part}: {sentence}");
            }
            assert!(sentence.contains("compare the issuer's clock with the broker's clock"), "{sentence}");
            assert!(!refusal.brief().contains("compare") && refusal.briefly().contains("compare"));
        }
    }
}
