//! The act for each refusal: a command, who may do it, and what it would change.
//!
//! Proposed from what state holds alone; whether it helps is found out by deciding again. Contracts are left to
//! `contracts`.

use std::collections::BTreeSet;

use super::{Outside, Proposal, Refusing, Who, contracts};
use crate::artifact::Import;
use crate::contract::Configuration;
use crate::decide::{About, Binding, Nobody, Start, awaits_permission, grant};
use crate::digest::Digest;
use crate::examine::Evidence;
use crate::govern::{
    Bind, ComponentAdmitted, DefaultPut, Event, HostJoined, IssuerAdded, LinkAccepted, LinkDeleted, LinkKey, LinkPut,
    LinkRecord, LinkSlot, Now, ProviderAdmitted, ProviderRecord, Schemas, SignedBy,
};
use crate::issuer::{Issuer, Kind};
use crate::key::{self, Name};
use crate::name::{ComponentId, LinkName, Scope};
use crate::native::{NATIVES, Native};
use crate::provider::{Source, Subject, serves};
use crate::question::What;
use crate::reason::{Reason, Refusal};
use crate::resolve::{By, Candidate};

/// The acts that lift the refusal of a start.
pub(super) fn for_start(start: &Start<'_>, refusal: &Refusal) -> Vec<Proposal> {
    match refusal.reason {
        Reason::HostUnknown => enrol(start),
        Reason::IssuerUnknown => trust(start).into_iter().collect(),
        Reason::ComponentUnknown | Reason::ComponentRetired | Reason::SubjectOwned | Reason::Downgrade => {
            admit_component(start).into_iter().collect()
        }
        Reason::ProviderUnknown | Reason::ProviderRetired => admit_again(start).into_iter().collect(),
        // No act on the state makes a forged, stale or foreign question right.
        _ => Vec::new(),
    }
}

/// The act that lifts the refusal of an import.
pub(super) fn for_import(binding: &Binding<'_>, about: About, refusal: &Refusal) -> Option<Proposal> {
    if about == About::Rules {
        // A rule was written to say no: to change it is a decision of people, and no act to propose.
        return None;
    }
    if about == About::Contract {
        return contracts::publish(binding, refusal.reason);
    }
    match refusal.reason {
        Reason::LinkMissing => default_to_builtin(binding).or_else(|| relink(binding)),
        Reason::LinkRemoved => accept_default(binding),
        Reason::LinkSuspended => accept(binding),
        Reason::BuiltinAbsent => admit_native(binding).or_else(|| relink(binding)),
        Reason::ProviderNotAllowed => contracts::publish(binding, refusal.reason),
        Reason::NotDefaultable => relink(binding).or_else(|| contracts::publish(binding, refusal.reason)),
        Reason::IssuerUnknown => relink(binding).or_else(|| trust_provider(binding)),
        Reason::ProviderRetired => relink(binding).or_else(|| readmit(binding)),
        _ => relink(binding),
    }
}

