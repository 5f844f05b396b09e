//! What goes wrong again and again is said once a minute for each reason, with how often it came.
//!
//! Whatever anybody may send as often as they like would fill a disk with lines otherwise (T70). In which words and how
//! loudly it is said is left to whoever counts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::error::Error;

/// What came, by its reason; there are only so many of them.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<&'static str, Heard>);

/// A line that is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The reason's code.
    pub(crate) code: &'static str,
    /// How often it came since the last line of it.
    pub(crate) count: u64,
    /// The last of them.
    pub(crate) last: String,
}

#[derive(Debug, Default)]
struct Heard {
    said: Option<Instant>,
    count: u64,
    last: String,
}

impl Tally {
    /// Counts one.
    pub(crate) fn count(&mut self, error: &Error) {
        let heard = self.0.entry(error.code()).or_default();
        heard.count = heard.count.saturating_add(1);
        heard.last = error.to_string();
    }

    /// What is to be said now: what is new at once, what came again a minute after it was said last.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Line> {
        let is_due = |heard: &Heard| heard.said.is_none_or(|said| now.saturating_duration_since(said) >= MINUTE);
        let due = self.0.iter_mut().filter(|(_, heard)| heard.count > 0 && is_due(heard));
        let say = |(code, heard): (&&'static str, &mut Heard)| {
            heard.said = Some(now);
            Line { code, count: std::mem::take(&mut heard.count), last: std::mem::take(&mut heard.last) }
        };
        due.map(say).collect()
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use policy::reason::{Reason, Refusal};

    use super::*;

    #[test]
    fn t70_each_reason_is_said_at_once_and_then_once_a_minute_with_its_count() {
        let (began, mut tally) = (Instant::now(), Tally::default());
        let mut said = Vec::new();
        // A hundred a second for three minutes, one of another reason among them, and then nothing more.
        for second in 0..300 {
            let now = began + Duration::from_secs(second);
            for number in 0..100 {
                if second < 180 {
                    tally.count(&Refusal::new(Reason::SchemaMismatch, format!("{second} {number}")).into());
                }
                if (second, number) == (90, 5) {
                    tally.count(&Refusal::new(Reason::Expired, "once").into());
                }
                said.extend(tally.due(now).into_iter().map(|line| (second, line.code, line.count, line.last)));
            }
        }
        let line = |second, code, count, last: &str| (second, code, count, format!("{code}: {last}"));
        let expected = [
            line(0, "schema_mismatch", 1, "0 0"),
            line(60, "schema_mismatch", 6_000, "60 0"),
            line(90, "expired", 1, "once"),
            line(120, "schema_mismatch", 6_000, "120 0"),
            line(180, "schema_mismatch", 5_999, "179 99"),
        ];
        assert_eq!(said, expected);
        assert!(tally.due(began + Duration::from_secs(900)).is_empty());
        // After a silence the next is news again.
        tally.count(&Refusal::new(Reason::SchemaMismatch, "again").into());
        assert_eq!(tally.due(began + Duration::from_secs(900)).len(), 1);
    }
}
