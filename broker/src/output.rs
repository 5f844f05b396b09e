//! What the command line prints: text or JSON, one form of error, five exit codes.
//!
//! Everything that came from outside passes through [`shown`], so that no terminal acts on it (T68, T80). What there is
//! to say is left to the commands: each returns a [`Report`] and prints nothing itself.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use policy::json;
use policy::reason::{Reason, Refusal};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::place::Place;

/// The form of output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object, with `success`.
    Json,
}

/// What a command has to say.
#[derive(Debug, Default)]
pub struct Report {
    text: String,
    members: Map<String, Value>,
    refused: Option<Refusal>,
    // What to do next, where it is another thing than the reason's own remedy.
    fix: Option<&'static str>,
    waits: bool,
}

impl Report {
    /// Text for people, and the members of one JSON object for programs; `success` is added when printed.
    pub fn new(text: impl Into<String>, members: Value) -> Self {
        let members = match members {
            Value::Object(members) => members,
            other => Map::from_iter([("result".to_owned(), other)]),
        };
        Self { text: text.into(), members, refused: None, fix: None, waits: false }
    }

    /// The same report, of something that was refused: it is printed, then the refusal, and the exit code is 3.
    #[must_use]
    pub fn refused(mut self, refusal: Refusal) -> Self {
        self.refused = Some(refusal);
        self
    }

    /// The same report, its refusal told in other words.
    #[must_use]
    pub fn refused_within(mut self, words: impl FnOnce(&str) -> String) -> Self {
        self.refused = self.refused.map(|refusal| Refusal { detail: words(&refusal.detail), ..refusal });
        self
    }

    /// The same report, of something that is sound, with one more line of a label and a value.
    #[must_use]
    pub fn told_besides(mut self, label: &str, value: String) -> Self {
        if self.refused.is_none() {
            self.text += &fields([(label, value.clone())]);
            self.members.insert(label.to_owned(), value.into());
        }
        self
    }

    /// The same report, of something that waits for others to sign: the exit code is 4.
    #[must_use]
    pub const fn waiting(mut self) -> Self {
        self.waits = true;
        self
    }

    /// The text form.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The JSON form.
    pub fn json(&self) -> Value {
        let mut members = self.members.clone();
        members.insert("success".to_owned(), Value::Bool(self.refused.is_none()));
        if let Some(refusal) = &self.refused {
            members.insert("error".to_owned(), refusal.reason.code().into());
            members.insert("message".to_owned(), refusal.sentence().into());
            members.insert("remedy".to_owned(), self.fix.unwrap_or(refusal.reason.remedy()).into());
        }
        Value::Object(members)
    }

    /// The refusal, where something was refused.
    pub const fn refusal(&self) -> Option<&Refusal> {
        self.refused.as_ref()
    }
}

/// A refusal with what lifts it here, in place of what its reason says everywhere.
#[derive(Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct Fixed {
    #[source]
    refusal: Refusal,
    fix: &'static str,
}

/// The same outcome; where it is a refusal for that reason, `fix` is what to do next.
///
/// # Errors
/// As it came.
pub fn fixed(result: anyhow::Result<Report>, reason: Reason, fix: &'static str) -> anyhow::Result<Report> {
    match result {
        Ok(report) if report.refused.as_ref().is_some_and(|refusal| refusal.reason == reason) => {
            Ok(Report { fix: Some(fix), ..report })
        }
        Err(error) => match error.downcast_ref::<Refusal>() {
            Some(refusal) if refusal.reason == reason => Err(Fixed { refusal: refusal.clone(), fix }.into()),
            _ => Err(error),
        },
        report => report,
    }
}

/// A command line that cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Prints a part of the output at once; false when nobody reads any more.
///
/// # Errors
/// Why it could not be written, such as a full disk.
pub fn emit(text: &str) -> std::io::Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A closed pipe is the reader's choice, not an error worth telling it about.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// The servers of a NATS address without what logs in there.
pub fn bare_url(url: &str) -> String {
    let bare = |one: &str| match (one.split_once("://"), one.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => one.to_owned(),
    };
    url.split(',').map(|one| bare(one.trim())).collect::<Vec<_>>().join(",")
}

/// Prints a hint beside the output proper.
pub fn hint(text: &str) {
    complain(text);
}

/// Prints what a command came to, and says how the program ends.
pub fn finish(format: Format, place: &Place, result: anyhow::Result<Report>) -> ExitCode {
    let error = match result {
        Ok(report) => {
            let printed = emit(&match format {
                Format::Text => report.text.clone(),
                Format::Json => line(&placed(report.json(), &report, place)),
            });
            if let Err(error) = printed {
                complain(&describe(
                    format,
                    place,
                    &anyhow::Error::new(error).context("the output could not be written"),
                ));
                return ExitCode::FAILURE;
            }
            match report.refused {
                None if report.waits => return ExitCode::from(WAITING),
                None => return ExitCode::SUCCESS,
                Some(refusal) => match report.fix {
                    None => refusal.into(),
                    Some(fix) => Fixed { refusal, fix }.into(),
                },
            }
        }
        Err(error) => error,
    };
    complain(&describe(format, place, &error));
    ExitCode::from(exit_code(&error))
}

