//! Opens a service on its folder: keys, log, lock and warrant must fit each other, or nothing starts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use policy::digest::Digest;
use policy::envelope::{Unverified, Verified};
use policy::key;
use policy::log::leaf_hash;
use policy::reason::Reason;
use policy::root::RootLine;
use policy::warrant::{DecisionKeys, Warrant};
use tokio::sync::watch;

use super::Service;
use super::memory::Memory;
use super::notary::notarise;
use crate::clock::Clock;
use crate::door::Door;
use crate::error::Error;
use crate::folder::{Folder, refuse_unless_private};
use crate::keys::{LogKey, SigningKey, refuse_equal};
use crate::sequencer::court::{Court, Files};
use crate::sequencer::{Sequencer, Shown, Unavailable};
use crate::settings::Settings;
use crate::signer::{Paper, Signer};
use crate::store::LogReader;

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
        let files = Files { log: folder.log(), lock: settings.lock.clone().unwrap_or_else(|| folder.lock_file()) };
        refuse_open_files([&files.log, &files.lock, &folder.key("decision"), &folder.key("log")])?;
        let court = Court::open(files).await?;
        let fit = match Fit::of(folder, &court, clock.as_ref()).await {
            Ok(fit) => fit,
            Err(error) => {
                // The error says more than a failure to close could.
                let _ = court.close().await;
                return Err(error);
            }
        };
        let Fit { log_key, decision, held, warrant } = fit;
        let state = court.ledger().state();
        let inception = state.inception().clone();
        let papers = (Paper::new(warrant.token().to_vec()), Paper::new(court.inception().to_vec()));
        let fresh = (warrant.serial > state.warrant_serial()).then(|| warrant.clone());
        let first = log_key.sign(&court.checkpoint());
        let memory = Memory::recalling(court.asked());

        let (sequencer, shown) = Sequencer::start(court, lock, Arc::clone(&clock));
        if let Some(warrant) = fresh {
            let installed = sequencer.install(warrant).await.map_err(super::unavailable)?;
            installed.outcome().verdict.clone()?;
        }
        let signer = Arc::new(Signer::new(decision, inception.lattice.clone(), papers.0, papers.1));
        let Shown { tip, hosts, administrators, present } = shown;
        let door = Door::new(
            inception.lattice.clone(),
            Arc::clone(&clock),
            hosts,
            administrators,
            Arc::clone(&present),
            &settings,
        );
        let door = Arc::new(door);
        let (notes, epochs) = watch::channel(first);
        let tasks = vec![
            tokio::spawn(notarise(log_key, tip.clone(), notes)),
            tokio::spawn(count_each_minute(Arc::clone(&door), sequencer.clone())),
        ];
        let (folder, commands) = (folder.clone(), Memory::default());
        let reader = tokio::sync::OnceCell::new();
        Ok(Self {
            folder,
            clock,
            inception,
            held,
            door,
            memory,
            commands,
            sequencer,
            signer,
            epochs,
            tasks,
            tip,
            present,
            reader,
        })
    }
}

// Keys and warrant that fit the log.
pub(super) struct Fit {
    log_key: LogKey,
    pub(super) decision: SigningKey<key::Decision>,
    held: Vec<(&'static str, [u8; 32])>,
    pub(super) warrant: Verified<Warrant>,
}

impl Fit {
    pub(super) async fn of(folder: &Folder, court: &Court, clock: &dyn Clock) -> Result<Self, Error> {
        let inception = court.ledger().state().inception();
        let log_key = LogKey::load(&folder.key("log"), &inception.lattice)?;
        if log_key.note().to_string() != inception.log_key {
            let detail = format!("the log key is `{}`, the inception names `{}`", log_key.note(), inception.log_key);
            return Err(Error::refused(Reason::BrokerKeyUnknown, detail));
        }
        let decision = SigningKey::<key::Decision>::load(&folder.key("decision"))?;
        let held = held_keys(court, &decision, &log_key)?;
        let warrant = warrant_in_force(folder, court).await?;
        speaks(&decision, &warrant, clock)?;
        Ok(Self { log_key, decision, held, warrant })
    }
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

fn held_keys(
    court: &Court,
    decision: &SigningKey<key::Decision>,
    log: &LogKey,
) -> Result<Vec<(&'static str, [u8; 32])>, Error> {
    let inception = court.ledger().state().inception();
    let mut held = vec![("decision", *decision.name().raw()), ("log", log.raw())];
    held.extend(inception.roots.keys.iter().map(|key| ("root", *key.name().raw())));
    held.extend(court.ledger().state().administrators().iter().map(|(name, _)| ("administrator", *name.raw())));
    refuse_equal(held.iter().copied())?;
    Ok(held)
}

// The warrant that the log names, or a newer one that today's root signed and somebody put into the folder.
async fn warrant_in_force(folder: &Folder, court: &Court) -> Result<Verified<Warrant>, Error> {
    let state = court.ledger().state();
    let line = state.root_line(leaf_hash(court.inception()));
    // What is in force already was signed by the roots of its day.
    let of_its_day = |bytes: &[u8]| {
        let sets = state.root_sets().iter().rev().map(|roots| RootLine { roots: roots.clone(), ..line.clone() });
        let mut read = sets.map(|line| Unverified::<Warrant>::parse(bytes)?.verify(&line));
        let newest = read.next().unwrap_or_else(|| Unverified::<Warrant>::parse(bytes)?.verify(&line));
        newest.or_else(|refusal| read.find_map(Result::ok).ok_or(refusal))
    };
    if let Ok(bytes) = std::fs::read(folder.warrant()) {
        let bytes = bytes.trim_ascii_end();
        let is_in_force = court.warrant().is_some_and(|(_, sha256)| sha256 == Digest::of(bytes));
        let read = if is_in_force {
            of_its_day(bytes)
        } else {
            Unverified::<Warrant>::parse(bytes).and_then(|it| it.verify(&line))
        };
        let warrant = read.map_err(|refusal| refusal.within("`warrant.jws`"))?;
        if is_in_force || warrant.serial > state.warrant_serial() {
            return Ok(warrant);
        }
    }
    let Some((index, sha256)) = court.warrant() else {
        return Err(Error::refused(Reason::BrokerKeyUnknown, "the log holds no warrant; sign one with the root key"));
    };
    let missing = || Error::refused(Reason::LogBroken, format!("the warrant {sha256} is not beside entry {index}"));
    let bytes = LogReader::open(&folder.log()).await?.document(index).await?.ok_or_else(missing)?;
    Ok(of_its_day(&bytes)?)
}

fn speaks(decision: &SigningKey<key::Decision>, warrant: &Verified<Warrant>, clock: &dyn Clock) -> Result<(), Error> {
    if !warrant.decision_keys.iter().any(|key| *key.name() == decision.name()) {
        let detail = format!("`{}` stands in no warrant; have the root sign one for it", decision.name());
        return Err(Error::refused(Reason::BrokerKeyUnknown, detail));
    }
    if let Err(refusal) = DecisionKeys::of(warrant, clock.now()) {
        // Hosts will refuse its answers; but what narrows must stay recordable.
        tracing::error!(%refusal, "the warrant does not hold now: no host will accept an answer");
    }
    Ok(())
}
