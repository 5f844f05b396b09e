//! Holds the configuration of links to its schemas before a command is judged, and seals the values in the folder.
//!
//! What comes of it is a fact for the log; where values lie is left to `config`, what they mean to the provider.

use policy::claims::{ProviderClaims, read_provider};
use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::{Claimed, Unverified};
use policy::examine::Examined;
use policy::govern::{Checked, Configured, Operation, Schemas, State};
use policy::json;
use policy::key::{Name, Provider};
use policy::log::Entry;
use policy::provider::Subject;
use policy::reason::{Reason, Refusal};

use super::Service;
use crate::config::{Config, Sealed, fits};
use crate::error::Error;
use crate::store::LogReader;

type Beside = [(Digest, Vec<u8>)];

impl Service {
    /// What is found of each configuration that a command would put into force; its values came beside it, or lie here.
    pub(super) async fn find_configured(
        &self,
        command: &Examined<Command>,
        beside: &Beside,
    ) -> Result<Vec<Checked>, Error> {
        let (operations, statements) = judged_with(command);
        if !operations.iter().any(may_configure) {
            return Ok(Vec::new());
        }
        let snapshot = self.snapshot().await?;
        let log = self.log().await?;
        let admitting = Admitting { operations: &operations, statements: &statements };
        let mut found = Vec::new();
        for (operation, number) in operations.iter().zip(0..) {
            let Some(configured) = operation.configured(&snapshot.state) else { continue };
            let mut schemas = Schemas::default();
            let checked = self.check((&snapshot.state, &log, &admitting), &configured, beside, &mut schemas).await;
            let (reason, detail) = match checked {
                Ok(()) => (None, None),
                Err(Error::Refused(refusal)) => (Some(refusal.reason), Some(refusal.brief())),
                Err(error) => return Err(error),
            };
            found.push(Checked { operation: number, schemas, reason, detail });
        }
        Ok(found)
    }

    async fn check(
        &self,
        (state, log, admitting): (&State, &LogReader, &Admitting<'_>),
        configured: &Configured,
        beside: &Beside,
        schemas: &mut Schemas,
    ) -> Result<(), Error> {
        let sha256 = configured.config_sha256;
        let sealed = Sealed::of(&self.folder);
        let came = beside.iter().find(|(digest, _)| *digest == sha256).map(|(_, document)| document.clone());
        let is_new = came.is_some();
        let document = match came {
            Some(document) => Some(document),
            None => sealed.find(sha256)?,
        };
        let published = state.contracts().get(&configured.package);
        schemas.contract = published.and_then(|published| published.contract.config_schema_sha256);
        let own = match admitting.claims_of(configured.provider_sha256) {
            Some(claims) => claims?,
            None => claims_of(state, log, configured.provider_sha256).await?,
        };
        let own = own.and_then(|claims| claims.config_schema.as_ref().map(json::write));
        schemas.provider = own.as_deref().map(Digest::of);
        let Some(document) = document else {
            // Where nobody demands anything of them, values may stay with whoever has them.
            let unknown = || format!("the values of configuration {sha256} are not here, so nothing checks them");
            let needed = *schemas != Schemas::default();
            return if needed { Err(Error::refused(Reason::EvidenceMissing, unknown())) } else { Ok(()) };
        };
        let values = Config::read(&document)?.values();
        let mut by = Vec::new();
        if let Some(sha256) = schemas.contract {
            let missing =
                || format!("schema {sha256} was not published with the contract for `{}`", configured.package);
            let schema = log.evidence(sha256).await?;
            by.push(("the contract", schema.ok_or_else(|| Refusal::new(Reason::EvidenceMissing, missing()))?));
        }
        by.extend(own.map(|schema| ("the provider", schema)));
        // Bounded, but not short: not on a thread that others wait for.
        let judged =
            tokio::task::spawn_blocking(move || by.iter().try_for_each(|(whose, schema)| fits(schema, whose, &values)));
        judged.await.map_err(|_| Refusal::new(Reason::ConfigMismatch, "its schema could not be followed"))??;
        if is_new {
            sealed.keep(sha256, &document)?;
        }
        Ok(())
    }
}

// What a command brings itself: by the law it comes into force with the link that rests on it.
struct Admitting<'a> {
    operations: &'a [Operation],
    statements: &'a [Vec<u8>],
}

impl Admitting<'_> {
    // The claims under which this very command admits a provider; nothing where it does not.
    fn claims_of(&self, provider: Digest) -> Option<Result<Option<Claimed<ProviderClaims>>, Refusal>> {
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

// An approval has the command that it approves judged, which came attached; whether it is that one is the law's to say.
fn judged_with(command: &Examined<Command>) -> (Vec<Operation>, Vec<Vec<u8>>) {
    let document = command.document();
    match document.operations.as_slice() {
        [Operation::ApproveCommand(_)] => {
            let approved = Unverified::<Command>::parse(&document.attachments().join(&b'\n'));
            let parts = approved.map(|approved| (approved.says().operations.clone(), approved.attachments().to_vec()));
            parts.unwrap_or_default()
        }
        operations => (operations.to_vec(), document.attachments().to_vec()),
    }
}

fn may_configure(operation: &Operation) -> bool {
    match operation {
        Operation::PutLink(put) => put.config_sha256.is_some(),
        Operation::SwitchLink(_) | Operation::AcceptLink(_) => true,
        _ => false,
    }
}

/// Refuses a reason for a change of links that a terminal or a log reader would act on.
pub(crate) fn refuse_unreadable(command: &Command) -> Result<(), Refusal> {
    let of_links = |operation: &Operation| {
        matches!(
            operation,
            Operation::PutLink(_) | Operation::DeleteLink(_) | Operation::SwitchLink(_) | Operation::AcceptLink(_)
        )
    };
    let plain = command.because.as_deref().is_none_or(|because| !because.chars().any(char::is_control));
    if plain || !command.operations.iter().any(of_links) {
        return Ok(());
    }
    Err(Refusal::new(Reason::SchemaMismatch, "the reason of a change of links holds control characters"))
}
