//! The broker's notices: signed checkpoints, and the roots' warrant, that raise what this host remembers.
//!
//! They cannot be invented, only repeated or held back; what is older than the memory changes nothing. A warrant counts
//! whoever brings it, so a key that it drops is refused before the next answer (T17).

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::lineage::Changes;
use policy::reason::Reason;
use policy::warrant::{DecisionKeys, Warrant};
use policy::wire::Topic;
use tokio::time::MissedTickBehavior;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::memory::{Head, Memory, Shown, Sighting, Standing};
use crate::tally::{Line, Tally};
use crate::transport::Transport;

/// Listens for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Listening(tokio::task::JoinHandle<()>);

/// Takes in every notice from now on.
pub(crate) async fn listen(memory: Arc<Memory>, transport: &dyn Transport) -> Result<Listening, Error> {
    let mut notices = transport.listen(Topic::Epoch.subject(&memory.record().lattice)).await?;
    let task = async move {
        let (mut heard, mut ignored) = (Instant::now(), Tally::default());
        // What a flood left to be said is said after it, too.
        let mut glance = tokio::time::interval(GLANCE);
        glance.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ignored.due(Instant::now()).iter().for_each(say);
            let note = tokio::select! {
                note = notices.next() => note,
                _ = glance.tick() => continue,
            };
            let Some(note) = note else { break };
            // They come each second. After a silence another broker may be speaking.
            if heard.elapsed() >= SILENCE {
                memory.returned();
            }
            heard = Instant::now();
            let memory = Arc::clone(&memory);
            // It waits for the disk, and whatever else this host does must not wait with it.
            let Ok(taken) = tokio::task::spawn_blocking(move || take(&memory, &note)).await else { break };
            match taken {
                // It was said when it was found, and each second brings another notice.
                Err(error) if error.reason() == Some(Reason::LogFork) => {
                    tracing::debug!("a notice was ignored: {error}")
                }
                Err(error) => ignored.count(&error),
                Ok(()) => {}
            }
        }
    };
    Ok(Listening(tokio::spawn(task)))
}

fn say(line: &Line) {
    let Line { code, count, last } = line;
    if *code == Reason::StateRollback.code() {
        tracing::error!(count, "a checkpoint contradicts what this host has seen: {last}");
    } else {
        tracing::warn!(count, "a notice was ignored: {last}");
    }
}

/// Takes in one notice: a warrant, with the changes of the roots that lead to its signers, or else a checkpoint.
pub(crate) fn take(memory: &Memory, notice: &[u8]) -> Result<(), Error> {
    let mut lines = notice.splitn(2, |byte| *byte == b'\n');
    let token = lines.next().unwrap_or_default();
    if Unverified::<Warrant>::parse(token).is_err() {
        return take_checkpoint(memory, notice);
    }
    // Under the roots that are known, if it is theirs: it came into force before they were replaced.
    let known = take_warrant(memory, token);
    match lines.next() {
        Some(changes) => {
            memory.follow_roots(&Changes::parse(changes)?)?;
            take_warrant(memory, token)
        }
        None => known,
    }
}

fn take_warrant(memory: &Memory, token: &[u8]) -> Result<(), Error> {
    // It is told again each second.
    if memory.record().warrant_sha256 == Some(Digest::of(token)) {
        return Ok(());
    }
    let warrant = memory.read(token)?;
    // One that does not hold here and now must not drive out one that does.
    DecisionKeys::of(&warrant, SystemClock.now())?;
    memory.follow(&Standing::of(&warrant))
}

fn take_checkpoint(memory: &Memory, note: &[u8]) -> Result<(), Error> {
    let shown = Shown::checkpoint(&memory.record().log_key, note)?;
    let (epoch, head) = (shown.place.epoch, Head { index: shown.place.index, entry_sha256: shown.place.entry_sha256 });
    memory.raise(&Sighting { epoch, head, warrant: None, shown: Some(shown) })
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const SILENCE: Duration = Duration::from_secs(3);
// How often it is looked for lines that are due while nothing comes.
const GLANCE: Duration = Duration::from_secs(1);
