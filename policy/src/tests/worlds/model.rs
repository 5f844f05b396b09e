//! What must come out of a world, written down from the rules of binding (architecture, section 2).
//!
//! Calls nothing of the law. Where several rules are broken, any of their reasons may be the one that is told; where
//! none is, exactly one provider answers.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Claims, Component, Contract, End, Interfaces, Kind, Link, NOW, PACKAGES, Pinned, Plan, Provider};
use super::plan::{Standing, Times, VERSIONS};

/// The codes of the rules that are broken.
pub(super) type Broken = BTreeSet<&'static str>;

/// Who answers: by a link or as a builtin, the provider's number, and whether with configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) by_link: bool,
    pub(super) provider: usize,
    pub(super) config: bool,
    /// Whether it is what was admitted of the provider later.
    pub(super) newer: bool,
}

/// What must come out of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// The start itself breaks these rules; nothing is said of imports.
    Start(Broken),
    /// For each import by its number, under each link name: who answers, or what is broken.
    Imports(BTreeMap<(usize, &'static str), Result<Answer, Broken>>),
}

/// What stays broken of what is, at the start itself or for an import of that package.
pub(super) type Lift<'a> = &'a dyn Fn(Option<usize>, Broken) -> Broken;

pub(super) fn expected(plan: &Plan) -> Expected {
    expected_under(plan, &|_, broken| broken)
}

/// The same, where something is relaxed: what is lifted counts as if it had not been broken.
pub(super) fn expected_under(plan: &Plan, lift: Lift<'_>) -> Expected {
    let broken = lift(None, start(plan));
    if !broken.is_empty() {
        return Expected::Start(broken);
    }
    let mut outcomes = BTreeMap::new();
    for (number, import) in plan.asked.imports.iter().enumerate() {
        let live = |link: &&Link| ours(link, import) && link.end == End::Live;
        let named = plan.links.iter().filter(live).map(|link| link.name);
        for name in named.chain(["default"]) {
            outcomes.insert((number, name), outcome(plan, import, name, lift));
        }
    }
    Expected::Imports(outcomes)
}

fn start(plan: &Plan) -> Broken {
    let mut broken = Broken::new();
    if !plan.asked.lattice_is_ours {
        broken.insert("lattice_mismatch");
    }
    match plan.host {
        Standing::Good => {}
        Standing::Bad => drop(broken.insert("host_banned")),
        Standing::Unknown => drop(broken.insert("host_unknown")),
    }
    match plan.component {
        Component::Ours => {}
        Component::Unknown => drop(broken.insert("component_unknown")),
        Component::Retired => drop(broken.insert("component_retired")),
        Component::AnothersId => drop(broken.insert("component_id_not_yours")),
    }
    match &plan.asked.claims {
        None => drop(broken.insert("claims_missing")),
        Some(Claims::Forged) => drop(broken.insert("signature_invalid")),
        Some(Claims::Signed { of_a_provider: true, .. }) => drop(broken.insert("claims_kind")),
        Some(Claims::Signed { issuer, about_us, caps, times, rev, of_a_provider: false }) => {
            if !about_us {
                broken.insert("component_id_not_yours");
            }
            // What was admitted itself may start; else a subject stays with the issuer under whom it was admitted last
            // (T18), in the highest of its revisions or a higher one (T29).
            let itself = plan.same_bytes && plan.admitted_under == *issuer;
            let admitted = (plan.component != Component::Unknown).then_some((plan.admitted_under, plan.admitted_rev));
            let owned = match (plan.elder, admitted) {
                (Some((owner, highest)), Some((_, rev))) => Some((owner, highest.max(rev))),
                (elder, admitted) => elder.or(admitted),
            };
            if let Some((owner, highest)) = owned.filter(|_| admitted.is_none() || !itself) {
                if owner != *issuer {
                    broken.insert("subject_owned");
                }
                if *rev < highest {
                    broken.insert("downgrade");
                }
            }
            broken.extend(trust(plan, *issuer, Kind::Component, times, caps.iter().flatten().copied()));
            if let Some(caps) = caps {
                let listed = |import: &Interfaces| {
                    let legacy = plan.contracts[import.package].iter().flat_map(|contract| &contract.legacy);
                    caps.contains(&PACKAGES[import.package]) || legacy.into_iter().any(|old| caps.contains(old))
                };
                if !plan.asked.imports.iter().all(listed) {
                    broken.insert("undeclared_import");
                }
            }
        }
    }
    broken
}

fn outcome(plan: &Plan, import: &Interfaces, name: &str, lift: Lift<'_>) -> Result<Answer, Broken> {
    let mut broken = Broken::new();
    let contract = plan.contracts[import.package].as_ref();
    match contract {
        None => drop(broken.insert("contract_unknown")),
        Some(contract) => broken.extend(covers(plan, contract, import)),
    }
    let answer = candidate(plan, import, name);
    match (answer, contract) {
        (Err(why), _) => drop(broken.insert(why)),
        (Ok(answer), contract) => broken.extend(may_answer(plan, answer, contract, import)),
    }
    let link = plan.links.iter().find(|link| ours(link, import) && link.name == name && link.end == End::Live);
    if link.is_some_and(|link| answer.is_ok() && departed(plan, link)) {
        broken.insert("link_suspended");
    }
    let broken = lift(Some(import.package), broken);
    match answer {
        Ok(answer) if broken.is_empty() => Ok(answer),
        _ => Err(broken),
    }
}

// A link is followed or refused, never passed by; a tombstone refuses; only then the lattice's default.
fn candidate(plan: &Plan, import: &Interfaces, name: &str) -> Result<Answer, &'static str> {
    let link = plan.links.iter().find(|link| ours(link, import) && link.name == name && link.end != End::Accepted);
    if let Some(link) = link {
        return match link.end {
            End::Live if link.provider < plan.providers.len() && !link.misnamed => {
                // Only a pin to an issuer follows what is admitted later.
                let follows = matches!(link.pin, Pinned::Issuer(..));
                let newer = follows && plan.providers[link.provider].newer.is_some();
                Ok(Answer { by_link: true, provider: link.provider, config: link.config, newer })
            }
            End::Live => Err("provider_unknown"),
            End::Tombstone | End::Accepted => Err("link_removed"),
        };
    }
    if name != "default" || plan.defaults[import.package] != Some(true) {
        return Err("link_missing");
    }
    if plan.contracts[import.package].as_ref().is_some_and(|contract| !contract.defaultable) {
        return Err("not_defaultable");
    }
    let serving: BTreeSet<usize> = plan
        .asked
        .offers
        .iter()
        .filter(|(number, misnamed)| {
            !misnamed
                && plan.providers.get(*number).is_some_and(|it| !it.retired && serves(it, import).next().is_some())
        })
        .map(|(number, _)| *number)
        .collect();
    match (serving.len(), serving.first()) {
        (1, Some(only)) => Ok(Answer { by_link: false, provider: *only, config: false, newer: false }),
        (0, _) => Err("builtin_absent"),
        _ => Err("ambiguous"),
    }
}

