//! What can be looked at: one pure function per question, from a state and its log to JSON.
//!
//! The reading commands on a folder's log and `query.*` on the wire call the same [`answer`]. Where the state comes
//! from, who may ask, and how it is shown is left to the callers.

mod builtins;
mod explain;
mod history;
mod lists;
mod relaxations;
mod status;
mod why;

use policy::artifact::Import;
use policy::govern::State;
use policy::log::{Entry, Head};
use policy::name::{ComponentId, Package};
use policy::reason::{Reason, Refusal};
use policy::time::Timestamp;
use policy::wire::Nonce;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::store::{LogReader, Row};

pub use explain::Supposition;

/// What is looked at: a state, and the log that it is the fold of.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The state.
    pub state: &'a State,
    /// The end of the log.
    pub head: Head,
    /// The log; entries from the head on are not looked at.
    pub log: &'a LogReader,
    /// The time to judge at.
    pub now: Timestamp,
}

/// A query as it travels: the nonce makes each answer belong to one asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// 128 bits from the operating system.
    pub jti: Nonce,
    /// What is asked.
    pub look: Look,
}

impl Query {
    /// The payload: the query, and below it the claims that it speaks of.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = policy::json::write(self);
        if let Look::Explain(supposition) = &self.look {
            bytes.push(b'\n');
            bytes.extend_from_slice(&supposition.claims);
        }
        bytes
    }

    fn read(payload: &[u8]) -> Result<Self, Refusal> {
        let mut lines = payload.splitn(2, |byte| *byte == b'\n');
        let mut query: Self = policy::json::read(lines.next().unwrap_or_default())?;
        let claims = lines.next();
        match (&mut query.look, claims) {
            (Look::Explain(supposition), Some(claims)) => supposition.claims = claims.to_vec(),
            (Look::Explain(_), None) => return Err(Refusal::new(Reason::EvidenceMissing, "the claims are not below")),
            (_, Some(_)) => return Err(Refusal::new(Reason::EvidenceMissing, "something is below that is not named")),
            (_, None) => {}
        }
        Ok(query)
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Look {
    /// The trusted issuers.
    Issuers,
    /// The published contracts.
    Contracts,
    /// The lattice's defaults.
    Defaults,
    /// The admitted components.
    Components,
    /// The admitted providers.
    Providers,
    /// The hosts and the invitations.
    Hosts,
    /// The links and tombstones.
    Links,
    /// Which host offers what by itself.
    Builtins,
    /// What is weakened, and what that let through.
    Relaxations,
    /// The lattice at a glance.
    Status,
    /// What became of the links of one component.
    History {
        /// The component.
        id: ComponentId,
    },
    /// The newest entries, or those from an index on.
    Tail {
        /// The first index; the newest when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<u64>,
        /// How many at most.
        most: u64,
    },
    /// A dry run of a start.
    Explain(Box<Supposition>),
    /// A past decision, told from the log alone.
    Why {
        /// An index, the start of an entry's hash, the id of a command or request, or a component's id.
        about: String,
        /// Only what concerns this package.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contract: Option<Package>,
    },
}

impl Look {
    /// The last token of its subject under `query`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Issuers => "issuers",
            Self::Contracts => "contracts",
            Self::Defaults => "defaults",
            Self::Components => "components",
            Self::Providers => "providers",
            Self::Hosts => "hosts",
            Self::Links => "links",
            Self::Builtins => "builtins",
            Self::Relaxations => "relaxations",
            Self::Status => "status",
            Self::History { .. } => "history",
            Self::Tail { .. } => "tail",
            Self::Explain(_) => "explain",
            Self::Why { .. } => "why",
        }
    }
}

