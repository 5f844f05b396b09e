//! What runs under an id is the subject to which state gave it, signed by the issuer under whom it came; a provider must
//! be the very bytes that were admitted.

use super::Start;
use crate::examine::Evidence;
use crate::question::What;
use crate::reason::{Reason, Refusal};

pub(super) fn judge(start: &Start<'_>) -> Result<(), Refusal> {
    match start.question.what {
        What::StartComponent => component(start),
        What::StartProvider => provider(start),
    }
}

pub(super) fn fact(start: &Start<'_>) -> String {
    let runs = &start.question.runs;
    let would = format!("`{}` would run as `{}`", runs.subject, runs.id);
    match start.question.what {
        What::StartComponent => match start.state.components().get(&runs.id) {
            None => format!("{would}, and nothing was admitted as `{}`", runs.id),
            Some(record) => {
                let retired = if record.retired { ", and was retired" } else { "" };
                let (subject, issuer) = (&record.subject, &record.issuer);
                format!("{would}; the id was given to `{subject}`, signed by `{issuer}`{retired}")
            }
        },
        What::StartProvider => match start.state.providers().get(&runs.sha256) {
            None => format!("{would}, and no provider with bytes {} is admitted", runs.sha256),
            Some(record) => {
                let retired = if record.retired { ", and was retired" } else { "" };
                format!("{would}; these bytes were admitted as `{}` of `{}`{retired}", record.id, record.subject)
            }
        },
    }
}

fn component(start: &Start<'_>) -> Result<(), Refusal> {
    let runs = &start.question.runs;
    let Some(record) = start.state.components().get(&runs.id) else {
        return Err(Refusal::new(Reason::ComponentUnknown, format!("no component was admitted as `{}`", runs.id)));
    };
    if record.subject != runs.subject {
        let detail = format!("id `{}` belongs to `{}`, not to `{}`", runs.id, record.subject, runs.subject);
        return Err(Refusal::new(Reason::ComponentIdNotYours, detail));
    }
    // Any trusted issuer can write any subject's name: only admission hands an id from one to another (T18).
    if let Some(Ok(Evidence::Component(claimed))) = &start.question.claims
        && *claimed.issuer() != record.issuer
    {
        let detail = format!("id `{}` came signed by `{}`, not by `{}`", runs.id, record.issuer, claimed.issuer());
        return Err(Refusal::new(Reason::SubjectOwned, detail));
    }
    if record.retired {
        return Err(Refusal::new(Reason::ComponentRetired, format!("id `{}` was retired", runs.id)));
    }
    Ok(())
}

fn provider(start: &Start<'_>) -> Result<(), Refusal> {
    let runs = &start.question.runs;
    let admitted = start.state.providers().get(&runs.sha256);
    let Some(record) = admitted.filter(|record| record.subject == runs.subject && record.id == runs.id) else {
        let detail = format!("no provider `{}` of `{}` with bytes {} is admitted", runs.id, runs.subject, runs.sha256);
        return Err(Refusal::new(Reason::ProviderUnknown, detail));
    };
    if record.retired {
        return Err(Refusal::new(Reason::ProviderRetired, format!("provider `{}` was retired", record.id)));
    }
    Ok(())
}
