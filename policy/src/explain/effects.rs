//! Which other outcomes an act would change: the imports of every admitted component, decided before it and after it.
//!
//! State keeps of a component what was admitted: its issuer and its imports. So its imports are decided as they would
//! be on the host of the question; the times and the `caps` of its claims are not in state and are not judged.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::decide::{Grant, NO_FACTS, Nobody, Start, for_each_import, grant};
use crate::govern::{ComponentRecord, Event, State};
use crate::issuer::Kind;
use crate::name::{ComponentId, LinkName, Package, Version};
use crate::question::{Question, Runs, Supposed, What};
use crate::reason::Reason;
use crate::relax::Aside;
use crate::resolve::By;
use crate::time::Timestamp;

/// The outcomes that an act would change, besides those that were asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Each of them, in the order of component, package and link; at most fifty.
    pub changes: Vec<Change>,
    /// How many more there are.
    pub changes_more: usize,
    /// How many imports in state were not looked at any more.
    pub changes_unseen: usize,
}

/// One outcome before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The component.
    pub component: ComponentId,
    /// The package.
    pub package: Package,
    /// The version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The link's name.
    pub link: LinkName,
    /// What answers before.
    pub before: Answered,
    /// What answers after.
    pub after: Answered,
}

/// What answers an import, or why nothing may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Answered {
    /// This provider.
    Permitted {
        /// How it came to stand.
        by: By,
        /// The id it runs under.
        id: ComponentId,
        /// SHA-256 of its bytes.
        sha256: crate::digest::Digest,
    },
    /// Nothing.
    Refused {
        /// Why.
        reason: Reason,
    },
    /// There is no such import, or no such name.
    Absent,
}

// The most changes that are listed for one act.
const LISTED: usize = 50;
// The most imports in state that are looked at for one fix, each before and after.
const LOOKED_AT: usize = 20_000;

type Place = (ComponentId, Package, Option<Version>, LinkName);
type Seen = BTreeMap<Place, Answered>;

/// Looks at a state before and after each act, within one bound for all of them.
pub(super) struct Looker<'q> {
    question: &'q Question,
    now: Timestamp,
    left: usize,
}

impl<'q> Looker<'q> {
    pub(super) const fn new(question: &'q Question, now: Timestamp) -> Self {
        Self { question, now, left: LOOKED_AT }
    }

    /// Applies an act, and tells what else it changes.
    pub(super) fn apply(&mut self, state: &mut State, event: &Event) -> Changes {
        let reach = Reach::of(event);
        let (before, unseen) = self.look(state, &reach, self.left);
        let index = state.next_index();
        state.apply(event, index);
        let (after, _) = self.look(state, &reach, self.left);
        self.left = self.left.saturating_sub(before.len().max(after.len()));
        Changes::between(before, &after, unseen)
    }

    // What answers each import in state that an act can reach, and how many were left out.
    fn look(&self, state: &State, reach: &Reach, most: usize) -> (Seen, usize) {
        let (mut seen, mut unseen) = (Seen::new(), 0);
        for (id, record) in state.components() {
            let imports = record.imports.iter().filter(|import| reach.touches(id, &import.package));
            let imports: Vec<_> = imports.filter(|import| !self.asked(id, &import.package)).cloned().collect();
            if imports.is_empty() {
                continue;
            }
            if seen.len() + imports.len() > most {
                unseen += imports.len();
                continue;
            }
            let question = self.asked_by(id, record, imports);
            let stands = stands(state, record);
            let start = Start { state, question: &question, facts: NO_FACTS, now: self.now, aside: Aside::default() };
            for_each_import(&start, |binding| {
                let answered = match stands.map_or_else(|| grant(binding, &mut Nobody).map_err(|no| no.reason), Err) {
                    Ok(Grant { by, id, sha256, .. }) => Answered::Permitted { by, id, sha256 },
                    Err(reason) => Answered::Refused { reason },
                };
                let import = binding.import;
                let place = (id.clone(), import.package.clone(), import.version.clone(), binding.link.clone());
                seen.insert(place, answered);
            });
        }
        (seen, unseen)
    }

