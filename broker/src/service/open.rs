//! Opens a service on its folder: keys, log, lock and warrant must fit each other, or nothing starts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use policy::digest::Digest;
use policy::envelope::{Unverified, Verified};
use policy::lineage::Changes;
use policy::log::{Entry, Evidences, leaf_hash};
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::warrant::{DecisionKeys, Warrant};
use tokio::sync::{Mutex, Notify, watch};

use super::Service;
use super::memory::Memory;
use super::notary::{self, Keeper, Ring};
use super::speech::{InForce, Speech};
use super::unheard;
use super::voice::{Pinned, Voice};
use crate::check::Checker;
use crate::clock::Clock;
use crate::door::Door;
use crate::error::Error;
use crate::folder::{Folder, refuse_unless_private};
use crate::guard::Guard;
use crate::sequencer::court::{Court, Files};
use crate::sequencer::{Sequencer, Shown, Unavailable};
use crate::settings::Settings;
use crate::store::{Current, LogReader, Reserve, Shelf};

impl Service {
    /// Opens the court of a folder.
    ///
    /// # Errors
    /// [`Error::Locked`] when another broker holds it, [`Error::Refused`] with `state_rollback`, `log_broken`,
    /// `key_in_use`, `key_role` or `broker_key_unknown` when its files do not fit each other.
    pub async fn open(folder: &Folder, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::open_with(folder, clock, Settings::default()).await
    }

    /// Opens the court of a folder, with settings of its own.
    ///
    /// # Errors
    /// As [`Service::open`].
    pub async fn open_with(folder: &Folder, clock: Arc<dyn Clock>, settings: Settings) -> Result<Self, Error> {
        let lock = folder.lock()?;
        let files = Files { log: folder.log(), lock: folder.lock_file(), whole: settings.whole };
        refuse_open_files([&files.log, &files.lock, &folder.key("decision"), &folder.key("log"), &folder.reserve()])?;
        // Before the log, which needs some to be opened.
        let mut reserve = Reserve::open(&folder.reserve())?;
        reserve.look();
        let court = Court::open(files).await?;
        let fit = match fit(folder, &court, clock.now(), settings.warrant.as_deref()).await {
            Ok(fit) => fit,
            Err(error) => {
                // The error says more than a failure to close could.
                let _ = court.close().await;
                return Err(error);
            }
        };
        let (voice, warrant) = fit;
        let state = court.ledger().state();
        let (inception, inception_sha256) = (state.inception().clone(), state.inception_sha256());
        let in_force = Mutex::new(InForce {
            rank: warrant.rank(),
            roots: state.root_line(leaf_hash(court.inception())),
            unheard: None,
        });
        let fresh = (warrant.rank() > state.warrant_rank()).then_some(warrant);
        let memory = Memory::recalling(court.asked());

        let guard = Guard::new();
        let (sequencer, shown) = Sequencer::start(court, reserve, lock, Arc::clone(&clock), &guard);
        if let Some(warrant) = fresh {
            let installed = sequencer.install(warrant).await.map_err(super::unavailable)?;
            installed.outcome().verdict.clone()?;
        }
        // Also what the last process recorded and did not come to.
        voice.settle(folder);
        let Shown { tip, hosts, administrators, present, passed } = shown;
        let checker = Some(Checker::start(folder.log(), passed, Arc::clone(&present), &guard));
        let door = Door::new(
            (inception.lattice.clone(), inception_sha256),
            Arc::clone(&clock),
            hosts,
            administrators,
            Arc::clone(&present),
            &settings,
        );
        let door = Arc::new(door);
        let ring: Ring = Arc::new(ArcSwap::from_pointee(vec![Arc::clone(&voice.log)]));
        let first = notary::sign(&ring, &tip.borrow()).unwrap_or_default();
        let (notes, epochs) = watch::channel(first);
        let keeper = Arc::new(Keeper::new(Shelf::beside(&folder.log())));
        let signer = Arc::new(ArcSwap::from_pointee(voice.signer));
        let (held, silence) = (ArcSwap::from_pointee(voice.held), Notify::new());
        let speech = Arc::new(Speech { signer, held, ring: Arc::clone(&ring), in_force, silence });
        let tasks = vec![
            guard.spawn(
                "watch over what was unheard",
                unheard::settle_each(Arc::clone(&speech), sequencer.clone(), folder.clone()),
            ),
            guard.spawn("keeper of checkpoints", notary::keep(Arc::clone(&keeper), epochs.clone())),
            guard.spawn("notary", notary::notarise(ring, tip.clone(), notes)),
            guard.spawn("count of what was turned away", count_each_minute(Arc::clone(&door), sequencer.clone())),
            guard.spawn("watch over the sequencer", sequencer.clone().watched()),
        ];
        let (folder, commands, reader) = (folder.clone(), Memory::default(), Current::of(&folder.log()));
        Ok(Self {
            folder,
            clock,
            inception,
            door,
            memory,
            commands,
            sequencer,
            speech,
            epochs,
            keeper,
            tasks,
            checker,
            guard,
            tip,
            present,
            reader,
        })
    }
}

