//! In random worlds: what is told of a decision is that decision, a fix lifts what it says, and it changes of the rest
//! of the state just what it says.

use std::collections::{BTreeMap, BTreeSet};

use super::build::Stage;
use super::plan::{Dice, NOW, Plan};
use crate::artifact::Import;
use crate::decide::{Decision, Facts, IMPORT_RULES, START_RULES, decide};
use crate::explain::{Act, Answered, Verdict, explain, fix};
use crate::govern::{Event, HostJoined, State};
use crate::key::Host;
use crate::name::{ComponentId, LinkName, Package, Version};
use crate::question::{Question, Runs, Supposed, What};
use crate::reason::Reason;
use crate::tests::world::{Pair, at};

const WORLDS: u64 = 1500;

#[test]
fn what_is_told_rule_by_rule_is_what_was_decided() {
    let mut stage = Stage::new();
    for number in 0..WORLDS {
        let plan = Plan::drawn(&mut Dice::of(number));
        let (state, question) = (stage.state(&plan), stage.question(&plan));
        let decision = decide(&state, &question, &Facts::default(), at(NOW));
        let told = explain(&state, &question, &Facts::default(), at(NOW));
        assert_eq!(told.decision, decision, "world {number}");
        let names = |rules: &[crate::explain::Line]| rules.iter().map(|line| line.rule).collect::<Vec<_>>();
        assert_eq!(names(&told.start), START_RULES.iter().map(|rule| rule.sentence).collect::<Vec<_>>());
        let refused_start = follows_the_order(&told.start);
        assert_eq!(refused_start.is_some(), decision.refusal().is_some() && decision.outcomes().is_empty());
        for import in &told.imports {
            assert_eq!(names(&import.rules), IMPORT_RULES.iter().map(|rule| rule.sentence).collect::<Vec<_>>());
            let none = import.rules.iter().all(|line| line.verdict == Verdict::NotReached);
            assert_eq!(none, refused_start.is_some(), "world {number}");
        }
        let reasons: Vec<_> = told.imports.iter().map(|import| follows_the_order(&import.rules)).collect();
        let outcomes: Vec<_> = decision.outcomes().iter().map(|outcome| outcome.grant.clone().err()).collect();
        assert!(refused_start.is_some() || reasons == outcomes, "world {number}: {reasons:?} {outcomes:?}");
    }
}

// Passed, then perhaps one refusal, then not reached; and every rule that was reached says what it read.
fn follows_the_order(lines: &[crate::explain::Line]) -> Option<Reason> {
    let verdicts: Vec<_> = lines.iter().map(|line| line.verdict).collect();
    let reached = verdicts.iter().filter(|verdict| **verdict != Verdict::NotReached).count();
    let refused = verdicts.iter().position(|verdict| *verdict == Verdict::Refused);
    assert!(verdicts[reached..].iter().all(|verdict| *verdict == Verdict::NotReached));
    assert!(refused.is_none_or(|refused| refused + 1 == reached), "{verdicts:?}");
    for line in lines {
        let reached = line.verdict != Verdict::NotReached;
        assert_eq!(line.fact.as_ref().is_some_and(|fact| !fact.is_empty()), reached, "{line:?}");
        assert_eq!(line.reason.is_some(), line.verdict == Verdict::Refused);
    }
    lines.iter().find_map(|line| line.reason)
}

