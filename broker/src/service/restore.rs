//! Puts an older log right that was put back on purpose (T28): looks what is lost, fills its places, records the act.
//!
//! Nobody may serve meanwhile. Whether the act is right is judged before anything is written.

use std::sync::Arc;

use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::Unverified;
use policy::examine;
use policy::govern::Operation;
use policy::log::{Ledger, Step};
use policy::reason::Reason;

use super::open::fit;
use super::voice::Voice;
use crate::clock::Clock;
use crate::error::Error;
use crate::folder::Folder;
use crate::sequencer::court::{Court, Files};
use crate::store::{Act, Judgement, Shelf, Told};

/// What is left of a log, and what of it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// How many entries there are.
    pub kept: u64,
    /// The hash of the last of them.
    pub kept_sha256: Digest,
    /// The epoch of what is left.
    pub epoch: u64,
    /// How many entries were seen.
    pub seen: u64,
    /// The highest epoch that was seen.
    pub seen_epoch: u64,
}

/// Looks what is lost: by the lock, by what a host proved, by what the operator was told: size and epoch.
///
/// # Errors
/// [`Error::Locked`], [`Error::Store`], or `already_exists` when nothing is lost.
pub async fn survey(folder: &Folder, told: (u64, u64)) -> Result<Survey, Error> {
    let _held = folder.lock()?;
    let (court, locked) = Court::found(files(folder)).await?;
    let (head, ahead, stand) = (court.ledger().head(), court.ledger().state().disorder().ahead, court.locked());
    court.leave().await?;
    let ahead = ahead.map_or((0, 0), |ahead| (ahead.size, ahead.epoch));
    let all = [stand, ahead, told, (head.size, head.epoch)];
    let seen = all.iter().map(|(size, _)| *size).max().unwrap_or_default();
    let seen_epoch = all.iter().map(|(_, epoch)| *epoch).max().unwrap_or_default();
    // A log that went another way is as lost as one that is too short.
    let other = locked.is_none_or(|row| head.size >= stand.0 && row.index + 1 != stand.0);
    if seen <= head.size && ahead.0 == 0 && !other {
        return Err(Error::refused(Reason::AlreadyExists, "nothing is lost: the log is the newest that is known of"));
    }
    Ok(Survey { kept: head.size, kept_sha256: head.last, epoch: head.epoch, seen, seen_epoch })
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
    let (kept, seen, request_sha256) = (court.ledger().head(), restore.seen, command.sha256());
    if (restore.kept, restore.kept_sha256) != (kept.size, kept.last) {
        return Err(Error::refused(Reason::Superseded, "the log is not the one that was looked at"));
    }
    if seen.saturating_sub(kept.size) > MOST_LOST {
        let detail = format!("{} entries would be filled, at most {MOST_LOST} are", seen.saturating_sub(kept.size));
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

fn files(folder: &Folder) -> Files {
    // What is lost may be what a lock has seen of it: nothing is taken on its word.
    Files { log: folder.log(), lock: folder.lock_file(), whole: u64::MAX }
}

// More than a day of a busy lattice; what lost more should begin anew.
const MOST_LOST: u64 = 1_000_000;