/// Answers what is asked.
///
/// # Errors
/// `not_found`, `ambiguous`, `log_broken`, or [`Error::Store`].
pub async fn answer(scene: Scene<'_>, look: &Look) -> Result<Value, Error> {
    Ok(match look {
        Look::Issuers => lists::issuers(scene.state, scene.now),
        Look::Contracts => lists::contracts(scene.state),
        Look::Defaults => lists::defaults(scene.state),
        Look::Components => lists::components(scene.state),
        Look::Providers => lists::providers(scene.state),
        Look::Hosts => lists::hosts(scene.state),
        Look::Links => lists::links(scene.state),
        Look::Builtins => builtins::builtins(scene).await?,
        Look::Relaxations => relaxations::relaxations(scene).await?,
        Look::Status => status::status(scene).await?,
        Look::History { id } => history::history(scene, id).await?,
        Look::Tail { from, most } => history::tail(scene, *from, *most).await?,
        Look::Explain(supposition) => explain::explain(scene, supposition).await?,
        Look::Why { about, contract } => why::why(scene, about, contract.as_ref()).await?,
    })
}

/// Answers a query as it came over the wire, under the last token of its subject.
///
/// # Errors
/// `schema_mismatch` and its kin for what is no query, or as [`answer`].
pub async fn answer_query(scene: Scene<'_>, word: &str, payload: &[u8]) -> Result<Value, Error> {
    let query = Query::read(payload)?;
    if query.look.word() != word {
        let detail = format!("the query is for `{}`, its subject for `{}`", query.look.word(), word.escape_default());
        return Err(Refusal::new(Reason::SchemaMismatch, detail).into());
    }
    answer(scene, &query.look).await
}

impl Scene<'_> {
    // Visits entries from the newest back until `visit` says enough, at most `most` of them.
    async fn backwards(
        &self,
        most: u64,
        mut visit: impl FnMut(&Entry, &Row) -> Result<bool, Refusal>,
    ) -> Result<(), Error> {
        let (mut end, floor) = (self.head.size, self.head.size.saturating_sub(most));
        while end > floor {
            let from = end.saturating_sub(u64::from(PAGE)).max(floor);
            let page = self.page(from, end).await?;
            for row in page.iter().rev() {
                if visit(&Entry::read(&row.bytes)?, row)? {
                    return Ok(());
                }
            }
            end = from;
        }
        Ok(())
    }

    // Visits the entries before `end` in order.
    async fn forwards(&self, end: u64, mut visit: impl FnMut(&Row) -> Result<(), Refusal>) -> Result<(), Error> {
        let mut from = 0;
        while from < end {
            let page = self.page(from, end).await?;
            for row in &page {
                visit(row)?;
            }
            from += page.len() as u64;
        }
        Ok(())
    }

    // The rows from `from` on, before `end`, one page of them; there are always some.
    async fn page(&self, from: u64, end: u64) -> Result<Vec<Row>, Error> {
        let most = u32::try_from(end.saturating_sub(from)).unwrap_or(u32::MAX).min(PAGE);
        let rows = self.log.rows(from, most).await?;
        if rows.first().is_some_and(|row| row.index == from) {
            return Ok(rows);
        }
        Err(Refusal::new(Reason::LogBroken, format!("row {from} is missing")).into())
    }
}

/// A package at a version with its interfaces, as people write it.
pub fn spelled(import: &Import) -> String {
    let names: Vec<&str> = import.interfaces.iter().map(policy::name::InterfaceName::as_str).collect();
    let interfaces = match names.as_slice() {
        [only] => (*only).to_owned(),
        several => format!("{{{}}}", several.join(",")),
    };
    let version = import.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    format!("{}/{interfaces}{version}", import.package)
}

/// A member of a view as text; nothing where it is absent.
pub fn cell(row: &Value, member: &str) -> String {
    match row.get(member) {
        None => String::new(),
        Some(value) => text(value),
    }
}

/// A value of a view as text.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(truth) => if *truth { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            members.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(", ")
        }
    }
}

/// The rows of a view's list.
pub fn rows<'a>(view: &'a Value, list: &str) -> &'a [Value] {
    view.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

// Entries are read in pages of this many, so that memory stays bounded.
const PAGE: u32 = 256;
