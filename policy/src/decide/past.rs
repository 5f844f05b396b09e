//! One rule and what relaxations lift of it: asked again behind each refusal that is lifted, so that none hides another.

use super::{About, Binding, ImportRule, Start, StartRule, Watch};
use crate::artifact::Import;
use crate::reason::{Reason, Refusal};
use crate::relax::{Aside, Relaxed, lifted};

/// What was lifted, each with the refusal that it would have been.
type Lifts = Vec<(Relaxed, Refusal)>;

pub(super) fn start(rule: &StartRule, start: &Start<'_>) -> (Result<(), Refusal>, Lifts) {
    let judge = |aside| (rule.judge)(&Start { aside, ..*start });
    let lift = |reason| {
        let id = lifted(start.state, start.question, start.now, reason, None)?.clone();
        Some(Relaxed { id, would_refuse: reason, package: None, version: None, link: None })
    };
    match (rule.judge)(start) {
        Ok(()) => (Ok(()), Vec::new()),
        Err(refusal) => behind(refusal, judge, lift),
    }
}

pub(super) fn import(rule: &ImportRule, binding: &Binding<'_>) -> (Result<(), Refusal>, Lifts) {
    let judge = |aside| {
        let Binding { start, import, link, candidate } = binding;
        let start = Start { aside, ..*start };
        (rule.judge)(&Binding { start, import, link: link.clone(), candidate: candidate.clone() })
    };
    let lift = |reason| {
        // A reprieve is of a file: whoever owns a contract signs that anew.
        if reason == Reason::IssuerRevoked && rule.about != About::Candidate {
            return None;
        }
        let Start { state, question, now, .. } = binding.start;
        let answers = binding.candidate.as_ref().ok().map(|candidate| candidate.sha256);
        let id = lifted(state, question, now, reason, Some((binding.import, answers, rule.about)))?.clone();
        let Import { package, version, .. } = binding.import.clone();
        let (package, link) = (Some(package), Some(binding.link.clone()));
        Some(Relaxed { id, would_refuse: reason, package, version, link })
    };
    match (rule.judge)(binding) {
        Ok(()) => (Ok(()), Vec::new()),
        Err(refusal) => behind(refusal, judge, lift),
    }
}

pub(super) fn tell(lifts: Lifts, watch: &mut impl Watch, relaxed: &mut Vec<Relaxed>) {
    for (lift, would) in lifts {
        watch.relaxed(&lift, &would);
        relaxed.push(lift);
    }
}

fn behind(
    first: Refusal,
    judge: impl Fn(Aside) -> Result<(), Refusal>,
    lift: impl Fn(Reason) -> Option<Relaxed>,
) -> (Result<(), Refusal>, Lifts) {
    let (mut refusal, mut aside, mut lifts) = (first, Aside::default(), Vec::new());
    loop {
        // A rule that refuses for what was set aside has the last word.
        let Some(lift) = lift(refusal.reason).filter(|_| !aside.has(refusal.reason)) else {
            return (Err(refusal), lifts);
        };
        aside = aside.and(refusal.reason);
        lifts.push((lift, refusal));
        match judge(aside) {
            Ok(()) => return (Ok(()), lifts),
            Err(next) => refusal = next,
        }
    }
}
