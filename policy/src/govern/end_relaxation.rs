//! End a relaxation before its time: what it weakened is as strict as ever.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State};
use crate::name::RelaxationId;
use crate::reason::{Reason, Refusal};

/// End a relaxation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndRelaxation {
    /// Its name.
    pub id: RelaxationId,
}

/// A relaxation is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelaxationEnded {
    /// Its name.
    pub id: RelaxationId,
}

impl Judge for EndRelaxation {
    type Event = RelaxationEnded;

    fn subject(&self) -> String {
        format!("relaxation {}", self.id)
    }

    fn narrows(&self) -> bool {
        true
    }

    fn judge(&self, state: &State, case: &Case<'_>) -> Result<RelaxationEnded, Refusal> {
        let Self { id } = self.clone();
        match state.relaxations.get(&id) {
            Some(standing) if standing.stands(case.now) => Ok(RelaxationEnded { id }),
            Some(standing) => {
                Err(Refusal::new(Reason::NotFound, format!("relaxation `{id}` ended at {}", standing.until)))
            }
            None => Err(Refusal::new(Reason::NotFound, format!("no relaxation `{id}` stands"))),
        }
    }
}

impl Apply for RelaxationEnded {
    fn apply(&self, state: &mut State, _index: u64) {
        state.relaxations.remove(&self.id);
    }

    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        format!("relaxation `{}` ended", self.id)
    }
}
