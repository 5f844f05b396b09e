//! The host's journal: each answer that it acts on, numbered, on the disk before the act; no line, no bind.
//!
//! One file of JSON lines and the one before it, so that it does not grow without bound. What a line is worth beside the
//! log is left to `policy`, who holds it against the log to `countersign audit reconcile`.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use policy::answer::Verdict;
use policy::journal::{Filled, Line};
use policy::key::{Host, Name};
use policy::question::{Runs, What};
use policy::reason::{Reason, Refusal};
use policy::relax::Standby;

use crate::error::Error;
use crate::permit::Decided;

/// What a host acts on.
#[derive(Debug)]
pub(crate) struct Act<'a> {
    pub(crate) what: What,
    pub(crate) runs: &'a Runs,
    pub(crate) decided: Decided,
    // Why it was refused; none for a permit.
    pub(crate) reason: Option<Reason>,
    pub(crate) standby: Option<&'a Standby>,
    pub(crate) bound: Vec<Filled>,
}

/// Writes the next line; on the disk before it returns. No two may write at once: the memory's lock is held.
///
/// # Errors
/// When it cannot be written, or the line before it is none of ours.
pub(crate) fn write(dir: &Path, host: &Name<Host>, at_ms: u64, act: Act<'_>) -> Result<(), Error> {
    let Decided { index, entry_sha256, request_sha256, .. } = act.decided;
    let line = |number| Line {
        number,
        at_ms,
        host: *host,
        what: act.what,
        id: act.runs.id.clone(),
        sha256: act.runs.sha256,
        request_sha256,
        index,
        entry_sha256,
        verdict: if act.reason.is_none() { Verdict::Permitted } else { Verdict::Refused },
        reason: act.reason,
        standby: act.standby.map(|standby| standby.id.clone()),
        bound: act.bound,
    };
    append(dir, MOST_BYTES, line)
}

/// Both files, the older first, as lines.
///
/// # Errors
/// When one cannot be read.
pub fn read(dir: &Path) -> Result<Vec<u8>, Error> {
    read_while(dir, || ())
}

// The newer first: where it becomes the older meanwhile, it is read twice, and no line is missed.
fn read_while(dir: &Path, meanwhile: impl FnOnce()) -> Result<Vec<u8>, Error> {
    let newer = lines(&dir.join(FILE))?;
    meanwhile();
    let older = lines(&dir.join(OLDER))?;
    Ok(if older.starts_with(&newer) { older } else { [older, newer].concat() })
}

fn lines(path: &Path) -> Result<Vec<u8>, Error> {
    match fs::read(path) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::file("read the host's journal", path, source)),
        Ok(mut bytes) => {
            // What was torn by a crash was never acted on.
            bytes.truncate(whole(&bytes));
            Ok(bytes)
        }
    }
}

fn append(dir: &Path, most: u64, line: impl FnOnce(u64) -> Line) -> Result<(), Error> {
    let path = dir.join(FILE);
    let failed = |source| Error::file("write the host's journal", &path, source);
    let mut file = open(&path).map_err(failed)?;
    let (mut end, mut last) = tail(&mut file, &path)?;
    if last.is_none() {
        last = last_of_older(&dir.join(OLDER))?;
    }
    if end >= most {
        fs::rename(&path, dir.join(OLDER)).map_err(failed)?;
        (file, end) = (open(&path).map_err(failed)?, 0);
    }
    let text = [policy::json::write(&line(last.unwrap_or_default().saturating_add(1))), b"\n".to_vec()].concat();
    let written = cut(&file, end)
        .and_then(|()| file.seek(SeekFrom::Start(end)))
        .and_then(|_| file.write_all(&text))
        .and_then(|()| file.sync_all());
    written.map_err(failed)?;
    // A file that is new is not there before its folder says so.
    if end == 0 {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    }
    Ok(())
}

// Only where there is none do the numbers begin anew: one that cannot be read now has some.
fn last_of_older(path: &Path) -> Result<Option<u64>, Error> {
    match File::open(path) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::file("read the host's journal", path, source)),
        Ok(mut older) => Ok(tail(&mut older, path)?.1),
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

