//! What becomes of one input: a step for the log with who is told of it, or nothing where there is no room for it,
//! or no ground: a log whose rows do not hold grants nothing.
//!
//! What is right is left to `policy`, when it is written to the sequencer.

use std::sync::Arc;

use policy::decide::Facts;
use policy::digest::Digest;
use policy::govern::Jump;
use policy::log::{Draft, Ledger, Step, Worth, is_timely};
use policy::reason::Reason;
use tokio::sync::oneshot;

use super::answer::Answer;
use super::court::Court;
use super::input::Input;
use super::{Bench, Snapshot};
use crate::store::{Act, Judgement};

impl Bench {
    // Whose reply is dropped here learns that nothing was granted.
    pub(super) fn judge(
        &self,
        ledger: &mut Ledger,
        input: Input,
        looks: &mut Vec<oneshot::Sender<Arc<Snapshot>>>,
    ) -> Option<(Step<Act>, Answer)> {
        let at_ms = self.clock.now_ms();
        let least = self.room.least().max(self.present.check().least());
        let judged =
            |request_sha256: Digest| move |verdict| Act::Judged(Judgement { request_sha256, verdict, lack: None });
        Some(match input {
            Input::Rule(examined, reply) => {
                // It was fresh at the door, and waited since, or the clock was set: whoever still waits asks again.
                if !is_timely(examined.document().iat, at_ms) {
                    return None;
                }
                let draft = ledger.draft_rule(*examined, Facts::default(), at_ms);
                (recorded(ledger, draft, least)?.map(|ruling| Act::Ruled(Box::new(ruling))), Answer::Ruled(reply))
            }
            Input::Govern(examined, found, reply) => {
                let sha256 = examined.document().sha256();
                let draft = ledger.draft_govern(&examined, found, at_ms);
                let step = recorded(ledger, draft, least)?;
                let waits =
                    step.outcome.as_ref().err().is_some_and(|refusal| refusal.reason == Reason::PendingApproval);
                let lack = ledger.state().lack_of(examined.document()).filter(|_| waits).cloned();
                let step = step.map(|verdict| Act::Judged(Judgement { request_sha256: sha256, verdict, lack }));
                (step, Answer::Judged(reply))
            }
            Input::Enrol(examined, reply) => {
                let draft = ledger.draft_enrol(&examined, at_ms);
                (recorded(ledger, draft, least)?.map(judged(examined.document().sha256())), Answer::Judged(reply))
            }
            Input::Install(warrant, reply) => {
                let draft = ledger.draft_install(&warrant, at_ms);
                (recorded(ledger, draft, least)?.map(judged(warrant.sha256())), Answer::Judged(reply))
            }
            Input::Reroot(agreed, reply) => {
                let draft = ledger.draft_roots(&agreed, at_ms);
                (recorded(ledger, draft, least)?.map(judged(agreed.change().sha256())), Answer::Judged(reply))
            }
            Input::Count(counts, reply) => {
                let draft = ledger.draft_count(counts, at_ms);
                (recorded(ledger, draft, least)?.map(|()| Act::Counted), Answer::Counted(reply))
            }
            Input::Report(inventory, observed, reply) => {
                let draft = ledger.draft_report(&inventory, observed, at_ms);
                (recorded(ledger, draft, least)?.map(|()| Act::Counted), Answer::Counted(reply))
            }
            Input::Look(reply) => {
                looks.push(reply);
                return None;
            }
            // `next` takes these out of the queue itself.
            Input::Pulse(_) | Input::Close(_) => return None,
        })
    }
}

/// The step of a clock that jumped: an alarm, for which there is room as long as there is any.
pub(super) fn jump(court: &mut Court, jump: Jump) -> Step<Act> {
    court.ledger_mut().jumped(jump, jump.to_ms).map(|()| Act::Counted)
}

// What is not to be recorded now is dropped before it changes anything.
fn recorded<T>(ledger: &mut Ledger, draft: Draft<T>, least: Worth) -> Option<Step<T>> {
    (draft.worth() >= least).then(|| ledger.record(draft))
}
