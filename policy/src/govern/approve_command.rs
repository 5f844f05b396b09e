//! Approve a waiting command: sign it as another person, with all of it attached; with enough signatures it is judged
//! again, whole, as of that moment (T79).
//!
//! Whoever approves sends the command and its statements along: what they sign is what they saw, and what is recorded.

use serde::{Deserialize, Serialize};

use super::handle::Handled;
use super::{Apply, Case, Event, Judge, Lack, Signer, State, Times};
use crate::command::Command;
use crate::digest::Digest;
use crate::envelope::Unverified;
use crate::examine::{self, Examined};
use crate::reason::{Reason, Refusal};
use crate::wire::Nonce;

/// Approve a waiting command; the only operation of its own command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproveCommand {
    /// The id of the command that waits.
    pub id: Nonce,
    /// SHA-256 of its token, attached first; its own attachments follow.
    pub sha256: Digest,
}

/// A waiting command was signed by one more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandApproved {
    /// The id of the command.
    pub id: Nonce,
    /// Its author.
    pub author: Signer,
    /// Who signed now.
    pub signer: Signer,
    /// What it still lacks; nothing when what follows in this entry is what it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lack: Option<Lack>,
}

impl Judge for ApproveCommand {
    type Event = CommandApproved;

    fn subject(&self) -> String {
        format!("command {}", self.id)
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<CommandApproved, Refusal> {
        let waiting = state.waits(self.id, case.now)?;
        let administrator = case.by;
        state.could_sign(waiting, administrator, case.now)?;
        let signer = state.administrators().signer(administrator);
        let same = |before: &Signer| state.administrators().one_person(before, &signer);
        if let Some(before) = waiting.signers.iter().find(|before| same(before)) {
            let detail = format!("command {} has this person's signature, by `{}`", self.id, before.key);
            return Err(Refusal::new(Reason::SignedAlready, detail));
        }
        if waiting.sha256 != self.sha256 {
            let detail = format!("command {} is {}, approved is {}", self.id, waiting.sha256, self.sha256);
            return Err(Refusal::new(Reason::HashMismatch, detail));
        }
        let author = waiting.signers.first().cloned().unwrap_or_else(|| signer.clone());
        Ok(CommandApproved { id: self.id, author, signer, lack: None })
    }
}

impl State {
    /// Judges an approval: one more signature, or the command itself as of now.
    pub(super) fn approve(&self, approve: &ApproveCommand, case: &Case<'_>) -> Result<Handled, Refusal> {
        let approved = approve.judge(self, case)?;
        let waiting = self.waits(approve.id, case.now)?;
        let command = attached(approve, case, self)?;
        let signers: Vec<Signer> = waiting.signers.iter().chain([&approved.signer]).cloned().collect();
        let within = |refusal: Refusal| refusal.within(format!("command {}", approve.id));
        let times = Times { now: case.now, clock: case.clock };
        self.addressed(&command.document, times.judging()).map_err(within)?;
        case.in_order(&command.document).map_err(within)?;
        let inner = case.of_command(&command);
        let judged = self.judge_all(&command.document, &inner).map_err(within)?;
        let mut subjects = vec![approve.subject()];
        if let Some((missing, roles)) = self.lacks(&judged.needs, &signers, case.now) {
            let lack = Lack { id: approve.id, missing, roles, until: command.document.not_after };
            let event = CommandApproved { lack: Some(lack.clone()), ..approved };
            return Ok(Handled { events: vec![Event::CommandApproved(event)], subjects, lack: Some(lack) });
        }
        subjects.extend(judged.subjects);
        let events = std::iter::once(Event::CommandApproved(approved)).chain(judged.events).collect();
        Ok(Handled { events, subjects, lack: None })
    }
}

// The command that is approved, out of the attachments: the very bytes that wait, signed by their author.
fn attached(approve: &ApproveCommand, case: &Case<'_>, state: &State) -> Result<Examined<Command>, Refusal> {
    let missing = || Refusal::new(Reason::EvidenceMissing, "the approved command is not attached, whole and first");
    let attachments = case.attachments;
    attachments.first().filter(|token| Digest::of(token) == approve.sha256).ok_or_else(missing)?;
    let bytes = attachments.join(&b'\n');
    let command = Unverified::<Command>::parse(&bytes)?.verify(state.administrators())?;
    if command.jti != approve.id {
        return Err(missing());
    }
    Ok(examine::command(command))
}

impl Apply for CommandApproved {
    fn apply(&self, state: &mut State, _index: u64) {
        let Some(lack) = &self.lack else {
            state.waiting.remove(&self.id);
            return;
        };
        if let Some(waiting) = state.waiting.get_mut(&self.id) {
            waiting.signers.push(self.signer.clone());
            waiting.lack = lack.clone();
        }
    }

    // A signature lets nothing pass; what it completes is an event of its own.
    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        match &self.lack {
            None => format!("command {} of {} approved", self.id, self.author.key),
            Some(lack) => format!("command {} approved, it waits for {} more to sign", self.id, lack.missing),
        }
    }
}
