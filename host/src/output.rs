//! How results and errors look: text for people, one JSON object for programs; the exit codes.
//!
//! Results go to standard output, errors and warnings to standard error.

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use host::error::Error;
use policy::reason::Reason;
use serde_json::{Value, json};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON object, with `success`.
    Json,
}

/// Where a host is: printed with every error.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) host_dir: PathBuf,
    pub(crate) nats_url: Option<String>,
    lattice: RefCell<Option<(String, String)>>,
    ignored: Cell<usize>,
}

impl Place {
    pub(crate) fn new(host_dir: PathBuf, nats_url: Option<String>) -> Self {
        Self { host_dir, nats_url, lattice: RefCell::default(), ignored: Cell::default() }
    }

    /// Learns the lattice, and where its broker is looked for.
    pub(crate) fn learn(&self, lattice: &str, url: &str) {
        self.lattice.replace(Some((lattice.to_owned(), host::transport::nats::without_password(url))));
    }

    /// Learns how many answers were not the broker's.
    pub(crate) fn ignored(&self, count: usize) {
        self.ignored.set(count);
    }

    /// What went wrong on the way and changed nothing.
    pub(crate) fn warnings(&self) -> Vec<Value> {
        let spoofed = |message| json!({"code": "spoofed_answer", "count": self.ignored.get(), "message": message});
        self.spoofed().map(spoofed).into_iter().collect()
    }

    /// Tells a person what went wrong on the way; a program finds it in the document.
    pub(crate) fn warn(&self, output: Output) {
        if let Some(message) = self.spoofed().filter(|_| output == Output::Text) {
            say(&format!("warning: spoofed_answer: {message}"));
        }
    }

    fn spoofed(&self) -> Option<String> {
        match self.ignored.get() {
            0 => None,
            1 => Some("1 answer was not the broker's, and was ignored".to_owned()),
            count => Some(format!("{count} answers were not the broker's, and were ignored")),
        }
    }

    fn text(&self) -> String {
        let known = self.lattice.borrow();
        let (lattice, url) = known.as_ref().map_or(("not joined", "not known"), |(lattice, url)| (lattice, url));
        format!("host folder: {}\nlattice: {lattice}\nbroker: {url}", self.host_dir.display())
    }
}

/// Prints a result.
pub(crate) fn print(output: Output, text: &str, document: &Value) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let written = match output {
        Output::Text => writeln!(out, "{}", text.trim_end()),
        Output::Json => writeln!(out, "{document}"),
    };
    written
        .and_then(|()| out.flush())
        .map_err(|source| Error::File { doing: "cannot write the result".to_owned(), source })
}

/// Prints an error, and gives the exit code that it ends with.
pub(crate) fn failed(output: Output, place: &Place, error: &Error) -> ExitCode {
    place.warn(output);
    match output {
        Output::Text => say(&told(place, error)),
        Output::Json => say(&document(place, error).to_string()),
    }
    ExitCode::from(exit_code(error))
}

/// Prints what is wrong with the command line, or the help that was asked for.
pub(crate) fn misused(error: &clap::Error) -> ExitCode {
    let asked = !error.use_stderr();
    let json = std::env::args().any(|arg| arg == "json" || arg == "-ojson" || arg == "--output=json");
    if asked || !json {
        // Nowhere is left to say that it could not be printed.
        let _unread = error.print();
    } else {
        let message = error.to_string();
        say(&json!({"success": false, "error": "usage", "message": message.trim_end(), "error_chain": []}).to_string());
    }
    ExitCode::from(if asked { 0 } else { USAGE })
}

/// Rows under a heading, in columns.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let lines: Vec<[String; N]> = std::iter::once(heading.map(str::to_owned)).chain(rows).collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or_default();
            row += &format!("{cell:width$}  ");
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}