// Keys and warrant that fit the log.
pub(super) async fn fit(
    folder: &Folder,
    court: &Court,
    now: Timestamp,
    brought: Option<&[u8]>,
) -> Result<(Voice, Verified<Warrant>), Error> {
    let changes = changes_of_roots(folder, court).await?;
    let pinned = Pinned { state: court.ledger().state(), inception: court.inception(), changes: &changes };
    let warrant = warrant_in_force(folder, court, pinned, brought).await?;
    let voice = Voice::of(folder, pinned, &warrant, now)?;
    match DecisionKeys::of(&warrant, now) {
        Err(refusal) if brought.is_some() => return Err(refusal.into()),
        // Hosts will refuse its answers; but what narrows must stay recordable.
        Err(refusal) => tracing::error!(%refusal, "the warrant does not hold now: no host will accept an answer"),
        Ok(_) if warrant.validity.exp.is_some_and(|end| end <= now.plus(WARN_S)) => {
            let until = warrant.validity.exp.map(|end| end.to_string()).unwrap_or_default();
            tracing::warn!(until, "the warrant ends soon: `countersign warrant request`");
        }
        Ok(_) => {}
    }
    Ok((voice, warrant))
}

// What the roots signed stands beside the entries that say so.
async fn changes_of_roots(folder: &Folder, court: &Court) -> Result<Changes, Error> {
    let mut changes = Changes::default();
    if court.rerooted().is_empty() {
        return Ok(changes);
    }
    let reader = LogReader::open(&folder.log()).await?;
    for index in court.rerooted() {
        let row = reader.row(*index).await?;
        let entry = Entry::read(&row.map(|row| row.bytes).unwrap_or_default())?;
        let kept = reader.kept(&entry).await?;
        let tokens = entry.evidence.iter().map(|sha256| kept.find(*sha256));
        let missing =
            || Error::refused(Reason::LogBroken, format!("what the roots signed is not beside entry {index}"));
        changes.push(&tokens.collect::<Option<Vec<_>>>().ok_or_else(missing)?.join(&b'\n'))?;
    }
    Ok(changes)
}

// Before any database is opened: one that is given up half-way closes behind our back, in the way of the next try.
fn refuse_open_files<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Error> {
    // What is missing has a reason of its own, further on.
    let there = paths.into_iter().filter(|path| path.symlink_metadata().is_ok());
    there.map(PathBuf::as_path).try_for_each(refuse_unless_private)
}

/// Records what the door counted since the last time; what cannot be recorded stays counted.
pub(super) async fn record_counts(door: &Door, sequencer: &Sequencer) -> Result<(), Unavailable> {
    let counts = door.take_counts();
    if counts.is_empty() {
        return Ok(());
    }
    // An error may come after the row is durable; then it is told twice, which is better than never.
    sequencer.count(counts.clone()).await.inspect_err(|_| door.give_back(counts))
}

async fn count_each_minute(door: Arc<Door>, sequencer: Sequencer) {
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    loop {
        minute.tick().await;
        if record_counts(&door, &sequencer).await.is_err() {
            tracing::warn!("what was turned away at the door could not be recorded");
        }
    }
}

// The warrant that the log names, or a newer one that the roots signed and somebody brought or put into the folder.
async fn warrant_in_force(
    folder: &Folder,
    court: &Court,
    pinned: Pinned<'_>,
    brought: Option<&[u8]>,
) -> Result<Verified<Warrant>, Error> {
    let state = court.ledger().state();
    if let Some(bytes) = brought {
        let (warrant, held) = (pinned.read(bytes)?, state.warrant_rank());
        let detail = || format!("the warrant has serial {}, {held} is in force", warrant.rank());
        return if warrant.rank() > held { Ok(warrant) } else { Err(Error::refused(Reason::StateRollback, detail())) };
    }
    if let Ok(bytes) = std::fs::read(folder.warrant()) {
        let bytes = bytes.trim_ascii_end();
        let is_in_force = court.warrant().is_some_and(|(_, sha256)| sha256 == Digest::of(bytes));
        let within = |refusal: Refusal| refusal.within("`warrant.jws`");
        let is_newer = Unverified::<Warrant>::parse(bytes).map_err(within)?.says().rank() > state.warrant_rank();
        // An older one may lie there after a crash; then roots of its day signed it, too.
        let read = if is_newer { pinned.read(bytes) } else { pinned.read_again(bytes) };
        let warrant = read.map_err(within)?;
        if is_in_force || is_newer {
            return Ok(warrant);
        }
    }
    let Some((index, sha256)) = court.warrant() else {
        return Err(Error::refused(Reason::BrokerKeyUnknown, "the log holds no warrant; sign one with the root key"));
    };
    let missing = || Error::refused(Reason::LogBroken, format!("the warrant {sha256} is not beside entry {index}"));
    let bytes = LogReader::open(&folder.log()).await?.document(index).await?.ok_or_else(missing)?;
    Ok(pinned.read_again(&bytes)?)
}

/// How long before its end a warrant is spoken of, in seconds.
pub(crate) const WARN_S: u64 = 14 * 86_400;
