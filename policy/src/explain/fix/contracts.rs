//! The contract that would lift a refusal: the owner's next revision, with just so much more in it as is needed.
//!
//! Nobody has signed it yet: who would have to is said with the act.

use std::collections::BTreeSet;

use super::acts::{issuer_added, natives_for};
use super::{Proposal, Who};
use crate::contract::{Configuration, Contract, Providers};
use crate::decide::Binding;
use crate::digest::Digest;
use crate::govern::{ContractPublished, Event};
use crate::issuer::{Kind, Signed};
use crate::key::{self, Name};
use crate::name::{Scope, Version};
use crate::provider::{Subject, serves};
use crate::reason::Reason;
use crate::resolve::answers_version;
use crate::time::{Timestamp, Validity};

/// A revision that covers the import, signed by whoever may; or trust in an owner, where there is none.
pub(super) fn publish(binding: &Binding<'_>, lifts: Reason) -> Option<Proposal> {
    let (import, state) = (binding.import, binding.start.state);
    let package = &import.package;
    let old = state.contracts().get(package).map(|published| &published.contract);
    // A package without a version is covered by a contract without versions only: no revision serves both.
    if import.version.is_none() && old.is_some_and(|contract| !contract.tracks.is_empty()) {
        return None;
    }
    let Some((iss, exp)) = owner(binding, old) else {
        return trust_owner(binding);
    };
    let mut contract = old.cloned().unwrap_or_else(|| draft(binding, iss));
    let owner = old.map(|old| old.iss).filter(|owner| !state.issuers().same_line(owner, &iss));
    (contract.iss, contract.iat, contract.exp) = (iss, binding.start.now, exp);
    contract.revision += 1;
    contract.defaultable |= lifts == Reason::NotDefaultable;
    extend(&mut contract, binding);
    let sha256 = Digest::of(&crate::json::write(&contract));
    let command = format!(
        "countersign contract draft {package}{} > contract.json && countersign contract sign contract.json --issuer-key KEY \
         && countersign contract publish contract.jwt{}",
        added(&contract, old, binding),
        if owner.is_some() { " --take-over" } else { "" },
    );
    let event = Event::ContractPublished(ContractPublished { sha256, contract, took_over: owner, downgraded: None });
    Some(Proposal { command, roles: vec![Who::ContractOwner, Who::Administrator], event: Some(event) })
}

// What the draft must be told: all that the contract says and the old one does not.
fn added(contract: &Contract, old: Option<&Contract>, binding: &Binding<'_>) -> String {
    let has = |said: &dyn Fn(&Contract) -> bool| old.is_some_and(said);
    let mut added = String::new();
    if let Some(version) = &binding.import.version
        && !has(&|old| old.tracks.contains(&version.track()))
    {
        added += &format!("@{version}");
    }
    for interface in contract.interfaces.iter().filter(|it| !has(&|old| old.interfaces.contains(it))) {
        added += &format!(" --interface {interface}");
    }
    for subject in contract.providers.subjects.iter().filter(|it| !has(&|old| old.providers.subjects.contains(it))) {
        added += &format!(" --provider {subject}");
    }
    if contract.defaultable && old.is_some_and(|old| !old.defaultable) {
        added += " --defaultable";
    }
    if !has(&|old| old.iss == contract.iss) {
        added += &format!(" --issuer {}", contract.iss);
    }
    if let Some(exp) = contract.exp {
        added += &format!(" --expires-in {}", exp.seconds().saturating_sub(contract.iat.seconds()));
    }
    added
}

// Whose signature would count now, and until when: the one of the old contract, or any trusted for contracts.
fn owner(binding: &Binding<'_>, old: Option<&Contract>) -> Option<(Name<key::Issuer>, Option<Timestamp>)> {
    let (state, now) = (binding.start.state, binding.start.now);
    let all = state.issuers().iter().map(|(name, _)| name);
    old.map(|contract| &contract.iss).into_iter().chain(all).find_map(|name| {
        let exp = state.issuers().find(name)?.max_lifetime_s.map(|longest| now.plus(longest));
        let validity = Validity { iat: now, nbf: None, exp };
        let signed = Signed { issuer: name, kind: Kind::Contract, validity: &validity };
        let judged = state.issuers().judge(signed, [binding.import.package.as_str()], now);
        judged.is_ok().then_some((*name, exp))
    })
}

// Nobody here may sign a contract for the package: its owner must be trusted first, whoever that is.
fn trust_owner(binding: &Binding<'_>) -> Option<Proposal> {
    let package = &binding.import.package;
    // A key of its own for each package, which nobody has; the command leaves it open.
    let owner = Name::from_raw(*Digest::of(package.as_str().as_bytes()).as_bytes());
    let scope = BTreeSet::from([Scope::parse(package.as_str()).ok()?]);
    let command =
        format!("countersign issuer add OWNER --scope {package} --kind contract   # whose key you know it is");
    let event = issuer_added(owner, scope, Kind::Contract);
    Some(Proposal { command, roles: vec![Who::Administrator], event: Some(event) })
}

fn draft(binding: &Binding<'_>, iss: Name<key::Issuer>) -> Contract {
    Contract {
        iss,
        sub: binding.import.package.clone(),
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
    }
}

// The contract as the fix supposes it: covers this import, may be a default, and allows whoever could answer it.
fn extend(contract: &mut Contract, binding: &Binding<'_>) {
    let import = binding.import;
    for interface in &import.interfaces {
        if !contract.interfaces.contains(interface) {
            contract.interfaces.push(interface.clone());
        }
    }
    if let Some(track) = import.version.as_ref().map(Version::track)
        && !contract.tracks.contains(&track)
    {
        contract.tracks.push(track);
    }
    for subject in who_could_answer(binding) {
        if !contract.providers.subjects.contains(&subject) {
            contract.providers.subjects.push(subject);
        }
    }
}

// The candidate that stands; where there is none, a native builtin, or else the first admitted one that serves it.
fn who_could_answer(binding: &Binding<'_>) -> Vec<Subject> {
    if let Ok(candidate) = binding.candidate() {
        return vec![candidate.provider.subject.clone()];
    }
    let import = binding.import;
    let natives: Vec<_> = natives_for(import).filter_map(|native| native.subject().ok()).collect();
    if !natives.is_empty() {
        return natives;
    }
    let serving = binding.start.state.providers().values().filter(|provider| {
        !provider.retired
            && serves(&provider.serves, &import.package).any(|served| {
                answers_version(served, import)
                    && import.interfaces.iter().all(|interface| served.interfaces.contains(interface))
            })
    });
    serving.min_by_key(|provider| &provider.id).map(|provider| provider.subject.clone()).into_iter().collect()
}