fn told(place: &Place, error: &Error) -> String {
    let mut text = match error {
        Error::Refused(refused) => format!("refused: {}", refused.refusal),
        _ => format!("error: {}: {error}", error.code()),
    };
    for cause in chain(error) {
        text += &format!("\n  because: {cause}");
    }
    if let Error::Refused(refused) = error {
        for (import, reason) in &refused.imports {
            text += &format!("\n  {import}: {reason}: {}", reason.meaning());
        }
        if let Some(index) = refused.index {
            text += &format!("\n  decided by entry {index} of the log");
        }
    }
    if let Some(reason) = error.reason() {
        text += &format!("\nfix: {}", reason.remedy());
    }
    format!("{text}\n{}", place.text())
}

fn document(place: &Place, error: &Error) -> Value {
    let known = place.lattice.borrow();
    let mut document = json!({
        "success": false,
        "error": error.code(),
        "message": error.to_string(),
        "error_chain": chain(error),
        "host_dir": place.host_dir,
        "lattice": known.as_ref().map(|(lattice, _)| lattice),
        "nats_url": known.as_ref().map(|(_, url)| url),
        "remedy": error.reason().map(Reason::remedy),
        "warnings": place.warnings(),
    });
    if let (Error::Refused(refused), Some(members)) = (error, document.as_object_mut()) {
        let import = |(import, reason): &(String, Reason)| json!({"import": import, "reason": reason});
        members.insert("imports".to_owned(), refused.imports.iter().map(import).collect());
        members.insert("index".to_owned(), json!(refused.index));
    }
    document
}

fn chain(error: &Error) -> Vec<String> {
    let first = match error {
        // It is its own cause: telling it twice tells nothing.
        Error::Refused(_) => None,
        _ => error.source(),
    };
    std::iter::successors(first, |cause| (*cause).source()).map(ToString::to_string).collect()
}

// Nobody refused where nobody answered.
fn exit_code(error: &Error) -> u8 {
    match error {
        _ if error.reason() == Some(Reason::BrokerUnreachable) => FAILED,
        Error::Refused(_) => REFUSED,
        Error::Usage(_) => USAGE,
        Error::Exceeded(_) | Error::Guest(_) | Error::File { .. } | Error::Wire { .. } => FAILED,
    }
}

fn say(text: &str) {
    // Nowhere is left to say that it could not be printed.
    let _unread = writeln!(std::io::stderr(), "{text}");
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const REFUSED: u8 = 3;

#[cfg(test)]
mod tests {
    use policy::reason::Refusal;

    use super::*;

    #[test]
    fn a_refusal_tells_reason_fix_and_place() {
        let place = Place::new("./h".into(), None);
        place.learn("default", "nats://me:secret@127.0.0.1:4222");
        place.ignored(2);
        let error = Error::from(Refusal::new(Reason::LinkMissing, "no link `cart/wasi:logging/default`"));
        let text = told(&place, &error);
        for part in
            ["refused: link_missing: no link", "fix: `countersign link put`", "./h", "default", "nats://127.0.0.1:4222"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("secret"));
        let document = document(&place, &error);
        assert_eq!((&document["success"], &document["error"]), (&json!(false), &json!("link_missing")));
        assert_eq!((&document["error_chain"], &document["warnings"][0]["count"]), (&json!([]), &json!(2)));
        assert_eq!(exit_code(&error), REFUSED);
    }

    #[test]
    fn the_exit_code_tells_a_refusal_from_a_failure() {
        let refused = |reason| Error::from(Refusal::new(reason, "x"));
        assert_eq!(exit_code(&refused(Reason::Unpermitted)), 3);
        assert_eq!(exit_code(&refused(Reason::BrokerUnreachable)), 1);
        assert_eq!(exit_code(&Error::Exceeded(Refusal::new(Reason::LimitExceeded, "x"))), 1);
        assert_eq!(exit_code(&Error::Usage("x".into())), 2);
    }

    #[test]
    fn columns_line_up() {
        let rows = [["a".to_owned(), "bcd".to_owned()], ["efgh".to_owned(), "i".to_owned()]];
        assert_eq!(table(["x", "y"], rows.into_iter()), "x     y\na     bcd\nefgh  i\n");
    }
}
