//! Puts an older log right that was put back on purpose (T28): looks what is lost, fills its places, records the act.
//!
//! Nobody may serve meanwhile. Whether the act is right is judged before anything is written.

use std::collections::BTreeSet;
use std::sync::Arc;

use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::examine;
use policy::govern::{Ahead, Disowned, Operation, Restore, State};
use policy::log::{Checkpoint, Ledger, NoteKey, Step};
use policy::reason::Reason;

use super::open::fit;
use super::voice::Voice;
use crate::clock::Clock;
use crate::error::Error;
use crate::folder::Folder;
use crate::sequencer::court::{Court, Files};
use crate::store::{Act, Judgement, LogReader, Shelf, Told};

/// What is left of a log, and what of it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// How many entries there are, before those whose places are filled already.
    pub kept: u64,
    /// The hash of the last of them.
    pub kept_sha256: Digest,
    /// The epoch of what is left.
    pub epoch: u64,
    /// How many entries were seen.
    pub seen: u64,
    /// The highest epoch that was seen.
    pub seen_epoch: u64,
    /// Ends of logs that were signed for and are not of this one, the smallest first.
    pub disowned: Vec<Disowned>,
}

/// Looks what is lost: by the lock, by what a host proved, by the checkpoints beside the log, by what the operator was
/// told: size and epoch.
///
/// # Errors
/// [`Error::Locked`], [`Error::Store`], or `already_exists` when nothing is lost.
pub async fn survey(folder: &Folder, told: (u64, u64)) -> Result<Survey, Error> {
    let _held = folder.lock()?;
    let (court, locked) = Court::found(files(folder)).await?;
    let ((head, filled), stand) = ((court.ledger().head(), court.ledger().state().disorder().filled), court.locked());
    let (ahead, (kept, kept_sha256)) = (court.ledger().state().disorder().ahead, end(court.ledger()));
    // A log that went another way is as lost as one that is too short.
    let other = court.is_another(locked.as_ref());
    let signed = signed(folder, court.ledger().state()).await?;
    court.leave().await?;
    let ends = signed.iter().map(|end| (end.size, end.epoch));
    let known: Vec<_> = ends.chain([stand]).collect();
    let most = known.iter().map(|(size, _)| *size).max().unwrap_or_default().max(told.0);
    let epoch = known.iter().map(|(_, epoch)| *epoch).max().unwrap_or_default().max(head.epoch);
    // Those further than what is left are in the gap, and need no name.
    let within = signed.into_iter().filter(|end| end.size <= head.size);
    let disowned: BTreeSet<_> = within.map(|Ahead { size, last, .. }| Disowned { size, last }).collect();
    let older = disowned.len().saturating_sub(Restore::MAX_DISOWNED);
    let disowned: Vec<_> = disowned.into_iter().skip(older).collect();
    let seen = match filled {
        _ if most > head.size => most,
        // A restore has begun, and may have been turned down since.
        Some(filled) if disowned.iter().all(|disowned| disowned.size <= filled.seen) => filled.seen,
        None if ahead.is_some() => head.size,
        // Something signed is not of this log, and the log itself cannot know it: a filled place says so.
        Some(_) | None if other || !disowned.is_empty() => head.size + 1,
        Some(_) | None => {
            let detail = "nothing is lost: the log is the newest that is known of";
            return Err(Error::refused(Reason::AlreadyExists, detail));
        }
    };
    // What came since the places were filled is not lost.
    let seen_epoch = epoch.min(seen.saturating_sub(1)).max(told.1);
    Ok(Survey { kept, kept_sha256, epoch: head.epoch, seen, seen_epoch, disowned })
}

