//! A fix: for each refusing rule the act that lifts it, applied to a copy of the state and decided again.
//!
//! Greedy, at most eight rounds. An act that needs somebody's signature is applied as if it were given, and says whose
//! it needs. Where no act on the state helps (forged claims, a wrong hash), it says what must be done by whom outside.

mod acts;
mod contracts;
mod who;

use std::collections::BTreeSet;

use serde::Serialize;

use super::effects::{Changes, Looker};
use crate::artifact::Import;
use crate::decide::{
    About, Binding, Decision, Facts, ImportRule, NO_FACTS, Nobody, Start, StartRule, Watch, decide, for_each_import,
    grant, may_start,
};
use crate::govern::{Event, State};
use crate::name::{LinkName, Package};
use crate::question::Question;
use crate::reason::{Reason, Refusal};
use crate::relax::Aside;
use crate::time::Timestamp;

pub use who::Who;

/// What would have to be done, and whether it would be enough.
#[derive(Debug, Clone, Serialize)]
pub struct Fix {
    /// The acts, in order.
    pub acts: Vec<Act>,
    /// Why it still refuses after them; none when they are enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub still: Option<Reason>,
    /// What no act on the state lifts, and what must be done by whom outside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<Outside>,
}

/// One act.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Act {
    /// The refusal that it lifts.
    pub lifts: Reason,
    /// The package whose import was refused; none where the start itself was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// The command that does it.
    pub command: String,
    /// Who may do it, in words.
    pub who: String,
    /// Who may do it, as stable codes: each of them, in this order.
    pub roles: Vec<Who>,
    /// Which other outcomes in state it would change.
    #[serde(flatten)]
    pub effects: Changes,
    /// What it changes: the events as they would be recorded, with stand-ins for what nobody has signed yet.
    #[serde(skip)]
    pub events: Vec<Event>,
}

/// A refusal that no act on the state lifts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outside {
    /// Why it refuses.
    pub reason: Reason,
    /// The package whose import is refused; none where the start itself is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// Who can do something about it, in words.
    pub who: String,
    /// Who can do something about it, as a stable code.
    pub role: Who,
    /// What must be done.
    pub must: String,
}

/// An act before it is applied.
pub(super) struct Proposal {
    command: String,
    roles: Vec<Who>,
    event: Option<Event>,
}

const ROUNDS: usize = 8;

/// Finds what would lift a refusal.
pub fn fix(state: &State, question: &Question, now: Timestamp) -> Fix {
    let mut search = Search {
        state: state.clone(),
        question,
        now,
        looker: Looker::new(question, now),
        acts: Vec::new(),
        tried: BTreeSet::new(),
    };
    for _ in 0..ROUNDS {
        if !search.round() {
            break;
        }
    }
    let decision = decide(&search.state, question, &Facts::default(), now);
    let outside = search.outside(&decision);
    Fix { still: decision.refusal().map(|refusal| refusal.reason), acts: search.acts, outside }
}

struct Search<'q> {
    state: State,
    question: &'q Question,
    now: Timestamp,
    looker: Looker<'q>,
    acts: Vec<Act>,
    // Which act was proposed where for which reason: none is proposed twice.
    tried: BTreeSet<Tried>,
}

// An import of the question under a link name.
type Place = (usize, LinkName);
// Where, by which rules, for which reason, and the act's command.
type Tried = (Option<(Place, About)>, Reason, String);

impl Search<'_> {
    fn start(&self) -> Start<'_> {
        Start { state: &self.state, question: self.question, facts: NO_FACTS, now: self.now, aside: Aside::default() }
    }

    // One act for the start's refusal, or else one for each import that is refused. Whether there was any.
    fn round(&mut self) -> bool {
        let start = self.start();
        if let Err(refusal) = may_start(&start, &mut Nobody) {
            let mut any = false;
            for proposal in acts::for_start(&start, &refusal) {
                if self.is_new(None, refusal.reason, &proposal) {
                    self.act(refusal.reason, None, proposal);
                    any = true;
                }
            }
            return any;
        }
        let mut any = false;
        for place in self.places() {
            any |= self.mend(&place);
        }
        any
    }

    fn mend(&mut self, place: &Place) -> bool {
        let start = self.start();
        let Some(import) = self.question.imports.get(place.0) else {
            return false;
        };
        let binding = start.binding(import, place.1.clone());
        let Some((about, refusal)) = refused(&binding) else {
            return false;
        };
        let Some(proposal) = acts::for_import(&binding, about, &refusal) else {
            return false;
        };
        let new = self.is_new(Some((place.clone(), about)), refusal.reason, &proposal);
        if new {
            self.act(refusal.reason, Some(import.package.clone()), proposal);
        }
        new
    }

    fn is_new(&mut self, place: Option<(Place, About)>, reason: Reason, proposal: &Proposal) -> bool {
        self.tried.insert((place, reason, proposal.command.clone()))
    }

    fn act(&mut self, lifts: Reason, package: Option<Package>, proposal: Proposal) {
        let Proposal { command, roles, event } = proposal;
        let effects = event
            .iter()
            .fold(Changes::default(), |effects, event| effects.then(self.looker.apply(&mut self.state, event)));
        let same = |act: &&mut Act| act.lifts == lifts && act.command == command;
        if let Some(act) = self.acts.iter_mut().find(same) {
            act.effects = std::mem::take(&mut act.effects).then(effects);
            act.events.extend(event);
            return;
        }
        let who = who::sentence(&roles);
        self.acts.push(Act { lifts, package, command, who, roles, effects, events: event.into_iter().collect() });
    }

    // The imports of the question as the state has names for them now.
    fn places(&self) -> Vec<Place> {
        let start = self.start();
        let mut places = Vec::new();
        for_each_import(&start, |binding| {
            let number = self.question.imports.iter().position(|import| std::ptr::eq(import, binding.import));
            places.extend(number.map(|number| (number, binding.link.clone())));
        });
        places
    }

    fn outside(&self, decision: &Decision) -> Vec<Outside> {
        let start = self.start();
        let Some(first) = decision.refusal() else {
            return Vec::new();
        };
        if decision.outcomes().is_empty() {
            return vec![acts::outside(&start, None, first)];
        }
        let mut outside: Vec<Outside> = Vec::new();
        for_each_import(&start, |binding| {
            let left =
                refused(binding).map(|(about, refusal)| acts::outside(&start, Some((binding.import, about)), &refusal));
            outside.extend(left.filter(|left| !outside.contains(left)));
        });
        outside
    }
}

// Which rule refuses an import, and why.
fn refused(binding: &Binding<'_>) -> Option<(About, Refusal)> {
    let mut last = Last(About::Contract);
    grant(binding, &mut last).err().map(|refusal| (last.0, refusal))
}

struct Last(About);

impl Watch for Last {
    fn start(&mut self, _: &'static StartRule, _: &Start<'_>, _: &Result<(), Refusal>) {}
    fn binding(&mut self, _: &Binding<'_>) {}
    fn import(&mut self, rule: &'static ImportRule, _: &Binding<'_>, _: &Result<(), Refusal>) {
        self.0 = rule.about;
    }
}

type Refusing<'a> = Option<(&'a Import, About)>;
