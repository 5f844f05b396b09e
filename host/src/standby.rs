//! Standby permits: signed answers that this host keeps, for starting the very same again while no broker answers.
//!
//! One is used only within its life by both clocks, under the newest epoch that this host has seen, for the very content
//! that was asked, and never unrecorded: each use is on the disk before the permit exists, and told to the next broker
//! that answers. When nobody answers is left to `ask`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use policy::answer::StartAnswer;
use policy::artifact::Import;
use policy::digest::Digest;
use policy::envelope::{Unverified, Verified};
use policy::key::{Host, Name};
use policy::question::{Inventory, MAX_STOOD_IN, Runs, StartRequest, What};
use policy::reason::{Reason, Refusal};
use policy::relax::{STANDBY_LIFE_S, Standby, StoodIn};
use policy::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ask::Start;
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::memory::{lock, put};

/// What a question is about: the same content, the same standby permit.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Content<'a> {
    what: What,
    runs: &'a Runs,
    imports: &'a [Import],
    inventory_sha256: Digest,
}

/// One standby permit as it lies on the disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    sent_boot_ms: u64,
    sent_wall_ms: u64,
    // The latest that the wall clock said while this permit was looked at: it never runs back from there.
    latest_ms: u64,
    request: String,
    answer: String,
}

/// A question and the broker's yes to it, both as they went over the wire.
pub(crate) struct Answered<'a> {
    pub(crate) sent: Moment,
    pub(crate) request: &'a [u8],
    pub(crate) answer: &'a [u8],
}

/// The standby permits of one host's folder, and what it has used of them.
#[derive(Debug)]
pub(crate) struct Standbys {
    dir: PathBuf,
}

/// What a standby permit stands for, once nothing speaks against it.
pub(crate) struct Held {
    pub(crate) request: StartRequest,
    pub(crate) answer: Verified<StartAnswer>,
    pub(crate) standby: Standby,
}

impl<'a> Content<'a> {
    pub(crate) fn of(start: &Start<'a>) -> Self {
        let inventory = policy::json::write(&Inventory { builtins: start.offers.to_vec() });
        let inventory_sha256 = Digest::of(&inventory);
        Self { what: start.what, runs: start.runs, imports: start.imports, inventory_sha256 }
    }

    fn asked(request: &'a StartRequest) -> Self {
        let StartRequest { what, runs, imports, inventory_sha256, .. } = request;
        Self { what: *what, runs, imports, inventory_sha256: *inventory_sha256 }
    }

    fn sha256(&self) -> Digest {
        Digest::of(&policy::json::write(self))
    }
}

impl Standbys {
    pub(crate) fn of(host_dir: &Path) -> Self {
        Self { dir: host_dir.join(FOLDER) }
    }

