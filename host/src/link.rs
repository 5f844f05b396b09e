//! The only file that touches wasmtime's linker: one fresh, empty linker per component, filled from its slots.
//!
//! Wasmtime also matches compatible versions. So before anything is defined, every import that needs an answer must hold
//! a bound slot under its own exact string; only then can no near version be satisfied by another's permit.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::name::InterfaceRef;
use policy::reason::{Reason, Refusal};
use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{HasData, InstancePre, Linker, ResourceTable, Val};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random};
use wasmtime_wasi::random::WasiRandom;

use crate::builtin::{self, Served, keyvalue};
use crate::component::Component;
use crate::error::Error;
use crate::guest::Guest;
use crate::slot::{Binding, Slot, Slots};

/// Links a component to its slots.
///
/// # Errors
/// `unpermitted` for an import without a bound slot of exactly its string; `provider_interface` when what answers cannot.
pub(crate) fn link(component: &Component, slots: &Slots) -> Result<InstancePre<Guest>, Error> {
    let engine = component.compiled.engine();
    let ty = component.compiled.component_type();
    let mut answered = Vec::new();
    for (name, import) in ty.imports(engine) {
        match import.ty {
            ComponentItem::ComponentInstance(instance) if needs_answer(engine, &instance) => {
                let slot = slots.exact(name).ok_or_else(|| no_slot(name))?;
                slot.bound()?;
                answered.push((slot, instance));
            }
            ComponentItem::ComponentInstance(_) | ComponentItem::Type(_) => {}
            _ => {
                return Err(Refusal::new(
                    Reason::ImportUnsupported,
                    format!("import `{name}` is neither an interface nor a type"),
                )
                .into());
            }
        }
    }
    one_answer_per_track(&answered)?;
    let mut linker = Linker::<Guest>::new(engine);
    for (slot, instance) in &answered {
        define(&mut linker, engine, slot, instance)?;
    }
    let pre = linker.instantiate_pre(&component.compiled);
    pre.map_err(|error| {
        Refusal::new(Reason::ProviderInterface, format!("what was permitted does not fit: {error:#}")).into()
    })
}

// Compatible versions of one interface could be taken for one another, so they must have one and the same answer.
fn one_answer_per_track(answered: &[(&Arc<Slot>, ComponentInstance)]) -> Result<(), Refusal> {
    let mut answers = BTreeMap::new();
    for (slot, _) in answered {
        let name = InterfaceRef::parse(slot.import())?;
        let grant = slot.bound()?.grant.clone();
        let key = (name.package, name.interface, name.version.map(|version| version.track()));
        let first = answers.entry(key).or_insert_with(|| (slot.import(), grant.sha256));
        if first.1 != grant.sha256 {
            let detail = format!("`{}` and `{}` are near versions with different answers", first.0, slot.import());
            return Err(Refusal::new(Reason::Ambiguous, detail));
        }
    }
    Ok(())
}

fn needs_answer(engine: &wasmtime::Engine, instance: &ComponentInstance) -> bool {
    instance.exports(engine).any(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
}

fn define(
    linker: &mut Linker<Guest>,
    engine: &wasmtime::Engine,
    slot: &Arc<Slot>,
    instance: &ComponentInstance,
) -> Result<(), Error> {
    let name = InterfaceRef::parse(slot.import())?;
    let bound = slot.bound()?;
    let (package, interface) = (name.package.as_str(), name.interface.as_str());
    let defined = match &bound.binding {
        Binding::Linked(linked) => {
            linked.serves(slot.import(), instance)?;
            functions(linker, engine, slot, instance)
        }
        Binding::Native(native) if native.package != package => return Err(not_served(slot).into()),
        Binding::Native(_) => match builtin::served(package, interface) {
            Some(Served::Wasi) => wasi(linker, package, interface),
            Some(Served::Ours) => {
                ours_has_all(engine, slot, package, instance)?;
                functions(linker, engine, slot, instance)
            }
            None => return Err(not_served(slot).into()),
        },
    };
    defined.map_err(|error| {
        Refusal::new(Reason::ProviderInterface, format!("`{}` cannot be linked: {error:#}", slot.import())).into()
    })
}

// Each function goes through the slot at every call: a slot that is closed or bound anew takes effect at once.
fn functions(
    linker: &mut Linker<Guest>,
    engine: &wasmtime::Engine,
    slot: &Arc<Slot>,
    instance: &ComponentInstance,
) -> wasmtime::Result<()> {
    let mut into = linker.instance(slot.import())?;
    for (name, item) in instance.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let (slot, name) = (Arc::clone(slot), Arc::<str>::from(name));
                into.func_new_async(&name.clone(), move |guest, _, params, results| {
                    let (slot, name) = (Arc::clone(&slot), Arc::clone(&name));
                    Box::new(async move { through(&slot, &name, guest, params, results).await })
                })?;
            }
            ComponentItem::Resource(_) => into.resource(name, keyvalue::bucket_type(), keyvalue::drop_bucket)?,
            _ => {}
        }
    }
    Ok(())
}

