//! The provider stands, and the issuer who signed it may still speak for all that it serves (I2).

use super::Binding;
use super::words::{holds, issuer};
use crate::reason::{Reason, Refusal};

pub(super) fn judge(binding: &Binding<'_>) -> Result<(), Refusal> {
    let provider = binding.candidate()?.provider;
    if provider.retired {
        return Err(Refusal::new(Reason::ProviderRetired, format!("provider `{}` was retired", provider.id)));
    }
    let trusted = provider.trusted(binding.start.state, binding.start.now, binding.start.aside);
    trusted.map_err(|refusal| refusal.within(format!("provider `{}`", provider.id)))
}

pub(super) fn fact(binding: &Binding<'_>) -> String {
    let Ok(candidate) = binding.candidate() else {
        return "no candidate".to_owned();
    };
    let (id, start) = (&candidate.provider.id, &binding.start);
    let stands = if candidate.provider.retired { "was retired" } else { "is admitted" };
    match &candidate.provider.signed {
        None => format!("provider `{id}` {stands}; a native builtin rests on its admission alone"),
        Some((name, validity)) => {
            format!("provider `{id}` {stands}, signed by {}; {}", issuer(start.state, name), holds(validity, start.now))
        }
    }
}
