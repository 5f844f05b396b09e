//! What can be looked at: one pure function per question, from a state and its log to JSON.
//!
//! The reading commands on a folder's log and `query.*` on the wire call the same [`answer`]. Where the state comes
//! from, who may ask, and how it is shown is left to the callers.

mod builtins;
mod effective;
mod explain;
mod history;
mod inventory;
mod links;
mod lists;
mod page;
mod past;
mod plan;
mod proof;
mod relaxations;
mod rules;
mod seen;
mod signing;
mod spelling;
mod status;
mod warrants;
mod why;

use policy::digest::Digest;
use policy::envelope::Verified;
use policy::govern::State;
use policy::log::{Entry, Head};
use policy::name::{ComponentId, LinkName, Package};
use policy::query::Query;
use policy::reason::{Reason, Refusal};
use policy::rules::RulesText;
use policy::time::Timestamp;
use policy::wire::Nonce;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::present::Present;
use crate::store::{LogReader, Room, Row};

pub use explain::Supposition;
pub use history::WhichChanges;
pub use inventory::WhichRuns;
pub use links::Which;
pub use page::Page;
pub(crate) use page::{NEXT, join};
pub use plan::Proposal;
pub use rules::standing;
pub use seen::Sought;
pub(crate) use seen::said;
pub use signing::IN_OFFICE;
pub use spelling::{cell, rows, spelled, text};