#[test]
fn a_fix_lifts_what_it_says_or_says_that_it_cannot() {
    let mut stage = Stage::new();
    let (mut enough, mut half, mut none) = (0, 0, 0);
    let mut seen = BTreeMap::new();
    for number in 0..WORLDS {
        let plan = Plan::drawn(&mut Dice::of(number));
        let (mut state, question) = (stage.state(&plan), stage.question(&plan));
        let decided = |state: &State| decide(state, &question, &Facts::default(), at(NOW));
        if decided(&state).refusal().is_none() {
            continue;
        }
        let fixed = fix(&state, &question, at(NOW));
        assert_eq!(fixed.still.is_none(), fixed.outside.is_empty(), "world {number}: {fixed:#?}");
        assert!(fixed.still.is_none_or(|still| fixed.outside.iter().any(|left| left.reason == still)));
        assert!(
            fixed.outside.iter().all(|left| !left.must.is_empty()) && !(fixed.acts.is_empty() && fixed.still.is_none())
        );
        for (done, act) in (1..).zip(&fixed.acts) {
            assert!(!act.roles.is_empty() && act.command.starts_with("countersign"));
            let before = refusals(&state, &question);
            apply(&mut state, &act.events);
            let after = refusals(&state, &question);
            let lifted = |refusal: &&Refused| refusal.package == act.package && refusal.reason == act.lifts;
            let lifts = before.difference(&after).any(|refusal| lifted(&refusal));
            // The first of a pair only makes the second possible.
            let prepares =
                fixed.acts[done..].iter().any(|later| (&later.package, later.lifts) == (&act.package, act.lifts));
            assert!(lifts || prepares, "world {number}: {act:#?}\n{before:#?}\n{after:#?}");
        }
        fixed.outside.iter().for_each(|left| *seen.entry(left.reason).or_insert(0) += 1);
        let left = decided(&state).refusal().map(|refusal| refusal.reason);
        assert_eq!(left, fixed.still, "world {number}: {fixed:#?}");
        match (fixed.acts.is_empty(), fixed.still) {
            (_, None) => enough += 1,
            (false, Some(_)) => half += 1,
            (true, Some(_)) => none += 1,
        }
    }
    println!("{enough} lifted, {half} in part, {none} not at all: {seen:?}");
    assert!(enough > none && enough > half && half > 0 && none > 0, "{enough} {half} {none}");
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Refused {
    package: Option<Package>,
    reason: Reason,
    place: String,
}

// Each rule that refuses, with its place.
fn refusals(state: &State, question: &Question) -> BTreeSet<Refused> {
    let told = explain(state, question, &Facts::default(), at(NOW));
    let start = told.start.iter().map(|line| (None, String::new(), line));
    let imports = told.imports.iter().flat_map(|import| {
        let place = format!("{:?} {}", import.version, import.link);
        import.rules.iter().map(move |line| (Some(import.package.parse().unwrap()), place.clone(), line))
    });
    let refused = start.chain(imports).filter_map(|(package, place, line)| {
        Some(Refused { package, reason: line.reason?, place: format!("{place} {}", line.rule) })
    });
    refused.collect()
}

fn apply(state: &mut State, events: &[Event]) {
    for event in events {
        let index = state.next_index();
        state.apply(event, index);
    }
}

#[test]
fn a_fix_names_every_other_outcome_that_it_changes() {
    let mut stage = Stage::new();
    let (mut acts, mut changes) = (0, 0);
    for number in 0..WORLDS {
        let mut plan = Plan::drawn(&mut Dice::of(number));
        // How long claims hold is not in state, so nothing may hang on it here.
        plan.issuers.iter_mut().flatten().for_each(|issuer| issuer.max_lifetime_s = None);
        let (mut state, question) = (stage.state(&plan), stage.question(&plan));
        let fixed = fix(&state, &question, at(NOW));
        // An act that is named once and done twice has no one moment before it.
        if fixed.acts.iter().any(|act| act.events.len() > 1) {
            continue;
        }
        for act in &fixed.acts {
            let before = everything(&mut stage, &state, &question);
            apply(&mut state, &act.events);
            let after = everything(&mut stage, &state, &question);
            let told = told(act);
            assert_eq!(told, difference(&before, &after), "world {number}: {act:#?}");
            assert_eq!((act.effects.changes_more, act.effects.changes_unseen), (0, 0));
            (acts, changes) = (acts + 1, changes + told.len());
        }
    }
    println!("{changes} changes of {acts} acts");
    assert!(acts > 300 && changes > 80, "{changes} changes of {acts} acts");
}

type Place = (ComponentId, Package, Option<Version>, LinkName);
type Answers = BTreeMap<Place, Answered>;

fn told(act: &Act) -> BTreeMap<Place, (Answered, Answered)> {
    let changes = act.effects.changes.iter().cloned();
    changes.map(|it| ((it.component, it.package, it.version, it.link), (it.before, it.after))).collect()
}

fn difference(before: &Answers, after: &Answers) -> BTreeMap<Place, (Answered, Answered)> {
    let places: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let of = |answers: &Answers, place: &Place| answers.get(place).cloned().unwrap_or(Answered::Absent);
    let both = places.into_iter().map(|place| (place.clone(), (of(before, place), of(after, place))));
    both.filter(|(_, (before, after))| before != after).collect()
}

// Every import of every admitted component, each asked by a whole start with genuine claims, on a host that is enrolled.
fn everything(stage: &mut Stage, state: &State, asked: &Question) -> Answers {
    let mut state = state.clone();
    let host = Pair::<Host>::seeded("another").name;
    apply(&mut state, &[Event::HostJoined(HostJoined { host, invite: Pair::seeded("1").name })]);
    let mut answers = Answers::new();
    for (id, record) in state.components() {
        let claims = stage.claims_of(record);
        for import in &record.imports {
            if asked.runs().id == *id && asked.imports().iter().any(|other| other.package == import.package) {
                continue;
            }
            let runs =
                Runs { id: id.clone(), subject: record.subject.clone(), sha256: record.sha256, claims_sha256: None };
            let supposed = Supposed {
                what: What::StartComponent,
                runs,
                claims: Some(claims.clone()),
                imports: vec![import.clone()],
                offers: asked.offers().to_vec(),
            };
            let question = Question::supposed(host, state.lattice().clone(), supposed);
            let decision = decide(&state, &question, &Facts::default(), at(NOW));
            for name in names(&state, id, import) {
                let place = (id.clone(), import.package.clone(), import.version.clone(), name.clone());
                answers.insert(place, answered(&decision, &name));
            }
        }
    }
    answers
}

fn names(state: &State, id: &ComponentId, import: &Import) -> Vec<LinkName> {
    let live = state.links().iter().filter(|(key, slot)| {
        (&key.component, &key.package) == (id, &import.package) && matches!(slot, crate::govern::LinkSlot::Live(_))
    });
    live.map(|(key, _)| key.name.clone()).chain([LinkName::unnamed()]).collect()
}

fn answered(decision: &Decision, name: &LinkName) -> Answered {
    let outcome = decision.outcomes().iter().find(|outcome| outcome.link == *name);
    match (outcome.map(|outcome| &outcome.grant), decision.refusal()) {
        (Some(Ok(grant)), _) => Answered::Permitted { by: grant.by, id: grant.id.clone(), sha256: grant.sha256 },
        (Some(Err(reason)), _) => Answered::Refused { reason: *reason },
        (None, Some(refusal)) => Answered::Refused { reason: refusal.reason },
        (None, None) => panic!("an import without an outcome"),
    }
}
