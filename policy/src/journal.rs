//! A host's journal: what it acted on, one line an answer, written before the act; and what it is worth beside the log.
//!
//! A line proves what the host wrote down, not what it did. Where lines are kept is left to `host`, where the log is read
//! to `broker`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::answer::Verdict;
use crate::artifact::Import;
use crate::decide::Outcome;
use crate::digest::Digest;
use crate::json;
use crate::key::{Host, Name};
use crate::log::{Body, Entry, Evidences, question_as_asked};
use crate::name::{ComponentId, InterfaceRef, RelaxationId};
use crate::provider::Subject;
use crate::question::{StartRequest, What};
use crate::reason::{Reason, Refusal};

/// One line: an answer that the host acted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its number in this host's journal, from 1, without holes.
    pub number: u64,
    /// When it was written, by the host's clock, in milliseconds since 1970.
    pub at_ms: u64,
    /// The host.
    pub host: Name<Host>,
    /// What was asked.
    pub what: What,
    /// The id that would run.
    pub id: ComponentId,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// SHA-256 of the request's token.
    pub request_sha256: Digest,
    /// The answer's entry.
    pub index: u64,
    /// The hash of that entry.
    pub entry_sha256: Digest,
    /// What the answer said.
    pub verdict: Verdict,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The relaxation by which it was acted on again while no broker answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<RelaxationId>,
    /// What was bound then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bound: Vec<Filled>,
}

/// An import that was filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filled {
    /// The exact import string.
    pub import: String,
    /// What answers it.
    pub provider: Subject,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// Reads the lines of a journal.
///
/// # Errors
/// `schema_mismatch` with the line's place in the file.
pub fn read(journal: &[u8]) -> Result<Vec<Line>, Refusal> {
    let lines = journal.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    let read = lines.map(|(at, line)| {
        let malformed = |refusal: Refusal| {
            Refusal::new(Reason::SchemaMismatch, format!("line {} is no line of a journal: {refusal}", at + 1))
        };
        json::read(line).map_err(malformed)
    });
    read.collect()
}

/// What is wrong between journals and the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing it is.
    pub finding: Kind,
    /// The host.
    pub host: Name<Host>,
    /// The line's number, or the first that is missing.
    pub number: u64,
    /// The entry that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The sentence for people.
    pub says: String,
}

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The log ends before the entry that the host acted on.
    Missing,
    /// The log has another entry in that place.
    OtherEntry,
    /// The entry decided something else than the line says.
    OtherDecision,
    /// Numbers are missing between two lines.
    Hole,
    /// Two lines have one number.
    Twice,
}

/// A grant of the log that no line of its host tells: its answer was lost, or overtaken, and nothing was bound by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unused {
    /// The host.
    pub host: Name<Host>,
    /// The entry.
    pub index: u64,
    /// The id that would have run.
    pub id: ComponentId,
}

/// Journals held against a log, entry by entry in order.
#[derive(Debug)]
pub struct Reconciliation {
    lines: BTreeMap<u64, Vec<Line>>,
    begins: BTreeMap<Name<Host>, (u64, u64)>,
    // What the log itself bears out, by the entry: only the question says of which bytes it was.
    asked: BTreeMap<u64, Vec<Line>>,
    findings: Vec<Finding>,
    unused: Vec<Unused>,
}

impl Reconciliation {
    /// Takes the lines of all journals; those of one host may come in several files.
    pub fn of(lines: Vec<Line>) -> Self {
        let mut numbered: BTreeMap<Name<Host>, Vec<(u64, u64)>> = BTreeMap::new();
        let mut by_index: BTreeMap<u64, Vec<Line>> = BTreeMap::new();
        for line in lines {
            numbered.entry(line.host).or_default().push((line.number, line.index));
            by_index.entry(line.index).or_default().push(line);
        }
        let (mut begins, mut findings) = (BTreeMap::new(), Vec::new());
        for (host, mut numbers) in numbered {
            numbers.sort_unstable();
            findings.extend(holes(host, &numbers));
            let least = numbers.iter().map(|(_, index)| *index).min().unwrap_or_default();
            let first = numbers.first().map(|(number, _)| *number).unwrap_or_default();
            begins.insert(host, (first, least));
        }
        Self { lines: by_index, begins, asked: BTreeMap::new(), findings, unused: Vec::new() }
    }

    /// The next entry of the log, with its hash.
    pub fn entry(&mut self, entry: &Entry, hash: Digest) {
        let lines = self.lines.remove(&entry.index).unwrap_or_default();
        for line in &lines {
            match against(line, entry, hash) {
                Some((kind, says)) => self.findings.push(found(kind, line, says)),
                None => self.asked.entry(entry.index).or_default().push(line.clone()),
            }
        }
        let Body::Ruling(ruled) = &entry.body else { return };
        // What was there before the first line of a journal that was rotated says nothing.
        let told = self.begins.get(&ruled.host).is_some_and(|(first, least)| *first == 1 || *least <= entry.index);
        if ruled.reason.is_none() && told && !lines.iter().any(|line| line.host == ruled.host) {
            self.unused.push(Unused { host: ruled.host, index: entry.index, id: ruled.id.clone() });
        }
    }

    /// The entries whose questions are to be compared, in order.
    pub fn questions(&self) -> Vec<u64> {
        self.asked.keys().copied().collect()
    }

