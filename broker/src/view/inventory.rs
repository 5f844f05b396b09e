//! What is really bound where, as hosts say: each binding with who signed what answers, and on whose ground it stands.

use std::collections::BTreeSet;

use policy::govern::{HostStanding, State};
use policy::inventory::{Bound, Runs};
use policy::key::{Host, Name};
use policy::withdrawal::Close;
use serde_json::{Value, json};

use super::Scene;
use super::lists::row;

pub(super) fn inventory(scene: Scene<'_>) -> Value {
    let hosts = scene.state.hosts().iter().map(|(key, record)| {
        let processes = scene.present.map(|present| present.processes(key)).unwrap_or_default();
        let forked = scene.present.and_then(|present| present.forks().remove(key));
        let newest = processes.iter().min_by_key(|process| process.silent_ms);
        let runs = processes.iter().flat_map(|process| {
            process.running.iter().flat_map(|runs| running(scene.state, key, runs, process.silent_ms))
        });
        let said: Vec<_> = processes.iter().filter_map(|process| process.at_hand.as_ref()).collect();
        let at_hand = (!said.is_empty()).then(|| said.into_iter().flatten().collect::<BTreeSet<_>>());
        row([
            ("host", json!(key)),
            ("labels", json!(record.labels)),
            ("standing", json!(if record.standing == HostStanding::Banned { "banned" } else { "enrolled" })),
            ("processes", json!(processes.len())),
            ("epoch", json!(scene.present.and_then(|present| present.held(key)))),
            ("seen", json!(newest.map(|process| process.seen))),
            ("forked", json!(forked)),
            ("last_seen", json!(newest.map(|process| process.heard))),
            ("silent_ms", json!(newest.map(|process| process.silent_ms))),
            ("running", json!(runs.collect::<Vec<_>>())),
            ("at_hand", json!(at_hand)),
        ])
    });
    json!({"hosts": hosts.collect::<Vec<_>>(), "heard": scene.present.is_some()})
}

// A row for each binding; one for what runs without any.
fn running(state: &State, host: &Name<Host>, runs: &Runs, silent_ms: u64) -> Vec<Value> {
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
            ("silent_ms", json!(silent_ms)),
        ])
    };
    if runs.bindings.is_empty() {
        return vec![told(None)];
    }
    runs.bindings.iter().map(|binding| told(Some(binding))).collect()
}
