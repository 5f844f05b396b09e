//! What an act takes away from what runs already: the ground it names, and all that rests on that ground.

use super::{ProviderRecord, State};
use crate::key::{self, Name};
use crate::withdrawal::{Ground, Running};

impl State {
    /// Remembers that a ground was taken away, if the act says what becomes of what stands on it.
    pub(super) fn withdraw(&mut self, ground: Ground, running: Option<Running>, index: u64) {
        let Some(running) = running else { return };
        if let Ground::Issuer(key) = &ground {
            self.withdraw_signed(*key, running, index);
        } else {
            self.withdrawn.take(ground, running, index);
        }
    }

    // An issuer's word, that of whoever has its say from it, and every provider and contract that rests on either.
    fn withdraw_signed(&mut self, key: Name<key::Issuer>, running: Running, index: u64) {
        let line: Vec<_> = std::iter::once(key).chain(self.issuers.delegates(&key).copied()).collect();
        let signed = |record: &ProviderRecord| record.signed.as_ref().is_some_and(|(by, _)| line.contains(by));
        let providers = self.providers.iter().filter(|(_, record)| signed(record));
        let providers = providers.map(|(sha256, _)| Ground::Provider(*sha256));
        let contracts = self.contracts.iter().filter(|(_, published)| line.contains(&published.contract.iss));
        let contracts = contracts.map(|(package, _)| Ground::Contract(package.clone()));
        let issuers = line.iter().copied().map(Ground::Issuer);
        for ground in issuers.chain(providers).chain(contracts).collect::<Vec<_>>() {
            self.withdrawn.take(ground, running, index);
        }
    }
}
