//! Random worlds, tens of thousands of them: the law against a model that was written from its description alone.
//!
//! `COUNTERSIGN_WORLDS` says how many. Each world is drawn from its own number, which a failure prints.

mod build;
mod mends;
mod model;
mod plan;
mod relaxed;

use std::collections::BTreeMap;

use self::build::Stage;
use self::model::{Answer, Expected, expected};
use self::plan::{Claims, Dice, End, Interfaces, Kind, NAMES, NOW, Plan, Standing};
use super::world::at;
use crate::decide::{Decision, Facts, Outcome, decide};
use crate::digest::Digest;
use crate::govern::State;
use crate::question::Question;
use crate::reason::Reason;
use crate::resolve::By;

const WORLDS: u64 = 50_000;

#[test]
fn the_law_agrees_with_its_description() {
    let count = std::env::var("COUNTERSIGN_WORLDS").map_or(WORLDS, |text| text.parse().unwrap());
    let mut stage = Stage::new();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for number in 0..count {
        let plan = Plan::drawn(&mut Dice::of(number));
        let (state, question) = (stage.state(&plan), stage.question(&plan));
        let decision = decide(&state, &question, &Facts::default(), at(NOW));
        if let Err(difference) = compare(&stage, &plan, &decision) {
            panic!("world {number}: {difference}\n{plan:#?}\n{decision:#?}");
        }
        holds_promises(&stage, &plan, &decision);
        order_never_decides(&state, &question, &decision, number);
        *seen.entry(told(&decision)).or_default() += 1;
    }
    println!("{count} worlds: {seen:#?}");
    // The worlds are worth their time only while every kind of outcome is among them.
    let permitted = seen.get("permitted").copied().unwrap_or_default();
    assert!(permitted * 10 > count, "{permitted} of {count} are permitted with an import");
    assert!(seen.len() >= 30, "{} kinds of outcome", seen.len());
}

#[test]
fn whatever_rules_say_they_only_narrow() {
    let (mut stage, mut seen) = (Stage::new(), BTreeMap::<String, u64>::new());
    for number in 0..10_000 {
        let mut dice = Dice::of(number);
        let plan = Plan::drawn(&mut dice);
        let (mut state, question) = (stage.state(&plan), stage.question(&plan));
        let without = decide(&state, &question, &Facts::default(), at(NOW));
        let text = super::rules::drawn(|end| dice.below(end));
        state.suppose_rules(Some(super::rules::record(&text)));
        let with = decide(&state, &question, &Facts::default(), at(NOW));
        let ruled = |reason: Reason| matches!(reason, Reason::RuleForbids | Reason::RuleError);
        match (&without, &with) {
            (Decision::Permitted(outcomes), Decision::Permitted(kept)) => assert_eq!(outcomes, kept, "world {number}"),
            (Decision::Permitted(_), Decision::Refused { refusal, .. }) => {
                assert!(ruled(refusal.reason), "world {number}: {text}: {refusal}");
            }
            (Decision::Relaxed { .. }, _) | (_, Decision::Relaxed { .. }) => panic!("nothing is relaxed here"),
            (Decision::Refused { .. }, Decision::Permitted(_)) => panic!("world {number}: {text}"),
            (Decision::Refused { .. }, Decision::Refused { refusal, outcomes: kept }) => {
                let same = kept.iter().zip(without.outcomes()).all(|(kept, outcome)| {
                    kept == outcome
                        || (outcome.grant.is_ok() && kept.grant.as_ref().is_err_and(|reason| ruled(*reason)))
                });
                assert!(same && (kept.len() == without.outcomes().len() || ruled(refusal.reason)), "world {number}");
            }
        }
        *seen.entry(told(&with)).or_default() += 1;
    }
    assert!(["rule_forbids", "rule_error", "permitted"].iter().all(|kind| seen[*kind] > 100), "{seen:?}");
}

// What the description says of a world, and what the law said.
fn compare(stage: &Stage, plan: &Plan, decision: &Decision) -> Result<(), String> {
    compare_with(stage, plan, decision, expected(plan))
}