// A report of something that was refused is an error, too, and says where it was.
fn placed(mut members: Value, report: &Report, place: &Place) -> Value {
    if let (Some(refusal), Some(members)) = (&report.refused, members.as_object_mut()) {
        let fix = report.fix.unwrap_or(refusal.reason.remedy());
        for (name, value) in whereabouts(place).into_iter().chain(remedies(Some(refusal), fix)) {
            members.entry(name).or_insert(value);
        }
    }
    members
}

/// The error as it is printed on standard error.
pub fn describe(format: Format, place: &Place, error: &anyhow::Error) -> String {
    let refusal = within::<Refusal>(error);
    // A cause that is the message itself says nothing more.
    let said = refusal.map(ToString::to_string);
    let chain = error.chain().skip(1).map(ToString::to_string).filter(|cause| said.as_ref() != Some(cause));
    let chain: Vec<String> = chain.collect();
    let fixed = within::<Fixed>(error);
    let itself = error.downcast_ref::<Refusal>().or(error.downcast_ref::<Fixed>().map(|fixed| &fixed.refusal));
    let message = itself.map_or_else(|| error.to_string(), Refusal::sentence);
    let fix = fixed.map_or_else(|| remedy(code(error)), |fixed| fixed.fix);
    if format == Format::Json {
        let mut members = serde_json::json!({
            "success": false, "error": code(error), "message": message, "error_chain": chain,
        });
        if let Some(members) = members.as_object_mut() {
            members.extend(whereabouts(place).into_iter().chain(remedies(refusal, fix)));
        }
        return line(&members);
    }
    // A message of the command line has lines of its own.
    let message = message.lines().map(shown).collect::<Vec<_>>().join("\n");
    let mut text = format!("{}: {message}\n", code(error));
    for cause in chain {
        // INVARIANT: writing to a String cannot fail.
        let _ = writeln!(text, "  because: {}", shown(&cause));
    }
    let _ = writeln!(text, "  fix: {fix}");
    let folder = place.folder.display().to_string();
    for (label, value) in [("folder", &folder), ("lattice", &place.lattice), ("broker", &place.broker)] {
        let _ = writeln!(text, "  {label}: {}", shown(value));
    }
    text
}

// The members that every error has. `dir` and `nats_url` are older words for the first and the last.
fn whereabouts(place: &Place) -> Vec<(String, Value)> {
    let folder = place.folder.display().to_string();
    let Place { lattice, broker, .. } = place;
    let members =
        [("folder", &folder), ("dir", &folder), ("lattice", lattice), ("broker", broker), ("nats_url", broker)];
    members.into_iter().map(|(name, value)| (name.to_owned(), value.as_str().into())).collect()
}

// What to do next; and where it is for a time's sake, the times and the two clocks.
fn remedies(refusal: Option<&Refusal>, fix: &str) -> Vec<(String, Value)> {
    let mut members = vec![("remedy".to_owned(), fix.into())];
    if let Some(skew) = refusal.and_then(|refusal| refusal.skew.as_ref()) {
        let clocks = serde_json::json!({
            "document": skew.document.to_string(), "clock": skew.clock.to_string(),
            "difference_s": skew.difference_s(), "compare": [skew.signer.code(), skew.judge.code()],
        });
        members.push(("clocks".to_owned(), clocks));
    }
    members
}

fn remedy(code: &str) -> &'static str {
    match Reason::from_code(code) {
        Some(reason) => reason.remedy(),
        None if code == "usage" => "look at the command's `--help`, which has examples",
        None => "mend what the message says, then repeat the command; `countersign status` tells how the lattice is",
    }
}

/// 1 failed, 2 usage, 3 refused.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match (within::<Refusal>(error), within::<Usage>(error)) {
        (Some(_), _) => 3,
        (None, Some(_)) => 2,
        (None, None) => 1,
    }
}

// Whatever else was said on the way up, a refusal somewhere in the chain is what happened.
fn within<E: std::error::Error + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// A stranger's text in printable ASCII: whatever a terminal, a log or a reader could be misled by is escaped.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => shown.push_str("\\\\"),
            ' '..='~' => shown.push(char),
            _ => shown.extend(char.escape_default()),
        }
    }
    shown
}

/// Pairs of a label and a value, one a line, indented under their heading.
pub fn fields<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    // A label without a value says nothing.
    let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    laid_out(width(), None, pairs.map(|(label, value)| [format!("  {label}"), value]))
}

/// Rows under a heading.
pub fn table<const N: usize>(heading: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    laid_out(width(), Some(heading), rows)
}

