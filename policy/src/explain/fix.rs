//! A fix: for each refusing rule the act that lifts it, applied to a copy of the state and decided again.
//!
//! Greedy, at most eight rounds. An act that needs somebody's signature is applied as if it were given, and says whose
//! it needs. Where no act of an administrator helps (forged claims, a wrong hash), there is no fix and it says so.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::artifact::Import;
use crate::contract::{Configuration, Contract, Providers};
use crate::decide::{Binding, Facts, Start, decide, for_each_import, import_rules, start_rules};
use crate::digest::Digest;
use crate::examine::Evidence;
use crate::govern::{
    Bind, ComponentAdmitted, ContractPublished, DefaultPut, Event, IssuerAdded, LinkDeleted, LinkKey, ProviderAdmitted,
    State,
};
use crate::issuer::{Issuer, Kind, Standing};
use crate::key;
use crate::key::Name;
use crate::name::{ComponentId, Scope};
use crate::native::{NATIVES, Native};
use crate::provider::{Source, Subject, serves};
use crate::question::Question;
use crate::reason::{Reason, Refusal};
use crate::time::Timestamp;

/// What would have to be done, and whether it would be enough.
#[derive(Debug, Clone, Serialize)]
pub struct Fix {
    /// The acts, in order.
    pub acts: Vec<Act>,
    /// Why it still refuses after them; none when they are enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub still: Option<Reason>,
}

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Act {
    /// The refusal that it lifts.
    pub lifts: Reason,
    /// The command that does it.
    pub command: String,
    /// Who may do it.
    pub who: &'static str,
}

const ROUNDS: usize = 8;
const ADMINISTRATOR: &str = "an administrator";
const OWNER: &str = "an administrator, with a contract signed by the package's owner";

/// Finds what would lift a refusal.
pub fn fix(state: &State, question: &Question, now: Timestamp) -> Fix {
    let mut state = state.clone();
    let mut acts: Vec<Act> = Vec::new();
    for _ in 0..ROUNDS {
        let proposals = propose(&Start { state: &state, question, now });
        if proposals.is_empty() {
            break;
        }
        for (act, event) in proposals {
            let index = state.next_index();
            state.apply(&event, index);
            if !acts.contains(&act) {
                acts.push(act);
            }
        }
    }
    let still = decide(&state, question, &Facts::default(), now).refusal().map(|refusal| refusal.reason);
    Fix { acts, still }
}

// Every act that lifts a refusal of this round: the start's own, or else one for each import that is refused.
fn propose(start: &Start<'_>) -> Vec<(Act, Event)> {
    if let Some(refusal) = start_rules(start).find_map(|(_, verdict)| verdict.err()) {
        return for_start(start, &refusal).into_iter().collect();
    }
    let mut proposals = Vec::new();
    for_each_import(start, |binding| {
        let refusal = import_rules(binding).into_iter().find_map(|(_, verdict)| verdict.err());
        proposals.extend(refusal.and_then(|refusal| for_import(binding, &refusal)));
    });
    proposals
}

fn for_start(start: &Start<'_>, refusal: &Refusal) -> Option<(Act, Event)> {
    match refusal.reason {
        Reason::IssuerUnknown => trust(start, refusal.reason),
        Reason::ComponentUnknown | Reason::ComponentRetired => admit_component(start, refusal.reason),
        // No act of an administrator makes a forged, stale or foreign question right.
        _ => None,
    }
}

fn for_import(binding: &Binding<'_>, refusal: &Refusal) -> Option<(Act, Event)> {
    match refusal.reason {
        Reason::ContractUnknown
        | Reason::ContractWithdrawn
        | Reason::ContractTrack
        | Reason::ContractInterface
        | Reason::ProviderNotAllowed => publish(binding, refusal.reason),
        Reason::LinkMissing => default_to_builtin(binding),
        Reason::LinkRemoved => accept_default(binding),
        Reason::BuiltinAbsent => admit_native(binding),
        _ => None,
    }
}

