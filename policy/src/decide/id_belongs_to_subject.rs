//! What runs under an id is the subject to which state gave it, signed by the issuer under whom it came; a provider must
//! be the very bytes that were admitted.

use super::Start;
use crate::claims::ComponentClaims;
use crate::envelope::Claimed;
use crate::examine::Evidence;
use crate::govern::ComponentRecord;
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
        if start.aside.has(Reason::ComponentUnknown) {
            return unclaimed(start);
        }
        return Err(Refusal::new(Reason::ComponentUnknown, format!("no component was admitted as `{}`", runs.id)));
    };
    if record.subject != runs.subject {
        let detail = format!("id `{}` belongs to `{}`, not to `{}`", runs.id, record.subject, runs.subject);
        return Err(Refusal::new(Reason::ComponentIdNotYours, detail));
    }
    if let Some(Ok(Evidence::Component(claimed))) = &start.question.claims {
        is_its_owners(start, record, claimed)?;
    }
    if record.retired {
        return Err(Refusal::new(Reason::ComponentRetired, format!("id `{}` was retired", runs.id)));
    }
    Ok(())
}

// An id that is nobody's yet, under a relaxation: the subject itself may belong to somebody all the same.
fn unclaimed(start: &Start<'_>) -> Result<(), Refusal> {
    let (runs, state) = (&start.question.runs, start.state);
    if state.law() >= NOBODYS_SINCE {
        state.id_is_free_for(&runs.id, &runs.subject)?;
    }
    let Some(Ok(Evidence::Component(claimed))) = &start.question.claims else {
        return Ok(());
    };
    let Some(owned) = state.owned(&runs.subject).filter(|_| state.has_owners()) else {
        return Ok(());
    };
    if !state.issuers().same_line(&owned.issuer, claimed.issuer()) {
        let (owner, issuer) = (&owned.issuer, claimed.issuer());
        let detail = format!("subject `{}` came signed by `{owner}`, not by `{issuer}`", runs.subject);
        return Err(Refusal::new(Reason::SubjectOwned, detail));
    }
    state.is_current(&runs.subject, claimed.common.rev)
}

// Any trusted issuer can write any subject's name: only admission hands a subject from one to another (T18), and only
// admission lets an older revision run (T29). What was admitted itself needs neither.
fn is_its_owners(
    start: &Start<'_>,
    record: &ComponentRecord,
    claimed: &Claimed<ComponentClaims>,
) -> Result<(), Refusal> {
    let (runs, state) = (&start.question.runs, start.state);
    if *claimed.issuer() == record.issuer && (!state.has_owners() || runs.sha256 == record.sha256) {
        return Ok(());
    }
    let owned = state.owned(&record.subject).filter(|_| state.has_owners());
    let owner = owned.map_or(&record.issuer, |owned| &owned.issuer);
    if !state.issuers().same_line(owner, claimed.issuer()) {
        let detail = format!("id `{}` came signed by `{owner}`, not by `{}`", runs.id, claimed.issuer());
        return Err(Refusal::new(Reason::SubjectOwned, detail));
    }
    state.is_current(&record.subject, claimed.common.rev)
}

fn provider(start: &Start<'_>) -> Result<(), Refusal> {
    let runs = &start.question.runs;
    let admitted = start.state.providers().get(&runs.sha256);
    let Some(record) = admitted.filter(|record| record.subject == runs.subject && record.id == runs.id) else {
        let detail = format!("no provider `{}` of `{}` with bytes {} is admitted", runs.id, runs.subject, runs.sha256);
        return Err(Refusal::new(Reason::ProviderUnknown, detail));
    };
    if let (Some(Ok(claims)), Some((issuer, _)), true) =
        (&start.question.claims, &record.signed, start.state.has_owners())
        && claims.issuer() != issuer
    {
        let detail = format!("provider `{}` came signed by `{issuer}`, not by `{}`", runs.id, claims.issuer());
        return Err(Refusal::new(Reason::SubjectOwned, detail));
    }
    if record.retired {
        return Err(Refusal::new(Reason::ProviderRetired, format!("provider `{}` was retired", record.id)));
    }
    Ok(())
}

// An id may be a provider's, too.
const NOBODYS_SINCE: u64 = 5;