// Where the width is known, lines end there, between two words: never within a name, a key or a scope, which people copy,
// though the line be too long then.
fn laid_out<const N: usize>(
    width: Option<usize>,
    heading: Option<[&str; N]>,
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let mut longest = [0; N];
    let mut measured = |cells: &[String; N]| {
        for (longest, cell) in longest.iter_mut().zip(cells) {
            *longest = cell.split(' ').map(str::len).max().unwrap_or_default().max(*longest);
        }
    };
    if let Some(heading) = heading {
        measured(&heading.map(str::to_owned));
        table.set_header(heading);
    }
    for row in rows {
        let cells = row.map(|cell| shown(&cell));
        measured(&cells);
        table.add_row(cells);
    }
    if let Some(width) = width {
        let columns = longest.map(|longest| longest + PADDING);
        let cells = |width: usize| u16::try_from(width).unwrap_or(u16::MAX);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(cells(width.max(columns.iter().sum())));
        for (column, width) in table.column_iter_mut().zip(columns) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(cells(width))));
        }
    }
    trimmed(&table)
}

/// How wide the terminal is that is written to; no line is broken for a file or another program.
pub fn width() -> Option<usize> {
    let out = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(&out).ok().filter(|_| out.is_terminal())?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

fn trimmed(table: &Table) -> String {
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

fn code(error: &anyhow::Error) -> &'static str {
    match (reason(error), within::<Usage>(error)) {
        (Some(reason), _) => reason.code(),
        (None, Some(_)) => "usage",
        (None, None) => "failed",
    }
}

// A command line that cannot be meant was told to nobody, so the law has no reason for it.
fn reason(error: &anyhow::Error) -> Option<Reason> {
    match (within::<Refusal>(error), within::<Usage>(error)) {
        (Some(refusal), _) => Some(refusal.reason),
        (None, Some(_)) => None,
        (None, None) => within::<Error>(error).and_then(Error::reason),
    }
}

fn line(value: &Value) -> String {
    let mut text = String::from_utf8_lossy(&json::write(value)).into_owned();
    text.push('\n');
    text
}

fn complain(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

// Recorded, and neither done nor refused yet.
const WAITING: u8 = 4;
// What stands around each cell.
const PADDING: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t68_t80_a_strangers_text_stays_one_line_of_printable_ascii() {
        let hostile = "a\r\n\u{1b}[31m\u{202e}\u{0}é\\n";
        let refusal = Refusal::new(Reason::IssuerUnknown, hostile);
        let outputs = [
            shown(hostile),
            fields([("name", hostile.to_owned())]),
            table(["NAME"], [[hostile.to_owned()]]).lines().skip(1).collect(),
            describe(Format::Json, &Place { folder: hostile.into(), ..Place::default() }, &refusal.into()),
        ];
        for output in outputs {
            let line = output.trim_end_matches('\n');
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{output:?}");
        }
    }

    // Each line, and the widest.
    fn laid<const N: usize>(width: Option<usize>, heading: [&str; N], row: [&str; N]) -> (Vec<String>, usize) {
        let text = laid_out(width, Some(heading), [row.map(str::to_owned)]);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let widest = lines.iter().map(String::len).max().unwrap_or_default();
        (lines, widest)
    }

    #[test]
    fn what_no_terminal_shows_is_one_line_a_row() {
        let scopes = "component, provider, contract, ".repeat(20);
        let (lines, _) = laid(None, ["KEY", "SCOPE"], [&"A".repeat(56), &scopes]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].ends_with(scopes.trim_end()), "{lines:?}");
    }

    #[test]
    fn a_terminals_width_is_kept_between_words_alone() {
        let key = format!("A{}", "B".repeat(55));
        let kinds = "component, provider, contract";
        for width in [60, 80, 120, 200] {
            let row = [&key, "wasi:keyvalue, shop:*", kinds, "active", &"x ".repeat(60)];
            let (lines, widest) = laid(Some(width), ["KEY", "SCOPE", "KINDS", "STANDING", "BECAUSE"], row);
            let least = [58, 16, 12, 10, 9].iter().sum::<usize>();
            assert!(widest <= width.max(least), "{width}: {lines:?}");
            for word in [&key, "wasi:keyvalue,", "shop:*", "component,", "provider,", "contract", "active", "STANDING"]
            {
                assert!(lines.iter().any(|line| line.contains(word)), "{word} at {width}: {lines:?}");
            }
        }
    }

    #[test]
    fn what_is_said_is_said_once() {
        let refusal = Refusal::new(Reason::KeyRole, "the seed is another role's");
        let error = anyhow::Error::from(refusal).context("the administrator's key");
        let text = describe(Format::Text, &Place::default(), &error);
        assert_eq!(text.matches("another role").count(), 1, "{text}");
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        assert_eq!(exit_code(&anyhow::anyhow!("no such file")), 1);
        assert_eq!(exit_code(&Usage("no files".into()).into()), 2);
        assert_eq!(exit_code(&Refusal::new(Reason::Expired, "x").into()), 3);
        assert_eq!(exit_code(&anyhow::Error::from(Refusal::new(Reason::Expired, "x")).context("reading")), 3);
    }

    #[test]
    fn a_refused_report_says_so_in_json() {
        let report = Report::new("", serde_json::json!({"file": "x"})).refused(Refusal::new(Reason::Expired, "over"));
        assert_eq!(
            report.json(),
            serde_json::json!({
                "success": false, "error": "expired", "message": "over", "file": "x", "remedy": "have it signed again",
            })
        );
    }
}
