//! Linked providers: components that export what another imports, each in a store of its own, started under a permit
//! of its own.
//!
//! Calls are forwarded as values. Resources cannot cross stores, so an interface that has some is refused when it is
//! linked, never at a call. How a provider comes to start is left to `start`.

use std::sync::Arc;

use policy::digest::Digest;
use policy::name::InterfaceRef;
use policy::provider::Subject;
use policy::reason::{Reason, Refusal};
use wasmtime::component::Val;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};

use crate::error::Error;
use crate::guest::Prepared;
use crate::inventory::Started;
use crate::permit::strings;

/// A provider that runs in this process.
pub struct Linked {
    prepared: Prepared,
    started: Arc<Started>,
}

impl Linked {
    pub(crate) const fn new(prepared: Prepared, started: Arc<Started>) -> Self {
        Self { prepared, started }
    }

    /// What its claims say it is.
    pub fn subject(&self) -> &Subject {
        self.prepared.component.subject()
    }

    /// The digest of its file.
    pub fn sha256(&self) -> Digest {
        self.prepared.component.sha256()
    }

    /// Checks that it can answer every function of an imported interface, and that each can be forwarded.
    ///
    /// # Errors
    /// `provider_version` or `provider_interface`.
    pub(crate) fn serves(&self, import: &str, instance: &ComponentInstance) -> Result<(), Refusal> {
        let wrong = |what: String| {
            Err(Refusal::new(Reason::ProviderInterface, format!("`{import}` of `{}`: {what}", self.prepared.id)))
        };
        let engine = self.prepared.component.compiled.engine();
        let export = self.export(import)?;
        let ty = self.prepared.component.compiled.component_type();
        let Some(ComponentItem::ComponentInstance(served)) = ty.get_export(engine, &export).map(|item| item.ty) else {
            return wrong("it exports no such interface".to_owned());
        };
        for (name, item) in instance.exports(engine) {
            let wanted = match item.ty {
                ComponentItem::ComponentFunc(func) => func,
                ComponentItem::Resource(_) => {
                    return wrong(format!("resource `{name}` cannot cross from one store to another"));
                }
                _ => continue,
            };
            let Some(ComponentItem::ComponentFunc(found)) = served.get_export(engine, name).map(|item| item.ty) else {
                return wrong(format!("it has no function `{name}`"));
            };
            if !same(&wanted, &found) {
                return wrong(format!("function `{name}` has other types than are imported"));
            }
        }
        Ok(())
    }

    /// Calls a function of it; calls come one after the other, each within the provider's own limits.
    ///
    /// # Errors
    /// The provider's failure; its next call finds a new instance.
    pub(crate) async fn call(&self, import: &str, func: &str, params: &[Val]) -> wasmtime::Result<Vec<Val>> {
        let answer = self.forward(import, func, params).await;
        answer.map_err(|error| match error {
            Error::Exceeded(refusal) => wasmtime::Error::new(refusal),
            Error::Refused(refused) => wasmtime::Error::new(refused.refusal),
            other => wasmtime::Error::msg(format!("its provider of `{import}` failed: {other}")),
        })
    }

    async fn forward(&self, import: &str, func: &str, params: &[Val]) -> Result<Vec<Val>, Error> {
        let mut held = self.started.live.lock().await;
        // Taken out: an instance that fails, or whose caller gives up, is never called again.
        let mut live = match held.take() {
            Some(live) => live,
            None => self.prepared.instantiate().await?,
        };
        let export = self.export(import)?;
        let found = live.find(Some(&export), func);
        let found = found.ok_or_else(|| Error::Guest(format!("`{}` has no function `{func}`", self.prepared.id)))?;
        let answer = live.call(&found, params).await?;
        *held = Some(live);
        Ok(answer)
    }

    // The one export that answers an import: the same string, or the only one whose version answers.
    fn export(&self, import: &str) -> Result<String, Refusal> {
        let wanted = InterfaceRef::parse(import)?;
        let answers = |export: &InterfaceRef| {
            let version = match (&export.version, &wanted.version) {
                (Some(export), Some(wanted)) => export.answers(wanted),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            version && (&export.package, &export.interface) == (&wanted.package, &wanted.interface)
        };
        let exports = self.prepared.component.exports().iter().flat_map(strings);
        let candidates: Vec<_> =
            exports.filter(|export| InterfaceRef::parse(export).is_ok_and(|export| answers(&export))).collect();
        let refuse =
            |reason, what: &str| Err(Refusal::new(reason, format!("`{}` {what} `{import}`", self.prepared.id)));
        match candidates.as_slice() {
            _ if candidates.iter().any(|candidate| candidate == import) => Ok(import.to_owned()),
            [only] => Ok(only.clone()),
            [] => refuse(Reason::ProviderVersion, "exports no version that answers"),
            _ => refuse(Reason::Ambiguous, "exports several versions that answer"),
        }
    }
}

fn same(wanted: &ComponentFunc, found: &ComponentFunc) -> bool {
    let params = |func: &ComponentFunc| func.params().map(|(_, ty)| ty).collect::<Vec<_>>();
    let results = |func: &ComponentFunc| func.results().collect::<Vec<_>>();
    let plain = |types: &[Type]| {
        !types.iter().any(|ty| matches!(ty, Type::Own(_) | Type::Borrow(_) | Type::Stream(_) | Type::Future(_)))
    };
    let (wanted, found) = ((params(wanted), results(wanted)), (params(found), results(found)));
    wanted == found && plain(&wanted.0) && plain(&wanted.1)
}

impl std::fmt::Debug for Linked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Linked({} {})", self.prepared.id, self.sha256())
    }
}