// Whether an end is no longer within what was agreed: the provider's newest bytes, or what is about to run.
fn departed(plan: &Plan, link: &Link) -> bool {
    let provider = &plan.providers[link.provider];
    let by = (provider.kind != Kind::Native).then_some(provider.issuer);
    let rev = |rev: Option<i32>| rev.filter(|_| by.is_some());
    let provider_left = match (provider.newer, provider.retired) {
        (Some(newer), _) => !within(link.pin, false, by, rev(Some(newer))),
        (None, false) => !within(link.pin, true, by, rev(provider.rev)),
        // Nothing of it is left that could be outside.
        (None, true) => false,
    };
    let Some(Claims::Signed { issuer, rev, .. }) = &plan.asked.claims else { return provider_left };
    provider_left || !within(link.component_pin, plan.same_bytes, Some(*issuer), *rev)
}

fn within(pin: Pinned, same_bytes: bool, by: Option<usize>, rev: Option<i32>) -> bool {
    match pin {
        Pinned::Freely => true,
        Pinned::Bytes => same_bytes,
        Pinned::Issuer(number, from, to) => {
            by == Some(number)
                && from.is_none_or(|from| rev.is_some_and(|rev| rev >= from))
                && to.is_none_or(|to| rev.is_some_and(|rev| rev <= to))
        }
    }
}

fn covers(plan: &Plan, contract: &Contract, import: &Interfaces) -> Broken {
    let times = Times { iat: contract.iat, nbf: None, exp: contract.exp };
    // To a contract's issuer no kind of provider applies: `Native` stands for contracts here.
    let mut broken = trust(plan, contract.issuer, Kind::Native, &times, [PACKAGES[import.package]]);
    if contract.withdrawn {
        broken.insert("contract_withdrawn");
    }
    let tracks: Vec<_> = contract.versions.iter().filter_map(|version| VERSIONS[*version].1).collect();
    let covered = match VERSIONS[import.version].1 {
        Some(track) => tracks.contains(&track),
        None => tracks.is_empty(),
    };
    if !covered {
        broken.insert("contract_track");
    }
    if !import.interfaces.iter().all(|interface| contract.interfaces.contains(interface)) {
        broken.insert("contract_interface");
    }
    broken
}

fn may_answer(plan: &Plan, answer: Answer, contract: Option<&Contract>, import: &Interfaces) -> Broken {
    let mut broken = Broken::new();
    let provider = &plan.providers[answer.provider];
    if provider.retired && !answer.newer {
        broken.insert("provider_retired");
    }
    if provider.kind != Kind::Native {
        let says = provider.serves.iter().map(|served| PACKAGES[served.package]).chain(provider.capid);
        broken.extend(trust(plan, provider.issuer, provider.kind, &provider.times, says));
    }
    let by_issuer = |contract: &Contract| provider.kind != Kind::Native && contract.issuers.contains(&provider.issuer);
    if !contract.is_some_and(|contract| by_issuer(contract) || contract.subjects.contains(&answer.provider)) {
        broken.insert("provider_not_allowed");
    }
    let recognised = |contract: &Contract| provider.capid.is_some_and(|old| contract.legacy.contains(&old));
    if !(provider.serves.is_empty() && contract.is_some_and(recognised)) {
        let served: Vec<_> = serves(provider, import).collect();
        if served.is_empty() {
            broken.insert("provider_version");
        } else if !import.interfaces.iter().all(|name| served.iter().any(|served| served.interfaces.contains(name))) {
            broken.insert("provider_interface");
        }
    }
    match contract.map(|contract| (contract.config, answer.config)) {
        Some((2, false)) => drop(broken.insert("config_required")),
        Some((0, true)) => drop(broken.insert("config_forbidden")),
        _ => {}
    }
    broken
}

