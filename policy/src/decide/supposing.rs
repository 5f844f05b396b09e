//! The rules on an import, asked of a link that does not stand yet.

use super::{Binding, NO_FACTS, Start, lawful};
use crate::artifact::Import;
use crate::govern::{LinkKey, LinkRecord, State};
use crate::key::Name;
use crate::question::{Question, Runs, Supposed, What};
use crate::reason::{Reason, Refusal};
use crate::relax::Aside;
use crate::resolve::{By, Candidate};
use crate::time::Timestamp;

/// Whether a link would answer these imports of its component, by every rule on an import; nobody asks.
///
/// No relaxation lifts anything here: a switch never rests on a weakening that ends.
pub(crate) fn supposed_to_answer(
    state: &State,
    key: &LinkKey,
    imports: Vec<Import>,
    link: &LinkRecord,
    now: Timestamp,
) -> Result<(), Refusal> {
    let record = state.components().get(&key.component);
    let runs = Runs {
        id: key.component.clone(),
        subject: record.map_or_else(|| link.provider.clone(), |record| record.subject.clone()),
        sha256: record.map_or(link.sha256, |record| record.sha256),
        claims_sha256: None,
    };
    let supposed = Supposed { what: What::StartComponent, runs, claims: None, imports, offers: Vec::new() };
    // No rule of the law on an import reads who asks; the operator's may, and are asked when somebody does.
    let question = Question::supposed(Name::from_raw([0; 32]), state.lattice().clone(), supposed);
    let start = Start { state, question: &question, facts: NO_FACTS, now, aside: Aside::default() };
    let (sha256, provider) = state.answering(link).ok_or_else(|| {
        Refusal::new(Reason::ProviderUnknown, format!("provider `{}` is not admitted", link.provider))
    })?;
    question.imports.iter().try_for_each(|import| {
        let candidate = Ok(Candidate { by: By::Link, sha256, provider, link: Some(link) });
        lawful(&Binding { start, import, link: key.name.clone(), candidate })
    })
}