async fn through(
    slot: &Slot,
    func: &str,
    mut guest: StoreContextMut<'_, Guest>,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    guest.data_mut().calls_out().map_err(wasmtime::Error::new)?;
    let bound = slot.under_way().map_err(wasmtime::Error::new)?;
    let answers = match &bound.binding {
        Binding::Native(native) => builtin::call(native.package, func, guest, params)?.into_iter().collect(),
        Binding::Linked(linked) => linked.call(slot.import(), func, params).await?,
    };
    if answers.len() != results.len() {
        return Err(wasmtime::Error::msg(format!(
            "`{func}` gave {} results, expected {}",
            answers.len(),
            results.len()
        )));
    }
    for (result, answer) in results.iter_mut().zip(answers) {
        *result = answer;
    }
    Ok(())
}

fn ours_has_all(
    engine: &wasmtime::Engine,
    slot: &Slot,
    package: &str,
    instance: &ComponentInstance,
) -> Result<(), Refusal> {
    for (name, item) in instance.exports(engine) {
        let has = match item.ty {
            ComponentItem::ComponentFunc(_) => builtin::has(package, name),
            ComponentItem::Resource(_) => name == keyvalue::BUCKET,
            _ => true,
        };
        if !has {
            return Err(Refusal::new(
                Reason::ProviderInterface,
                format!("the builtin has no `{name}` in `{}`", slot.import()),
            ));
        }
    }
    Ok(())
}

// The published types register under their own version: that one, and only interfaces whose slots are bound.
fn wasi(linker: &mut Linker<Guest>, package: &str, interface: &str) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let l = &mut *linker;
    match (package, interface) {
        ("wasi:cli", "environment") => cli::environment::add_to_linker::<Guest, WasiCli>(l, Guest::cli),
        ("wasi:cli", "exit") => cli::exit::add_to_linker::<Guest, WasiCli>(l, Guest::cli),
        ("wasi:cli", "stderr") => cli::stderr::add_to_linker::<Guest, WasiCli>(l, Guest::cli),
        ("wasi:cli", "stdin") => cli::stdin::add_to_linker::<Guest, WasiCli>(l, Guest::cli),
        ("wasi:cli", "stdout") => cli::stdout::add_to_linker::<Guest, WasiCli>(l, Guest::cli),
        ("wasi:cli", "terminal-input") => cli::terminal_input::add_to_linker::<Guest, WasiCli>(l, Guest::cli),
        ("wasi:cli", "terminal-output") => cli::terminal_output::add_to_linker::<Guest, WasiCli>(l, Guest::cli),
        ("wasi:cli", "terminal-stderr") => cli::terminal_stderr::add_to_linker::<Guest, WasiCli>(l, Guest::cli),
        ("wasi:cli", "terminal-stdin") => cli::terminal_stdin::add_to_linker::<Guest, WasiCli>(l, Guest::cli),
        ("wasi:cli", "terminal-stdout") => cli::terminal_stdout::add_to_linker::<Guest, WasiCli>(l, Guest::cli),
        ("wasi:clocks", "monotonic-clock") => {
            clocks::monotonic_clock::add_to_linker::<Guest, WasiClocks>(l, Guest::clocks)
        }
        ("wasi:clocks", "wall-clock") => clocks::wall_clock::add_to_linker::<Guest, WasiClocks>(l, Guest::clocks),
        ("wasi:filesystem", "preopens") => {
            filesystem::preopens::add_to_linker::<Guest, WasiFilesystem>(l, Guest::filesystem)
        }
        ("wasi:filesystem", "types") => filesystem::types::add_to_linker::<Guest, WasiFilesystem>(l, Guest::filesystem),
        ("wasi:io", "error") => io::error::add_to_linker::<Guest, Streams>(l, |guest| guest.ctx().table),
        ("wasi:io", "poll") => io::poll::add_to_linker::<Guest, Streams>(l, |guest| guest.ctx().table),
        ("wasi:io", "streams") => io::streams::add_to_linker::<Guest, Streams>(l, |guest| guest.ctx().table),
        ("wasi:random", "insecure") => {
            random::insecure::add_to_linker::<Guest, WasiRandom>(l, |guest| guest.ctx().ctx.random())
        }
        ("wasi:random", "insecure-seed") => {
            random::insecure_seed::add_to_linker::<Guest, WasiRandom>(l, |guest| guest.ctx().ctx.random())
        }
        ("wasi:random", "random") => {
            random::random::add_to_linker::<Guest, WasiRandom>(l, |guest| guest.ctx().ctx.random())
        }
        _ => Err(wasmtime::Error::msg("no published type serves it")),
    }
}

// The streams of the published types live in the guest's table.
struct Streams;

impl HasData for Streams {
    type Data<'a> = &'a mut ResourceTable;
}

fn no_slot(name: &str) -> Refusal {
    Refusal::new(Reason::Unpermitted, format!("import `{name}` has no slot of exactly that name"))
}

fn not_served(slot: &Slot) -> Refusal {
    Refusal::new(Reason::ProviderInterface, format!("no builtin of this host serves `{}`", slot.import()))
}
