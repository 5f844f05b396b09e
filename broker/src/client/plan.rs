//! A plan: what a command would change, judged by whoever holds the state and recorded nowhere, under a digest that
//! whoever does it can name.
//!
//! What is planned is signed as a question, never as a command: nobody on the way can have it done.

use policy::digest::Digest;
use policy::key::refuse_secrets;
use policy::reason::{Reason, Refusal};
use serde_json::{Value, json};

use super::{Act, Client, Seen};
use crate::view::{Look, Proposal};

/// What a command would change.
#[derive(Debug)]
pub struct Plan {
    /// SHA-256 of what is asked and of the epoch it was planned at: the same question later has another.
    pub sha256: Digest,
    /// That epoch.
    pub epoch: u64,
    /// What it would cause, who depends on that, and which starts would come out otherwise.
    pub view: Value,
}

impl Client {
    /// What a command would change.
    ///
    /// # Errors
    /// The reason why it would be refused, or why nobody could be asked.
    pub fn plan(&self, basis: u64, act: Act) -> anyhow::Result<Plan> {
        let Act { operations, statements, .. } = act;
        let digests: Vec<Digest> = statements.iter().map(|statement| Digest::of(statement)).collect();
        // As a command is scanned: whatever looks like a seed goes nowhere.
        refuse_secrets(&policy::json::write(&operations))?;
        let proposal = Proposal { by: self.administrator()?.name(), basis, operations: operations.clone(), statements };
        let Seen { view, .. } = self.look(&Look::Plan(Box::new(proposal)))?;
        let epoch = view.get("epoch").and_then(Value::as_u64);
        let epoch = epoch.ok_or_else(|| Refusal::new(Reason::SchemaMismatch, "the plan names no epoch"))?;
        let asked = json!({
            "lattice": self.lattice, "epoch": epoch, "operations": operations, "statements": digests,
        });
        Ok(Plan { sha256: Digest::of(&policy::json::write(&asked)), epoch, view })
    }
}
