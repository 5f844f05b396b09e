//! Holds the configurations that operations would put into force to the schemas of their contracts and providers.
//!
//! What comes of it is a fact for the log. Where values lie is left to `sealed`, what they mean to the provider.

use policy::claims::{ProviderClaims, read_provider};
use policy::digest::Digest;
use policy::envelope::Claimed;
use policy::govern::{Checked, Configured, Operation, Schemas, State};
use policy::json;
use policy::key::{Name, Provider};
use policy::log::Entry;
use policy::provider::Subject;
use policy::reason::{Reason, Refusal};

use super::{Config, Sealed, fits};
use crate::error::Error;
use crate::store::LogReader;

/// What a command, or somebody who thinks of one, brings, and the state and log that it is held to.
pub(crate) struct Held<'a> {
    /// The state.
    pub(crate) state: &'a State,
    /// The log, which has the schemas.
    pub(crate) log: &'a LogReader,
    /// What would be done.
    pub(crate) operations: &'a [Operation],
    /// The signed statements that the operations speak of.
    pub(crate) statements: &'a [Vec<u8>],
    /// The documents that came beside it, each with its digest.
    pub(crate) beside: &'a [(Digest, Vec<u8>)],
    /// Those that lie in the folder; without it, what did not come is not looked at.
    pub(crate) sealed: Option<&'a Sealed>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Of each configuration.
    pub(crate) checked: Vec<Checked>,
    /// The documents that came, hold, and lie nowhere yet.
    pub(crate) fresh: Vec<(Digest, Vec<u8>)>,
}

impl Held<'_> {
    /// What is found of each configuration.
    ///
    /// # Errors
    /// Why nothing could be found; what does not hold is no error, but found.
    pub(crate) async fn find(&self) -> Result<Found, Error> {
        let mut found = Found::default();
        for (operation, number) in self.operations.iter().zip(0..) {
            let Some(configured) = operation.configured(self.state) else { continue };
            let sha256 = configured.config_sha256;
            let came = self.beside.iter().find(|(digest, _)| *digest == sha256).map(|(_, document)| document.clone());
            let document = match (&came, self.sealed) {
                (None, None) => continue,
                (None, Some(sealed)) => sealed.find(sha256)?,
                (Some(document), _) => Some(document.clone()),
            };
            let mut schemas = Schemas::default();
            let (reason, detail) = match self.hold(&configured, document, &mut schemas).await {
                Ok(()) => (None, None),
                Err(Error::Refused(refusal)) => (Some(refusal.reason), Some(refusal.brief())),
                Err(error) => return Err(error),
            };
            found.fresh.extend(came.filter(|_| reason.is_none()).map(|document| (sha256, document)));
            found.checked.push(Checked { operation: number, schemas, reason, detail });
        }
        Ok(found)
    }

    async fn hold(
        &self,
        configured: &Configured,
        document: Option<Vec<u8>>,
        schemas: &mut Schemas,
    ) -> Result<(), Error> {
        let published = self.state.contracts().get(&configured.package);
        schemas.contract = published.and_then(|published| published.contract.config_schema_sha256);
        let own = match self.admitted_here(configured.provider_sha256) {
            Some(claims) => claims?,
            None => claims_of(self.state, self.log, configured.provider_sha256).await?,
        };
        let own = own.and_then(|claims| claims.config_schema.as_ref().map(json::write));
        schemas.provider = own.as_deref().map(Digest::of);
        let Some(document) = document else {
            // Where nobody demands anything of them, values may stay with whoever has them.
            let sha256 = configured.config_sha256;
            let unknown = || format!("the values of configuration {sha256} are not here, so nothing checks them");
            let needed = *schemas != Schemas::default();
            return if needed { Err(Error::refused(Reason::EvidenceMissing, unknown())) } else { Ok(()) };
        };
        let values = Config::read(&document)?.values();
        let mut by = Vec::new();
        if let Some(sha256) = schemas.contract {
            let missing =
                || format!("schema {sha256} was not published with the contract for `{}`", configured.package);
            let schema = self.log.evidence(sha256).await?;
            by.push(("the contract", schema.ok_or_else(|| Refusal::new(Reason::EvidenceMissing, missing()))?));
        }
        by.extend(own.map(|schema| ("the provider", schema)));
        // Bounded, but not short: not on a thread that others wait for.
        let judged =
            tokio::task::spawn_blocking(move || by.iter().try_for_each(|(whose, schema)| fits(schema, whose, &values)));
        Ok(judged.await.map_err(|_| Refusal::new(Reason::ConfigMismatch, "its schema could not be followed"))??)
    }

    // The claims under which this very command admits a provider, which by the law comes into force with the link that
    // rests on it; nothing where it does not.
    fn admitted_here(&self, provider: Digest) -> Option<Result<Option<Claimed<ProviderClaims>>, Refusal>> {
        let admits = |operation: &Operation| match operation {
            Operation::AdmitProvider(admit) if admit.sha256 == provider => Some(admit.clone()),
            _ => None,
        };
        let admit = self.operations.iter().rev().find_map(admits)?;
        let Subject::Provider(subject) = admit.subject else { return Some(Ok(None)) };
        let mut tokens = self.statements.iter().filter(|token| admit.claims_sha256 == Some(Digest::of(token)));
        let claims = tokens.find_map(|token| of_subject(token, subject));
        Some(claims.map(Some).ok_or_else(|| missing(provider)))
    }
}

// The claims under which a provider was admitted; none of one that carries no such claims.
async fn claims_of(state: &State, log: &LogReader, provider: Digest) -> Result<Option<Claimed<ProviderClaims>>, Error> {
    let Some(Subject::Provider(subject)) = state.providers().get(&provider).map(|record| record.subject.clone()) else {
        return Ok(None);
    };
    let index = state.last_touched(&format!("provider {provider}")).ok_or_else(|| missing(provider))?;
    let row = log.row(index).await?.ok_or_else(|| missing(provider))?;
    for sha256 in Entry::read(&row.bytes)?.evidence.iter().skip(1) {
        let token = log.evidence(*sha256).await?;
        if let Some(claims) = token.and_then(|token| of_subject(&token, subject)) {
            return Ok(Some(claims));
        }
    }
    Err(missing(provider).into())
}

fn of_subject(token: &[u8], subject: Name<Provider>) -> Option<Claimed<ProviderClaims>> {
    read_provider(token).ok().filter(|claims| claims.subject == subject)
}

// What cannot be looked at demands nothing that could be met.
fn missing(provider: Digest) -> Refusal {
    let detail = format!("the claims of provider {provider} are not where it was admitted, so nobody knows its schema");
    Refusal::new(Reason::EvidenceMissing, detail)
}