fn trust(start: &Start<'_>, lifts: Reason) -> Option<(Act, Event)> {
    let (issuer, kind) = match start.question.claims.as_ref()?.as_ref().ok()? {
        Evidence::Component(claimed) => (*claimed.issuer(), Kind::Component),
        Evidence::Provider(claimed) => (*claimed.issuer(), Kind::Provider),
        Evidence::Contract(_) => return None,
    };
    let command = format!("countersign issuer add {issuer} --scope 'NAMESPACE:*'   # only if you know whose key it is");
    Some((Act { lifts, command, who: ADMINISTRATOR }, issuer_added(issuer, BTreeSet::from([kind]))))
}

fn issuer_added(key: Name<key::Issuer>, kinds: BTreeSet<Kind>) -> Event {
    let issuer =
        Issuer { scope: BTreeSet::from([Scope::Everything]), kinds, max_lifetime_s: None, standing: Standing::Active };
    Event::IssuerAdded(IssuerAdded { key, issuer })
}

fn admit_component(start: &Start<'_>, lifts: Reason) -> Option<(Act, Event)> {
    let runs = &start.question.runs;
    let (Evidence::Component(claimed), Subject::Component(subject)) =
        (start.question.claims.as_ref()?.as_ref().ok()?, &runs.subject)
    else {
        return None;
    };
    let command = format!("countersign component admit FILE --id {}", runs.id);
    let event = ComponentAdmitted {
        id: runs.id.clone(),
        subject: *subject,
        sha256: runs.sha256,
        issuer: *claimed.issuer(),
        imports: start.question.imports.clone(),
        exports: Vec::new(),
    };
    Some((Act { lifts, command, who: ADMINISTRATOR }, Event::ComponentAdmitted(event)))
}

fn publish(binding: &Binding<'_>, lifts: Reason) -> Option<(Act, Event)> {
    let (import, state) = (binding.import, binding.start.state);
    let old = state.contracts().get(&import.package).map(|published| &published.contract);
    // Supposed to be signed by an owner whose word counts: the one of the old contract, or any trusted for contracts.
    let Some(owner) = old.map(|contract| contract.iss).or_else(|| contract_issuer(binding)) else {
        return trust_owner(binding, lifts);
    };
    let mut contract = old.cloned().unwrap_or_else(|| Contract {
        iss: owner,
        sub: import.package.clone(),
        iat: binding.start.now,
        exp: None,
        revision: 0,
        interfaces: Vec::new(),
        tracks: Vec::new(),
        providers: Providers { issuers: Vec::new(), subjects: Vec::new() },
        defaultable: true,
        config: Configuration::None,
        config_schema_sha256: None,
        legacy_ids: Vec::new(),
    });
    contract.revision += 1;
    extend(&mut contract, import, binding);
    let sha256 = Digest::of(&crate::json::write(&contract));
    let package = &import.package;
    let command = format!(
        "countersign contract draft {package} > contract.json && countersign contract sign contract.json --issuer-key KEY \
         && countersign contract publish contract.jwt"
    );
    Some((Act { lifts, command, who: OWNER }, Event::ContractPublished(ContractPublished { sha256, contract })))
}

// Nobody here may sign a contract for the package: its owner must be trusted first, whoever that is.
fn trust_owner(binding: &Binding<'_>, lifts: Reason) -> Option<(Act, Event)> {
    let package = &binding.import.package;
    // A key of its own for each package, which nobody has; the command leaves it open.
    let owner = Name::from_raw(*Digest::of(package.as_str().as_bytes()).as_bytes());
    let issuer = Issuer {
        scope: BTreeSet::from([Scope::parse(package.as_str()).ok()?]),
        kinds: BTreeSet::from([Kind::Contract]),
        max_lifetime_s: None,
        standing: Standing::Active,
    };
    let command =
        format!("countersign issuer add OWNER --scope {package} --kind contract   # whose key you know it is");
    Some((Act { lifts, command, who: ADMINISTRATOR }, Event::IssuerAdded(IssuerAdded { key: owner, issuer })))
}

