//! The story: each use case in a dozen lines, whatever the wire.
//!
//! Who may come in is left to `door`, order and durability to `sequencer`, what is right to `policy`.

mod backup;
mod base;
mod bound;
mod configured;
mod growth;
mod init;
mod memory;
mod notary;
mod open;
mod reports;
mod restore;
mod speech;
#[cfg(test)]
mod tests;
mod unheard;
mod voice;

use std::sync::Arc;

use arc_swap::ArcSwap;
use policy::digest::Digest;
use policy::envelope::Verified;
use policy::key::{self, Name};
use policy::name::Lattice;
use policy::query::Query;
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::warrant::Inception;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::check::Checker;
use crate::clock::Clock;
use crate::config;
use crate::door::{Door, Reply};
use crate::error::Error;
use crate::folder::Folder;
use crate::guard::Guard;
use crate::keys::refuse_equal;
use crate::present::Present;
use crate::sequencer::{Sequencer, Tip, Unavailable};
use crate::service::memory::Memory;
use crate::service::speech::Speech;
use crate::signer::Signer;
use crate::store::{Current, LogReader};

pub use crate::sequencer::Snapshot;
pub use backup::{BackedUp, Backup, backup};
pub use base::FollowUp;
pub(crate) use configured::refuse_unreadable;
pub(crate) use growth::Growing;
pub use init::{InitOptions, InitReport, init};
pub(crate) use open::WARN_S;
pub use restore::{Survey, restore, survey};
pub(crate) use voice::next as next_key;

/// The court of one lattice.
pub struct Service {
    folder: Folder,
    clock: Arc<dyn Clock>,
    inception: Inception,
    door: Arc<Door>,
    memory: Memory,
    // Of its own, so that a crowd of questions cannot keep an administrator out (T86).
    commands: Memory,
    sequencer: Sequencer,
    speech: Arc<Speech>,
    epochs: watch::Receiver<Vec<u8>>,
    keeper: Arc<notary::Keeper>,
    tasks: Vec<JoinHandle<()>>,
    checker: Option<Checker>,
    guard: Guard,
    tip: watch::Receiver<Tip>,
    present: Arc<Present>,
    reader: Current,
}

impl Service {
    /// The signed answer to a host's question.
    ///
    /// # Errors
    /// [`Error::Refused`] at the door, [`Error::Unavailable`] when nothing could be recorded.
    pub async fn answer_start(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        self.answer_start_to(bytes, Reply::Here).await
    }