/// What is looked at: a state, and the log that it is the fold of.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The state.
    pub state: &'a State,
    /// The end of the log.
    pub head: Head,
    /// The root of the tree over it.
    pub root: Digest,
    /// The log; entries from the head on are not looked at.
    pub log: &'a LogReader,
    /// The time to judge at.
    pub now: Timestamp,
    /// What hosts say of themselves, where a broker hears them.
    pub present: Option<&'a Present>,
    /// How much room there is for the log.
    pub room: Room,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Look {
    /// The trusted issuers.
    Issuers(Page),
    /// The published contracts.
    Contracts(Page),
    /// The lattice's defaults.
    Defaults,
    /// The admitted components.
    Components(Page),
    /// The admitted providers.
    Providers(Page),
    /// The hosts and the invitations.
    Hosts(Page),
    /// The links and tombstones, a page of those that are meant.
    Links(Box<Which>),
    /// One link, with both its ends as they were agreed and as they are.
    Link {
        /// The component.
        component: ComponentId,
        /// The package.
        package: Package,
        /// The link's name.
        name: LinkName,
    },
    /// Which host offers what by itself.
    Builtins,
    /// The operator's rules that stand.
    Rules,
    /// Which of the newest starts another text of rules would decide otherwise.
    RulesDiff {
        /// The other text.
        text: RulesText,
        /// How many starts at most.
        most: u64,
    },
    /// What is weakened, and what that let through lately.
    Relaxations,
    /// What would have been refused, and what was started without a broker.
    Relaxed {
        /// What comes before that entry, as the page before named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// The lattice at a glance.
    Status,
    /// The administrators and the thresholds.
    Administrators,
    /// The commands that wait for more signatures; or one of them, with all that it brought.
    Pending {
        /// The one that is meant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Nonce>,
    },
    /// What is really bound where, as hosts say.
    Inventory(Box<WhichRuns>),
    /// How far an act has come: recorded, effective.
    Effective {
        /// The index of its entry.
        index: u64,
    },
    /// The warrants that came into force.
    Warrants,
    /// What became of the links of one component.
    History(Box<WhichChanges>),
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
    /// What a command would change.
    Plan(Box<Proposal>),
    /// A past decision, told from the log alone.
    Why {
        /// An index, the start of an entry's hash, the id of a command or request, or a component's id.
        about: String,
        /// Only what concerns this package.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contract: Option<Package>,
    },
    /// Who presented this, the newest first.
    Seen(Sought),
    /// Proofs over the tree of the first entries: that one is among them, that the tree grew out of a smaller one.
    Proof {
        /// The entry; none is proved when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        index: Option<u64>,
        /// How many entries; all that there are when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// The size of the smaller tree; nothing is proved of one when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<u64>,
    },
    /// One entry with all that proves it.
    Prove {
        /// As of a past decision.
        about: String,
    },
}

impl Look {
    /// What travels below a query: the claims that it speaks of.
    pub fn statements(&self) -> Vec<&[u8]> {
        match self {
            Self::Explain(supposition) => vec![supposition.claims.as_slice()],
            Self::Plan(proposal) => proposal.statements.iter().chain(&proposal.beside).map(Vec::as_slice).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether only a broker that hears hosts can tell.
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Inventory(_) | Self::Effective { .. })
    }

    /// Whether a broker that hears hosts can tell more than the folder's log does.
    pub const fn is_better_live(&self) -> bool {
        matches!(self, Self::Issuers(_))
    }

    /// Whether it must be answered by whoever would judge a command: a broker knows what runs, and what the log does not
    /// hold yet.
    pub const fn is_judged(&self) -> bool {
        matches!(self, Self::Plan(_))
    }

    /// The same look at what comes after a page, for a list that is wanted whole.
    #[must_use]
    pub fn following(&self, seen: &Value) -> Option<Self> {
        let after = seen.get(NEXT)?.as_str().map(str::to_owned);
        let mut next = self.clone();
        match &mut next {
            // Its pages are counted: whoever follows the log knows from the last one where to go on.
            Self::Tail { from, most } => {
                let (told, size) = (rows(seen, "entries").len() as u64, seen.get("size")?.as_u64()?);
                *from = seen.get(NEXT)?.as_u64().filter(|next| told > 0 && *next < size);
                *most = most.checked_sub(told).filter(|left| from.is_some() && *left > 0)?;
            }
            Self::Issuers(page)
            | Self::Contracts(page)
            | Self::Components(page)
            | Self::Providers(page)
            | Self::Hosts(page)
                if page.limit.is_none() =>
            {
                page.after = after;
            }
            Self::Relaxed { after: it } => *it = after,
            Self::Inventory(which) if which.limit.is_none() => which.after = after,
            Self::Seen(sought) if sought.limit.is_none() => sought.after = after,
            Self::History(which) => which.after = after,
            _ => return None,
        }
        Some(next)
    }

    /// The last token of its subject under `query`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Issuers(_) => "issuers",
            Self::Contracts(_) => "contracts",
            Self::Defaults => "defaults",
            Self::Components(_) => "components",
            Self::Providers(_) => "providers",
            Self::Hosts(_) => "hosts",
            Self::Links(_) => "links",
            Self::Link { .. } => "link",
            Self::Builtins => "builtins",
            Self::Rules => "rules",
            Self::RulesDiff { .. } => "rules_diff",
            Self::Relaxations => "relaxations",
            Self::Relaxed { .. } => "relaxed",
            Self::Status => "status",
            Self::Administrators => "administrators",
            Self::Pending { .. } => "pending",
            Self::Inventory(_) => "inventory",
            Self::Effective { .. } => "effective",
            Self::Warrants => "warrants",
            Self::History(_) => "history",
            Self::Tail { .. } => "tail",
            Self::Explain(_) => "explain",
            Self::Plan(_) => "plan",
            Self::Why { .. } => "why",
            Self::Seen(_) => "seen",
            Self::Proof { .. } => "proof",
            Self::Prove { .. } => "prove",
        }
    }
}