fn compare_with(stage: &Stage, plan: &Plan, decision: &Decision, expected: Expected) -> Result<(), String> {
    match expected {
        Expected::Start(broken) => {
            let code = decision.refusal().map(|refusal| refusal.reason.code());
            let told = code.is_some_and(|code| broken.contains(code)) && decision.outcomes().is_empty();
            if told { Ok(()) } else { Err(format!("expected one of {broken:?}, got {code:?}")) }
        }
        Expected::Imports(expected) => {
            let outcomes = by_place(stage, plan, decision.outcomes())?;
            let (asked, told): (Vec<_>, Vec<_>) = (expected.keys().collect(), outcomes.keys().collect());
            if asked != told {
                return Err(format!("expected outcomes for {asked:?}, got {told:?}"));
            }
            let whole = expected.values().all(Result::is_ok);
            if whole != decision.refusal().is_none() {
                return Err(format!("expected permitted: {whole}"));
            }
            let first = decision.refusal().map(|refusal| refusal.reason);
            let mut refused = outcomes.values().filter_map(|outcome| outcome.grant.as_ref().err());
            if first.is_some_and(|first| !refused.any(|reason| *reason == first)) {
                return Err(format!("{first:?} is the reason of no import"));
            }
            expected.iter().try_for_each(|(place, expected)| same(stage, plan, expected, outcomes[place]))
        }
    }
}

fn same(stage: &Stage, plan: &Plan, expected: &Result<Answer, model::Broken>, outcome: &Outcome) -> Result<(), String> {
    let found = match (expected, &outcome.grant) {
        (Err(broken), Err(reason)) => broken.contains(reason.code()),
        (Ok(answer), Ok(grant)) => {
            let provider = &plan.providers[answer.provider];
            grant.by == (if answer.by_link { By::Link } else { By::Builtin })
                && grant.sha256 == if answer.newer { &stage.newer } else { &stage.files }[answer.provider]
                && grant.provider == stage.subject(answer.provider, provider.kind)
                && grant.id.as_str() == format!("p{}", answer.provider)
                && grant.config_sha256 == answer.config.then(|| Digest::of(b"config"))
                && grant.revision == answer.by_link.then_some(1)
        }
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    };
    if found { Ok(()) } else { Err(format!("expected {expected:?}, got {:?}", outcome.grant)) }
}

type ByPlace<'a> = BTreeMap<(usize, &'static str), &'a Outcome>;

// I1: each outcome is about one import that was asked for, under one name, and none is told twice.
fn by_place<'a>(stage: &Stage, plan: &Plan, outcomes: &'a [Outcome]) -> Result<ByPlace<'a>, String> {
    let mut placed = BTreeMap::new();
    for outcome in outcomes {
        let is_it = |import: &Interfaces| {
            let import = stage.import(import);
            (import.package, import.version) == (outcome.package.clone(), outcome.version.clone())
        };
        let import = plan.asked.imports.iter().position(is_it).ok_or("an outcome of nothing that was asked")?;
        let name = NAMES.into_iter().find(|name| *name == outcome.link.as_str()).ok_or("a name of no link")?;
        if placed.insert((import, name), outcome).is_some() {
            return Err(format!("two outcomes for import {import} under `{name}`"));
        }
    }
    Ok(placed)
}

// I2 and I5, read off the outcome itself: whoever had a say is trusted now, and no default answers where a link stood.
fn holds_promises(stage: &Stage, plan: &Plan, decision: &Decision) {
    let stands = |number: usize| {
        plan.issuers[number]
            .as_ref()
            .is_some_and(|issuer| !issuer.revoked && (!issuer.prepared || issuer.retired_at.is_some()))
    };
    let outcomes = by_place(stage, plan, decision.outcomes()).unwrap();
    for ((import, name), outcome) in outcomes {
        let Ok(grant) = &outcome.grant else { continue };
        let package = plan.asked.imports[import].package;
        let newer = stage.newer.contains(&grant.sha256);
        let files = if newer { &stage.newer } else { &stage.files };
        let number = files.iter().position(|file| *file == grant.sha256).unwrap();
        let provider = &plan.providers[number];
        assert!(stands(plan.contracts[package].as_ref().unwrap().issuer), "I2: the contract's issuer");
        assert!(provider.kind == Kind::Native || stands(provider.issuer), "I2: the provider's issuer");
        assert!((newer || !provider.retired) && plan.host == Standing::Good);
        let Some(Claims::Signed { issuer, .. }) = &plan.asked.claims else { panic!("I2: no claims") };
        assert!(stands(*issuer), "I2: the component's issuer");
        let linked = plan.links.iter().any(|link| {
            (link.component, link.package, link.name) == ("cart", package, name) && link.end != End::Accepted
        });
        assert_eq!(linked, grant.by == By::Link, "I5");
    }
}