/// What must be done by whom, where no act lifts a refusal.
pub(super) fn outside(start: &Start<'_>, refusing: Refusing<'_>, refusal: &Refusal) -> Outside {
    let runs = &start.question.runs;
    let package = refusing.map(|(import, _)| import.package.clone());
    let by_issuer = match refusing {
        Some((_, About::Contract)) => Who::ContractOwner,
        Some((_, About::Candidate | About::Permission | About::Rules)) | None => Who::IssuerOwner,
    };
    let (role, must) = match (refusal.reason, refusing) {
        (Reason::LatticeMismatch, _) => (
            Who::HostOperator,
            format!(
                "ask the broker of lattice `{}`; this is the one of `{}`",
                start.question.lattice,
                start.state.lattice()
            ),
        ),
        (Reason::HostBanned, _) => (
            Who::HostOperator,
            "a ban is for good; if it was wrong, enrol the host under a new key: a new `--host-dir`, and \
             `countersign host invite | countersign-host join -`"
                .to_owned(),
        ),
        (Reason::RuleForbids | Reason::RuleError, _) => (
            Who::Administrator,
            format!(
                "{}: where that is not what was meant, change it in the text (`countersign rules show`), try it \
                 (`countersign rules test CASES`, `countersign rules diff FILE`), and `countersign rules put FILE`",
                refusal.detail
            ),
        ),
        (Reason::ClaimsMissing, _) => (
            by_issuer,
            "sign it: `countersign claims sign FILE --issuer-key KEY`, and deploy the signed file".to_owned(),
        ),
        (Reason::ComponentIdNotYours, _) => (
            Who::HostOperator,
            format!(
                "`{}` belongs to another subject: run it under its own id, `--id ID`, or run the file that owns it",
                runs.id
            ),
        ),
        (Reason::IssuerKind | Reason::IssuerScope | Reason::IssuerRevoked | Reason::IssuerRetired, _) => {
            (by_issuer, format!("{}; see `countersign issuer list`", refusal.reason.remedy()))
        }
        (Reason::Expired | Reason::LifetimeExceeded, _) => (by_issuer, refusal.reason.remedy().to_owned()),
        (Reason::NotYetValid | Reason::IssuedInFuture, _) => {
            let skew = refusal.skew.as_ref().map(|skew| format!("wait, or: {skew}"));
            (by_issuer, skew.unwrap_or_else(|| refusal.reason.remedy().to_owned()))
        }
        (Reason::ContractTrack, Some((Import { version: None, .. }, _))) => {
            (Who::ComponentDeveloper, "import the package at a version; its contract covers versions only".to_owned())
        }
        (
            Reason::LinkMissing
            | Reason::BuiltinAbsent
            | Reason::ProviderUnknown
            | Reason::ProviderVersion
            | Reason::ProviderInterface
            | Reason::AnswersItself,
            Some((import, _)),
        ) => (
            Who::Administrator,
            format!(
                "no admitted provider can answer it: admit one that serves {} and that its contract allows, \
                 `countersign provider admit FILE`, then `countersign link put {} ID --contract {}`",
                crate::decide::surface(import),
                runs.id,
                import.package
            ),
        ),
        (reason, _) => (Who::of(reason), reason.remedy().to_owned()),
    };
    Outside { reason: refusal.reason, package, who: role.words().to_owned(), role, must }
}

// Two people, one after the other; only the second changes what is decided.
fn enrol(start: &Start<'_>) -> Vec<Proposal> {
    let invite =
        Proposal { command: "countersign host invite".to_owned(), roles: vec![Who::Administrator], event: None };
    // The invitation's key is made when it is written; any stands for it.
    let joined = HostJoined { host: start.question.host, invite: Name::from_raw([0; 32]) };
    let join = Proposal {
        command: "countersign-host join INVITE".to_owned(),
        roles: vec![Who::HostOperator],
        event: Some(Event::HostJoined(joined)),
    };
    vec![invite, join]
}

fn trust(start: &Start<'_>) -> Option<Proposal> {
    let (issuer, kind) = match start.question.claims.as_ref()?.as_ref().ok()? {
        Evidence::Component(claimed) => (*claimed.issuer(), Kind::Component),
        Evidence::Provider(claimed) => (*claimed.issuer(), Kind::Provider),
        Evidence::Contract(_) | Evidence::KeyProof(_) | Evidence::Delegation(_) => return None,
    };
    let command = format!("countersign issuer add {issuer} --scope 'NAMESPACE:*'   # only if you know whose key it is");
    Some(by_administrator(command, issuer_added(issuer, BTreeSet::from([Scope::Everything]), kind)))
}

