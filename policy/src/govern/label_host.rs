//! Label a host anew: what people and rules call it by, in place of what its invitation said.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Apply, Case, HostStanding, Judge, State, Weighty};
use crate::key::{Host, Name};
use crate::reason::{Reason, Refusal};

/// Label a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelHost {
    /// The host.
    pub host: Name<Host>,
    /// Its labels from now on, all of them.
    pub labels: BTreeMap<String, String>,
}

/// A host is labelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostLabelled {
    /// The host.
    pub host: Name<Host>,
    /// Its labels until now.
    pub before: BTreeMap<String, String>,
    /// Its labels from now on.
    pub labels: BTreeMap<String, String>,
}

impl Judge for LabelHost {
    type Event = HostLabelled;

    fn subject(&self) -> String {
        format!("host {}", self.host)
    }

    // Rules may forbid by labels: another label is another rule.
    fn weighs(&self, state: &State) -> Option<Weighty> {
        (state.law() >= WEIGHED_SINCE && state.rules().is_some()).then_some(Weighty::Weakening)
    }

    fn judge(&self, state: &State, _case: &Case<'_>) -> Result<HostLabelled, Refusal> {
        let Self { host, labels } = self.clone();
        let Some(record) = state.hosts.get(&host) else {
            return Err(Refusal::new(Reason::HostUnknown, format!("host `{host}` is not enrolled")));
        };
        if record.standing == HostStanding::Banned {
            return Err(Refusal::new(Reason::HostBanned, format!("host `{host}` was banned")));
        }
        if record.labels == labels {
            return Err(Refusal::new(Reason::AlreadyExists, format!("host `{host}` has these labels already")));
        }
        Ok(HostLabelled { host, before: record.labels.clone(), labels })
    }
}

impl Apply for HostLabelled {
    fn apply(&self, state: &mut State, _index: u64) {
        if let Some(record) = state.hosts.get_mut(&self.host) {
            record.labels.clone_from(&self.labels);
        }
    }

    fn told(&self) -> String {
        format!("host {} labelled", self.host)
    }
}

const WEIGHED_SINCE: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::govern::{BanHost, Operation};
    use crate::tests::world::{Pair, World};

    fn label(host: Name<Host>, zone: &str) -> Operation {
        Operation::LabelHost(LabelHost { host, labels: BTreeMap::from([("zone".to_owned(), zone.to_owned())]) })
    }

    #[test]
    fn labels_are_replaced_whole_and_only_for_hosts_that_may_ask() {
        let mut world = World::new();
        let host = world.host.name;
        assert_eq!(world.act(label(host, "a")).unwrap_err().reason, Reason::AlreadyExists);
        world.act(label(host, "b")).unwrap();
        assert_eq!(world.ledger.state().hosts()[&host].labels["zone"], "b");
        let stranger = Pair::<Host>::seeded("9").name;
        assert_eq!(world.act(label(stranger, "b")).unwrap_err().reason, Reason::HostUnknown);
        world.act(Operation::BanHost(BanHost { host, running: None })).unwrap();
        assert_eq!(world.act(label(host, "c")).unwrap_err().reason, Reason::HostBanned);
    }
}
