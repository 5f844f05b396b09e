//! A plan: what a command would change, judged by whoever holds the state and recorded nowhere, under a digest that
//! whoever does it can name.
//!
//! What is planned is signed as a question, never as a command: nobody on the way can have it done.

use std::collections::BTreeMap;

use policy::digest::Digest;
use policy::json;
use policy::key::refuse_secrets;
use policy::reason::{Reason, Refusal};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Act, Client, Seen};
use crate::view::{Look, Proposal};

/// What a command would change.
#[derive(Debug)]
pub struct Plan {
    /// SHA-256 of what is asked, of the lattice and of the epoch it was planned at: the same question later has another.
    pub sha256: Digest,
    /// That epoch.
    pub epoch: u64,
    /// What it would cause, who depends on that, and which starts would come out otherwise.
    pub view: Value,
    /// What will be made anew when it is done.
    pub anew: Vec<String>,
}

/// What of an act is another each time it is made, such as a salt or the end of a span, each with what it is made from:
/// that is what a plan's digest is about.
#[derive(Debug, Clone, Default)]
pub struct Anew(BTreeMap<Vec<u8>, (String, Value)>);

impl Anew {
    /// Notes that `made` is this, made from that just now, wherever it stands in the act.
    pub fn note(&mut self, made: impl Serialize, what: impl Into<String>, from: impl Into<Value>) {
        self.0.insert(json::write(&made), (what.into(), from.into()));
    }

    // For people: what will be made, each kind once.
    fn told(&self) -> Vec<String> {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        self.0.values().for_each(|(what, _)| *kinds.entry(what).or_default() += 1);
        let told = kinds.into_iter().map(|(what, count)| match count {
            1 => what.to_owned(),
            _ => format!("{what}, {count} times"),
        });
        told.collect()
    }

    // What was asked, as it is asked each time.
    fn settled(&self, asked: Value) -> Value {
        if let Some((what, from)) = self.0.get(&json::write(&asked)) {
            return json!({ "made": what, "from": from });
        }
        match asked {
            Value::Array(items) => items.into_iter().map(|item| self.settled(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(name, value)| (name, self.settled(value))).collect::<Value>()
            }
            other => other,
        }
    }
}

impl Client {
    /// What a command would change.
    ///
    /// # Errors
    /// The reason why it would be refused, or why nobody could be asked.
    pub fn plan(&self, basis: u64, act: Act) -> anyhow::Result<Plan> {
        // What the command line would not send is refused here, too. Signed and let go: a plan that travels is no command.
        let pin = self.pin()?;
        drop(self.signed(&pin, basis, act.clone())?);
        let Act { operations, statements, beside, anew, .. } = act;
        let digests: Vec<Digest> = statements.iter().map(|statement| Digest::of(statement)).collect();
        // As a command is scanned: whatever looks like a seed goes nowhere.
        refuse_secrets(&json::write(&operations))?;
        let by = self.administrator()?.name();
        let proposal = Proposal { by, basis, operations: operations.clone(), statements, beside };
        let Seen { view, .. } = self.look(&Look::Plan(Box::new(proposal)))?;
        let epoch = view.get("epoch").and_then(Value::as_u64);
        let epoch = epoch.ok_or_else(|| Refusal::new(Reason::SchemaMismatch, "the plan names no epoch"))?;
        let asked = anew.settled(json!({ "operations": operations, "statements": digests }));
        let asked = json!({ "lattice": self.lattice, "inception_sha256": pin.root(), "epoch": epoch, "asked": asked });
        Ok(Plan { sha256: Digest::of(&json::write(&asked)), epoch, view, anew: anew.told() })
    }
}
