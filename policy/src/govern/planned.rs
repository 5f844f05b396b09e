//! A command that is only thought of: judged like one, by who would give it, and worth nothing to whoever else reads it.
//!
//! Nobody has signed it, so nobody can have it done; a plan that travels must be no command. What it would change for
//! whom is left to `explain`.

use std::collections::BTreeMap;

use super::handle::{Handled, Whole};
use super::{Case, Checked, Lack, Operation, State, Times};
use crate::command::Command;
use crate::digest::Digest;
use crate::examine::{self, Verdict};
use crate::reason::{Reason, Refusal};

/// A command that is only thought of, with the verdict on each statement that it speaks of.
#[derive(Debug, Clone)]
pub struct Planned {
    command: Command,
    attachments: Vec<Vec<u8>>,
    evidence: BTreeMap<Digest, Verdict>,
}

impl Planned {
    /// The command, with the statements that it names.
    ///
    /// # Errors
    /// `evidence_missing` when it names others.
    pub fn new(command: Command, statements: Vec<Vec<u8>>) -> Result<Self, Refusal> {
        if !command.statements.iter().copied().eq(statements.iter().map(|statement| Digest::of(statement))) {
            return Err(Refusal::new(Reason::EvidenceMissing, "the statements are not those that the plan names"));
        }
        let evidence = examine::statements(&statements);
        Ok(Self { command, attachments: statements, evidence })
    }

    /// What it would ask for.
    pub fn operations(&self) -> &[Operation] {
        &self.command.operations
    }
}

impl State {
    /// What a command would cause once as many have signed it as it takes, and what it would lack; recorded nowhere.
    ///
    /// # Errors
    /// As [`State::handle`]: who may not do it may not plan it either.
    pub fn plan(&self, planned: &Planned, found: &[Checked], times: impl Into<Times>) -> Result<Handled, Refusal> {
        let Planned { command, attachments, evidence } = planned;
        let times = times.into();
        self.addressed(command, times.judging())?;
        command.bounded()?;
        let case =
            Case { now: times.now, clock: times.clock, by: &command.iss, evidence, attachments, found, checked: None };
        if let [Operation::ApproveCommand(approve)] = command.operations.as_slice() {
            return self.approve(approve, &case);
        }
        case.in_order(command)?;
        let Whole { events, subjects, needs } = self.judge_all(command, &case)?;
        let lack = self.lacks(&needs, &[self.administrators().signer(&command.iss)], times.now);
        let (id, until) = (command.jti, command.not_after);
        let lack = lack.map(|(missing, roles)| Lack { id, missing, roles, until });
        Ok(Handled { events, subjects, lack })
    }
}