// The ends that the log's key signed and this log does not lead to: one that a host proved, those that lie beside it. What
// a restore has told to be lost is told.
async fn signed(folder: &Folder, state: &State) -> Result<Vec<Ahead>, Error> {
    let (path, key) = (folder.log(), NoteKey::parse(state.log_key())?);
    let reader = LogReader::open(&path).await?;
    let mut signed: Vec<_> = state.disorder().ahead.into_iter().collect();
    let notes = Shelf::beside(&path).notes();
    for note in notes.map_err(|source| Error::Io { act: "read the checkpoints beside", path, source })? {
        let Ok(Checkpoint { size: size @ 1.., epoch, last, .. }) = key.open(&note.bytes) else { continue };
        let held = reader.hashes(size - 1, 1).await?.first().copied();
        let told = |(at, restore): &(u64, Restore)| size <= *at && restore.accounts_for(size, last);
        if held != Some(last) && !state.disorder().restored.iter().any(told) {
            signed.push(Ahead { size, epoch, last, held });
        }
    }
    reader.close().await?;
    Ok(signed)
}

/// Restores: fills the places of what is lost and records the command, whose one operation it is.
///
/// # Errors
/// The reason why the command would be refused, before anything is written; [`Error::Locked`], [`Error::Store`].
pub async fn restore(folder: &Folder, clock: Arc<dyn Clock>, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let _held = folder.lock()?;
    let (court, _) = Court::found(files(folder)).await?;
    let state = court.ledger().state();
    let command = Unverified::<Command>::parse(bytes)?.verify(state.administrators())?;
    let [Operation::Restore(restore)] = command.operations.as_slice() else {
        return Err(Error::refused(Reason::SchemaMismatch, "a restore is a command of its own"));
    };
    let (head, seen, request_sha256) = (court.ledger().head(), restore.seen, command.sha256());
    if (restore.kept, restore.kept_sha256) != end(court.ledger()) {
        return Err(Error::refused(Reason::Superseded, "the log is not the one that was looked at"));
    }
    if seen.saturating_sub(head.size) > MOST_LOST {
        let detail = format!("{} entries would be filled, at most {MOST_LOST} are", seen.saturating_sub(head.size));
        return Err(Error::refused(Reason::LimitExceeded, detail));
    }
    let (Voice { signer, .. }, _) = fit(folder, &court, clock.now(), None).await?;
    let mut ledger: Ledger = court.ledger().clone();
    let mut steps: Vec<Step<Act>> = Vec::new();
    while ledger.head().size < seen {
        steps.push(ledger.lose(clock.now_ms()).map(|()| Act::Counted));
    }
    let examined = examine::command(command);
    let judged = ledger.govern(&examined, clock.now_ms());
    // One that others must sign first has begun, and nothing is granted before they have.
    let waits = judged.outcome.as_ref().is_err_and(|refusal| refusal.reason == Reason::PendingApproval);
    if !waits {
        judged.outcome.clone()?;
    }
    let lack = ledger.state().lack_of(examined.document()).filter(|_| waits).cloned();
    steps.push(judged.map(|verdict| Act::Judged(Judgement { request_sha256, verdict, lack })));
    let (shelf, path) = (Shelf::beside(&folder.log()), folder.log());
    shelf.forget_tiles().map_err(|source| Error::Io { act: "take away the tiles beside", path, source })?;
    let (court, recorded) = court.mended(ledger).mend(steps).await?;
    court.close().await?;
    match recorded.into_iter().next_back().map(crate::store::Recorded::told) {
        Some(Told::Judged(judgement)) => Ok(signer.receipt(&judgement)),
        // INVARIANT: the last step is the judgement.
        _ => Err(Error::Unavailable("the act was not recorded".to_owned())),
    }
}

// The end of what was kept: size and last hash, before the places that are filled already.
fn end(ledger: &Ledger) -> (u64, Digest) {
    let head = ledger.head();
    ledger.state().disorder().filled.map_or((head.size, head.last), |filled| (filled.kept, filled.kept_sha256))
}

fn files(folder: &Folder) -> Files {
    // What is lost may be what a lock has seen of it: nothing is taken on its word.
    Files { log: folder.log(), lock: folder.lock_file(), whole: u64::MAX }
}

// More than a day of a busy lattice; what lost more should begin anew.
const MOST_LOST: u64 = 1_000_000;
