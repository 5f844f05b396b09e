//! Whether a provider can be reached where a link is used, by what the hosts that are there say they have at hand.
//!
//! It is told, and decides nothing: a host may come later, and what it then starts is read and judged anew.

use policy::name::ComponentId;
use serde_json::{Value, json};

/// What the hosts say of one file.
pub(super) struct Reach {
    // Those that count, and how many of them have it: nobody was heard where there is none.
    of: usize,
    having: usize,
    /// Each host that counts, and whether it has the file.
    pub(super) hosts: Value,
}

impl Reach {
    /// Of the hosts that run the component, or of all that say what they have when none does.
    pub(super) fn of(inventory: &Value, component: &ComponentId, sha256: &str) -> Self {
        let all = inventory["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let there: Vec<_> = all.iter().filter(|host| host["at_hand"].is_array()).collect();
        let runs = |host: &&&Value| rows(&host["running"]).any(|row| row["component"] == json!(component));
        let running: Vec<_> = there.iter().filter(runs).copied().collect();
        let counting = if running.is_empty() { there } else { running };
        let has = |host: &Value| rows(&host["at_hand"]).any(|held| held == sha256);
        let hosts = counting.iter().map(|host| json!({"host": host["host"], "at_hand": has(host)}));
        let hosts = Value::Array(hosts.collect());
        Self { of: counting.len(), having: counting.iter().filter(|host| has(host)).count(), hosts }
    }

    /// For programs.
    pub(super) const fn word(&self) -> &'static str {
        match (self.of, self.having) {
            (0, _) => "unknown",
            (_, 0) => "nowhere",
            (of, having) if of == having => "everywhere",
            _ => "partly",
        }
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        match (self.of, self.having) {
            (0, _) => "no host says whether it has the provider at hand".to_owned(),
            (of, 0) => format!("of {of} hosts none has the provider at hand: put it into their artifacts"),
            (of, having) => format!("of {of} hosts {having} have the provider at hand"),
        }
    }
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