    /// Keeps an answer that carries a standby permit; on the disk before it returns.
    pub(crate) fn keep(&self, content: &Content<'_>, answered: &Answered<'_>) -> Result<(), Error> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| void("it is no text"));
        let (boot_ms, wall_ms) = (answered.sent.boot_ms, answered.sent.wall_ms);
        let (request, answer) = (text(answered.request)?, text(answered.answer)?);
        let kept = Kept { sent_boot_ms: boot_ms, sent_wall_ms: wall_ms, latest_ms: wall_ms, request, answer };
        fs::create_dir_all(&self.dir).map_err(|source| self.failed(source))?;
        let _lock = lock(&self.dir)?;
        self.sweep(wall_ms).map_err(|source| self.failed(source))?;
        self.write(content.sha256(), &kept)
    }

    // What nobody has touched for the longest life is over, so the folder stays bounded.
    fn sweep(&self, now_ms: u64) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let is_permit = entry.file_name().to_str().is_some_and(|name| Digest::parse(name).is_ok());
            let touched = entry.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let touched_ms = u64::try_from(touched.as_millis()).unwrap_or(u64::MAX);
            if is_permit && touched_ms.saturating_add(STANDBY_LIFE_S * 1000) < now_ms {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Forgets what was kept for that content: a broker has said something else since.
    pub(crate) fn forget(&self, content: &Content<'_>) -> Result<(), Error> {
        let Some(_lock) = self.alone()? else { return Ok(()) };
        match fs::remove_file(self.file(content.sha256())) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(self.failed(source)),
            _ => Ok(()),
        }
    }

    /// The standby permit for that content, if one is kept and nothing speaks against it. Its use is recorded by then.
    ///
    /// # Errors
    /// `standby_over` and `standby_void`, or when the use cannot be recorded.
    pub(crate) fn take(
        &self,
        content: &Content<'_>,
        host: &Name<Host>,
        epoch: u64,
        clock: &dyn Clock,
        open: impl FnOnce(&[u8]) -> Result<Verified<StartAnswer>, Refusal>,
    ) -> Result<Option<Held>, Error> {
        let sha256 = content.sha256();
        // Held from before it is read until it is written: what is forgotten meanwhile must not come back.
        let Some(_lock) = self.alone()? else { return Ok(None) };
        let bytes = match fs::read(self.file(sha256)) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| self.failed(source))?,
        };
        let mut kept: Kept =
            serde_json::from_slice(&bytes).map_err(|error| void(&format!("it was altered: {error}")))?;
        let answer = open(kept.answer.as_bytes()).map_err(|refusal| void(&refusal.to_string()))?;
        let held = kept.held(content, host, answer)?;
        if held.answer.epoch < epoch {
            let given = held.answer.epoch;
            return Err(void(&format!("it was given under epoch {given}, this host has seen epoch {epoch}")).into());
        }
        let now = clock.moment();
        kept.lives(&held, now)?;
        kept.latest_ms = now.wall_ms;
        // No record, no grant.
        self.record(&held, Timestamp::from_millis(now.wall_ms))?;
        self.write(sha256, &kept)?;
        Ok(Some(held))
    }

    /// What was started by standby permits and not told to a broker yet, as much as one question tells.
    pub(crate) fn unreported(&self) -> Vec<StoodIn> {
        let mut uses = self.uses().unwrap_or_else(|error| {
            tracing::warn!("what was started by standby permits cannot be read: {error}");
            Vec::new()
        });
        uses.truncate(MAX_STOOD_IN);
        uses
    }

    /// A broker has these on record.
    pub(crate) fn reported(&self, told: &[StoodIn]) -> Result<(), Error> {
        if told.is_empty() {
            return Ok(());
        }
        let _lock = lock(&self.dir)?;
        let mut left = self.uses()?;
        left.retain(|stood_in| !told.contains(stood_in));
        self.write_uses(&left)
    }

    fn record(&self, held: &Held, at: Timestamp) -> Result<(), Error> {
        let mut uses = self.uses()?;
        if uses.len() >= MAX_USES {
            return Err(void(&format!("{MAX_USES} starts by standby permits wait to be told to a broker")).into());
        }
        uses.push(StoodIn {
            relaxation: held.standby.id.clone(),
            id: held.request.runs.id.clone(),
            sha256: held.request.runs.sha256,
            index: held.answer.index,
            at,
        });
        self.write_uses(&uses)
    }

    fn uses(&self) -> Result<Vec<StoodIn>, Error> {
        match fs::read(self.dir.join(USES)) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(self.failed(source)),
            Ok(bytes) => {
                let altered = |error: serde_json::Error| void(&format!("the record of its uses was altered: {error}"));
                Ok(serde_json::from_slice(&bytes).map_err(altered)?)
            }
        }
    }

    fn write_uses(&self, uses: &[StoodIn]) -> Result<(), Error> {
        put(&self.dir, USES, &policy::json::write(&uses)).map_err(|source| self.failed(source))
    }

    fn write(&self, sha256: Digest, kept: &Kept) -> Result<(), Error> {
        put(&self.dir, &sha256.to_string(), &policy::json::write(kept)).map_err(|source| self.failed(source))
    }

    fn file(&self, sha256: Digest) -> PathBuf {
        self.dir.join(sha256.to_string())
    }

    // Locks the folder; where there is none, nothing was ever kept.
    fn alone(&self) -> Result<Option<File>, Error> {
        let exists = self.dir.try_exists().map_err(|source| self.failed(source))?;
        exists.then(|| lock(&self.dir)).transpose()
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::file("keep standby permits in", &self.dir, source)
    }
}

impl Kept {
    // What it stands for: the broker's own yes to a question of this host about that very content.
    fn held(&self, content: &Content<'_>, host: &Name<Host>, answer: Verified<StartAnswer>) -> Result<Held, Refusal> {
        let request = Unverified::<StartRequest>::parse(self.request.as_bytes());
        let request = request.map_err(|refusal| void(&refusal.to_string()))?.says().clone();
        if answer.aud != *host || request.iss != *host {
            return Err(void(&format!("it was given to host `{}`, this is `{host}`", answer.aud)));
        }
        // The broker signed what it answered, so the question needs no signature of its own here.
        let token = self.request.split('\n').next().unwrap_or_default();
        if Digest::of(token.as_bytes()) != answer.request_sha256 || Content::asked(&request) != *content {
            return Err(void("it was given to another question"));
        }
        let standby = answer.standby.clone().ok_or_else(|| void("the answer gives no leave to start again"))?;
        Ok(Held { request, answer, standby })
    }

    // By whichever clock says first that it is over (T27).
    fn lives(&self, held: &Held, now: Moment) -> Result<(), Refusal> {
        let latest_ms = self.latest_ms.max(self.sent_wall_ms);
        if now.wall_ms < latest_ms {
            let (says, was) = (Timestamp::from_millis(now.wall_ms), Timestamp::from_millis(latest_ms));
            return Err(over(format!("this host's clock says {says}, and it has said {was}")));
        }
        let (until, asked) = (held.standby.until, held.request.iat);
        let life_ms = until.seconds().saturating_sub(asked.seconds()).min(STANDBY_LIFE_S) * 1000;
        let sent = Moment { boot_ms: self.sent_boot_ms, wall_ms: self.sent_wall_ms };
        let age_ms = sent.elapsed_ms(now).max(now.wall_ms.saturating_sub(asked.seconds() * 1000));
        if age_ms < life_ms && now.wall_ms < until.seconds() * 1000 {
            return Ok(());
        }
        Err(over(format!(
            "it was good for {} s, until {until}; asked for it was {} s ago",
            life_ms / 1000,
            age_ms / 1000
        )))
    }
}

fn void(detail: &str) -> Refusal {
    Refusal::new(Reason::StandbyVoid, format!("no broker answers, and the standby permit does not count: {detail}"))
}

fn over(detail: String) -> Refusal {
    Refusal::new(Reason::StandbyOver, format!("no broker answers, and the standby permit is over: {detail}"))
}

const FOLDER: &str = "standby";
const USES: &str = "uses";
// As many as one host may start before some broker must hear of it.
const MAX_USES: usize = 1024;
