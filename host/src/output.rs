//! How results and errors look: text for people, one JSON object for programs; the exit codes.
//!
//! Results go to standard output, errors and warnings to standard error.

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use host::clock::{Clock, SystemClock};
use host::error::{Error, shown};
use host::memory::{Fork, Memory};
use policy::reason::Reason;
use policy::time::Timestamp;
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

    /// What went wrong on the way, and is no error of this command.
    pub(crate) fn warnings(&self) -> Vec<Value> {
        let spoofed = |message| json!({"code": "spoofed_answer", "count": self.ignored.get(), "message": message});
        let forked = |fork: Fork| {
            let file = self.host_dir.join("evidence").join(&fork.file);
            json!({"code": Reason::LogFork, "message": fork.to_string(), "evidence": file, "sha256": fork.sha256})
        };
        let unproved = |(since_ms, message)| json!({"code": UNPROVED, "message": message, "since_ms": since_ms});
        let warnings = self.spoofed().map(spoofed).into_iter().chain(self.forked().map(forked));
        warnings.chain(self.unproved().map(unproved)).collect()
    }

    /// Tells a person what went wrong on the way; a program finds it in the document.
    pub(crate) fn warn(&self, output: Output) {
        if output != Output::Text {
            return;
        }
        if let Some(message) = self.spoofed() {
            say(&format!("warning: spoofed_answer: {message}"));
        }
        if let Some(fork) = self.forked() {
            say(&format!("warning: {}: {fork}; nothing more is bound", Reason::LogFork));
        }
        if let Some((_, message)) = self.unproved() {
            say(&format!("warning: {UNPROVED}: {message}"));
        }
    }

    // What the broker has owed for long; nothing is refused for it.
    fn unproved(&self) -> Option<(u64, String)> {
        let record = Memory::load(&self.host_dir).ok()?.record();
        let since_ms = record.unproved_since_ms(SystemClock.wall_ms())?;
        let (since, size) = (Timestamp::from_millis(since_ms), record.proved.map_or(1, |proved| proved.size));
        let message = format!(
            "since {since} no broker has proved that its log only grew from the first {size} entries, which is the last \
             that was proved: an older broker cannot, and another one would not"
        );
        Some((since_ms, message))
    }

    // By the memory on the disk: whichever process of this host found it.
    fn forked(&self) -> Option<Fork> {
        Memory::load(&self.host_dir).ok()?.record().forked.map(|fork| *fork)
    }

    fn spoofed(&self) -> Option<String> {
        match self.ignored.get() {
            0 => None,
            1 => Some("1 answer was not the broker's, and was ignored".to_owned()),
            count => Some(format!("{count} answers were not the broker's, and were ignored")),
        }
    }

    /// As far as it can be told from arguments that make no sense.
    pub(crate) fn among(arguments: &[OsString]) -> Self {
        let value = |name: &str, variable: &str| {
            let apart = arguments.iter().zip(arguments.iter().skip(1)).find(|(option, _)| *option == name);
            let glued = |argument: &OsString| Some(argument.to_str()?.strip_prefix(name)?.strip_prefix('=')?.into());
            let told = apart.map(|(_, value)| value.clone()).or_else(|| arguments.iter().find_map(glued));
            told.or_else(|| std::env::var_os(variable)).filter(|value| !value.is_empty())
        };
        let host_dir = value("--host-dir", "COUNTERSIGN_HOST_DIR").unwrap_or_else(|| USUAL_DIR.into());
        let nats_url = value("--nats-url", "COUNTERSIGN_NATS_URL").or_else(|| std::env::var_os("NATS_URL"));
        Self::new(host_dir.into(), nats_url.map(|url| url.to_string_lossy().into_owned()))
    }

    // The lattice, and where its broker is looked for: as learned, else as remembered, else as told.
    fn known(&self) -> (Option<String>, Option<String>) {
        let told = self.nats_url.as_deref().map(host::transport::nats::without_password);
        if let Some((lattice, url)) = self.lattice.borrow().clone() {
            return (Some(lattice), Some(url));
        }
        match Memory::load(&self.host_dir).map(|memory| memory.record()) {
            Ok(record) => {
                let url = told.unwrap_or_else(|| host::transport::nats::without_password(&record.nats_url));
                (Some(record.lattice.to_string()), Some(url))
            }
            Err(_) => (None, told),
        }
    }

    fn text(&self) -> String {
        let (lattice, url) = self.known();
        let lattice = lattice.unwrap_or_else(|| "not joined".to_owned());
        let url = url.unwrap_or_else(|| "not known before the host has joined, or without `--nats-url`".to_owned());
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
    if !error.use_stderr() {
        // Nowhere is left to say that it could not be printed.
        let _unread = error.print();
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let json = arguments.iter().any(|arg| arg == "json" || arg == "-ojson" || arg == "--output=json");
    let message = error.to_string();
    let message = message.trim_start_matches("error: ").trim_end();
    let message: Vec<String> = message.lines().map(shown).collect();
    let output = if json { Output::Json } else { Output::Text };
    failed(output, &Place::among(&arguments), &Error::Usage(message.join("\n")))
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
    text += &format!("\nfix: {}", remedy(error));
    format!("{text}\n{}", place.text())
}

fn document(place: &Place, error: &Error) -> Value {
    let (lattice, url) = place.known();
    let mut document = json!({
        "success": false,
        "error": error.code(),
        "message": error.to_string(),
        "error_chain": chain(error),
        "folder": place.host_dir,
        "host_dir": place.host_dir,
        "lattice": lattice,
        "broker": url,
        "nats_url": url,
        "remedy": remedy(error),
        "warnings": place.warnings(),
    });
    if let (Error::Refused(refused), Some(members)) = (error, document.as_object_mut()) {
        let import = |(import, reason): &(String, Reason)| json!({"import": import, "reason": reason});
        members.insert("imports".to_owned(), refused.imports.iter().map(import).collect());
        members.insert("index".to_owned(), json!(refused.index));
    }
    document
}

// What to do next.
fn remedy(error: &Error) -> &'static str {
    match (error.reason(), error) {
        (Some(reason), _) => reason.remedy(),
        (None, Error::Usage(_)) => "look at the command's `--help`, which has examples",
        (None, Error::Guest(_)) => "the component stopped by itself: look at what it wrote above, and at the call",
        (None, _) => "mend what the message says, then repeat the command",
    }
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

/// The host's folder where none is named.
pub(crate) const USUAL_DIR: &str = "./.countersign-host";
const UNPROVED: &str = "log_unproved";
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
