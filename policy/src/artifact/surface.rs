//! What a component imports and exports, told from types that were checked.
//!
//! The checking is wasmparser's, with its default features; this file only keeps it from being driven too deep.

use std::collections::{BTreeMap, BTreeSet};

use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId, ComponentTypeId};
use wasmparser::names::{ComponentName, ComponentNameKind};
use wasmparser::types::{Types, TypesRef};
use wasmparser::{
    BinaryReader, ComponentExport, ComponentImport, ComponentType, ComponentTypeDeclaration, ComponentTypeRef,
    FromReader, InstanceTypeDeclaration, SectionLimited, TypeBounds, Validator, WasmFeatures,
};

use crate::artifact::Import;
use crate::artifact::sections::{Layer, MAX_NESTING, Section};
use crate::name::{InterfaceName, InterfaceRef, Package, Version};
use crate::reason::{Reason, Refusal};

/// What a file asks for and serves.
#[derive(Debug, Default)]
pub(super) struct Surface {
    /// The interfaces it needs answered.
    pub(super) imports: Vec<Import>,
    /// The interfaces it serves.
    pub(super) exports: Vec<Import>,
    /// Of a WIT package in binary form: what each of its worlds exports.
    pub(super) worlds: Vec<Vec<Import>>,
}

/// Checks the whole file and reads its surface.
///
/// # Errors
/// `wasm_malformed`, `wasm_limit`, `import_unsupported`, `name_malformed`.
pub(super) fn read(bytes: &[u8], layer: Layer, sections: &[Section<'_>]) -> Result<Surface, Refusal> {
    for section in sections.iter().filter(|section| section.layer == Layer::Component && section.id == TYPES) {
        bound_types(section)?;
    }
    let types = validate(bytes)?;
    if layer == Layer::Module {
        return Ok(Surface::default());
    }
    let (mut imports, mut exports, mut worlds) = (Names::default(), Names::default(), Vec::new());
    for import in items::<ComponentImport<'_>>(sections, IMPORTS)? {
        if needs_answer(&import, types.as_ref())? {
            imports.add(import.name.name)?;
        }
    }
    for export in items::<ComponentExport<'_>>(sections, EXPORTS)? {
        match types.component_item_for_export(export.name.name).map(|item| item.ty) {
            Some(ComponentEntityType::Instance(_)) => exports.add_interface(export.name.name)?,
            Some(ComponentEntityType::Type { created: ComponentAnyTypeId::Component(id), .. }) => {
                worlds.extend(world(id, types.as_ref())?);
            }
            _ if is_interface(export.name.name) => {
                return Err(unsupported(export.name.name, "export", "is named as an interface but is none"));
            }
            _ => {}
        }
    }
    Ok(Surface { imports: imports.grouped(), exports: exports.grouped(), worlds })
}

// Wasmparser meets types that are too deep by reference with a failed assertion: a stranger's file must not end the thread.
fn validate(bytes: &[u8]) -> Result<Types, Refusal> {
    let validate = || Validator::new_with_features(WasmFeatures::default()).validate_all(bytes);
    match std::panic::catch_unwind(validate) {
        Ok(checked) => checked.map_err(malformed),
        Err(_) => Err(Refusal::new(Reason::WasmLimit, "its types are too deep for the validator")),
    }
}

/// Interface names, gathered by package and version.
#[derive(Default)]
struct Names {
    groups: BTreeMap<(Package, Option<Version>), BTreeSet<InterfaceName>>,
    count: usize,
}

impl Names {
    fn add(&mut self, name: &str) -> Result<(), Refusal> {
        self.count += 1;
        if self.count > MAX_INTERFACES {
            return Err(Refusal::new(Reason::WasmLimit, format!("more than {MAX_INTERFACES} interfaces")));
        }
        let InterfaceRef { package, interface, version } = InterfaceRef::parse(name)?;
        self.groups.entry((package, version)).or_default().insert(interface);
        Ok(())
    }

    // An instance under a plain name belongs to no package: nobody can ask for it.
    fn add_interface(&mut self, name: &str) -> Result<(), Refusal> {
        if is_interface(name) { self.add(name) } else { Ok(()) }
    }

    fn grouped(self) -> Vec<Import> {
        let import =
            |((package, version), interfaces)| Import { package, version, interfaces: Vec::from_iter(interfaces) };
        self.groups.into_iter().map(import).collect()
    }
}

// Types need no answer, but a resource that nobody defined does, and at the root no contract can name it.
fn needs_answer(import: &ComponentImport<'_>, types: TypesRef<'_>) -> Result<bool, Refusal> {
    let name = import.name.name;
    match import.ty {
        ComponentTypeRef::Instance(_) if is_interface(name) => {}
        ComponentTypeRef::Type(TypeBounds::Eq(_)) => return Ok(false),
        _ => return Err(unsupported(name, "import", "is neither an interface nor a type")),
    }
    match types.component_item_for_import(name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(id)) => instance_needs_answer(name, id, types),
        _ => Err(unsupported(name, "import", "has no type")),
    }
}

