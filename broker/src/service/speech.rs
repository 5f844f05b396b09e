//! How a running broker comes under another warrant: recorded first, then every answer is signed under it.
//!
//! What the broker speaks with is left to `voice`, what a warrant must be to `policy`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use policy::answer::StartAnswer;
use policy::envelope::Unverified;
use policy::reason::{Reason, Refusal};
use policy::root::RootLine;
use policy::warrant::{DecisionKeys, Rank, Warrant};
use tokio::sync::{Mutex, Notify};

use super::notary::Ring;
use super::unheard::{Coming, Unheard};
use super::voice::{Pinned, Voice};
use super::{Service, unavailable};
use crate::error::Error;
use crate::sequencer::Unavailable;
use crate::signer::Signer;
use crate::store::{Judgement, Recorded};

/// What this process signs with at the moment.
pub(super) struct Speech {
    pub(super) signer: Arc<ArcSwap<Signer>>,
    pub(super) held: ArcSwap<Vec<(&'static str, [u8; 32])>>,
    pub(super) ring: Ring,
    // Held by whoever changes it: one change at a time.
    pub(super) in_force: Mutex<InForce>,
    // Told when nobody heard what became of a change.
    pub(super) silence: Notify,
}

/// Where the warrant in force stands, and whose warrants may follow it.
pub(super) struct InForce {
    pub(super) rank: Rank,
    pub(super) roots: RootLine,
    /// What was asked of the log, and not heard of yet.
    pub(super) unheard: Option<Unheard>,
}

impl Service {
    /// Puts a warrant in force, and signs from now on as it says; the receipt is the first that does.
    ///
    /// Anybody may bring it: the roots' signatures are what counts.
    ///
    /// # Errors
    /// [`Error::Refused`] when the roots did not sign it, when it does not hold now, does not follow the one in force
    /// (`state_rollback`), or names no key of this folder (`broker_key_unknown`); [`Error::Unavailable`].
    pub async fn install(&self, token: &[u8]) -> Result<Vec<u8>, Error> {
        let mut held = self.speech.in_force.lock().await;
        let installed = self.install_after(&mut held, token).await;
        if let Err(Error::Refused(refusal)) = &installed {
            // Warrants are public, and whoever brings an old one again must not fill the log.
            self.door.count(refusal.reason);
        }
        installed
    }

    /// Records other roots, to whom the old ones and the new ones agreed; theirs is the next warrant.
    ///
    /// # Errors
    /// [`Error::Refused`] when they did not, [`Error::Unavailable`] when nothing could be recorded.
    pub async fn change_roots(&self, bytes: &[u8]) -> Result<Recorded<Judgement>, Error> {
        let mut held = self.speech.in_force.lock().await;
        self.speech.settle(&mut held, &self.sequencer, &self.folder).await.map_err(unavailable)?;
        let agreed = held.roots.follow(bytes)?;
        let after = held.roots.clone().after(&agreed);
        let mut changes = self.speech.signer.load().changes().clone();
        changes.push(bytes)?;
        held.unheard = Some(Unheard::Roots { after, changes });
        self.heard(&mut held, self.sequencer.reroot(agreed).await)
    }

    async fn install_after(&self, held: &mut InForce, token: &[u8]) -> Result<Vec<u8>, Error> {
        self.speech.settle(held, &self.sequencer, &self.folder).await.map_err(unavailable)?;
        // Anybody's bytes are held against what is at hand; only what the roots signed is worth a look at the whole state.
        let warrant = Unverified::<Warrant>::parse(token)?.verify(&held.roots)?;
        let (rank, last) = (warrant.rank(), held.rank);
        if rank <= last {
            let detail = format!("the warrant has serial {rank}, {last} is in force");
            return Err(Refusal::new(Reason::StateRollback, detail).into());
        }
        DecisionKeys::of(&warrant, self.clock.now())?;
        let (snapshot, signer) = (self.snapshot().await?, self.speech.signer.load_full());
        let pinned = Pinned { state: &snapshot.state, inception: signer.inception(), changes: signer.changes() };
        // Once more, by the roots that the log names: replay will ask them, too.
        let warrant = pinned.read(token)?;
        let voice = Voice::of(&self.folder, pinned, &warrant, self.clock.now())?;
        // Before the log names it: the very entry that does is signed for by the new key.
        let before = self.speech.ring.load_full();
        self.speech.ring.rcu(|ring| ring.iter().cloned().chain([Arc::clone(&voice.log)]).collect::<Vec<_>>());
        let coming = Coming { rank, sha256: warrant.sha256(), voice, before };
        held.unheard = Some(Unheard::Warrant(Box::new(coming)));
        let recorded = self.heard(held, self.sequencer.install(warrant).await)?;
        Ok(self.speech.signer.load().receipt(&recorded))
    }

    // What became of a change, and with it what this process speaks with; without a word of it, that is found out behind.
    fn heard(
        &self,
        held: &mut InForce,
        asked: Result<Recorded<Judgement>, Unavailable>,
    ) -> Result<Recorded<Judgement>, Error> {
        let recorded = asked.inspect_err(|_| self.speech.silence.notify_one()).map_err(unavailable)?;
        self.speech.conclude(held, recorded.outcome().verdict.is_ok(), &self.folder);
        Ok(recorded)
    }

    // An answer that is remembered from before the last warrant is signed anew: its own warrant is too old for hosts by now.
    pub(super) async fn under_this_warrant(&self, answer: Vec<u8>) -> Result<Vec<u8>, Error> {
        if answer.ends_with(self.speech.signer.load().warrant()) {
            return Ok(answer);
        }
        let index = Unverified::<StartAnswer>::parse(&answer)?.says().index;
        self.answer_again(index).await
    }
}