// I6 and I8: asked again, or with everything in another order, the same is told of each import.
fn order_never_decides(state: &State, question: &Question, decision: &Decision, number: u64) {
    let again = decide(state, question, &Facts::default(), at(NOW));
    assert_eq!(again, *decision, "I8: world {number}");
    let mut turned = question.clone();
    turned.offers.reverse();
    turned.offers.extend(question.offers.iter().take(1).cloned());
    turned.imports.reverse();
    let turned = decide(state, &turned, &Facts::default(), at(NOW));
    let sorted = |decision: &Decision| {
        let mut outcomes = decision.outcomes().to_vec();
        outcomes.sort_by_key(|outcome| (outcome.package.clone(), outcome.version.clone(), outcome.link.clone()));
        outcomes
    };
    assert_eq!(sorted(&turned), sorted(decision), "I6: world {number}");
    assert_eq!(turned.refusal().is_none(), decision.refusal().is_none(), "I6: world {number}");
}

fn told(decision: &Decision) -> String {
    if *decision == Decision::Permitted(Vec::new()) {
        return "nothing to permit".to_owned();
    }
    decision.refusal().map_or_else(|| "permitted".to_owned(), |refusal| refusal.reason.to_string())
}

/// A fault as the law could have one: it decides on a world in which something never happened.
type Fault = (&'static str, fn(&mut Plan));

const FAULTS: &[Fault] = &[
    ("a tombstone falls back to the default", |plan| plan.links.retain(|link| link.end != End::Tombstone)),
    ("a link that fails falls back to the default", |plan| {
        let ends = plan.providers.len();
        plan.links.retain(|link| link.provider < ends && !link.misnamed);
    }),
    ("pins of providers are forgotten", |plan| {
        plan.links.iter_mut().filter(|link| link.pin == plan::Pinned::Bytes).for_each(|link| {
            link.pin = plan::Pinned::Freely;
        });
    }),
    ("a pin to an issuer holds any revision", |plan| {
        plan.links.iter_mut().for_each(|link| {
            if let plan::Pinned::Issuer(_, from, to) = &mut link.pin {
                (*from, *to) = (None, None);
            }
        });
    }),
    ("pins of components are forgotten", |plan| {
        plan.links.iter_mut().for_each(|link| link.component_pin = plan::Pinned::Freely);
    }),
    ("links are of any component", |plan| plan.links.iter_mut().for_each(|link| link.component = "cart")),
    ("revocation is forgotten", |plan| plan.issuers.iter_mut().flatten().for_each(|issuer| issuer.revoked = false)),
    ("retirement of issuers is forgotten", |plan| {
        plan.issuers.iter_mut().flatten().for_each(|issuer| issuer.retired_at = None);
    }),
    ("a prepared issuer is believed", |plan| {
        plan.issuers.iter_mut().flatten().for_each(|issuer| issuer.prepared = false);
    }),
    ("an end is forgotten", |plan| plan.issuers.iter_mut().flatten().for_each(|issuer| issuer.until = None)),
    ("who lent is forgotten", |plan| plan.issuers.iter_mut().flatten().for_each(|issuer| issuer.lent_by = None)),
    ("revisions are forgotten", |plan| {
        plan.admitted_rev = None;
        plan.elder = plan.elder.map(|(owner, _)| (owner, None));
    }),
    ("other bytes pass for those admitted", |plan| plan.same_bytes = true),
    ("scope is forgotten", |plan| plan.issuers.iter_mut().flatten().for_each(|issuer| issuer.scopes = vec!["*"])),
    ("kinds are forgotten", |plan| plan.issuers.iter_mut().flatten().for_each(|issuer| issuer.kinds = [true; 3])),
    ("lifetimes are forgotten", |plan| {
        plan.issuers.iter_mut().flatten().for_each(|issuer| issuer.max_lifetime_s = None);
    }),
    ("a retired provider answers", |plan| plan.providers.iter_mut().for_each(|provider| provider.retired = false)),
    ("a withdrawn contract binds", |plan| {
        plan.contracts.iter_mut().flatten().for_each(|contract| contract.withdrawn = false);
    }),
    ("a contract that is not defaultable is", |plan| {
        plan.contracts.iter_mut().flatten().for_each(|contract| contract.defaultable = true);
    }),
    ("configuration is never looked at", |plan| {
        plan.contracts.iter_mut().flatten().for_each(|contract| contract.config = 1);
    }),
    ("the first of two builtins wins", |plan| plan.asked.offers.truncate(1)),
    ("a banned host is answered", |plan| plan.host = Standing::Good),
    ("any lattice is ours", |plan| plan.asked.lattice_is_ours = true),
    ("an old capability list is forgotten", |plan| {
        if let Some(Claims::Signed { caps, .. }) = &mut plan.asked.claims {
            *caps = None;
        }
    }),
    ("an older version answers", |plan| {
        plan.providers.iter_mut().flat_map(|provider| &mut provider.serves).for_each(|served| {
            served.version = match served.version {
                1 => 2,
                4 => 5,
                version => version,
            };
        });
    }),
    ("a missing interface is overlooked", |plan| {
        plan.providers.iter_mut().flat_map(|provider| &mut provider.serves).for_each(|served| {
            served.interfaces = plan::INTERFACES.to_vec();
        });
    }),
    ("anybody may provide", |plan| {
        plan.contracts.iter_mut().flatten().for_each(|contract| contract.subjects = (0..=plan::GHOST).collect());
    }),
    ("the host may offer what it likes", |plan| {
        plan.asked.offers.iter_mut().for_each(|(_, misnamed)| *misnamed = false)
    }),
];

#[test]
fn the_model_notices_a_law_with_a_fault() {
    let mut stage = Stage::new();
    for (name, fault) in FAULTS {
        let mut noticed = (0..5000).filter(|number| {
            let plan = Plan::drawn(&mut Dice::of(*number));
            let mut faulty = plan.clone();
            fault(&mut faulty);
            let (state, question) = (stage.state(&faulty), stage.question(&faulty));
            let decision = decide(&state, &question, &Facts::default(), at(NOW));
            compare(&stage, &plan, &decision).is_err()
        });
        let first = noticed.next();
        println!("{name}: noticed first in world {first:?}");
        assert!(first.is_some(), "{name}");
    }
}

#[test]
fn the_model_notices_a_tampered_decision() {
    let mut stage = Stage::new();
    let (mut fallen, mut swapped) = (0, 0);
    for number in 0..2000 {
        let plan = Plan::drawn(&mut Dice::of(number));
        let (state, question) = (stage.state(&plan), stage.question(&plan));
        let decision = decide(&state, &question, &Facts::default(), at(NOW));
        assert_eq!(compare(&stage, &plan, &decision), Ok(()));
        let Decision::Permitted(outcomes) = decision else {
            if !decision.outcomes().is_empty() {
                let permitted = Decision::Permitted(decision.outcomes().to_vec());
                assert!(compare(&stage, &plan, &permitted).is_err(), "world {number}: half a permit");
            }
            continue;
        };
        if outcomes.is_empty() {
            continue;
        }
        let missing = Decision::Permitted(outcomes[1..].to_vec());
        assert!(compare(&stage, &plan, &missing).is_err(), "world {number}: an import without an outcome");
        let tampered = |change: fn(&mut crate::decide::Grant)| {
            let mut outcomes = outcomes.clone();
            change(outcomes[0].grant.as_mut().unwrap());
            Decision::Permitted(outcomes)
        };
        let turned = tampered(|grant| grant.by = if grant.by == By::Link { By::Builtin } else { By::Link });
        assert!(compare(&stage, &plan, &turned).is_err(), "world {number}: a link taken for a builtin");
        let swap = tampered(|grant| grant.sha256 = Digest::of(b"another file"));
        assert!(compare(&stage, &plan, &swap).is_err(), "world {number}: other bytes");
        swapped += 1;
        // The same permit, where the link that gave it had been deleted.
        let mut deleted = plan.clone();
        deleted.links.iter_mut().for_each(|link| link.end = End::Tombstone);
        if outcomes.iter().any(|outcome| outcome.grant.as_ref().is_ok_and(|grant| grant.by == By::Link)) {
            assert!(compare(&stage, &deleted, &Decision::Permitted(outcomes)).is_err(), "world {number}: a tombstone");
            fallen += 1;
        }
    }
    println!("{swapped} permits tampered with, {fallen} of links");
    assert!(swapped > 200 && fallen > 100, "{swapped} and {fallen}");
}
