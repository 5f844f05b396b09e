//! How long, and until when, as people write it.

use policy::time::Timestamp;

use crate::command::verify::now;
use crate::output::{self, Usage};

/// A number of seconds: plain, or as `90s`, `15m`, `12h`, `30d`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(pub(super) u64);

/// A moment: a date, as `2027-01-31` or `2027-01-31T12:00:00Z`; seconds since 1970; or so long from now, as `+30d`.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    At(u64),
    In(u64),
}

impl When {
    /// The moment, by this machine's clock.
    pub(super) fn timestamp(self) -> anyhow::Result<Timestamp> {
        match self {
            Self::At(seconds) => Ok(Timestamp::from_seconds(seconds)?),
            Self::In(seconds) => Ok(Timestamp::from_seconds(now()?.plus(seconds).seconds())?),
        }
    }
}

impl Span {
    /// A span that lasts: none of it is no time at all.
    pub(super) fn lasting(text: &str) -> Result<Self, Usage> {
        let span: Self = text.parse()?;
        if span.0 > 0 { Ok(span) } else { Err(Usage("no time at all; leave it out, or give at least `1s`".to_owned())) }
    }
}

impl std::str::FromStr for Span {
    type Err = Usage;
    fn from_str(text: &str) -> Result<Self, Usage> {
        let (digits, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
            Some(digits) => (digits, text.chars().next_back()),
            None => (text, None),
        };
        let seconds = match unit {
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => 1,
        };
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let count = Some(digits).filter(|_| plain).and_then(|digits| digits.parse::<u64>().ok());
        let found = count.and_then(|count| count.checked_mul(seconds));
        found.map(Self).ok_or_else(|| {
            Usage(format!(
                "`{}` is no time: it is written in seconds, or as `90s`, `15m`, `12h`, `30d`",
                output::shown(text)
            ))
        })
    }
}

impl std::str::FromStr for When {
    type Err = Usage;
    fn from_str(text: &str) -> Result<Self, Usage> {
        match text.strip_prefix('+') {
            Some(span) => span.parse::<Span>().map(|Span(seconds)| Self::In(seconds)),
            None => text.parse().ok().or_else(|| date(text)).map(Self::At).ok_or_else(|| {
                Usage(format!(
                    "`{}` is no moment: it is written as `2027-01-31`, `2027-01-31T12:00:00Z` or `+30d`, or in seconds \
                     since 1970",
                    output::shown(text)
                ))
            }),
        }
    }
}

// A date as it is printed, or its day alone, which begins at midnight: what is printed again must be the same.
fn date(text: &str) -> Option<u64> {
    let whole = if text.len() == "2027-01-31".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let parts: Vec<u64> = whole.split(['-', 'T', ':', 'Z']).filter_map(|part| part.parse().ok()).collect();
    let &[year, month, day, hour, minute, second] = parts.as_slice() else { return None };
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 {
        return None;
    }
    // Days since 1970 of the proleptic Gregorian calendar, counted from March so that a leap day ends its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    let moment = Timestamp::from_seconds(seconds).ok()?;
    (moment.to_string() == whole).then_some(seconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_moments_have_one_meaning() {
        let span = |text: &str| text.parse::<Span>().ok().map(|span| span.0);
        assert_eq!(["90", "90s", "15m", "12h", "30d"].map(span), [90, 90, 900, 43_200, 2_592_000].map(Some));
        for bad in ["", "d", "-1", "+1d", "1w", "1 d", "1.5h", "99999999999999999999", "213503982334602d"] {
            assert_eq!(span(bad), None, "{bad}");
        }
        assert!(matches!("1795350000".parse(), Ok(When::At(1_795_350_000))));
        assert!(matches!("+2d".parse(), Ok(When::In(172_800))));
        assert!("2d".parse::<When>().is_err() && "+".parse::<When>().is_err());
    }

    #[test]
    fn a_moment_is_read_as_it_is_printed_and_as_nothing_else() {
        let at = |text: &str| match text.parse() {
            Ok(When::At(seconds)) => Some(seconds),
            _ => None,
        };
        for seconds in [0, 951_782_399, 951_782_400, 951_868_800, 1_795_350_000, 4_107_542_399, 4_107_542_400] {
            assert_eq!(at(&Timestamp::from_seconds(seconds).unwrap().to_string()), Some(seconds));
        }
        assert_eq!(at("2027-01-31"), at("2027-01-31T00:00:00Z"));
        assert_eq!(at("2027-01-31"), Some(1_801_353_600));
        let wrong = [
            "2027-02-29",
            "2027-13-01",
            "2027-00-10",
            "2027-1-31",
            "27-01-31",
            "2027-01-31T24:00:00Z",
            "2027-01-31T12:60:00Z",
            "2027-01-31T12:00:00",
            "2027-01-31 12:00:00Z",
            "2027-01-31T12:00:00+01:00",
            "1969-12-31",
            "2027-01-31T",
            "-01-31",
            "2027/01/31",
            "99999-01-01",
        ];
        for text in wrong {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