    /// As [`Service::answer_start`], when the answer goes to an inbox: that of its asker, or `reply_elsewhere`.
    pub(crate) async fn answer_start_to(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Vec<u8>, Error> {
        let known = |key| self.memory.knows(key, self.clock.now());
        let passed = self.door.start(bytes, reply, known)?; // Proves who signed what; trusts nobody yet.
        self.heard_of(passed.examined.document().iss, passed.examined.document().seen);
        if let Some(index) = self.memory.recorded(passed.key, self.clock.now()) {
            return self.answer_again(index).await; // It was decided before this process began.
        }
        let (sequencer, signer) = self.court();
        let answered = self.remembered(&self.memory, passed.key, passed.until, async move {
            let recorded = sequencer.rule(passed.examined).await?; // Decided and made durable, in log order.
            Ok(signer.load().answer(&recorded)) // Nothing leaves that is not on record.
        });
        self.under_this_warrant(answered.await?).await
    }

    /// The signed receipt of an administrator's command.
    ///
    /// # Errors
    /// As [`Service::answer_start`]. A command that is judged and refused is no error: its receipt says so.
    pub async fn command(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        self.command_to(bytes, Reply::Here).await
    }

    /// As [`Service::command`], when the receipt goes to an inbox.
    pub(crate) async fn command_to(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Vec<u8>, Error> {
        let (bytes, beside) = config::parted(bytes); // The values of configuration come no further than this.
        let passed = self.door.command(bytes, reply)?;
        self.door.counted(configured::refuse_unreadable(passed.examined.document()))?;
        let found = self.find_configured(&passed.examined, &beside).await?;
        let (sequencer, signer) = self.court();
        let answered = self.remembered(&self.commands, passed.key, passed.until, async move {
            let recorded = sequencer.govern(passed.examined, found).await?;
            Ok(signer.load().receipt(&recorded))
        });
        answered.await
    }

    /// The signed receipt of a host's join.
    ///
    /// # Errors
    /// As [`Service::answer_start`].
    pub async fn join(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        self.join_to(bytes, Reply::Here).await
    }

    /// As [`Service::join`], when the receipt goes to an inbox.
    pub(crate) async fn join_to(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Vec<u8>, Error> {
        let passed = self.door.join(bytes, reply)?;
        if !self.memory.knows(passed.key, self.clock.now()) {
            // Anybody can make a host key and sign with it, so an unknown invitation stays outside the log (T70).
            let stands = self.snapshot().await?.state.handle_join(&passed.examined, self.clock.now());
            let outside = stands.err().filter(|refusal| refusal.reason == Reason::InviteUnknown);
            self.door.counted(outside.map_or(Ok(()), Err))?;
        }
        let (sequencer, signer) = self.court();
        let answered = self.remembered(&self.memory, passed.key, passed.until, async move {
            let recorded = sequencer.enrol(passed.examined).await?;
            Ok(signer.load().receipt(&recorded))
        });
        answered.await
    }

    /// The state as of now, made on demand.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the log cannot be written: then nobody knows what is durable.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, Error> {
        self.sequencer.look().await.map_err(unavailable)
    }

    /// An administrator's query, once it has passed the door.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn query(&self, bytes: &[u8]) -> Result<Verified<Query>, Error> {
        self.query_to(bytes, Reply::Here)
    }

    /// As [`Service::query`], when the view goes to an inbox.
    pub(crate) fn query_to(&self, bytes: &[u8], reply: Reply<'_>) -> Result<Verified<Query>, Error> {
        Ok(self.door.query(bytes, reply)?)
    }

    /// The signed answer to a query, as of the snapshot that was looked at: its epoch is the basis of what is done next.
    pub fn sign_view(&self, query: &Verified<Query>, view: &serde_json::Value, seen: &Snapshot) -> Vec<u8> {
        self.speech.signer.load().view(query, view, seen.head.epoch)
    }

    /// The newest signed checkpoint: with each governance event, and each second in which the log grew.
    pub fn epochs(&self) -> watch::Receiver<Vec<u8>> {
        self.epochs.clone()
    }

    /// A reader of the log.
    ///
    /// # Errors
    /// As [`LogReader::open`].
    pub async fn log(&self) -> Result<LogReader, Error> {
        LogReader::open(&self.folder.log()).await
    }

    /// A reader that goes with the log, for one who reads for as long as this serves.
    pub(crate) fn current_log(&self) -> Current {
        Current::of(&self.folder.log())
    }

    /// The lattice.
    pub const fn lattice(&self) -> &Lattice {
        &self.inception.lattice
    }

    /// What the lattice is: its roots, its administrators, its log's key.
    pub const fn inception(&self) -> &Inception {
        &self.inception
    }

    /// The warrant's token, and the bytes of the log's first entry.
    pub fn papers(&self) -> (Vec<u8>, Vec<u8>) {
        let signer = self.speech.signer.load();
        (signer.warrant().to_vec(), signer.inception().to_vec())
    }

    /// The warrant as it is announced each second.
    pub fn notice(&self) -> Vec<u8> {
        self.speech.signer.load().notice()
    }

    /// The decision key.
    pub fn decision_key(&self) -> Name<key::Decision> {
        self.speech.signer.load().name()
    }

    /// Whether this is the key of a host or an administrator; that somebody names it proves nothing.
    pub fn knows(&self, key: &str) -> bool {
        self.door.knows(key)
    }

    /// Counts a message that the wire turned away, such as one whose reply would go elsewhere (T54).
    pub fn turn_away(&self, reason: Reason) {
        self.door.count(reason);
    }

    /// Refuses a key for logging in to the wire that signs anything here (T09).
    ///
    /// # Errors
    /// `key_in_use`, with both roles, or `key_published`.
    pub fn refuse_login_key(&self, raw: [u8; 32]) -> Result<(), Refusal> {
        refuse_equal(self.speech.held.load().iter().copied().chain([("NATS login", raw)]))
    }

    /// The first of its tasks that falls, whenever that is: it only looks alive from then on.
    pub async fn fallen(&self) -> Error {
        Error::Fallen(self.guard.fallen().await)
    }

    /// Records what is still uncounted, moves the lock, closes the files and gives the folder back.
    ///
    /// # Errors
    /// [`Error::Store`] when the last of it could not be written; what was answered is durable all the same.
    pub async fn close(mut self) -> Result<(), Error> {
        if let Some(checker) = self.checker.take() {
            checker.end().await;
        }
        let counted = open::record_counts(&self.door, &self.sequencer).await;
        self.tasks.iter().for_each(JoinHandle::abort);
        self.sequencer.close().await?;
        // The last word of this process, for proofs while nobody serves.
        if let Some(note) = notary::sign(&self.speech.ring, &self.tip()) {
            self.keeper.keep(&note);
        }
        counted.map_err(unavailable)
    }

    // A copy, never a look that is held: a second look would wait for the sequencer, which waits for the first to end, and
    // nothing would be decided any more.
    fn tip(&self) -> Tip {
        self.tip.borrow().clone()
    }

    // The same bytes as before: signing the same twice gives the same.
    async fn answer_again(&self, index: u64) -> Result<Vec<u8>, Error> {
        let snapshot = self.snapshot().await?;
        let recorded = self.log().await?.ruling(index, snapshot.state.host_keys()).await?;
        Ok(self.speech.signer.load().answer(&recorded))
    }

    fn court(&self) -> (Sequencer, Arc<ArcSwap<Signer>>) {
        (self.sequencer.clone(), Arc::clone(&self.speech.signer))
    }

    async fn remembered(
        &self,
        memory: &Memory,
        key: Digest,
        until: Timestamp,
        work: impl Future<Output = Result<Vec<u8>, Unavailable>> + Send + 'static,
    ) -> Result<Vec<u8>, Error> {
        let answer = memory.once(key, until, self.clock.now(), work);
        let answer = self.door.counted(answer)?;
        let answer = answer.await.map(|bytes| bytes.to_vec());
        // Turned away without a row, so it is counted, and the count recorded once that is possible (T67).
        answer.inspect_err(|_| self.door.count(Reason::AuditUnavailable)).map_err(|_| self.ungranted())
    }

    // Why nothing was recorded, as far as it is known.
    fn ungranted(&self) -> Error {
        let broken = self.present.check().alarm();
        broken.map_or_else(|| unavailable(Unavailable), |alarm| Error::refused(Reason::AuditUnavailable, alarm))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.checker.iter().for_each(Checker::abort);
    }
}

fn unavailable(_: Unavailable) -> Error {
    Error::Unavailable("nothing could be recorded, so nothing was granted".to_owned())
}
