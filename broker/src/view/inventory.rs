//! What is really bound where, as hosts say: each binding with who signed what answers, and on whose ground it stands.

use std::collections::{BTreeMap, BTreeSet};

use policy::govern::{HostStanding, State};
use policy::inventory::{Bound, Runs};
use policy::key::{self, Host, Name};
use policy::name::ComponentId;
use policy::reason::{Reason, Refusal};
use policy::withdrawal::Close;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Scene;
use super::lists::row;
use super::page::Room;
use crate::present::Process;

/// Which of what runs is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhichRuns {
    /// What comes after that many rows of a host, as the page before named it: `HOST/COUNT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many rows at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Only this host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Name<Host>>,
    /// Only what runs under this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentId>,
    /// Only what rests on this issuer's word: a component, a provider or a contract that it signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Name<key::Issuer>>,
}

pub(super) fn inventory(scene: Scene<'_>, which: &WhichRuns) -> Result<Value, Refusal> {
    let (mut room, mut rows, mut next) = (Room::of(which.limit), Vec::new(), None);
    let after = which.after.as_deref().map(place).transpose()?;
    let meant = |host: &Name<Host>| which.host.is_none_or(|only| only == *host);
    let begins = |host: &Name<Host>| after.is_none_or(|(first, _)| *host >= first);
    for (key, record) in scene.state.hosts().iter().filter(|(key, _)| meant(key) && begins(key)) {
        let told_before = after.filter(|(first, _)| first == key).map_or(0, |(_, count)| count);
        if room.is_full() {
            next = Some(format!("{key}/0"));
            break;
        }
        let processes = scene.present.map(|present| present.processes(key)).unwrap_or_default();
        let forked = scene.present.and_then(|present| present.forks().remove(key));
        let newest = processes.iter().min_by_key(|process| process.silent_ms);
        let runs = processes.iter().flat_map(|process| {
            let means = |runs: &&Runs| which.component.as_ref().is_none_or(|only| runs.component == *only);
            process.running.iter().filter(means).flat_map(|runs| running(scene.state, key, runs, process))
        });
        let said: Vec<_> = processes.iter().filter_map(|process| process.at_hand.as_ref()).collect();
        let at_hand = (!said.is_empty()).then(|| said.into_iter().flatten().collect::<BTreeSet<_>>());
        let runs = runs.filter(|row| which.issuer.as_ref().is_none_or(|issuer| rests_on(row, issuer)));
        let (mut told, mut runs) = (Vec::new(), runs.skip(told_before).peekable());
        while let Some(one) = runs.next() {
            room.take(&one);
            told.push(one);
            if room.is_full() && runs.peek().is_some() {
                next = Some(format!("{key}/{}", told_before + told.len()));
                break;
            }
        }
        let host = row([
            ("host", json!(key)),
            ("labels", json!(record.labels)),
            ("standing", json!(if record.standing == HostStanding::Banned { "banned" } else { "enrolled" })),
            ("processes", json!(processes.len())),
            ("epoch", json!(scene.present.and_then(|present| present.held(key)))),
            ("seen", json!(newest.map(|process| process.seen))),
            ("forked", json!(forked)),
            ("last_seen", json!(newest.map(|process| process.heard))),
            ("silent_ms", json!(newest.map(|process| process.silent_ms))),
            ("running", json!(told)),
            ("at_hand", json!(at_hand)),
        ]);
        room.take(&host);
        rows.push(host);
        if next.is_some() {
            break;
        }
    }
    Ok(row([("hosts", json!(rows)), ("heard", json!(scene.present.is_some())), ("next", json!(next))]))
}

fn place(text: &str) -> Result<(Name<Host>, usize), Refusal> {
    let malformed = || Refusal::new(Reason::NameMalformed, "a page begins after `HOST/COUNT`");
    let (host, count) = text.split_once('/').ok_or_else(malformed)?;
    Ok((Name::parse(host)?, count.parse().map_err(|_| malformed())?))
}

/// How many bindings rest on each issuer's word.
pub(super) fn bound(scene: Scene<'_>) -> BTreeMap<Name<key::Issuer>, u64> {
    let mut counts = BTreeMap::new();
    let processes = scene.state.hosts().keys();
    let processes = processes.flat_map(|host| scene.present.map(|present| present.processes(host)).unwrap_or_default());
    for runs in processes.flat_map(|process| process.running) {
        let own = || runs.issuer.into_iter().collect::<BTreeSet<_>>();
        let grounds = |binding: &Bound| own().into_iter().chain(signers(scene.state, binding)).collect();
        let each: Vec<BTreeSet<_>> =
            if runs.bindings.is_empty() { vec![own()] } else { runs.bindings.iter().map(grounds).collect() };
        each.into_iter().flatten().for_each(|issuer| *counts.entry(issuer).or_default() += 1);
    }
    counts
}

// Who signed what answers, and the contract that it answers by.
fn signers(state: &State, binding: &Bound) -> impl Iterator<Item = Name<key::Issuer>> {
    let provider = state.providers().get(&binding.sha256);
    let provider = provider.and_then(|provider| provider.signed.as_ref()).map(|(issuer, _)| *issuer);
    let contract = state.contracts().get(&binding.package).map(|published| published.contract.iss);
    provider.into_iter().chain(contract)
}

// Whether a row rests on an issuer's word.
fn rests_on(row: &Value, issuer: &Name<key::Issuer>) -> bool {
    let issuer = json!(issuer);
    ["component_issuer", "issuer", "contract_issuer"].iter().any(|name| row.get(*name) == Some(&issuer))
}

// A row for each binding; one for what runs without any.
fn running(state: &State, host: &Name<Host>, runs: &Runs, process: &Process) -> Vec<Value> {
    let lost = state.withdrawn().of(host, runs);
    let standing = match (lost, runs.closing) {
        (_, Some(Close::Drain)) => "draining",
        (_, Some(Close::Stop)) => "stopping",
        (Some(_), None) => "withdrawn",
        (None, None) => "stands",
    };
    let told = |binding: Option<&Bound>| {
        let provider = binding.and_then(|binding| state.providers().get(&binding.sha256));
        let contract = binding.and_then(|binding| state.contracts().get(&binding.package));
        row([
            ("component", json!(runs.component)),
            ("component_sha256", json!(runs.sha256)),
            ("component_issuer", json!(runs.issuer)),
            ("package", json!(binding.map(|binding| &binding.package))),
            ("link", json!(binding.map(|binding| &binding.link))),
            ("id", json!(provider.map(|provider| &provider.id))),
            ("provider", json!(binding.map(|binding| &binding.provider))),
            ("sha256", json!(binding.map(|binding| binding.sha256))),
            ("issuer", json!(provider.and_then(|provider| provider.signed.as_ref()).map(|(issuer, _)| issuer))),
            ("contract_issuer", json!(contract.map(|published| published.contract.iss))),
            ("entry", json!(binding.map_or(runs.index, |binding| binding.index))),
            ("standing", json!(standing)),
            ("withdrawn_by", json!(lost.map(|lost| lost.since))),
            ("what_runs", json!(lost.map(|lost| lost.running))),
            ("differs", json!(process.differs(runs))),
            ("silent_ms", json!(process.silent_ms)),
        ])
    };
    if runs.bindings.is_empty() {
        return vec![told(None)];
    }
    runs.bindings.iter().map(|binding| told(Some(binding))).collect()
}