    // What the question asks about is what the act is for, not what it changes besides.
    fn asked(&self, id: &ComponentId, package: &Package) -> bool {
        self.question.runs.id == *id && self.question.imports.iter().any(|import| import.package == *package)
    }

    fn asked_by(&self, id: &ComponentId, record: &ComponentRecord, imports: Vec<crate::artifact::Import>) -> Question {
        let (subject, sha256) = (record.subject.clone(), record.sha256);
        let runs = Runs { id: id.clone(), subject, sha256, claims_sha256: None };
        let offers = self.question.offers.clone();
        let supposed = Supposed { what: What::StartComponent, runs, claims: None, imports, offers };
        Question::supposed(self.question.host, self.question.lattice.clone(), supposed)
    }
}

// What state tells of the start itself, in the order of its rules.
fn stands(state: &State, record: &ComponentRecord) -> Option<Reason> {
    // When it was signed is not in state: at a time when its issuer still might.
    match state.issuers().vouches(&record.issuer, Kind::Component, Timestamp::from_millis(0)) {
        Err(refusal) => Some(refusal.reason),
        Ok(issuer) if issuer.scope.is_empty() => Some(Reason::IssuerScope),
        Ok(_) => record.retired.then_some(Reason::ComponentRetired),
    }
}

// Which imports an event can change: what a rule reads of it.
enum Reach {
    Everything,
    Nothing,
    Package(Package),
    Import(ComponentId, Package),
    Component(ComponentId),
}

impl Reach {
    fn of(event: &Event) -> Self {
        match event {
            Event::ContractPublished(event) => Self::Package(event.contract.sub.clone()),
            Event::ContractWithdrawn(event) => Self::Package(event.package.clone()),
            Event::DefaultPut(event) => Self::Package(event.package.clone()),
            Event::DefaultDeleted(event) => Self::Package(event.package.clone()),
            Event::LinkPut(event) => Self::Import(event.component.clone(), event.package.clone()),
            Event::LinkDeleted(event) => Self::Import(event.component.clone(), event.package.clone()),
            Event::LinkSwitched(event) => Self::Import(event.component.clone(), event.package.clone()),
            Event::LinkAccepted(event) => Self::Import(event.component.clone(), event.package.clone()),
            Event::ComponentAdmitted(event) => Self::Component(event.id.clone()),
            Event::ComponentRetired(event) => Self::Component(event.id.clone()),
            Event::HostInvited(_)
            | Event::HostBanned(_)
            | Event::HostLabelled(_)
            | Event::HostJoined(_)
            | Event::WarrantInstalled(_)
            | Event::RootsChanged(_)
            | Event::ClockAcknowledged(_)
            | Event::LogRestored(_)
            | Event::AdministratorPut(_)
            | Event::AdministratorRemoved(_)
            | Event::ThresholdPut(_)
            | Event::CommandProposed(_)
            | Event::CommandApproved(_)
            | Event::CommandRejected(_) => Self::Nothing,
            Event::RulesPut(_)
            | Event::RulesDeleted(_)
            | Event::IssuerAdded(_)
            | Event::IssuerActivated(_)
            | Event::IssuerScoped(_)
            | Event::IssuerRotated(_)
            | Event::IssuerDelegated(_)
            | Event::IssuerRetired(_)
            | Event::IssuerRevoked(_)
            | Event::RelaxationPut(_)
            | Event::RelaxationEnded(_)
            | Event::ProviderAdmitted(_)
            | Event::ProviderRetired(_) => Self::Everything,
        }
    }

    fn touches(&self, id: &ComponentId, package: &Package) -> bool {
        match self {
            Self::Everything => true,
            Self::Nothing => false,
            Self::Package(only) => only == package,
            Self::Import(component, only) => component == id && only == package,
            Self::Component(only) => only == id,
        }
    }
}

