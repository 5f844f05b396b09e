//! The contract's owner allows this provider: by its subject, or by the issuer who signed it.

use super::Binding;
use super::words::listed;
use crate::reason::{Reason, Refusal};

pub(super) fn judge(binding: &Binding<'_>) -> Result<(), Refusal> {
    let provider = binding.candidate()?.provider;
    let package = &binding.import.package;
    let allowed = binding.start.state.contracts().get(package).is_some_and(|published| {
        let providers = &published.contract.providers;
        let by_issuer = provider.signed.as_ref().is_some_and(|(issuer, _)| providers.issuers.contains(issuer));
        by_issuer || providers.subjects.contains(&provider.subject)
    });
    if allowed || binding.start.aside.has(Reason::ProviderNotAllowed) {
        return Ok(());
    }
    let detail = format!("the contract for `{package}` lists neither `{}` nor its issuer", provider.subject);
    Err(Refusal::new(Reason::ProviderNotAllowed, detail))
}

pub(super) fn fact(binding: &Binding<'_>) -> String {
    let published = binding.start.state.contracts().get(&binding.import.package);
    let (Some(published), Ok(candidate)) = (published, binding.candidate()) else {
        return "no contract, or no candidate".to_owned();
    };
    let providers = &published.contract.providers;
    let (issuers, subjects) = (listed(&providers.issuers, "none"), listed(&providers.subjects, "none"));
    let by =
        candidate.provider.signed.as_ref().map_or_else(|| "nobody".to_owned(), |(issuer, _)| format!("`{issuer}`"));
    let subject = &candidate.provider.subject;
    format!("the contract lists issuers {issuers} and subjects {subjects}; the provider is `{subject}`, signed by {by}")
}