// What was torn by a crash is behind the last whole line.
fn cut(file: &File, end: u64) -> std::io::Result<()> {
    if file.metadata()?.len() > end { file.set_len(end) } else { Ok(()) }
}

// Where the last whole line ends, and its number.
fn tail(file: &mut File, path: &Path) -> Result<(u64, Option<u64>), Error> {
    let failed = |source| Error::file("read the host's journal", path, source);
    let len = file.metadata().map_err(failed)?.len();
    let start = len.saturating_sub(TAIL);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    file.take(len - start).read_to_end(&mut bytes).map_err(failed)?;
    let whole = whole(&bytes);
    let lines = bytes.get(..whole).unwrap_or_default();
    let Some(line) = lines.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next()) else {
        if start == 0 {
            return Ok((0, None));
        }
        return Err(altered(path, "its end is no line").into());
    };
    let line: Line = policy::json::read(line).map_err(|refusal| altered(path, &refusal.to_string()))?;
    Ok((start + whole as u64, Some(line.number)))
}

fn whole(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

fn altered(path: &Path, why: &str) -> Refusal {
    let detail = format!("`{}` was altered, and nothing is bound without it: {why}", path.display());
    Refusal::new(Reason::SchemaMismatch, detail)
}

const FILE: &str = "journal";
const OLDER: &str = "journal.1";
const MOST_BYTES: u64 = 16 << 20;
// Longer than any line: an answer has at most half of it.
const TAIL: u64 = 512 * 1024;

#[cfg(test)]
mod tests {
    use policy::digest::Digest;
    use policy::journal;

    use super::*;

    fn line(number: u64) -> Line {
        let (pair, sha256) = (crate::tests::guests::key(nkeys::KeyPairType::Server, 9), Digest::of(b"x"));
        Line {
            number,
            at_ms: 1,
            host: Name::parse(&pair.public_key()).unwrap(),
            what: What::StartComponent,
            id: "cart".parse().unwrap(),
            sha256,
            request_sha256: sha256,
            index: 10 + number,
            entry_sha256: sha256,
            verdict: Verdict::Permitted,
            reason: None,
            standby: None,
            bound: Vec::new(),
        }
    }

    fn numbers(dir: &Path) -> Vec<u64> {
        journal::read(&read(dir).unwrap()).unwrap().iter().map(|line| line.number).collect()
    }

    #[test]
    fn lines_are_numbered_without_holes_over_rotation_and_crashes() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            append(dir.path(), MOST_BYTES, line).unwrap();
        }
        // Torn in the middle of a line: it was not acted on, and its number is given again.
        let path = dir.path().join(FILE);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"at_ms\":1,\"num").unwrap();
        assert_eq!(numbers(dir.path()), [1, 2, 3]);
        append(dir.path(), MOST_BYTES, line).unwrap();
        assert_eq!(numbers(dir.path()), [1, 2, 3, 4]);
        // So small that each line fills a file: two files stay, and the numbers go on.
        for _ in 0..5 {
            append(dir.path(), 1, line).unwrap();
        }
        assert_eq!(numbers(dir.path()), [8, 9]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_read_while_a_file_is_full_has_no_hole() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            append(dir.path(), 1, line).unwrap();
        }
        assert_eq!(numbers(dir.path()), [2, 3]);
        let read = read_while(dir.path(), || append(dir.path(), 1, line).unwrap()).unwrap();
        let read: Vec<_> = journal::read(&read).unwrap().iter().map(|line| line.number).collect();
        assert_eq!(read, [3], "what it was when the reading began, but what nobody keeps any more");
        assert_eq!(numbers(dir.path()), [3, 4]);
    }

    #[test]
    fn numbers_do_not_begin_anew_where_the_older_file_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        // A link to itself, as anything that is there and does not open.
        std::os::unix::fs::symlink(OLDER, dir.path().join(OLDER)).unwrap();
        assert_eq!(append(dir.path(), MOST_BYTES, line).unwrap_err().code(), "file_failed");
        assert!(lines(&dir.path().join(FILE)).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_journal_of_ours_stops_the_next_line() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"{\"number\":7}\n").unwrap();
        let refused = append(dir.path(), MOST_BYTES, line).unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::SchemaMismatch));
    }
}