// The contract as the fix supposes it: covers this import, and allows whoever could answer it.
fn extend(contract: &mut Contract, import: &Import, binding: &Binding<'_>) {
    for interface in &import.interfaces {
        if !contract.interfaces.contains(interface) {
            contract.interfaces.push(interface.clone());
        }
    }
    if let Some(track) = import.version.as_ref().map(crate::name::Version::track)
        && !contract.tracks.contains(&track)
    {
        contract.tracks.push(track);
    }
    let candidate = binding.candidate().ok().map(|candidate| candidate.provider.subject.clone());
    let native = natives_for(import).filter_map(|native| native.subject().ok());
    for subject in native.chain(candidate) {
        if !contract.providers.subjects.contains(&subject) {
            contract.providers.subjects.push(subject);
        }
    }
}

fn contract_issuer(binding: &Binding<'_>) -> Option<Name<key::Issuer>> {
    let package = binding.import.package.as_str();
    let may = |issuer: &Issuer| {
        issuer.standing == Standing::Active
            && issuer.kinds.contains(&Kind::Contract)
            && issuer.scope.iter().any(|scope| scope.covers(package))
    };
    binding.start.state.issuers().iter().find(|(_, issuer)| may(issuer)).map(|(name, _)| *name)
}

fn default_to_builtin(binding: &Binding<'_>) -> Option<(Act, Event)> {
    let package = binding.import.package.clone();
    let state = binding.start.state;
    if binding.link != crate::name::LinkName::unnamed() || !state.contracts().get(&package)?.contract.defaultable {
        return None;
    }
    let command = format!("countersign default put {package} --bind builtin");
    let before = state.defaults().get(&package).copied();
    let event = Event::DefaultPut(DefaultPut { package, before, bind: Bind::Builtin });
    Some((Act { lifts: Reason::LinkMissing, command, who: ADMINISTRATOR }, event))
}

fn accept_default(binding: &Binding<'_>) -> Option<(Act, Event)> {
    let (component, package) = (binding.start.question.runs.id.clone(), binding.import.package.clone());
    let name = binding.link.clone();
    let key = LinkKey { component: component.clone(), package: package.clone(), name: name.clone() };
    let before = binding.start.state.links().get(&key)?.record().clone();
    let command =
        format!("countersign link del {component} --contract {package} --accept-default   # or put a link again");
    let event = Event::LinkDeleted(LinkDeleted { component, package, name, before, accept_default: true });
    Some((Act { lifts: Reason::LinkRemoved, command, who: ADMINISTRATOR }, event))
}

fn admit_native(binding: &Binding<'_>) -> Option<(Act, Event)> {
    let offered = |native: &&Native| binding.start.question.offers.iter().any(|offer| offer.sha256 == native.sha256());
    let native = natives_for(binding.import).find(offered)?;
    let command = format!("countersign provider admit {}", native.name);
    let id = native.name.trim_start_matches("native/").split('@').next()?;
    let event = ProviderAdmitted {
        id: ComponentId::parse(id).ok()?,
        subject: native.subject().ok()?,
        sha256: native.sha256(),
        signed: None,
        serves: vec![native.serves().ok()?],
        capid: None,
        source: Source::Native,
    };
    Some((Act { lifts: Reason::BuiltinAbsent, command, who: ADMINISTRATOR }, Event::ProviderAdmitted(event)))
}

fn natives_for(import: &Import) -> impl Iterator<Item = &'static Native> {
    NATIVES.iter().filter(move |native| {
        native.serves().is_ok_and(|served| serves(std::slice::from_ref(&served), &import.package).count() > 0)
    })
}
