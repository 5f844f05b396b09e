//! Both ends of a link are what was agreed on: a provider or component that changed outside its pin suspends it (I5, T29).

use super::{Binding, Start};
use crate::examine::Evidence;
use crate::govern::Now;
use crate::reason::{Reason, Refusal};

pub(super) fn judge(binding: &Binding<'_>) -> Result<(), Refusal> {
    let Some(link) = binding.candidate()?.link else {
        return Ok(());
    };
    let package = &binding.import.package;
    let Some(departed) = binding.start.state.departed(package, link, Some(runs(&binding.start))) else {
        return Ok(());
    };
    let detail = format!("link `{}/{package}/{}`: {departed}", binding.start.question.runs.id, binding.link);
    Err(Refusal::new(Reason::LinkSuspended, detail))
}

pub(super) fn fact(binding: &Binding<'_>) -> String {
    let Some(link) = binding.candidate().ok().and_then(|candidate| candidate.link) else {
        return "no link".to_owned();
    };
    let pinned = |pin: &Option<crate::govern::Pin>| pin.as_ref().map_or_else(|| "not".to_owned(), ToString::to_string);
    let newest = binding.start.state.newest(&link.provider).map(|(sha256, record)| Now::of_provider(sha256, record));
    format!(
        "the provider is pinned {}, its newest bytes are {}; the component is pinned {}, what runs is {}",
        pinned(&link.pin),
        newest.map_or_else(|| "none".to_owned(), |newest| newest.to_string()),
        pinned(&link.component_pin),
        runs(&binding.start)
    )
}

// What runs says itself who signed it; a dry run on what was admitted takes that from state.
pub(crate) fn runs(start: &Start<'_>) -> Now {
    let runs = &start.question.runs;
    let (issuer, rev) = match &start.question.claims {
        Some(Ok(Evidence::Component(claimed))) => (Some(*claimed.issuer()), claimed.common.rev),
        Some(Ok(Evidence::Provider(claimed))) => (Some(*claimed.issuer()), claimed.common.rev),
        Some(_) => (None, None),
        None => {
            let record = start.state.components().get(&runs.id).filter(|record| record.sha256 == runs.sha256);
            (record.map(|record| record.issuer), record.and_then(|record| record.rev))
        }
    };
    Now { sha256: runs.sha256, issuer, rev }
}
