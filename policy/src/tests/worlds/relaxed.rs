//! The same worlds under relaxations: without one that stands nothing changes, with one only what it may lift.

use std::collections::BTreeMap;

use super::build::Stage;
use super::model::{Broken, Expected, expected, expected_under, without};
use super::plan::{Dice, NOW, PACKAGES, Plan};
use super::{WORLDS, compare_with};
use crate::decide::{Decision, Facts, decide};
use crate::digest::Digest;
use crate::govern::{Event, RelaxationPut, State};
use crate::question::Question;
use crate::reason::Reason;
use crate::relax::{RELAXABLE, Relaxation, Weakening};
use crate::tests::world::at;

fn under(state: &State, kinds: Vec<Weakening>, until: u64) -> State {
    let mut state = state.clone();
    for (number, kind) in kinds.into_iter().enumerate() {
        let relaxation = Relaxation { kind, since: at(NOW - 100), until: at(until), reason: "a trial".to_owned() };
        let id = format!("r{number}").parse().unwrap();
        let index = state.next_index();
        state.apply(&Event::RelaxationPut(RelaxationPut { id, relaxation }), index);
    }
    state
}

fn observe(package: Option<usize>) -> Weakening {
    Weakening::Observe { package: package.map(|number| PACKAGES[number].parse().unwrap()) }
}

fn exception(sha256: Digest, allow: Reason) -> Weakening {
    Weakening::Exception { sha256, allow }
}

const SIGNED: [Reason; 4] = [Reason::Expired, Reason::LifetimeExceeded, Reason::IssuerScope, Reason::IssuerUnknown];

struct World<'a> {
    stage: &'a Stage,
    plan: &'a Plan,
    question: &'a Question,
    number: u64,
}

impl World<'_> {
    fn decided(&self, state: &State) -> Decision {
        decide(state, self.question, &Facts::default(), at(NOW))
    }

    // Holds what the law says under a relaxation to the description, and to what it says without.
    fn holds(&self, state: &State, plainly: &Decision, lift: &dyn Fn(Option<usize>, Broken) -> Broken) -> bool {
        let decision = self.decided(state);
        let held = compare_with(self.stage, self.plan, &decision, expected_under(self.plan, lift));
        assert_eq!(held, Ok(()), "world {}: {:#?}\n{decision:#?}", self.number, self.plan);
        if plainly.refusal().is_none() {
            assert_eq!(decision, *plainly, "world {}: what was permitted is the same", self.number);
        }
        for relaxed in decision.relaxed() {
            assert!(RELAXABLE.contains(&relaxed.would_refuse), "world {}: {relaxed:?}", self.number);
            assert!(broken(self.plan).contains(relaxed.would_refuse.code()), "world {}: {relaxed:?}", self.number);
        }
        matches!(decision, Decision::Relaxed { .. })
    }
}

// Everything that is broken anywhere in it, also behind a start that is refused.
fn broken(plan: &Plan) -> Broken {
    let mut all = match expected(plan) {
        Expected::Start(broken) => broken,
        Expected::Imports(_) => Broken::new(),
    };
    if let Expected::Imports(outcomes) = expected_under(plan, &|place, broken| match place {
        None => Broken::new(),
        Some(_) => broken,
    }) {
        all.extend(outcomes.into_values().filter_map(Result::err).flatten());
    }
    all
}

#[test]
fn the_law_agrees_with_its_description_under_relaxations() {
    let count = std::env::var("COUNTERSIGN_WORLDS").map_or(WORLDS / 5, |text| text.parse().unwrap());
    let mut stage = Stage::new();
    let mut flipped: BTreeMap<&str, u64> = BTreeMap::new();
    for number in 0..count {
        let plan = Plan::drawn(&mut Dice::of(number));
        let (state, question) = (stage.state(&plan), stage.question(&plan));
        let world = World { stage: &stage, plan: &plan, question: &question, number };
        let plainly = world.decided(&state);
        let file = question.runs().sha256;

        // After its end, to the second, everything is as without.
        let mut ended: Vec<_> = RELAXABLE.iter().map(|reason| exception(file, *reason)).collect();
        ended.extend([observe(None), observe(Some(0))]);
        assert_eq!(world.decided(&under(&state, ended, NOW)), plainly, "world {number}: it had ended");

        let observed = under(&state, vec![observe(None)], NOW + 1);
        let flips = world.holds(&observed, &plainly, &|_, broken| without(broken, None));
        *flipped.entry("observed").or_default() += u64::from(flips);

        let package = usize::try_from(number % 3).unwrap();
        let observed = under(&state, vec![observe(Some(package))], NOW + 1);
        let flips = world.holds(&observed, &plainly, &|place, broken| {
            if place == Some(package) { without(broken, None) } else { broken }
        });
        *flipped.entry("one package observed").or_default() += u64::from(flips);

        let reason = RELAXABLE[usize::try_from(number).unwrap() % RELAXABLE.len()];
        let excepted = under(&state, vec![exception(file, reason)], NOW + 1);
        // Of what was signed of a file, the exception is for that file alone: here, what starts.
        let elsewhere = |place: Option<usize>| place.is_some() && SIGNED.contains(&reason);
        let flips = world.holds(&excepted, &plainly, &|place, broken| {
            if elsewhere(place) { broken } else { without(broken, Some(reason.code())) }
        });
        *flipped.entry("excepted").or_default() += u64::from(flips);

        // An exception for other bytes is none.
        let other = under(&state, vec![exception(Digest::of(b"another file"), reason)], NOW + 1);
        assert_eq!(world.decided(&other), plainly, "world {number}: another file");
    }
    println!("{count} worlds: {flipped:?}");
    assert!(flipped.values().all(|flips| flips * 1000 > count), "{flipped:?} of {count}");
}

#[test]
fn the_model_notices_a_relaxation_that_lifts_too_much() {
    let mut stage = Stage::new();
    let noticed =
        |stage: &mut Stage, kind: &dyn Fn(Digest) -> Weakening, lift: &dyn Fn(Option<usize>, Broken) -> Broken| {
            (0..20_000).find(|number| {
                let plan = Plan::drawn(&mut Dice::of(*number));
                let (state, question) = (stage.state(&plan), stage.question(&plan));
                let state = under(&state, vec![kind(question.runs().sha256)], NOW + 1);
                let decision = decide(&state, &question, &Facts::default(), at(NOW));
                compare_with(stage, &plan, &decision, expected_under(&plan, lift)).is_err()
            })
        };
    let one = RELAXABLE[0];
    let (nothing, only) = (|_, broken| broken, |_, broken| without(broken, Some(one.code())));
    let elsewhere = |place, broken| if place == Some(1) { without(broken, None) } else { broken };
    for (name, first) in [
        ("all, where nothing was relaxed", noticed(&mut stage, &|_| observe(None), &nothing)),
        ("all, where one reason was", noticed(&mut stage, &|_| observe(None), &only)),
        ("all, where another package was", noticed(&mut stage, &|_| observe(None), &elsewhere)),
        ("another package", noticed(&mut stage, &|_| observe(Some(0)), &elsewhere)),
        ("another reason", noticed(&mut stage, &|file| exception(file, Reason::ProviderNotAllowed), &only)),
    ] {
        println!("{name}: noticed first in world {first:?}");
        assert!(first.is_some(), "{name}");
    }
}
