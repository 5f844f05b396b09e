//! What is decided: permitted whole, with what answers each import, or refused whole, with why.
//!
//! How it comes about is left to the tables; the form of an outcome on the wire, to `wire`.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::name::{ComponentId, LinkName, Package, Version};
use crate::provider::Subject;
use crate::reason::{Reason, Refusal};
use crate::relax::Relaxed;
use crate::resolve::By;

/// What answers one import under one link name, or why nothing may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "super::wire::Wire", into = "super::wire::Wire")]
pub struct Outcome {
    /// The package.
    pub package: Package,
    /// The version that was asked for.
    pub version: Option<Version>,
    /// The link's name.
    pub link: LinkName,
    /// What answers, or why nothing may.
    pub grant: Result<Grant, Reason>,
}

/// What answers one import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// How.
    pub by: By,
    /// The id under which the provider runs.
    pub id: ComponentId,
    /// The provider.
    pub provider: Subject,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// The link's revision.
    pub revision: Option<u64>,
    /// SHA-256 of its configuration.
    pub config_sha256: Option<Digest>,
}

/// Permitted whole, with what answers each import, or refused whole, with why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Every import has an answer.
    Permitted(Vec<Outcome>),
    /// Every import has an answer, and a weakening that stands let some rule pass.
    Relaxed {
        /// What each relaxation let through, in the order of the rules.
        relaxed: Vec<Relaxed>,
        /// What answers each import.
        outcomes: Vec<Outcome>,
    },
    /// Something must not be.
    Refused {
        /// The first refusal.
        refusal: Refusal,
        /// What became of each import; empty when the start itself was refused.
        outcomes: Vec<Outcome>,
    },
}

impl Decision {
    /// What became of each import.
    pub fn outcomes(&self) -> &[Outcome] {
        match self {
            Self::Permitted(outcomes) | Self::Relaxed { outcomes, .. } | Self::Refused { outcomes, .. } => outcomes,
        }
    }

    /// The first refusal.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Permitted(_) | Self::Relaxed { .. } => None,
            Self::Refused { refusal, .. } => Some(refusal),
        }
    }

    /// What relaxations let through.
    pub fn relaxed(&self) -> &[Relaxed] {
        match self {
            Self::Relaxed { relaxed, .. } => relaxed,
            Self::Permitted(_) | Self::Refused { .. } => &[],
        }
    }
}
