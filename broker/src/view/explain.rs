//! A dry run of a start: what would answer each import, rule by rule, or why not, and what would lift it.
//!
//! The question is supposed, so no door accepts its ruling; `decide` is the one of a live answer.

use policy::artifact::Import;
use policy::decide::{Decision, Facts};
use policy::digest::Digest;
use policy::examine;
use policy::explain as law;
use policy::govern::{Event, HostJoined, State};
use policy::key::{Host, Invite, Name};
use policy::name::ComponentId;
use policy::native::NATIVES;
use policy::provider::Subject;
use policy::question::{Offer, Question, Runs, Supposed, What};
use policy::reason::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::lists::row;
use super::{Scene, builtins};
use crate::error::Error;

/// What would start, as its bytes say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supposition {
    /// The id that it would run under; the one it was admitted under when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ComponentId>,
    /// The id when it was admitted under none.
    pub otherwise: ComponentId,
    /// The host; any enrolled one with every native builtin when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Name<Host>>,
    /// What it is, by its claims.
    pub subject: Subject,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// Its claims token; it travels below the query, for it may be longer than a string of ours.
    #[serde(skip)]
    pub claims: Vec<u8>,
    /// What it imports.
    pub imports: Vec<Import>,
}

pub(super) async fn explain(scene: Scene<'_>, supposition: &Supposition) -> Result<Value, Error> {
    let (state, host, offers) = setting(scene, supposition.host).await?;
    let id = supposition.id.clone().or_else(|| admitted(&state, supposition));
    let id = id.unwrap_or_else(|| supposition.otherwise.clone());
    let runs = Runs {
        id: id.clone(),
        subject: supposition.subject.clone(),
        sha256: supposition.sha256,
        claims_sha256: Some(Digest::of(&supposition.claims)),
    };
    let supposed = Supposed {
        what: what(&state, &runs),
        runs,
        claims: Some(examine::read_claims(&supposition.claims)),
        imports: supposition.imports.clone(),
        offers,
    };
    let question = Question::supposed(host, state.lattice().clone(), supposed);
    let told = law::explain(&state, &question, &Facts::default(), scene.now);
    let fix = told.decision.refusal().map(|_| law::fix(&state, &question, scene.now));
    let Value::Object(mut members) = telling(&told) else {
        return Ok(Value::Null);
    };
    members.insert("id".to_owned(), json!(id));
    members.insert("subject".to_owned(), json!(supposition.subject));
    members.insert("sha256".to_owned(), json!(supposition.sha256));
    members.insert("epoch".to_owned(), json!(scene.head.epoch));
    if let Some(host) = supposition.host {
        members.insert("host".to_owned(), json!(host));
    }
    if let Some(fix) = fix {
        members.insert("fix".to_owned(), json!(fix));
    }
    Ok(Value::Object(members))
}

// The state, the host and what it offers. A host that nobody named is supposed to be enrolled, in a copy of the state.
async fn setting(scene: Scene<'_>, host: Option<Name<Host>>) -> Result<(State, Name<Host>, Vec<Offer>), Error> {
    let natives = || NATIVES.iter().map(policy::native::Native::offer).collect::<Result<Vec<_>, Refusal>>();
    let mut state = scene.state.clone();
    if let Some(host) = host {
        let offered = builtins::newest(scene).await?.remove(&host).map(|(_, offers)| offers);
        return Ok((state, host, offered.map_or_else(natives, Ok)?));
    }
    let (host, invite) = (Name::<Host>::from_raw([0; 32]), Name::<Invite>::from_raw([1; 32]));
    let index = state.next_index();
    state.apply(&Event::HostJoined(HostJoined { host, invite }), index);
    Ok((state, host, natives()?))
}

fn admitted(state: &State, supposition: &Supposition) -> Option<ComponentId> {
    let mut ids = state.components().iter().filter(|(_, record)| record.subject == supposition.subject);
    let provider = state.providers().get(&supposition.sha256).map(|record| &record.id);
    match (ids.next(), ids.next()) {
        (Some((id, _)), None) => Some(id.clone()),
        (None, _) => provider.cloned(),
        // Of several ids none is meant.
        (Some(_), Some(_)) => None,
    }
}

fn what(state: &State, runs: &Runs) -> What {
    let provides = state.providers().get(&runs.sha256).is_some_and(|record| record.id == runs.id);
    match runs.subject {
        Subject::Component(_) if !provides => What::StartComponent,
        Subject::Component(_) | Subject::Provider(_) | Subject::Native(_) => What::StartProvider,
    }
}

/// A decision with its rules, as a view.
pub(super) fn telling(told: &law::Explanation) -> Value {
    let refusal = told.decision.refusal();
    row([
        ("verdict", json!(verdict(&told.decision))),
        ("reason", json!(refusal.map(|refusal| refusal.reason))),
        ("detail", json!(refusal.map(Refusal::sentence))),
        ("outcomes", json!(told.decision.outcomes())),
        ("relaxations", relaxed(&told.decision)),
        ("rules", json!({"start": told.start, "imports": told.imports})),
    ])
}

// Nothing, where nothing was relaxed.
fn relaxed(decision: &Decision) -> Value {
    if decision.relaxed().is_empty() { Value::Null } else { json!(decision.relaxed()) }
}

pub(super) const fn verdict(decision: &Decision) -> &'static str {
    match decision {
        Decision::Permitted(_) | Decision::Relaxed { .. } => "permitted",
        Decision::Refused { .. } => "refused",
    }
}