impl Changes {
    fn between(before: Seen, after: &Seen, unseen: usize) -> Self {
        let absent = || Answered::Absent;
        let mut all: BTreeMap<Place, (Answered, Answered)> = BTreeMap::new();
        for (place, answered) in after {
            all.insert(place.clone(), (absent(), answered.clone()));
        }
        for (place, answered) in before {
            all.entry(place).or_insert_with(|| (absent(), absent())).0 = answered;
        }
        let changed = all.into_iter().filter(|(_, (before, after))| before != after);
        let changes = changed.map(|((component, package, version, link), (before, after))| Change {
            component,
            package,
            version,
            link,
            before,
            after,
        });
        Self { changes: changes.collect(), changes_more: 0, changes_unseen: unseen }.cut()
    }

    /// These changes, and then those.
    pub(super) fn then(mut self, later: Self) -> Self {
        for change in later.changes {
            let same = |other: &&mut Change| {
                (&other.component, &other.package, &other.version, &other.link)
                    == (&change.component, &change.package, &change.version, &change.link)
            };
            match self.changes.iter_mut().find(same) {
                Some(earlier) => earlier.after = change.after,
                None => self.changes.push(change),
            }
        }
        self.changes.retain(|change| change.before != change.after);
        self.changes_more += later.changes_more;
        self.changes_unseen += later.changes_unseen;
        self.cut()
    }

    fn cut(mut self) -> Self {
        self.changes_more += self.changes.len().saturating_sub(LISTED);
        self.changes.truncate(LISTED);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::govern::{Bind, DefaultPut};
    use crate::tests::world::{World, component_token, logging};

    // A world in which so many components wait for a default, and what putting it would change, within a bound.
    fn changes(components: usize, looked_at: usize) -> Changes {
        let mut world = World::new();
        let contract = crate::tests::world::contract(&world.issuer, 1);
        world.publish(&contract).unwrap();
        world.admit_native("native/logging@0.1.0").unwrap();
        for number in 0..components {
            let id = format!("c{number:03}");
            let token = component_token(&world.issuer, &id, None);
            world.admit(&id, &token, Vec::new()).unwrap();
        }
        let asked = world.request();
        let bytes = world.host.seal(&asked.request, &asked.attachments);
        let verified = crate::envelope::Unverified::parse(&bytes).unwrap();
        let verified = verified.verify(world.ledger.state().host_keys()).unwrap();
        let question = Question::signed(&crate::examine::start(verified, &crate::envelope::Afresh).unwrap());
        let mut state = world.ledger.state().clone();
        let put = DefaultPut { package: logging().package, before: None, bind: Bind::Builtin };
        let mut looker = Looker { left: looked_at, ..Looker::new(&question, Timestamp::from_millis(world.now_ms)) };
        looker.apply(&mut state, &Event::DefaultPut(put))
    }

    #[test]
    fn a_neighbour_that_would_be_answered_too_is_named() {
        let changes = changes(1, 10);
        let [change] = changes.changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!((change.component.as_str(), change.package.as_str()), ("c000", "wasi:logging"));
        assert_eq!(change.before, Answered::Refused { reason: Reason::LinkMissing });
        assert!(matches!(&change.after, Answered::Permitted { by: By::Builtin, id, .. } if id.as_str() == "logging"));
        let told = serde_json::to_value(&changes).unwrap();
        assert_eq!(told["changes"][0]["before"], serde_json::json!({"verdict": "refused", "reason": "link_missing"}));
        assert_eq!(told["changes"][0]["after"]["verdict"], "permitted");
    }

    #[test]
    fn what_is_cut_is_counted() {
        let listed = changes(LISTED + 3, 1000);
        assert_eq!((listed.changes.len(), listed.changes_more, listed.changes_unseen), (LISTED, 3, 0));
        let looked = changes(5, 3);
        assert_eq!((looked.changes.len(), looked.changes_more, looked.changes_unseen), (3, 0, 2));
    }
}