    /// An entry that [`Reconciliation::questions`] named, with its question as the log keeps it.
    pub fn question(&mut self, entry: &Entry, kept: &dyn Evidences) {
        let Body::Ruling(ruled) = &entry.body else { return };
        let asked = question_as_asked(entry, ruled, kept);
        for line in self.asked.remove(&entry.index).unwrap_or_default() {
            let says = match &asked {
                Ok(asked) => beside(&line, asked),
                Err(refusal) => Some(refusal.to_string()),
            };
            let Some(says) = says else { continue };
            self.findings.push(found(Kind::OtherDecision, &line, format!("entry {} {says}", entry.index)));
        }
    }

    /// What came of it, once the log has ended.
    pub fn end(mut self) -> (Vec<Finding>, Vec<Unused>) {
        for line in std::mem::take(&mut self.lines).into_values().flatten() {
            let says = format!("the host acted on entry {}, which the log does not have", line.index);
            self.findings.push(found(Kind::Missing, &line, says));
        }
        self.findings.sort_by_key(|finding| (finding.host, finding.number, finding.finding));
        (self.findings, self.unused)
    }

    /// Each host, with the number that its journal begins with.
    pub fn hosts(&self) -> impl Iterator<Item = (Name<Host>, u64)> + '_ {
        self.begins.iter().map(|(host, (first, _))| (*host, *first))
    }
}

// How a line and the entry in its place disagree, if they do.
fn against(line: &Line, entry: &Entry, hash: Digest) -> Option<(Kind, String)> {
    if matches!(entry.body, Body::Lost(_)) {
        let says = format!("the host acted on entry {}, which is lost since an older log was put back", line.index);
        return Some((Kind::Missing, says));
    }
    if line.entry_sha256 != hash {
        let says = format!("entry {} is {hash}, the host acted on {}", entry.index, line.entry_sha256);
        return Some((Kind::OtherEntry, says));
    }
    let other = |what: &str| Some((Kind::OtherDecision, format!("entry {} {what}", entry.index)));
    let Body::Ruling(ruled) = &entry.body else { return other("decides no question") };
    if ruled.host != line.host || ruled.request_sha256 != line.request_sha256 {
        return other("decides another question");
    }
    if (ruled.what, &ruled.id) != (line.what, &line.id) {
        return other("is about something else than what the line says");
    }
    let verdict = if ruled.reason.is_none() { Verdict::Permitted } else { Verdict::Refused };
    if verdict != line.verdict || ruled.reason != line.reason {
        return other("says otherwise than the line");
    }
    if let Some(id) = &line.standby
        && ruled.standby.as_ref().is_none_or(|standby| standby.id != *id)
    {
        return other(&format!("gives no standby permit by `{id}`"));
    }
    let granted = |filled: &Filled| {
        let import = InterfaceRef::parse(&filled.import).ok();
        let of_it = |outcome: &&Outcome| {
            import.as_ref().is_some_and(|it| (&it.package, &it.version) == (&outcome.package, &outcome.version))
        };
        let mut grants = ruled.outcomes.iter().filter(of_it).filter_map(|outcome| outcome.grant.as_ref().ok());
        grants.any(|grant| (&grant.provider, grant.sha256) == (&filled.provider, filled.sha256))
    };
    if let Some(filled) = line.bound.iter().find(|filled| !granted(filled)) {
        return other(&format!("grants nothing of what `{}` was bound to", filled.import));
    }
    None
}

// What a line tells besides what its question was about: other bytes, or other imports than were asked for.
fn beside(line: &Line, asked: &StartRequest) -> Option<String> {
    if asked.runs.sha256 != line.sha256 {
        return Some(format!("is about the bytes {}, the line about {}", asked.runs.sha256, line.sha256));
    }
    if line.verdict == Verdict::Refused {
        return line.bound.first().map(|filled| format!("was refused, and `{}` was bound", filled.import));
    }
    let of = |import: &Import| {
        let Import { package, version, interfaces } = import.clone();
        let named = move |interface| InterfaceRef { package: package.clone(), interface, version: version.clone() };
        interfaces.into_iter().map(move |interface| named(interface).to_string())
    };
    let asked: BTreeSet<String> = asked.imports.iter().flat_map(of).collect();
    let bound: BTreeSet<String> = line.bound.iter().map(|filled| filled.import.clone()).collect();
    let other = asked.symmetric_difference(&bound).next()?;
    Some(if bound.contains(other) {
        format!("did not ask for `{other}`, which was bound")
    } else {
        format!("asked for `{other}`, of which the line does not tell what was bound to it")
    })
}

fn holes(host: Name<Host>, numbers: &[(u64, u64)]) -> Vec<Finding> {
    let pairs = numbers.iter().zip(numbers.iter().skip(1));
    let wrong = pairs.filter_map(|((before, _), (number, index))| {
        let finding = |finding, number, index, says| Some(Finding { finding, host, number, index, says });
        if number == before {
            return finding(Kind::Twice, *number, Some(*index), format!("two lines have the number {number}"));
        }
        let next = before.saturating_add(1);
        if *number == next {
            return None;
        }
        let last = number.saturating_sub(1);
        finding(Kind::Hole, next, None, format!("the lines {next} to {last} are missing"))
    });
    wrong.collect()
}

fn found(finding: Kind, line: &Line, says: String) -> Finding {
    Finding { finding, host: line.host, number: line.number, index: Some(line.index), says }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::OtherEntry => "other_entry",
            Self::OtherDecision => "other_decision",
            Self::Hole => "hole",
            Self::Twice => "twice",
        })
    }
}
