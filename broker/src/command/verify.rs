//! `verify`: is this file what somebody trusted signed? Offline, from the bytes alone.
//!
//! The verdict is [`policy::verify`]'s; this file finds the bytes, the trust list and the time, and tells the result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use clap::ValueEnum;
use indicatif::ProgressBar;
use policy::issuer::{Issuers, Kind};
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::verify::{self, Form, Reading};
use serde_json::{Map, Value};

use crate::client::Client;
use crate::command::facts::{self, Fact};
use crate::command::{Globals, files};
use crate::output::{self, Report, Usage};

/// Verify files offline.
#[derive(Debug, clap::Args)]
#[command(after_help = "TRUST.json:\n  {\"issuers\":[{\"key\":\"A...\",\"scope\":[\"wasi:*\",\"acme:shop\"]}]}\n\n\
    Examples:\n  countersign verify cart.wasm --trust trust.json\n  \
    countersign verify claims.jwt --kind provider --trust trust.json --at 1795350417\n  \
    countersign -o json verify builtins/ kv.par.gz --trust trust.json")]
pub struct Args {
    /// Tokens (`.jwt`), components, provider archives, or folders of builtins.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files must be.
    #[arg(long, value_enum)]
    kind: Option<KindName>,
    /// The issuers to trust [default: those of the lattice's folder].
    #[arg(long, value_name = "TRUST.json")]
    trust: Option<PathBuf>,
    /// The time to judge at [default: now].
    #[arg(long, value_name = "UNIX_SECONDS")]
    at: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    Component,
    Provider,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let issuers = match &self.trust {
            Some(path) => read_trust(path)?,
            None => issuers_of_folder(globals)?,
        };
        let now = self.at.map_or_else(now, |seconds| Ok(Timestamp::from_seconds(seconds)?))?;
        let kind = self.kind.map(KindName::kind);
        let progress = progress(&self.files);
        let mut results = Vec::new();
        for path in &self.files {
            if path.is_dir() {
                results.extend(verify_builtins(path, kind, &issuers, now)?);
            } else {
                results.push(verify_bytes(path, &files::read(path)?, kind, &issuers, now));
            }
            progress.inc(1);
        }
        progress.finish_and_clear();
        Ok(report(&results))
    }
}

/// What became of one file.
#[derive(Debug)]
struct Verified {
    path: PathBuf,
    reading: Option<Reading>,
    verdict: Result<(), Refusal>,
}

fn verify_bytes(path: &Path, bytes: &[u8], kind: Option<Kind>, issuers: &Issuers, now: Timestamp) -> Verified {
    let reading = verify::read(bytes, form(path, bytes), kind);
    let verdict = reading.judge(issuers, now);
    Verified { path: path.to_owned(), reading: Some(reading), verdict }
}

// Every file of the folder is looked at, and one bad one says nothing about the next; only two for one package do (T46).
fn verify_builtins(
    folder: &Path,
    kind: Option<Kind>,
    issuers: &Issuers,
    now: Timestamp,
) -> anyhow::Result<Vec<Verified>> {
    let mut results = Vec::new();
    for path in files::list_builtins(folder)? {
        results.push(match files::read_builtin(&path) {
            Ok(bytes) => verify_bytes(&path, &bytes, kind, issuers, now),
            Err(error) => Verified { path, reading: None, verdict: Err(error.downcast::<Refusal>()?) },
        });
    }
    refuse_ambiguous(&mut results);
    Ok(results)
}

// Order never decides, so neither of two is taken (I6).
fn refuse_ambiguous(results: &mut [Verified]) {
    let mut serving: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for result in results.iter().filter(|result| result.verdict.is_ok()) {
        for contract in result.reading.iter().flat_map(Reading::contracts) {
            serving.entry(contract).or_default().push(result.path.display().to_string());
        }
    }
    serving.retain(|_, paths| paths.len() > 1);
    for result in results {
        let contracts = result.reading.iter().flat_map(Reading::contracts);
        let clash = contracts.into_iter().find_map(|contract| serving.get(&contract).map(|paths| (contract, paths)));
        if let (Ok(()), Some((contract, paths))) = (&result.verdict, clash) {
            let detail = format!("`{contract}` is served by `{}`", paths.join("` and `"));
            result.verdict = Err(Refusal::new(Reason::Ambiguous, detail));
        }
    }
}

