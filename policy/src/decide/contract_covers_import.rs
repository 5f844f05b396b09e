//! A published contract, signed by an issuer who may still speak for the package, covers the version and interfaces.

use super::Binding;
use super::words::{holds, issuer, listed, surface};
use crate::issuer::{Kind, Signed};
use crate::reason::{Reason, Refusal};

pub(super) fn judge(binding: &Binding<'_>) -> Result<(), Refusal> {
    let (import, state, aside) = (binding.import, binding.start.state, binding.start.aside);
    let package = &import.package;
    let Some(published) = state.contracts().get(package) else {
        return Err(Refusal::new(Reason::ContractUnknown, format!("no contract for `{package}` is published")));
    };
    if published.withdrawn {
        return Err(Refusal::new(Reason::ContractWithdrawn, format!("the contract for `{package}` was withdrawn")));
    }
    let contract = &published.contract;
    let signed = Signed { issuer: &contract.iss, kind: Kind::Contract, validity: &contract.validity() };
    let signed = state.issuers().judge_past(signed, [package.as_str()], binding.start.now, aside);
    signed.map_err(|refusal| refusal.within("its contract"))?;
    let track = import.version.as_ref().map(crate::name::Version::track);
    let covered = track.as_ref().map_or(contract.tracks.is_empty(), |track| contract.tracks.contains(track));
    if !covered && !aside.has(Reason::ContractTrack) {
        let asked = import.version.as_ref().map_or_else(|| "no version".to_owned(), ToString::to_string);
        return Err(Refusal::new(
            Reason::ContractTrack,
            format!("the contract for `{package}` does not cover {asked}"),
        ));
    }
    match import.interfaces.iter().find(|interface| !contract.interfaces.contains(interface)) {
        None => Ok(()),
        Some(_) if aside.has(Reason::ContractInterface) => Ok(()),
        Some(interface) => {
            let detail = format!("the contract for `{package}` does not name `{interface}`");
            Err(Refusal::new(Reason::ContractInterface, detail))
        }
    }
}

pub(super) fn fact(binding: &Binding<'_>) -> String {
    let (import, start) = (binding.import, &binding.start);
    let package = &import.package;
    let Some(published) = start.state.contracts().get(package) else {
        return format!("no contract for `{package}` is published; imported is {}", surface(import));
    };
    let contract = &published.contract;
    let stands = if published.withdrawn { "was withdrawn" } else { "is published" };
    let (tracks, interfaces) = (listed(&contract.tracks, "no version"), listed(&contract.interfaces, "no interface"));
    format!(
        "the contract is `{package}` revision {}, {stands}, tracks {tracks}, interfaces {interfaces}; imported is {}; \
         signed by {}; {}",
        contract.revision,
        surface(import),
        issuer(start.state, &contract.iss),
        holds(&contract.validity(), start.now)
    )
}