// Trusts whoever signed the candidate, for just what it serves.
fn trust_provider(binding: &Binding<'_>) -> Option<Proposal> {
    let provider = binding.candidate().ok()?.provider;
    let (issuer, _) = provider.signed.as_ref()?;
    let kind = match provider.subject {
        Subject::Component(_) => Kind::Component,
        Subject::Provider(_) | Subject::Native(_) => Kind::Provider,
    };
    let scope: BTreeSet<Scope> = provider.speaks_for().map(Scope::parse).collect::<Result<_, _>>().ok()?;
    let scopes: String = scope.iter().map(|scope| format!(" --scope {scope}")).collect();
    let command =
        format!("countersign issuer add {issuer}{scopes} --kind {}   # only if you know whose key it is", kind.word());
    Some(by_administrator(command, issuer_added(*issuer, scope, kind)))
}

pub(super) fn issuer_added(key: Name<key::Issuer>, scope: BTreeSet<Scope>, kind: Kind) -> Event {
    let issuer = Issuer::trusted(scope, BTreeSet::from([kind]), None);
    Event::IssuerAdded(IssuerAdded { key, issuer })
}

fn admit_component(start: &Start<'_>) -> Option<Proposal> {
    let runs = &start.question.runs;
    let (Evidence::Component(claimed), Subject::Component(subject)) =
        (start.question.claims.as_ref()?.as_ref().ok()?, &runs.subject)
    else {
        return None;
    };
    let (state, rev) = (start.state, claimed.common.rev);
    let owned = state.owned(&runs.subject);
    let took_over = owned.map(|owned| owned.issuer).filter(|owner| !state.issuers().same_line(owner, claimed.issuer()));
    let downgraded = owned.and_then(|owned| owned.rev).filter(|highest| rev < Some(*highest));
    let event = ComponentAdmitted {
        id: runs.id.clone(),
        subject: *subject,
        sha256: runs.sha256,
        issuer: *claimed.issuer(),
        imports: start.question.imports.clone(),
        exports: Vec::new(),
        rev,
        took_over,
        downgraded,
    };
    let take_over = if took_over.is_some() { " --take-over" } else { "" };
    let downgrade = if downgraded.is_some() { " --allow-downgrade" } else { "" };
    let command = format!("countersign component admit FILE --id {}{take_over}{downgrade}", runs.id);
    Some(by_administrator(command, Event::ComponentAdmitted(event)))
}

// What would start as a provider: what it serves is read from its bytes, which are not here.
fn admit_again(start: &Start<'_>) -> Option<Proposal> {
    let runs = &start.question.runs;
    if start.question.what != What::StartProvider {
        return None;
    }
    let known = start.state.providers().get(&runs.sha256).filter(|record| record.subject == runs.subject);
    let event = match (known, start.question.claims.as_ref()?.as_ref().ok()?) {
        (Some(record), _) if record.id == runs.id => admitted(runs.sha256, record),
        (None, Evidence::Provider(claimed)) => ProviderAdmitted {
            id: runs.id.clone(),
            subject: runs.subject.clone(),
            sha256: runs.sha256,
            signed: Some(SignedBy {
                issuer: *claimed.issuer(),
                validity: claimed.common.validity,
                rev: claimed.common.rev,
            }),
            serves: Vec::new(),
            capid: claimed.capid.clone(),
            source: Source::Capid,
            took_over: None,
            downgraded: None,
        },
        _ => return None,
    };
    Some(by_administrator(format!("countersign provider admit FILE --id {}", runs.id), Event::ProviderAdmitted(event)))
}

fn readmit(binding: &Binding<'_>) -> Option<Proposal> {
    let candidate = *binding.candidate().ok()?;
    let revived = ProviderRecord { retired: false, ..candidate.provider.clone() };
    answers(binding, Candidate { provider: &revived, ..candidate }).then(|| {
        let file = match &revived.subject {
            Subject::Native(name) => name.to_string(),
            Subject::Component(_) | Subject::Provider(_) => format!("FILE --id {}", revived.id),
        };
        let command = format!("countersign provider admit {file}   # the bytes {}", candidate.sha256);
        by_administrator(command, Event::ProviderAdmitted(admitted(candidate.sha256, &revived)))
    })
}