// Export at least import, within one track; without a version only without a version.
fn serves<'a>(provider: &'a Provider, import: &'a Interfaces) -> impl Iterator<Item = &'a Interfaces> {
    let (_, track, order) = VERSIONS[import.version];
    provider.serves.iter().filter(move |served| {
        let (_, served_track, served_order) = VERSIONS[served.version];
        served.package == import.package && served_track == track && served_order >= order
    })
}

// Whether an issuer's word counts now, for all that it says: the ways in which it does not.
fn trust<'a>(plan: &Plan, issuer: usize, kind: Kind, times: &Times, says: impl IntoIterator<Item = &'a str>) -> Broken {
    let says: Vec<&str> = says.into_iter().collect();
    let mut broken = alone(plan, issuer, kind, times, &says);
    // Lent say is worth no more than the lender's own, and nobody lends what was lent.
    if let Some(lender) = plan.issuers[issuer].as_ref().and_then(|issuer| issuer.lent_by) {
        broken.extend(alone(plan, lender, kind, times, &says));
        if plan.issuers[lender].is_none() {
            // Whoever has its say from nobody is no stranger whom somebody could have overlooked.
            broken.insert(LENT_BY_NOBODY);
        }
        if plan.issuers[lender].as_ref().is_some_and(|lender| lender.lent_by.is_some()) {
            broken.insert("delegation_depth");
        }
    }
    broken
}

// The same of one issuer by itself, whoever lent it its say.
fn alone(plan: &Plan, issuer: usize, kind: Kind, times: &Times, says: &[&str]) -> Broken {
    let Some(issuer) = &plan.issuers[issuer] else {
        let times = ways_of_times(times).into_iter().filter(|(broken, _)| *broken).map(|(_, code)| code);
        return times.chain(["issuer_unknown"]).collect();
    };
    let kind = match kind {
        Kind::Component => issuer.kinds[0],
        Kind::Archive => issuer.kinds[1],
        Kind::Native => issuer.kinds[2],
    };
    let in_scope = |id: &str| {
        issuer.scopes.iter().any(|scope| match scope.strip_suffix('*') {
            Some(start) => id.starts_with(start),
            None => *scope == id,
        })
    };
    let too_long = issuer.max_lifetime_s.is_some_and(|longest| times.exp.is_none_or(|exp| exp - times.iat > longest));
    let over = |end: Option<u64>| end.is_some_and(|end| times.iat >= end);
    let retired = !issuer.revoked && (over(issuer.retired_at) || over(issuer.until));
    let prepared = issuer.prepared && issuer.retired_at.is_none() && !issuer.revoked;
    let silent = issuer.scopes.is_empty() || !says.iter().all(|id| in_scope(id));
    let ways = [
        (issuer.revoked, "issuer_revoked"),
        (prepared, "issuer_prepared"),
        (retired && !prepared, "issuer_retired"),
        (!kind, "issuer_kind"),
        (too_long, "lifetime_exceeded"),
        (silent, "issuer_scope"),
    ];
    ways.into_iter().chain(ways_of_times(times)).filter(|(broken, _)| *broken).map(|(_, code)| code).collect()
}

fn ways_of_times(times: &Times) -> [(bool, &'static str); 3] {
    [
        (times.iat > NOW, "issued_in_future"),
        (times.nbf.is_some_and(|nbf| nbf > NOW), "not_yet_valid"),
        (times.exp.is_some_and(|exp| exp <= NOW), "expired"),
    ]
}

/// Stands beside `issuer_unknown` where that must never be lifted.
const LENT_BY_NOBODY: &str = "lent by nobody";

/// What a relaxation may lift, in the words of the description: what nobody vouched for yet.
const LIFTABLE: [&str; 9] = [
    "issuer_unknown",
    "issuer_scope",
    "expired",
    "lifetime_exceeded",
    "component_unknown",
    "undeclared_import",
    "contract_track",
    "contract_interface",
    "provider_not_allowed",
];

/// What stays broken where these codes are lifted, or all that may be.
pub(super) fn without(mut broken: Broken, only: Option<&str>) -> Broken {
    let lent_by_nobody = broken.contains(LENT_BY_NOBODY);
    broken.retain(|code| !LIFTABLE.contains(code) || only.is_some_and(|only| only != *code));
    if lent_by_nobody {
        broken.insert("issuer_unknown");
    }
    broken
}

fn ours(link: &Link, import: &Interfaces) -> bool {
    link.component == "cart" && link.package == import.package
}
