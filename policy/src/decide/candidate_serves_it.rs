//! The provider serves a version that answers, with every interface that is imported of it.

use super::Binding;
use super::words::surface;
use crate::provider::serves;
use crate::reason::{Reason, Refusal};
use crate::resolve::answers_version;

pub(super) fn judge(binding: &Binding<'_>) -> Result<(), Refusal> {
    let provider = binding.candidate()?.provider;
    let import = binding.import;
    if provider.serves.is_empty() && legacy(binding) {
        return Ok(());
    }
    let answering: Vec<_> =
        serves(&provider.serves, &import.package).filter(|served| answers_version(served, import)).collect();
    if answering.is_empty() {
        let asked = import.version.as_ref().map_or_else(|| "no version".to_owned(), ToString::to_string);
        let detail = format!("provider `{}` serves no `{}` that answers {asked}", provider.id, import.package);
        return Err(Refusal::new(Reason::ProviderVersion, detail));
    }
    let missing =
        import.interfaces.iter().find(|name| !answering.iter().any(|served| served.interfaces.contains(name)));
    match missing {
        None => Ok(()),
        Some(interface) => {
            let detail = format!("provider `{}` does not serve `{}/{interface}`", provider.id, import.package);
            Err(Refusal::new(Reason::ProviderInterface, detail))
        }
    }
}

pub(super) fn fact(binding: &Binding<'_>) -> String {
    let Ok(candidate) = binding.candidate() else {
        return "no candidate".to_owned();
    };
    let (provider, import) = (candidate.provider, binding.import);
    let served: Vec<_> = serves(&provider.serves, &import.package).map(surface).collect();
    let served = match (served.is_empty(), &provider.capid) {
        (false, _) => served.join(" and "),
        (true, Some(capid)) => format!("the older contract id `{capid}`"),
        (true, None) => format!("no `{}`", import.package),
    };
    format!("provider `{}` serves {served}; imported is {}", provider.id, surface(import))
}

// An archive that names only an old contract id serves what the contract's owner recognises that id as.
fn legacy(binding: &Binding<'_>) -> bool {
    let Ok(candidate) = binding.candidate() else {
        return false;
    };
    let published = binding.start.state.contracts().get(&binding.import.package);
    let capid = candidate.provider.capid.as_ref();
    published.zip(capid).is_some_and(|(published, capid)| published.contract.legacy_ids.contains(capid))
}