fn admitted(sha256: Digest, record: &ProviderRecord) -> ProviderAdmitted {
    let ProviderRecord { id, subject, signed, rev, serves, capid, source, .. } = record.clone();
    let signed = signed.map(|(issuer, validity)| SignedBy { issuer, validity, rev });
    ProviderAdmitted { id, subject, sha256, signed, serves, capid, source, took_over: None, downgraded: None }
}

fn default_to_builtin(binding: &Binding<'_>) -> Option<Proposal> {
    let (package, state) = (binding.import.package.clone(), binding.start.state);
    let defaultable = state.contracts().get(&package)?.contract.defaultable;
    if binding.link != LinkName::unnamed() || !defaultable || !has_builtin(binding) {
        return None;
    }
    let command = format!("countersign default put {package} --bind builtin");
    let before = state.defaults().get(&package).copied();
    Some(by_administrator(command, Event::DefaultPut(DefaultPut { package, before, bind: Bind::Builtin })))
}

// Whether exactly one builtin of the host answers by every rule, or would once it was admitted.
fn has_builtin(binding: &Binding<'_>) -> bool {
    let state = binding.start.state;
    let offers = &binding.start.question.offers;
    let admitted = offers.iter().filter_map(|offer| {
        let provider = state.providers().get(&offer.sha256).filter(|record| record.subject == offer.subject)?;
        Some(Candidate { by: By::Builtin, sha256: offer.sha256, provider, link: None })
    });
    admitted.into_iter().any(|candidate| answers(binding, candidate)) || offered_native(binding).is_some()
}

fn accept_default(binding: &Binding<'_>) -> Option<Proposal> {
    let (component, package) = (binding.start.question.runs.id.clone(), binding.import.package.clone());
    let name = binding.link.clone();
    let key = LinkKey { component: component.clone(), package: package.clone(), name: name.clone() };
    let before = binding.start.state.links().get(&key)?.record().clone();
    let command =
        format!("countersign link del {component} --contract {package} --accept-default   # or put a link again");
    let event = LinkDeleted { component, package, name, before, accept_default: true, running: None };
    Some(by_administrator(command, Event::LinkDeleted(event)))
}

// The ends as they are, for somebody who has looked at them.
fn accept(binding: &Binding<'_>) -> Option<Proposal> {
    let (component, package) = (binding.start.question.runs.id.clone(), binding.import.package.clone());
    let (name, state) = (binding.link.clone(), binding.start.state);
    let key = LinkKey { component: component.clone(), package: package.clone(), name: name.clone() };
    let before = state.links().get(&key)?.live()?.clone();
    // What is accepted of a component is what was admitted.
    let runs = state.components().get(&component).map(Now::of_component);
    let demanded = state.contracts().get(&package)?.contract.config_schema_sha256;
    let checked = before.checked.map(|checked| Schemas { contract: demanded, ..checked });
    let after = LinkRecord { checked, ..state.accepted(&before, runs) };
    // What runs and was never admitted cannot be accepted.
    if state.departed(&package, &after, Some(crate::decide::runs(&binding.start))).is_some() {
        return None;
    }
    let named = if name == LinkName::unnamed() { String::new() } else { format!(" --name {name}") };
    let command = format!(
        "countersign link accept {component} {package}{named}   # after a look at `countersign link show {component} \
         {package}{named}`; or put the old end back"
    );
    Some(by_administrator(command, Event::LinkAccepted(LinkAccepted { component, package, name, before, after })))
}

