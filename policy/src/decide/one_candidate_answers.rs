//! Exactly one provider stands for the import: its link's, or where there is none the default's (I5, I6).

use super::Binding;
use super::words::listed;
use crate::govern::{LinkKey, LinkSlot};
use crate::reason::Refusal;

pub(super) fn judge(binding: &Binding<'_>) -> Result<(), Refusal> {
    binding.candidate().map(drop)
}

pub(super) fn fact(binding: &Binding<'_>) -> String {
    let (state, question, package) = (binding.start.state, binding.start.question, &binding.import.package);
    let key = LinkKey { component: question.runs.id.clone(), package: package.clone(), name: binding.link.clone() };
    match state.links().get(&key) {
        Some(LinkSlot::Live(link)) => {
            format!("link `{key}` revision {} names `{}` with bytes {}", link.revision, link.provider, link.sha256)
        }
        Some(LinkSlot::Tombstone(link)) => format!("link `{key}` was deleted; it named `{}`", link.provider),
        None => {
            let bind = state.defaults().get(package).map_or_else(|| "none".to_owned(), |bind| format!("`{bind}`"));
            let offered = question.offers.iter().filter_map(|offer| state.providers().get(&offer.sha256));
            let serving =
                offered.filter(|provider| crate::provider::serves(&provider.serves, package).next().is_some());
            let serving = listed(serving.map(|provider| &provider.id), "none");
            format!(
                "no link `{key}`; the lattice's default is {bind}; of the host's builtins, admitted and serving it: {serving}"
            )
        }
    }
}