fn instance_needs_answer(name: &str, id: ComponentInstanceTypeId, types: TypesRef<'_>) -> Result<bool, Refusal> {
    let instance = types.get(id).ok_or_else(|| unsupported(name, "import", "has no type"))?;
    let mut needed = false;
    for item in instance.exports.values() {
        needed |= match item.ty {
            ComponentEntityType::Func(_) => true,
            ComponentEntityType::Type { created, .. } => matches!(created, ComponentAnyTypeId::Resource(_)),
            ComponentEntityType::Module(_)
            | ComponentEntityType::Value(_)
            | ComponentEntityType::Instance(_)
            | ComponentEntityType::Component(_) => {
                return Err(unsupported(name, "import", "holds more than functions and types"));
            }
        };
    }
    Ok(needed)
}

// A WIT package spells a world as a component type that exports one component type, under the world's full name.
fn world(id: ComponentTypeId, types: TypesRef<'_>) -> Result<Option<Vec<Import>>, Refusal> {
    let Some(outer) = types.get(id).filter(|outer| outer.exports.len() == 1 && outer.imports.is_empty()) else {
        return Ok(None);
    };
    let mut items = outer.exports.iter().map(|(name, item)| (name, item.ty));
    let Some((name, ComponentEntityType::Component(inner))) = items.next() else { return Ok(None) };
    let Some(inner) = types.get(inner).filter(|_| is_interface(name)) else { return Ok(None) };
    let mut exports = Names::default();
    for (name, item) in &inner.exports {
        if matches!(item.ty, ComponentEntityType::Instance(_)) {
            exports.add_interface(name)?;
        }
    }
    Ok(Some(exports.grouped()))
}

// Wasmparser reads the types of components by recursion without a floor; a small file would overflow the stack (T07).
fn bound_types(section: &Section<'_>) -> Result<(), Refusal> {
    let mut reader = reader_of(section);
    let mut open = vec![(Within::Section, reader.read_var_u32().map_err(malformed)?)];
    while let Some((within, left)) = open.last_mut() {
        let Some(fewer) = left.checked_sub(1) else {
            open.pop();
            continue;
        };
        *left = fewer;
        let within = *within;
        if let Some(inner) = next_type(&mut reader, within).map_err(malformed)? {
            if open.len() > MAX_NESTING {
                return Err(Refusal::new(Reason::WasmLimit, format!("types nested deeper than {MAX_NESTING}")));
            }
            open.push(inner);
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Within {
    Section,
    Component,
    Instance,
}

// Steps over one declaration, or into it when it opens a type that holds declarations.
fn next_type(reader: &mut BinaryReader<'_>, within: Within) -> wasmparser::Result<Option<(Within, u32)>> {
    if within != Within::Section {
        if reader.clone().read_u8()? != DECLARED_TYPE {
            return match within {
                Within::Instance => reader.read::<InstanceTypeDeclaration<'_>>().map(|_| None),
                Within::Section | Within::Component => reader.read::<ComponentTypeDeclaration<'_>>().map(|_| None),
            };
        }
        reader.read_u8()?;
    }
    let inner = match reader.clone().read_u8()? {
        0x41 => Within::Component,
        0x42 => Within::Instance,
        _ => return reader.read::<ComponentType<'_>>().map(|_| None),
    };
    reader.read_u8()?;
    Ok(Some((inner, reader.read_var_u32()?)))
}

fn items<'a, T: FromReader<'a>>(sections: &[Section<'a>], id: u8) -> Result<Vec<T>, Refusal> {
    let mut all = Vec::new();
    for section in sections.iter().filter(|section| section.depth == 0 && section.id == id) {
        for item in SectionLimited::<T>::new(reader_of(section)).map_err(malformed)? {
            all.push(item.map_err(malformed)?);
        }
    }
    Ok(all)
}

fn reader_of<'a>(section: &Section<'a>) -> BinaryReader<'a> {
    BinaryReader::new_features(section.content, section.end - section.content.len(), WasmFeatures::default())
}

fn is_interface(name: &str) -> bool {
    ComponentName::new(name, 0).is_ok_and(|name| matches!(name.kind(), ComponentNameKind::Interface(_)))
}

fn unsupported(name: &str, side: &str, what: &str) -> Refusal {
    Refusal::new(Reason::ImportUnsupported, format!("{side} `{}` {what}", shown(name)))
}

fn malformed(error: wasmparser::Error) -> Refusal {
    let detail = format!("{}, at byte {}", shown(error.message()), error.offset());
    Refusal::new(Reason::WasmMalformed, detail)
}

// The names in it are a stranger's.
fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_default).collect()
}

const TYPES: u8 = 7;
const IMPORTS: u8 = 10;
const EXPORTS: u8 = 11;
const DECLARED_TYPE: u8 = 0x01;

/// How many interfaces a component may import, and how many export.
pub(super) const MAX_INTERFACES: usize = 500;
