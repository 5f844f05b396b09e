//! Who can stand behind an interface: the subject of a provider, and what it serves.
//!
//! How a provider is admitted is left to `govern`, whether it may answer to `decide`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::artifact::Import;
use crate::key::{Component, Name, Provider};
use crate::name::{NativeName, Package};
use crate::reason::Refusal;

/// What a provider is: a component that exports, a provider archive, or a native builtin of a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Subject {
    /// A component, by its `M…` key.
    Component(Name<Component>),
    /// A provider archive, by its `V…` key.
    Provider(Name<Provider>),
    /// A native builtin, by its name: as honest as the host binary.
    Native(NativeName),
}

impl Subject {
    /// Reads a subject.
    ///
    /// # Errors
    /// The reason of whichever form its first letter promises.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        match text.chars().next() {
            Some('M') => Name::parse(text).map(Self::Component),
            Some('V') => Name::parse(text).map(Self::Provider),
            Some('n') => NativeName::parse(text).map(Self::Native),
            _ => Name::<Provider>::parse(text).map(Self::Provider),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(key) => key.fmt(f),
            Self::Provider(key) => key.fmt(f),
            Self::Native(name) => name.fmt(f),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        Self::parse(&text)
    }
}

/// Where it is known from what a provider serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The exports of the component itself.
    Exports,
    /// The hash-covered `world.wasm` of the archive.
    World,
    /// The contract id in older claims.
    Capid,
    /// An administrator's signed statement: shown as stated, never as read.
    Stated,
    /// A native builtin of the host.
    Native,
}

/// The part of what is served that belongs to one package.
pub fn serves<'a>(served: &'a [Import], package: &'a Package) -> impl Iterator<Item = &'a Import> {
    served.iter().filter(move |import| import.package == *package)
}
