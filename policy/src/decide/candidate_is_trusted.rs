//! The provider stands, and the issuer who signed it may still speak for all that it serves (I2).

use super::Binding;
use crate::reason::{Reason, Refusal};

pub(super) fn judge(binding: &Binding<'_>) -> Result<(), Refusal> {
    let provider = binding.candidate()?.provider;
    if provider.retired {
        return Err(Refusal::new(Reason::ProviderRetired, format!("provider `{}` was retired", provider.id)));
    }
    let trusted = provider.trusted(binding.start.state, binding.start.now);
    trusted.map_err(|refusal| refusal.within(format!("provider `{}`", provider.id)))
}
