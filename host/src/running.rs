//! A component that was started: who answers each of its imports, and calls into it.
//!
//! Calls are text in WAVE, the text form of component values.

use std::collections::BTreeSet;
use std::sync::Arc;

use policy::digest::Digest;
use policy::name::{ComponentId, LinkName};
use policy::provider::Subject;
use policy::resolve::By;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::wasm_wave::untyped::UntypedFuncCall;

use crate::error::{Error, shown};
use crate::guest::Prepared;
use crate::inventory::Started;
use crate::permit::{Decided, Leave};
use crate::slot::Slots;

/// A component that runs.
pub struct Running {
    prepared: Prepared,
    started: Arc<Started>,
    decided: Decided,
    leave: Leave,
}

/// What answers one import, and by which decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// The exact import string.
    pub import: String,
    /// The link's name.
    pub link: LinkName,
    /// By link, or by the lattice's default.
    pub by: By,
    /// The id under which it runs.
    pub id: ComponentId,
    /// What it is.
    pub provider: Subject,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// The log index of the decision.
    pub index: u64,
}

impl Running {
    pub(crate) const fn new(prepared: Prepared, started: Arc<Started>, decided: Decided, leave: Leave) -> Self {
        Self { prepared, started, decided, leave }
    }

    /// The id it runs under.
    pub const fn id(&self) -> &ComponentId {
        &self.prepared.id
    }

    /// What its claims say it is.
    pub fn subject(&self) -> &Subject {
        self.prepared.component.subject()
    }

    /// The digest of its file.
    pub fn sha256(&self) -> Digest {
        self.prepared.component.sha256()
    }

    /// The decision that it runs by.
    pub const fn decided(&self) -> Decided {
        self.decided
    }

    /// The weakenings that its start rests on.
    pub const fn leave(&self) -> &Leave {
        &self.leave
    }

    /// Its slots.
    pub const fn slots(&self) -> &Slots {
        &self.prepared.slots
    }

    /// Who answers each import now.
    pub fn answers(&self) -> Vec<Answers> {
        let answer = |slot: &Arc<crate::slot::Slot>| {
            let bound = slot.bound().ok()?;
            let grant = &bound.grant;
            Some(Answers {
                import: slot.import().to_owned(),
                link: LinkName::unnamed(),
                by: grant.by,
                id: grant.id.clone(),
                provider: grant.provider.clone(),
                sha256: grant.sha256,
                index: bound.index,
            })
        };
        self.prepared.slots.iter().filter_map(answer).collect()
    }

    /// Calls an exported function, `add("milk", 2)` or `demo:shop/cart@0.1.0#add("milk", 2)`, and gives its result.
    ///
    /// # Errors
    /// `usage` when there is no such function or its parameters do not fit; a limit, a closed slot, or its own failure.
    pub async fn invoke(&mut self, call: &str) -> Result<String, Error> {
        let (interface, text) = match call.split_once('(').and_then(|(head, _)| head.split_once('#')) {
            Some((interface, _)) => (Some(interface.trim()), call.get(interface.len() + 1..).unwrap_or_default()),
            None => (None, call),
        };
        let parsed = UntypedFuncCall::parse(text.trim());
        let parsed = parsed.map_err(|error| Error::Usage(format!("`{}` is no call: {error}", shown(call))))?;
        let (export, func) = self.export(interface, parsed.name())?;
        let types: Vec<Type> = func.params().map(|(_, ty)| ty).collect();
        let params = parsed.to_wasm_params(&types);
        let params = params
            .map_err(|error| Error::Usage(format!("the parameters of `{}` do not fit: {error}", parsed.name())))?;
        // Taken out: an instance that failed is never called again, the next call finds a new one.
        let mut held = self.started.live.lock().await;
        let mut live = match held.take() {
            Some(live) => live,
            None => self.prepared.instantiate().await?,
        };
        let found = live.find(export.as_deref(), parsed.name());
        let found = found.ok_or_else(|| Error::Usage(format!("`{}` is not exported", parsed.name())))?;
        let results = live.call(&found, &params).await?;
        *held = Some(live);
        let texts = results
            .iter()
            .map(|value| value.to_wave().map_err(|error| Error::Guest(format!("the result has no text: {error}"))));
        Ok(texts.collect::<Result<Vec<_>, _>>()?.join(", "))
    }

    // The one exported function of that name.
    fn export(&self, interface: Option<&str>, name: &str) -> Result<(Option<String>, ComponentFunc), Error> {
        let mut candidates = Vec::new();
        let mut known = BTreeSet::new();
        let engine = self.prepared.component.compiled.engine();
        for (export, item) in self.prepared.component.compiled.component_type().exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(func) => {
                    known.insert(export.to_owned());
                    if export == name && interface.is_none() {
                        candidates.push((None, func));
                    }
                }
                ComponentItem::ComponentInstance(instance) => {
                    for (func, item) in instance.exports(engine) {
                        let ComponentItem::ComponentFunc(ty) = item.ty else { continue };
                        known.insert(format!("{export}#{func}"));
                        if func == name && interface.is_none_or(|interface| interface == export) {
                            candidates.push((Some(export.to_owned()), ty));
                        }
                    }
                }
                _ => {}
            }
        }
        let known = known.into_iter().collect::<Vec<_>>().join("`, `");
        match (candidates.pop(), candidates.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(_), false) => {
                Err(Error::Usage(format!("several functions are named `{name}`; name one of `{known}`")))
            }
            (None, _) => Err(Error::Usage(format!("no function is named `{}`; there are `{known}`", shown(name)))),
        }
    }
}
