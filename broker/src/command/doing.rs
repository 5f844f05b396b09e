//! What a command does, and how it is told once it is done.
//!
//! Whether, why and on which basis is left to `acting`.

use policy::digest::Digest;
use policy::govern::Operation;
use policy::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::client::Anew;
use crate::command::when::When;
use crate::config::Config;

/// What is to be done, and how it is told once it is.
#[derive(Debug, Default)]
pub(super) struct Doing {
    /// The operations.
    pub(super) operations: Vec<Operation>,
    /// The signed statements that they speak of.
    pub(super) statements: Vec<Vec<u8>>,
    /// The configurations that they name.
    pub(super) beside: Vec<Vec<u8>>,
    /// What of it would be another if it were made again.
    pub(super) anew: Anew,
    /// What is done by approving it.
    pub(super) approved: Vec<Operation>,
    /// One line for people.
    pub(super) says: String,
    /// Members for programs.
    pub(super) members: Map<String, Value>,
}

impl Doing {
    /// One operation without statements.
    pub(super) fn one(operation: Operation, says: impl Into<String>) -> Self {
        Self { operations: vec![operation], says: says.into(), ..Self::default() }
    }

    /// The same, with a statement.
    pub(super) fn with_statement(mut self, statement: Vec<u8>) -> Self {
        self.statements.push(statement);
        self
    }

    /// The same, with the configurations that it names.
    pub(super) fn configured<'a>(mut self, configs: impl IntoIterator<Item = &'a Config>) -> Self {
        for config in configs {
            let document = config.to_bytes();
            self.anew.note(Digest::of(&document), "the salt of a configuration", config.values());
            self.beside.push(document);
        }
        self
    }

    /// The same, where a moment in it was asked for: as a date it stays, as a span it is another each time.
    pub(super) fn until(mut self, at: impl Into<Option<Timestamp>>, asked: impl Into<Option<When>>) -> Self {
        if let (Some(at), Some(When::In(seconds))) = (at.into(), asked.into()) {
            self.anew.note(at, format!("{seconds} s from when it is done"), Value::Null);
        }
        self
    }

    /// The same, where `made` was made just now, and is this.
    pub(super) fn anew(mut self, made: impl Serialize, what: impl Into<String>) -> Self {
        self.anew.note(made, what, Value::Null);
        self
    }

    /// The same, with a member for programs.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }
}
