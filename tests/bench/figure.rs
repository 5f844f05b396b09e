//! Figures and the board they are written on: a table for people, `target/bench/summary.json` for programs.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// What a figure is held to.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Told, and held to nothing.
    Told,
}

impl Goal {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Told => true,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!(">= {least}"),
            Self::AtMost(most) => format!("<= {most}"),
            Self::Told => "told".to_owned(),
        }
    }
}

/// Where figures are written as they come.
pub(crate) struct Board {
    began: Instant,
    summary: serde_json::Map<String, serde_json::Value>,
    missed: usize,
}

impl Board {
    pub(crate) fn new() -> Self {
        println!("{:<60} {:>10} {:<6} {:<9} holds", "figure", "value", "unit", "goal");
        Self { began: Instant::now(), summary: serde_json::Map::new(), missed: 0 }
    }

    /// The progress line: what is measured now, and for how long all of it has run.
    pub(crate) fn doing(&self, what: &str) {
        let (start, end) = if std::io::stderr().is_terminal() { ("\r\x1b[2K", "") } else { ("", "\n") };
        eprint!("{start}[{:>3} s] {what} …{end}", self.began.elapsed().as_secs());
        let _ = std::io::stderr().flush(); // A progress line that does not show is no loss.
    }

    /// Writes one figure down.
    pub(crate) fn put(&mut self, name: &str, value: f64, unit: &str, goal: Goal) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[2K");
        }
        let holds = goal.holds(value);
        self.missed += usize::from(!holds);
        println!("{name:<60} {value:>10.2} {unit:<6} {:<9} {}", goal.text(), if holds { "yes" } else { "NO" });
        let rounded = (value * 1000.0).round() / 1000.0;
        let figure = serde_json::json!({"value": rounded, "unit": unit, "goal": goal.text(), "holds": holds});
        self.summary.insert(name.to_owned(), figure);
    }

    /// Writes the summary.
    pub(crate) fn finish(self) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench");
        std::fs::create_dir_all(folder).expect("a folder for the summary");
        let text = serde_json::to_string_pretty(&self.summary).expect("it is text");
        std::fs::write(format!("{folder}/summary.json"), text).expect("the summary is written");
        let (count, seconds) = (self.summary.len(), self.began.elapsed().as_secs());
        println!("\n{count} figures in {seconds} s, {} miss their goal: target/bench/summary.json", self.missed);
    }
}

/// The time that one side takes over the time of the other, each the median of many turns taken alternately:
/// neighbours on the machine disturb both alike.
pub(crate) fn speed<A, B>(mut honest: impl FnMut() -> A, mut ours: impl FnMut() -> B) -> f64 {
    let (honest, ours) = (0..300).map(|_| (timed(&mut honest), timed(&mut ours))).unzip::<_, _, Vec<_>, Vec<_>>();
    median(honest).as_secs_f64() / median(ours).as_secs_f64()
}

/// How many turns are timed together.
pub(crate) const TURNS_TIMED: u32 = 8;

/// How long so many turns take.
pub(crate) fn timed<T>(work: &mut impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    (0..TURNS_TIMED).for_each(|_| drop(std::hint::black_box(work())));
    start.elapsed()
}

/// The middle of some values.
pub(crate) fn median<T: PartialOrd + Copy>(values: Vec<T>) -> T {
    quantile(values, 0.5)
}

/// The value below which that part of them lies.
pub(crate) fn quantile<T: PartialOrd + Copy>(mut values: Vec<T>, part: f64) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("they compare"));
    values[((values.len() - 1) as f64 * part).round() as usize]
}
