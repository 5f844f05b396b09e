//! Retire a component id: nothing starts under it, and nobody else gets it.

use serde::{Deserialize, Serialize};

use super::{Apply, Case, Judge, State};
use crate::name::ComponentId;
use crate::reason::{Reason, Refusal};
use crate::withdrawal::{Ground, Running, told};

/// Retire a component id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetireComponent {
    /// The id.
    pub id: ComponentId,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// A component id is retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentRetired {
    /// The id.
    pub id: ComponentId,
    /// What becomes of what runs on this ground already; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

impl Judge for RetireComponent {
    type Event = ComponentRetired;

    fn subject(&self) -> String {
        format!("id {}", self.id)
    }

    fn narrows(&self) -> bool {
        true
    }

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<ComponentRetired, Refusal> {
        match state.components.get(&self.id) {
            None => Err(Refusal::new(Reason::ComponentUnknown, format!("no component was admitted as `{}`", self.id))),
            Some(record) if record.retired => {
                Err(Refusal::new(Reason::AlreadyExists, format!("`{}` is retired already", self.id)))
            }
            Some(_) => Ok(ComponentRetired { id: self.id.clone(), running: self.running }),
        }
    }
}

impl Apply for ComponentRetired {
    fn apply(&self, state: &mut State, index: u64) {
        state.withdraw(Ground::Component(self.id.clone()), self.running, index);
        if let Some(record) = state.components.get_mut(&self.id) {
            record.retired = true;
        }
    }

    fn narrows(&self) -> bool {
        true
    }

    fn told(&self) -> String {
        format!("component `{}` retired{}", self.id, told(self.running))
    }
}
