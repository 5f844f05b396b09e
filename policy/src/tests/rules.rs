//! The operator's rules as the law knows them: put, replaced, deleted, asked last, replayed, and never asked for more.

use std::sync::Arc;

use super::world::World;
use crate::digest::Digest;
use crate::govern::{DeleteRules, Operation, PutRules};
use crate::log::{Body, Entry, Ledger, Rejudge};
use crate::reason::{Reason, Refusal};
use crate::rules::{Case, Language, Objection, Rules, RulesRecord, RulesText};

/// A language for these tests: each line is `forbid WORD` or `fail WORD`, about cases that hold the word.
#[derive(Debug)]
pub(super) struct Words;

#[derive(Debug)]
struct Lines(Vec<(bool, String)>);

impl Language for Words {
    fn read(&self, text: &RulesText) -> Result<Arc<dyn Rules>, Refusal> {
        let lines = text.as_str().lines().map(|line| match line.split_once(' ') {
            Some(("forbid", word)) => Ok((true, word.to_owned())),
            Some(("fail", word)) => Ok((false, word.to_owned())),
            _ => Err(Refusal::new(Reason::RulesMalformed, "a line is neither")),
        });
        Ok(Arc::new(Lines(lines.collect::<Result<_, _>>()?)))
    }
}

impl Rules for Lines {
    fn judge(&self, case: &Case) -> Result<(), Objection> {
        let case = String::from_utf8(crate::json::write(case)).unwrap();
        let met = |forbids: bool| {
            let met = self.0.iter().filter(move |(kind, word)| *kind == forbids && case.contains(word.as_str()));
            met.map(|(_, word)| word.clone()).collect::<Vec<_>>()
        };
        match (met.clone()(true), met(false)) {
            (forbidden, _) if !forbidden.is_empty() => Err(Objection::Forbidden(forbidden)),
            (_, failed) if !failed.is_empty() => Err(Objection::Failed(failed)),
            _ => Ok(()),
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|(_, word)| word.clone()).collect()
    }
}

/// A text with some rules about what random worlds hold.
pub(super) fn drawn(mut below: impl FnMut(usize) -> usize) -> String {
    let words = ["p0", "p1", "p2", "builtin", "revision", "component", "wasi", "0.1", "nobody"];
    let line = |_| format!("{} {}", ["forbid", "fail"][below(2)], words[below(words.len())]);
    (0..2).map(line).collect::<Vec<_>>().join("\n")
}

/// The rules of a text, as if it stood.
pub(super) fn record(text: &str) -> RulesRecord {
    RulesRecord::read(&Words, RulesText::parse(text).unwrap(), 0)
}

pub(super) fn world() -> World {
    let mut world = World::with_builtin();
    world.ledger = world.ledger.clone().reading_rules(Arc::new(Words));
    world
}

pub(super) fn put(world: &mut World, text: &str) -> Result<(), Refusal> {
    world.act(Operation::PutRules(PutRules { text: RulesText::parse(text).unwrap() }))
}

fn reason(world: &mut World) -> Option<Reason> {
    world.start().decision().refusal().map(|refusal| refusal.reason)
}

#[test]
fn a_text_stands_until_another_does_and_each_ruling_names_its_own() {
    let mut world = world();
    let mut named = Vec::new();
    let mut asked = |world: &mut World| {
        let reason = reason(world);
        let Body::Ruling(ruled) = Entry::read(world.rows.last().unwrap()).unwrap().body else { panic!("a ruling") };
        named.push(ruled.rules_sha256);
        reason
    };
    assert_eq!(asked(&mut world), None);
    put(&mut world, "forbid native/logging").unwrap();
    assert_eq!(asked(&mut world), Some(Reason::RuleForbids));
    put(&mut world, "fail cart").unwrap();
    assert_eq!(asked(&mut world), Some(Reason::RuleError));
    put(&mut world, "forbid nobody").unwrap();
    assert_eq!(asked(&mut world), None);
    let digest = |text: &str| Some(Digest::of(text.as_bytes()));
    assert_eq!(named, [None, digest("forbid native/logging"), digest("fail cart"), digest("forbid nobody")]);

    // Replayed with the same language it is the same, byte for byte; with none, what rules decided does not follow.
    let replayed = |ledger: Ledger| {
        let mut ledger = ledger;
        let mut rows = world.rows[1..].iter();
        rows.try_for_each(|row| ledger.replay(row, Rejudge::Yes(&world.evidence)).map(drop)).map(|()| ledger.head())
    };
    let begun = || Ledger::begin(&world.rows[0]).unwrap();
    assert_eq!(replayed(begun().reading_rules(Arc::new(Words))).unwrap(), world.ledger.head());
    assert_eq!(replayed(begun()).unwrap_err().reason, Reason::LogBroken);
}

#[test]
fn a_text_that_cannot_be_read_is_not_put_and_one_that_stands_unread_refuses() {
    let mut world = world();
    assert_eq!(put(&mut world, "permit all").unwrap_err().reason, Reason::RulesMalformed);
    assert_eq!(reason(&mut world), None);
    put(&mut world, "forbid nobody").unwrap();
    assert_eq!(put(&mut world, "forbid nobody").unwrap_err().reason, Reason::AlreadyExists);
    // Folded by somebody who reads no rules: it knows that there are some, and permits nothing.
    let mut unread = Ledger::begin(&world.rows[0]).unwrap();
    world.rows[1..].iter().for_each(|row| drop(unread.replay(row, Rejudge::No).unwrap()));
    world.ledger = unread;
    assert_eq!(reason(&mut world), Some(Reason::RuleError));
}

#[test]
fn rules_are_deleted_by_their_digest_and_by_whoever_saw_them_last() {
    let mut world = world();
    let delete = |text: &str| Operation::DeleteRules(DeleteRules { sha256: Digest::of(text.as_bytes()) });
    assert_eq!(world.act(delete("a")).unwrap_err().reason, Reason::NotFound);
    put(&mut world, "forbid cart").unwrap();
    assert_eq!(world.act(delete("forbid nobody")).unwrap_err().reason, Reason::NotFound);
    let mut late = world.command(vec![delete("forbid cart")]);
    late.basis -= 1;
    assert_eq!(world.submit(late, &[]).unwrap_err().reason, Reason::Superseded);
    assert_eq!(reason(&mut world), Some(Reason::RuleForbids));
    world.act(delete("forbid cart")).unwrap();
    assert_eq!(reason(&mut world), None);
}
