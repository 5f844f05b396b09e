//! Every warrant that came into force, the newest last, as the roots signed it.

use policy::envelope::Unverified;
use policy::govern::Event;
use policy::log::Body;
use policy::reason::{Reason, Refusal};
use policy::warrant::Warrant;
use serde_json::{Value, json};

use super::Scene;
use super::lists::row;
use crate::error::Error;

pub(super) async fn warrants(scene: Scene<'_>) -> Result<Value, Error> {
    let mut installed = Vec::new();
    let visited = scene.resting(scene.head.size, |entry| {
        if let Body::Governance(judged) = &entry.body
            && judged.events.iter().any(|event| matches!(event, Event::WarrantInstalled(_)))
        {
            installed.push((entry.index, entry.at_ms / 1000));
        }
    });
    visited.await?;
    let mut told = Vec::with_capacity(installed.len());
    for (index, at) in &installed {
        let missing = || Refusal::new(Reason::LogBroken, format!("the warrant of entry {index} is not beside it"));
        let token = scene.log.document(*index).await?.ok_or_else(missing)?;
        let warrant = Unverified::<Warrant>::parse(&token)?;
        let in_force = warrant.says().rank() == scene.state.warrant_rank();
        told.push(tell(warrant.says(), *index, *at, in_force));
    }
    Ok(json!({"warrants": told}))
}

fn tell(warrant: &Warrant, index: u64, at: u64, in_force: bool) -> Value {
    let roots: Vec<String> =
        std::iter::once(&warrant.iss).chain(warrant.cosigned.keys()).map(ToString::to_string).collect();
    row([
        ("serial", json!(warrant.serial)),
        ("reset", json!(warrant.reset)),
        ("in_force", json!(in_force)),
        ("installed", json!(index)),
        ("at", json!(at)),
        ("not_before", json!(warrant.validity.nbf.unwrap_or(warrant.validity.iat))),
        ("warrant_until", json!(warrant.validity.exp)),
        ("decision_keys", json!(warrant.decision_keys)),
        ("ends", if warrant.ends.is_empty() { Value::Null } else { json!(warrant.ends) }),
        ("log_key", json!(warrant.log_key)),
        ("signed_by", json!(roots)),
    ])
}