/// Reads a trust list.
pub(super) fn read_trust(path: &Path) -> anyhow::Result<Issuers> {
    Issuers::read_trust(&files::read(path)?).map_err(|refusal| refusal.within(format!("`{}`", path.display())).into())
}

// The issuers that the log of the lattice's folder trusts.
fn issuers_of_folder(globals: &Globals) -> anyhow::Result<Issuers> {
    let issuers = Client::of(globals)?.issuers()?;
    Ok(issuers.ok_or_else(|| Usage("there is no folder, so say whom to trust: --trust TRUST.json".to_owned()))?)
}

/// The time of the system's clock.
pub(super) fn now() -> anyhow::Result<Timestamp> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Timestamp::from_seconds(since.as_secs())?)
}

/// How a file is to be read: by its name where that says so, else by its first bytes.
pub(super) fn form(path: &Path, bytes: &[u8]) -> Form {
    if path.extension().is_some_and(|extension| extension == "jwt") { Form::Token } else { Form::of(bytes) }
}

fn report(results: &[Verified]) -> Report {
    let text = match results {
        [only] => only.text(),
        several => output::table(["FILE", "VERDICT", "REASON"], several.iter().map(Verified::row)),
    };
    let objects: Vec<Value> = results.iter().map(|result| Value::Object(result.members())).collect();
    let mut members = match results {
        [only] => only.members(),
        _ => Map::new(),
    };
    members.insert("results".to_owned(), Value::Array(objects));
    let report = Report::new(text, Value::Object(members));
    let first = results.iter().find_map(|result| Some((&result.path, result.verdict.as_ref().err()?)));
    match first {
        None => report,
        Some((path, refusal)) => report.refused(refusal.clone().within(format!("`{}`", path.display()))),
    }
}

impl Verified {
    fn text(&self) -> String {
        let path = output::shown(&self.path.display().to_string());
        let heading = match &self.verdict {
            Ok(()) => format!("accepted  {path}\n"),
            Err(_) => format!("refused   {path}\n"),
        };
        let mut pairs = Vec::new();
        if let Err(refusal) = &self.verdict {
            pairs.push(("reason", refusal.to_string()));
        }
        pairs.extend(self.reading.iter().flat_map(facts::of).map(|fact| (fact.label, Fact::text(&fact))));
        heading + &output::fields(pairs)
    }

    fn row(&self) -> [String; 3] {
        let (verdict, reason) = match &self.verdict {
            Ok(()) => ("accepted", String::new()),
            Err(refusal) => ("refused", refusal.to_string()),
        };
        [self.path.display().to_string(), verdict.to_owned(), reason]
    }

    fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("file".to_owned(), self.path.display().to_string().into());
        let verdict = if self.verdict.is_ok() { "accepted" } else { "refused" };
        members.insert("verdict".to_owned(), verdict.into());
        if let Err(refusal) = &self.verdict {
            members.insert("reason".to_owned(), refusal.reason.code().into());
            members.insert("message".to_owned(), refusal.sentence().into());
        }
        let facts = self.reading.iter().flat_map(facts::of);
        members.extend(facts.map(|fact| (fact.label.to_owned(), fact.value)));
        members
    }
}

// Drawn on a terminal only, and only when there is something to wait for.
fn progress(files: &[PathBuf]) -> ProgressBar {
    let bytes: u64 = files.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum();
    if files.len() > 8 || bytes > 64 << 20 { ProgressBar::new(files.len() as u64) } else { ProgressBar::hidden() }
}

impl KindName {
    const fn kind(self) -> Kind {
        match self {
            Self::Component => Kind::Component,
            Self::Provider => Kind::Provider,
        }
    }
}
