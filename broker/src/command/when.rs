//! How long, and until when, as people write it.

use policy::time::Timestamp;

use crate::command::verify::now;
use crate::output::{self, Usage};

/// A number of seconds: plain, or as `90s`, `15m`, `12h`, `30d`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(pub(super) u64);

/// A moment: seconds since 1970, or so long from now, as `+30d`.
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
            None => text.parse().map(Self::At).map_err(|_| {
                Usage(format!(
                    "`{}` is no moment: it is written in seconds since 1970, or as `+30d`",
                    output::shown(text)
                ))
            }),
        }
    }
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
}
