//! What a rule is asked: one start, or one binding of it, in plain words and numbers.
//!
//! The same document is written by hand in the cases of `rules test`, so what may be left out has a default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decide::{Binding, Start};
use crate::examine::Evidence;
use crate::question::{Assurance, What};
use crate::relax::bearing;
use crate::resolve::By;

/// One start, or one binding of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The lattice.
    #[serde(default = "usual_lattice")]
    pub lattice: String,
    /// The broker's clock, in seconds since 1970.
    #[serde(default)]
    pub now: u64,
    /// How sure the broker is of who asks.
    #[serde(default = "usual_assurance")]
    pub assurance: Assurance,
    /// The relaxations that stand and could lift something of this, whether or not they had to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relaxations: Vec<String>,
    /// The host that asks.
    pub host: CaseHost,
    /// What would start.
    pub runs: CaseRuns,
    /// What would answer one of its imports; none for the start itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<CaseBinding>,
}

/// The host that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseHost {
    /// Its key.
    pub key: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What would start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseRuns {
    /// Whether it starts as a component or as a provider.
    #[serde(default = "usual_start")]
    pub what: What,
    /// The id it runs under.
    pub id: String,
    /// What it is, by its claims.
    #[serde(default)]
    pub subject: String,
    /// SHA-256 of the whole file.
    #[serde(default)]
    pub sha256: String,
    /// Who signed its claims.
    #[serde(default)]
    pub issuer: String,
}

/// What would answer one import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseBinding {
    /// The package.
    pub package: String,
    /// The version that is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who signed the package's contract.
    #[serde(default)]
    pub contract_issuer: String,
    /// The contract's revision.
    #[serde(default)]
    pub contract_revision: u64,
    /// The link's name; `default` where no link says otherwise.
    #[serde(default = "usual_link")]
    pub link: String,
    /// The link's revision; none where the lattice's default answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// What would answer.
    pub answerer: Answerer,
}

/// What would answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answerer {
    /// Whether the host itself offers these bytes.
    #[serde(default)]
    pub builtin: bool,
    /// The id it runs under.
    pub id: String,
    /// What it is.
    #[serde(default)]
    pub subject: String,
    /// SHA-256 of its bytes; of its name, for a native builtin.
    #[serde(default)]
    pub sha256: String,
    /// Who signed its claims; none for a native builtin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

impl Case {
    /// What it is about, for a sentence.
    pub(super) fn subject(&self) -> String {
        match &self.binding {
            None => format!("the start of `{}` on this host", self.runs.id),
            Some(binding) if binding.answerer.builtin => {
                format!("builtin `{}` for `{}` of `{}`", binding.answerer.id, binding.package, self.runs.id)
            }
            Some(binding) => {
                format!("provider `{}` for `{}` of `{}`", binding.answerer.id, binding.package, self.runs.id)
            }
        }
    }

    /// The case of a start.
    pub(crate) fn of_start(start: &Start<'_>) -> Self {
        let (state, question) = (start.state, start.question);
        let labels = state.hosts().get(&question.host).map(|record| record.labels.clone()).unwrap_or_default();
        let issuer = match &question.claims {
            Some(Ok(Evidence::Component(claimed))) => Some(claimed.issuer()),
            Some(Ok(Evidence::Provider(claimed))) => Some(claimed.issuer()),
            // A supposed neighbour of a question: what was admitted tells who signed it.
            _ => state.components().get(&question.runs.id).map(|record| &record.issuer),
        };
        Self {
            lattice: state.lattice().to_string(),
            now: start.now.seconds(),
            assurance: question.assurance,
            relaxations: bearing(state, question, start.now, None).map(ToString::to_string).collect(),
            host: CaseHost { key: question.host.to_string(), labels },
            runs: CaseRuns {
                what: question.what,
                id: question.runs.id.to_string(),
                subject: question.runs.subject.to_string(),
                sha256: question.runs.sha256.to_string(),
                issuer: issuer.map(ToString::to_string).unwrap_or_default(),
            },
            binding: None,
        }
    }

    /// The case of a binding that has a candidate.
    pub(crate) fn of_binding(binding: &Binding<'_>) -> Option<Self> {
        let candidate = binding.candidate().ok()?;
        let published = binding.start.state.contracts().get(&binding.import.package)?;
        let provider = candidate.provider;
        let offered = binding.start.question.offers.iter().any(|offer| offer.sha256 == candidate.sha256);
        let bound = CaseBinding {
            package: binding.import.package.to_string(),
            version: binding.import.version.as_ref().map(ToString::to_string),
            contract_issuer: published.contract.iss.to_string(),
            contract_revision: published.contract.revision,
            link: binding.link.to_string(),
            revision: candidate.link.map(|link| link.revision),
            answerer: Answerer {
                builtin: candidate.by == By::Builtin || offered || provider.signed.is_none(),
                id: provider.id.to_string(),
                subject: provider.subject.to_string(),
                sha256: candidate.sha256.to_string(),
                issuer: provider.signed.as_ref().map(|(issuer, _)| issuer.to_string()),
            },
        };
        let Start { state, question, now, .. } = binding.start;
        let bearing = bearing(state, question, now, Some((&binding.import.package, candidate.sha256)));
        let relaxations = bearing.map(ToString::to_string).collect();
        Some(Self { binding: Some(bound), relaxations, ..Self::of_start(&binding.start) })
    }
}

fn usual_lattice() -> String {
    "default".to_owned()
}

fn usual_link() -> String {
    "default".to_owned()
}

const fn usual_assurance() -> Assurance {
    Assurance::HostSigned
}

const fn usual_start() -> What {
    What::StartComponent
}
