//! The binding has the configuration that the contract demands, and none that it does not take.

use super::Binding;
use crate::govern::configured;
use crate::reason::Refusal;

pub(super) fn judge(binding: &Binding<'_>) -> Result<(), Refusal> {
    let package = &binding.import.package;
    let config = binding.candidate()?.link.and_then(|link| link.config_sha256);
    let published = binding.start.state.contracts().get(package);
    published.map_or(Ok(()), |published| configured(published.contract.config, config, package))
}
