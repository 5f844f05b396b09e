//! The binding has the configuration that the contract demands, and none that it does not take.

use super::Binding;
use crate::contract::Configuration;
use crate::govern::configured;
use crate::reason::Refusal;

pub(super) fn judge(binding: &Binding<'_>) -> Result<(), Refusal> {
    let package = &binding.import.package;
    let config = binding.candidate()?.link.and_then(|link| link.config_sha256);
    let published = binding.start.state.contracts().get(package);
    published.map_or(Ok(()), |published| configured(published.contract.config, config, package))
}

pub(super) fn fact(binding: &Binding<'_>) -> String {
    let published = binding.start.state.contracts().get(&binding.import.package);
    let wanted = published.map_or("unknown", |published| match published.contract.config {
        Configuration::None => "`none`",
        Configuration::Optional => "`optional`",
        Configuration::Required => "`required`",
    });
    let config = binding.candidate().ok().and_then(|candidate| candidate.link).and_then(|link| link.config_sha256);
    let has = config.map_or_else(|| "none".to_owned(), |sha256| format!("one, {sha256}"));
    format!("the contract says configuration is {wanted}, the binding has {has}")
}
