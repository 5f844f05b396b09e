//! Times in whole seconds since 1970 (UTC), and spans of validity.
//!
//! No clock is read here: now is always an argument.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json::MAX_INTEGER;
use crate::reason::{Reason, Refusal};
use crate::skew::{Clock, Says, Skew};

/// A moment in whole seconds since 1970, at most 2^53 (RFC 7519 section 2, NumericDate without fractions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Timestamp(u64);

impl Timestamp {
    /// A moment.
    ///
    /// # Errors
    /// `time_malformed` beyond 2^53.
    pub fn from_seconds(seconds: u64) -> Result<Self, Refusal> {
        if seconds <= MAX_INTEGER {
            return Ok(Self(seconds));
        }
        Err(Refusal::new(Reason::TimeMalformed, format!("time {seconds} is beyond 2^53 seconds")))
    }

    /// The second that a count of milliseconds falls into.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis / 1000)
    }

    /// Seconds since 1970.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// This moment and so many seconds more.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds between two moments, whichever is first.
    pub const fn distance(self, other: Self) -> u64 {
        self.0.abs_diff(other.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0 / 86_400, self.0 % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl From<Timestamp> for u64 {
    fn from(time: Timestamp) -> Self {
        time.0
    }
}

impl TryFrom<u64> for Timestamp {
    type Error = Refusal;
    fn try_from(seconds: u64) -> Result<Self, Refusal> {
        Self::from_seconds(seconds)
    }
}

/// When something signed is valid: from its issue or `nbf` on, before its `exp` (RFC 7519 sections 4.1.4 to 4.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validity {
    /// When it was signed.
    pub iat: Timestamp,
    /// The first moment of validity, if later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Timestamp>,
    /// The first moment after validity; none is no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<Timestamp>,
}

impl Validity {
    /// Checks that the ends are not crossed.
    ///
    /// # Errors
    /// `time_malformed` when `exp` is not after both `iat` and `nbf`.
    pub fn sound(self) -> Result<Self, Refusal> {
        let crossed = |start: Timestamp| self.exp.is_some_and(|exp| exp <= start);
        if crossed(self.iat) || self.nbf.is_some_and(crossed) {
            return Err(Refusal::new(Reason::TimeMalformed, "`exp` is not after `iat` and `nbf`"));
        }
        Ok(self)
    }

    /// Checks that `now` lies inside, without leeway.
    ///
    /// # Errors
    /// `issued_in_future`, `not_yet_valid` or `expired`, with both times.
    pub fn covers(&self, now: Timestamp) -> Result<(), Refusal> {
        let outside = |reason: Reason, what: &str, document: Timestamp, says: Says| {
            // Whoever knows better whose clocks these are says so: `Refusal::between`.
            let skew = Skew { document, clock: now, says, signer: Clock::Issuer, judge: Clock::Broker };
            Err(Refusal::new(reason, format!("{what} {document}, the clock here says {now}")).with_skew(skew))
        };
        match *self {
            Self { iat, .. } if iat > now => outside(Reason::IssuedInFuture, "signed at", iat, Says::Signed),
            Self { nbf: Some(nbf), .. } if nbf > now => outside(Reason::NotYetValid, "valid from", nbf, Says::Begins),
            Self { exp: Some(exp), .. } if exp <= now => outside(Reason::Expired, "valid until", exp, Says::Ends),
            _ => Ok(()),
        }
    }

    /// Checks that it does not outlive what its issuer may promise.
    ///
    /// # Errors
    /// `lifetime_exceeded` when there is no end, or one too late.
    pub fn within_lifetime(&self, max_lifetime_s: u64) -> Result<(), Refusal> {
        match self.exp {
            Some(exp) if exp.seconds().saturating_sub(self.iat.seconds()) <= max_lifetime_s => Ok(()),
            Some(exp) => {
                let lifetime = exp.seconds().saturating_sub(self.iat.seconds());
                Err(Refusal::new(
                    Reason::LifetimeExceeded,
                    format!("valid for {lifetime} s, its issuer may promise {max_lifetime_s} s"),
                ))
            }
            None => Err(Refusal::new(
                Reason::LifetimeExceeded,
                format!("no `exp`, its issuer may promise {max_lifetime_s} s"),
            )),
        }
    }
}

// Days since 1970 to a civil date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    #[test]
    fn t20_one_second_either_side_of_each_edge() {
        let validity = Validity { iat: at(100), nbf: Some(at(200)), exp: Some(at(300)) }.sound().unwrap();
        for (now, expected) in [
            (99, Some(Reason::IssuedInFuture)),
            (100, Some(Reason::NotYetValid)),
            (199, Some(Reason::NotYetValid)),
            (200, None),
            (299, None),
            (300, Some(Reason::Expired)),
            (301, Some(Reason::Expired)),
        ] {
            assert_eq!(validity.covers(at(now)).err().map(|refusal| refusal.reason), expected, "{now}");
        }
    }

    #[test]
    fn t20_crossed_ends_and_far_times_are_malformed() {
        for (iat, nbf, exp) in [(100, None, 100), (100, Some(300), 300), (100, Some(301), 300), (300, None, 100)] {
            let validity = Validity { iat: at(iat), nbf: nbf.map(at), exp: Some(at(exp)) };
            assert_eq!(validity.sound().unwrap_err().reason, Reason::TimeMalformed);
        }
        assert!(Timestamp::from_seconds(MAX_INTEGER).is_ok());
        assert_eq!(Timestamp::from_seconds(MAX_INTEGER + 1).unwrap_err().reason, Reason::TimeMalformed);
    }

    #[test]
    fn a_lifetime_is_measured_from_issue() {
        let validity = |exp: Option<u64>| Validity { iat: at(100), nbf: None, exp: exp.map(at) };
        assert!(validity(Some(200)).within_lifetime(100).is_ok());
        assert_eq!(validity(Some(201)).within_lifetime(100).unwrap_err().reason, Reason::LifetimeExceeded);
        assert_eq!(validity(None).within_lifetime(100).unwrap_err().reason, Reason::LifetimeExceeded);
    }

    #[test]
    fn times_print_as_rfc_3339() {
        assert_eq!(at(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(at(1_795_350_417).to_string(), "2026-11-22T12:26:57Z");
        assert_eq!(at(951_827_696).to_string(), "2000-02-29T12:34:56Z");
    }
}
