//! Reject a waiting command: it is over, whoever signed it. Its author may take it back so, too.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State};
use crate::key::{Administrator, Name};
use crate::reason::{Reason, Refusal};
use crate::wire::Nonce;

/// Reject a waiting command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectCommand {
    /// The id of the command that waits.
    pub id: Nonce,
}

/// A waiting command is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRejected {
    /// The id of the command.
    pub id: Nonce,
    /// Its author.
    pub author: Name<Administrator>,
}

impl Judge for RejectCommand {
    type Event = CommandRejected;

    fn subject(&self) -> String {
        format!("command {}", self.id)
    }

    fn narrows(&self) -> bool {
        true
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<CommandRejected, Refusal> {
        let waiting = state.waits(self.id, case.now)?;
        let administrator = *case.by;
        let author = waiting.signers.first().map_or(administrator, |first| first.key);
        if author != administrator {
            state.could_sign(waiting, &administrator, case.now)?;
            let (administrators, signer) = (state.administrators(), state.administrators().signer(&administrator));
            let own = |about: &&Name<Administrator>| administrators.one_person(&administrators.signer(about), &signer);
            // Whoever stole a key would keep it so.
            if let Some(about) = waiting.about.iter().find(own) {
                let detail = format!("command {} is about `{about}`, whose person cannot turn it down", self.id);
                return Err(Refusal::new(Reason::RoleMissing, detail));
            }
        }
        Ok(CommandRejected { id: self.id, author })
    }
}

impl Apply for CommandRejected {
    fn apply(&self, state: &mut State, _index: u64) {
        state.waiting.remove(&self.id);
    }

    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        format!("command {} of {} rejected", self.id, self.author)
    }
}
