//! Link → builtin → refuse: which candidate stands for one import, before any rule judges it.
//!
//! A link that exists is the only candidate, whatever becomes of it (I5); two candidates are a refusal, never a
//! choice (I6).

use serde::{Deserialize, Serialize};

use crate::artifact::Import;
use crate::digest::Digest;
use crate::govern::{Bind, LinkKey, LinkRecord, LinkSlot, ProviderRecord, State};
use crate::name::{ComponentId, LinkName};
use crate::provider::serves;
use crate::question::Offer;
use crate::reason::{Reason, Refusal};

/// How an import is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// An explicit link.
    Link,
    /// The lattice's default: a builtin of the host.
    Builtin,
}

/// The one provider that stands for an import.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'s> {
    /// How it came to stand.
    pub by: By,
    /// Its bytes.
    pub sha256: Digest,
    /// What was admitted.
    pub provider: &'s ProviderRecord,
    /// The link, where there is one.
    pub link: Option<&'s LinkRecord>,
}

/// Finds the candidate for one import under one link name.
///
/// # Errors
/// `link_removed`, `link_missing`, `not_defaultable`, `builtin_absent`, `provider_unknown` or `ambiguous`.
pub fn resolve<'s>(
    state: &'s State,
    component: &ComponentId,
    import: &Import,
    name: &LinkName,
    offers: &[Offer],
) -> Result<Candidate<'s>, Refusal> {
    let key = LinkKey { component: component.clone(), package: import.package.clone(), name: name.clone() };
    match state.links().get(&key) {
        Some(LinkSlot::Live(link)) => linked(state, &key, link),
        Some(LinkSlot::Tombstone(_)) => {
            let detail = format!("the link `{key}` was deleted, and nobody accepted the default in its place");
            Err(Refusal::new(Reason::LinkRemoved, detail))
        }
        None => by_default(state, &key, import, offers),
    }
}

fn linked<'s>(state: &'s State, key: &LinkKey, link: &'s LinkRecord) -> Result<Candidate<'s>, Refusal> {
    let (sha256, provider) = state.answering(link).ok_or_else(|| {
        Refusal::new(Reason::ProviderUnknown, format!("link `{key}` names `{}`, which is not admitted", link.provider))
    })?;
    Ok(Candidate { by: By::Link, sha256, provider, link: Some(link) })
}

fn by_default<'s>(
    state: &'s State,
    key: &LinkKey,
    import: &Import,
    offers: &[Offer],
) -> Result<Candidate<'s>, Refusal> {
    let missing = |why: &str| Err(Refusal::new(Reason::LinkMissing, format!("no link `{key}`, and {why}")));
    // Only links answer names other than `default`.
    if key.name != LinkName::unnamed() {
        return missing("only links answer named imports");
    }
    match state.defaults().get(&import.package) {
        None => missing("the lattice has no default for the package"),
        Some(Bind::Never) => missing("the lattice's default is `never`"),
        Some(Bind::SoleProvider) => missing("`sole-provider` is not supported yet"),
        Some(Bind::Builtin) if refuses_defaults(state, import) => {
            let detail = format!("no link `{key}`, and the contract for `{}` is no longer defaultable", import.package);
            Err(Refusal::new(Reason::NotDefaultable, detail))
        }
        Some(Bind::Builtin) => builtin(state, import, offers),
    }
}

// A default outlives the revision of the contract under which it was put; the owner's newest word counts.
fn refuses_defaults(state: &State, import: &Import) -> bool {
    state.contracts().get(&import.package).is_some_and(|published| !published.contract.defaultable)
}

fn builtin<'s>(state: &'s State, import: &Import, offers: &[Offer]) -> Result<Candidate<'s>, Refusal> {
    let mut candidates: Vec<_> = offers.iter().filter_map(|offer| admitted(state, import, offer)).collect();
    candidates.sort_by_key(|candidate| candidate.sha256);
    candidates.dedup_by_key(|candidate| candidate.sha256);
    match candidates.as_slice() {
        [only] => Ok(*only),
        [] => {
            let detail = format!("no admitted builtin of this host serves `{}`", import.package);
            Err(Refusal::new(Reason::BuiltinAbsent, detail))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|candidate| candidate.provider.id.as_str()).collect();
            let detail = format!("builtins `{}` all serve `{}`", ids.join("`, `"), import.package);
            Err(Refusal::new(Reason::Ambiguous, detail))
        }
    }
}

fn admitted<'s>(state: &'s State, import: &Import, offer: &Offer) -> Option<Candidate<'s>> {
    let provider = state.providers().get(&offer.sha256)?;
    let fits = !provider.retired && provider.subject == offer.subject;
    let answers = serves(&provider.serves, &import.package).any(|served| answers_version(served, import));
    (fits && answers).then_some(Candidate { by: By::Builtin, sha256: offer.sha256, provider, link: None })
}

/// Whether an export's version answers an import's: one track, and not older; a package without versions only itself.
pub(crate) fn answers_version(served: &Import, wanted: &Import) -> bool {
    match (&served.version, &wanted.version) {
        (Some(served), Some(wanted)) => served.answers(wanted),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