fn admit_native(binding: &Binding<'_>) -> Option<Proposal> {
    let native = offered_native(binding)?;
    let id = native.name.trim_start_matches("native/").split('@').next()?;
    let event = ProviderAdmitted {
        id: ComponentId::parse(id).ok()?,
        subject: native.subject().ok()?,
        sha256: native.sha256(),
        signed: None,
        serves: vec![native.serves().ok()?],
        capid: None,
        source: Source::Native,
        took_over: None,
        downgraded: None,
    };
    let command = format!("countersign provider admit {}", native.name);
    Some(by_administrator(command, Event::ProviderAdmitted(event)))
}

fn offered_native(binding: &Binding<'_>) -> Option<&'static Native> {
    let offers = &binding.start.question.offers;
    let offered = |native: &&Native| offers.iter().any(|offer| offer.sha256 == native.sha256());
    natives_for(binding.import).find(offered)
}

pub(super) fn natives_for(import: &Import) -> impl Iterator<Item = &'static Native> {
    NATIVES.iter().filter(move |native| {
        native.serves().is_ok_and(|served| serves(std::slice::from_ref(&served), &import.package).count() > 0)
    })
}

// A link to the first admitted provider, by its id, that answers by every rule; or else to one that only the contract
// does not allow yet, which the next round mends.
fn relink(binding: &Binding<'_>) -> Option<Proposal> {
    let (state, package) = (binding.start.state, &binding.import.package);
    let key = LinkKey {
        component: binding.start.question.runs.id.clone(),
        package: package.clone(),
        name: binding.link.clone(),
    };
    let slot = state.links().get(&key);
    let old = slot.and_then(|slot| match slot {
        LinkSlot::Live(record) => Some(record.clone()),
        LinkSlot::Tombstone(_) => None,
    });
    let config_sha256 = match state.contracts().get(package)?.contract.config {
        Configuration::None => None,
        Configuration::Optional => old.as_ref().and_then(|old| old.config_sha256),
        // Any configuration stands for the one that only the administrator knows.
        Configuration::Required => old.as_ref().and_then(|old| old.config_sha256).or(Some(Digest::of(b"{}"))),
    };
    let revision = slot.map_or(1, |slot| slot.record().revision + 1);
    let found = state.providers().iter().take(TRIED).filter_map(|(sha256, provider)| {
        let link = LinkRecord::new(provider.subject.clone(), *sha256, config_sha256, revision);
        let candidate = Candidate { by: By::Link, sha256: *sha256, provider, link: Some(&link) };
        let supposed = suppose(binding, candidate);
        let (fits, refused) = (awaits_permission(&supposed), grant(&supposed, &mut Nobody).is_err());
        fits.then_some(((refused, &provider.id, *sha256), link))
    });
    let ((_, id, _), after) = found.min_by(|one, other| one.0.cmp(&other.0))?;
    let LinkKey { component, package, name } = key;
    let several = state.providers().values().filter(|provider| provider.id == *id).count() > 1;
    let target = if several { after.sha256.to_string() } else { id.to_string() };
    let named = if name == LinkName::unnamed() { String::new() } else { format!(" --name {name}") };
    let configured = if after.config_sha256.is_some() { " --config KEY=VALUE" } else { "" };
    let command = format!("countersign link put {component} {target} --contract {package}{named}{configured}");
    Some(by_administrator(command, Event::LinkPut(LinkPut { component, package, name, before: old, after })))
}

fn answers(binding: &Binding<'_>, candidate: Candidate<'_>) -> bool {
    grant(&suppose(binding, candidate), &mut Nobody).is_ok()
}

fn suppose<'a>(binding: &Binding<'a>, candidate: Candidate<'a>) -> Binding<'a> {
    let Binding { start, import, link, .. } = binding;
    Binding { start: *start, import, link: link.clone(), candidate: Ok(candidate) }
}

fn by_administrator(command: String, event: Event) -> Proposal {
    Proposal { command, roles: vec![Who::Administrator], event: Some(event) }
}

/// The most providers that are tried for one import.
const TRIED: usize = 4096;