/// Answers what is asked.
///
/// # Errors
/// `not_found`, `ambiguous`, `log_broken`, or [`Error::Store`].
pub async fn answer(scene: Scene<'_>, look: &Look) -> Result<Value, Error> {
    Ok(match look {
        Look::Issuers(page) => lists::issuers(scene, page)?,
        Look::Contracts(page) => lists::contracts(scene.state, page)?,
        Look::Defaults => lists::defaults(scene.state),
        Look::Components(page) => lists::components(scene.state, page)?,
        Look::Providers(page) => lists::providers(scene.state, page)?,
        Look::Hosts(page) => lists::hosts(scene.state, page)?,
        Look::Links(which) => links::links(scene.state, which)?,
        Look::Link { component, package, name } => links::link(scene.state, component, package, name)?,
        Look::Builtins => builtins::builtins(scene).await?,
        Look::Rules => rules::rules(scene),
        Look::RulesDiff { text, most } => rules::diff(scene, text, *most).await?,
        Look::Relaxations => relaxations::relaxations(scene).await?,
        Look::Relaxed { after } => relaxations::report(scene, after.as_deref()).await?,
        Look::Status => status::status(scene).await?,
        Look::Inventory(which) => inventory::inventory(scene, which)?,
        Look::Effective { index } => effective::effective(scene, *index).await?,
        Look::Administrators => signing::administrators(scene.state, scene.now),
        Look::Pending { id } => signing::pending(scene, *id).await?,
        Look::Warrants => warrants::warrants(scene).await?,
        Look::History(which) => history::history(scene, which).await?,
        Look::Tail { from, most } => history::tail(scene, *from, *most).await?,
        Look::Explain(supposition) => explain::explain(scene, supposition).await?,
        Look::Plan(proposal) => plan::plan(scene, proposal).await?,
        Look::Why { about, contract } => why::why(scene, about, contract.as_ref()).await?,
        Look::Seen(sought) => seen::seen(scene, sought).await?,
        Look::Proof { index, size, from } => proof::proof(scene, *index, *size, *from).await?,
        Look::Prove { about } => proof::prove(scene, about).await?,
    })
}

/// Answers a query as it came over the wire, under the last token of its subject.
///
/// # Errors
/// `schema_mismatch` and its kin for arguments that are none, or as [`answer`].
pub async fn answer_query(scene: Scene<'_>, word: &str, query: &Verified<Query>) -> Result<Value, Error> {
    let mut look: Look = policy::json::read(query.attachment(query.arguments_sha256)?)?;
    if query.what != word || look.word() != word {
        let (what, word) = (query.what.escape_default(), word.escape_default());
        let detail =
            format!("the query is for `{what}`, its arguments for `{}`, its subject for `{word}`", look.word());
        return Err(Refusal::new(Reason::SchemaMismatch, detail).into());
    }
    match (&mut look, query.statements.as_slice()) {
        (Look::Explain(supposition), [claims]) => supposition.claims = query.attachment(*claims)?.to_vec(),
        (Look::Plan(proposal), statements) => {
            // Who signed the query is who would give the command: nobody plans in another's name.
            if proposal.by != query.iss {
                let detail = format!("`{}` would give the command, `{}` asks", proposal.by, query.iss);
                return Err(Error::refused(Reason::RoleMissing, &detail));
            }
            let attached = statements.iter().map(|statement| Ok(query.attachment(*statement)?.to_vec()));
            let attached = attached.collect::<Result<Vec<_>, Refusal>>()?;
            (proposal.beside, proposal.statements) = attached.into_iter().partition(|line| crate::config::is_one(line));
        }
        (Look::Explain(_), _) => return Err(Error::refused(Reason::EvidenceMissing, "the claims are not attached")),
        (_, []) => {}
        (_, _) => return Err(Error::refused(Reason::EvidenceMissing, "something is attached that is not asked about")),
    }
    answer(scene, &look).await
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
                // What lies in a segment is not looked at.
                if let Some(entry) = row.entry()?
                    && visit(&entry, row)?
                {
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

/// One entry as people read it.
pub fn told(entry: &Entry, bytes: &[u8]) -> Value {
    history::tell(entry, bytes)
}

// Entries are read in pages of this many, so that memory stays bounded.
const PAGE: u32 = 256;
