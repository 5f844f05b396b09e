//! A draft of a contract: what stands, what can be read of a package, and what its owner adds.
//!
//! The next revision of a contract that stands says all that it said, unless an option says otherwise: what a revision
//! left out by oversight would be taken from whoever is bound by it.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use policy::artifact::{Artifact, Import};
use policy::contract::{Configuration, Contract, Providers};
use policy::digest::Digest;
use policy::key::{self, Name};
use policy::name::{InterfaceName, LegacyId, Package, Track, Version};
use policy::native::{NATIVES, Native};
use policy::provider::Subject;
use policy::reason::Refusal;
use policy::verify::{self, Form};
use serde_json::Value;

use super::read_schema;
use crate::client::{Client, told};
use crate::command::verify::now;
use crate::command::{Globals, files};
use crate::keys::SigningKey;
use crate::output::{Report, Usage};
use crate::view::{Look, Page, cell, rows};

/// What a draft says beyond what can be read.
#[derive(Debug, clap::Args)]
pub(super) struct Draft {
    /// The package, with a version where there is no file to take it from.
    #[arg(value_name = "PACKAGE[@VERSION]")]
    package: String,
    /// A component that imports or exports the package: its interfaces and version are taken.
    #[arg(long, value_name = "COMPONENT.wasm")]
    file: Option<PathBuf>,
    /// The issuer that will sign it [default: the published contract's, else the one trusted issuer whose scope covers
    /// the package, else the lattice's own].
    #[arg(long, value_name = "KEY")]
    issuer: Option<String>,
    /// An issuer whose providers may answer; may be given more than once.
    #[arg(long, value_name = "KEY")]
    provider_issuer: Vec<String>,
    /// A provider that may answer (`V…`, `M…` or `native/…`); may be given more than once.
    #[arg(long, value_name = "SUBJECT")]
    provider: Vec<String>,
    /// Leave out the native builtin of the package, which may answer what is published first.
    #[arg(long)]
    without_native: bool,
    /// Begin anew: take over nothing of the published contract but its signer and its revision.
    #[arg(long)]
    anew: bool,
    /// An interface of the package; may be given more than once.
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// Whether a binding needs configuration [default: as published, else none].
    #[arg(long, value_enum)]
    config: Option<ConfigName>,
    /// A JSON Schema of that configuration [default: as published, while it has any].
    #[arg(long, value_name = "SCHEMA.json")]
    config_schema: Option<PathBuf>,
    /// Never let a lattice's default answer it: only links.
    #[arg(long, conflicts_with = "defaultable")]
    links_only: bool,
    /// Let a lattice's default answer it, though the published contract does not.
    #[arg(long)]
    defaultable: bool,
    /// Its revision [default: one more than is published].
    #[arg(long)]
    revision: Option<u64>,
    /// When it ends [default: as long after it is signed as the published one].
    #[arg(long, value_name = "SECONDS")]
    expires_in: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ConfigName {
    None,
    Optional,
    Required,
}

impl Draft {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let (package, version) = split(&self.package)?;
        let published = published(globals, &package);
        let stands = published.as_ref().filter(|_| !self.anew);
        let (interfaces, tracks) = self.surface(&package, version, stands)?;
        let iat = now()?;
        let lifetime = stands.and_then(|old| Some(old.exp?.seconds().saturating_sub(old.iat.seconds())));
        let config = self.config.map(ConfigName::configuration).or_else(|| stands.map(|old| old.config));
        let config = config.unwrap_or(Configuration::None);
        let schema = self.config_schema.as_deref().map(read_schema).transpose()?.map(|it| Digest::of(&it));
        let schema = schema.or_else(|| stands.and_then(|old| old.config_schema_sha256));
        let contract = Contract {
            iss: self.issuer(globals, &package, published.as_ref())?,
            sub: package.clone(),
            iat,
            exp: self.expires_in.or(lifetime).map(|seconds| iat.plus(seconds)),
            revision: self.revision.unwrap_or_else(|| published.as_ref().map_or(1, |contract| contract.revision + 1)),
            interfaces,
            tracks,
            providers: self.providers(&package, stands)?,
            defaultable: self.defaultable || (!self.links_only && stands.is_none_or(|old| old.defaultable)),
            config,
            // Without configuration there is nothing that a schema would be of.
            config_schema_sha256: schema.filter(|_| self.config_schema.is_some() || config != Configuration::None),
            legacy_ids: stands.map_or_else(|| legacy_ids(&package), |old| Ok(old.legacy_ids.clone()))?,
        };
        if contract.providers.issuers.is_empty() && contract.providers.subjects.is_empty() {
            let what =
                "a contract that allows nobody is of no use: name `--provider-issuer KEY` or `--provider SUBJECT`";
            return Err(Usage(what.to_owned()).into());
        }
        let pretty = serde_json::to_string_pretty(&contract)?;
        Ok(Report::new(format!("{pretty}\n"), serde_json::json!({"contract": contract})))
    }

    // Whoever may answer already, and whoever is named. The native builtin is taken along at first: afterwards its owner
    // may have left it out.
    fn providers(&self, package: &Package, stands: Option<&Contract>) -> anyhow::Result<Providers> {
        let Providers { mut issuers, mut subjects } = stands.map(|old| old.providers.clone()).unwrap_or_default();
        for text in &self.provider_issuer {
            issuers.push(Name::parse(text)?);
        }
        for text in &self.provider {
            subjects.push(Subject::parse(text)?);
        }
        let native = native(package).map(Native::subject).transpose()?;
        if self.without_native {
            subjects.retain(|subject| native.as_ref() != Some(subject));
        } else if stands.is_none() {
            subjects.extend(native);
        }
        subjects.sort();
        subjects.dedup();
        issuers.sort();
        issuers.dedup();
        Ok(Providers { issuers, subjects })
    }

    // The interfaces and the tracks: from what stands, from a component's bytes, from a native builtin, or as told.
    fn surface(
        &self,
        package: &Package,
        version: Option<Version>,
        stands: Option<&Contract>,
    ) -> anyhow::Result<(Vec<InterfaceName>, Vec<Track>)> {
        let told = self.interface.iter().map(|name| InterfaceName::parse(name)).collect::<Result<Vec<_>, _>>()?;
        let found = match (&self.file, stands) {
            (Some(file), _) => Some(surface_of(file, package, version.as_ref())?),
            (None, Some(_)) => None,
            (None, None) => native(package).map(Native::serves).transpose()?,
        };
        let (read, found) = found.map_or((None, Vec::new()), |import| (import.version, import.interfaces));
        let mut interfaces = stands.map(|old| old.interfaces.clone()).unwrap_or_default();
        interfaces.extend(found.into_iter().chain(told));
        interfaces.sort();
        interfaces.dedup();
        if interfaces.is_empty() {
            let what =
                "which interfaces has it? take them with `--file COMPONENT.wasm` or name them with `--interface`";
            return Err(Usage(what.to_owned()).into());
        }
        let mut tracks = stands.map(|old| old.tracks.clone()).unwrap_or_default();
        let track = version.or(read).as_ref().map(Version::track);
        tracks.extend(track.filter(|track| !tracks.contains(track)));
        Ok((interfaces, tracks))
    }

    fn issuer(
        &self,
        globals: &Globals,
        package: &Package,
        old: Option<&Contract>,
    ) -> anyhow::Result<Name<key::Issuer>> {
        if let Some(issuer) = &self.issuer {
            return Ok(Name::parse(issuer)?);
        }
        if let Some(issuer) = old.map(|contract| contract.iss).or_else(|| covering(globals, package)) {
            return Ok(issuer);
        }
        let own =
            Client::of(globals).ok().and_then(|client| client.folder().map(|folder| folder.key("lattice-issuer")));
        let own = own.filter(|path| path.exists());
        let own = own.ok_or_else(|| Usage("who will sign it? name the issuer with `--issuer KEY`".to_owned()))?;
        Ok(SigningKey::<key::Issuer>::load(&own).map_err(told)?.name())
    }
}

fn native(package: &Package) -> Option<&'static Native> {
    NATIVES.iter().find(|native| native.package == package.as_str())
}

// The package as it is published, where a lattice can be looked at; a draft needs none.
fn published(globals: &Globals, package: &Package) -> Option<Contract> {
    let seen = Client::of(globals).ok()?.look(&Look::Contracts(Page::default())).ok()?;
    let row = rows(&seen.view, "contracts").iter().find(|row| cell(row, "package") == package.as_str())?;
    serde_json::from_value(row.get("contract")?.clone()).ok()
}

// The one trusted issuer that may sign contracts for the package, if it is one.
fn covering(globals: &Globals, package: &Package) -> Option<Name<key::Issuer>> {
    let seen = Client::of(globals).ok()?.look(&Look::Issuers(Page::default())).ok()?;
    let listed = |row: &Value, name: &str, fits: &dyn Fn(&str) -> bool| {
        rows(row, name).iter().filter_map(Value::as_str).any(fits)
    };
    let covers = |scope: &str| policy::name::Scope::parse(scope).is_ok_and(|scope| scope.covers(package.as_str()));
    let fits = |row: &&Value| {
        let active = cell(row, "standing") == "active";
        active && listed(row, "kinds", &|kind| kind == "contract") && listed(row, "scope", &covers)
    };
    let found: Vec<&Value> = rows(&seen.view, "issuers").iter().filter(fits).collect();
    match found.as_slice() {
        [only] => Name::parse(&cell(only, "key")).ok(),
        _ => None,
    }
}

fn surface_of(file: &Path, package: &Package, version: Option<&Version>) -> anyhow::Result<Import> {
    let reading = verify::read(&files::read(file)?, Form::File, None);
    let served = match reading.artifact() {
        Some(Artifact::Component(component)) => [component.imports(), component.exports()].concat(),
        Some(Artifact::Archive(archive)) => archive.world().unwrap_or_default().to_vec(),
        None => {
            return Err(reading
                .sound()
                .err()
                .map_or_else(|| Usage("no file".to_owned()).into(), |refusal| refusal.clone().into()));
        }
    };
    let fits =
        |import: &Import| import.package == *package && (version.is_none() || import.version.as_ref() == version);
    let mut found: Vec<Import> = served.into_iter().filter(fits).collect();
    found.dedup();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => {
            Err(Usage(format!("`{}` has several versions of `{package}`; name one", file.display())).into())
        }
        (None, _) => Err(Usage(format!("`{}` neither imports nor exports `{package}`", file.display())).into()),
    }
}

fn split(text: &str) -> Result<(Package, Option<Version>), Refusal> {
    match text.split_once('@') {
        Some((package, version)) => Ok((Package::parse(package)?, Some(Version::parse(version)?))),
        None => Ok((Package::parse(text)?, None)),
    }
}

// The old contract ids that stood for a package in wasmCloud before 1.0.
fn legacy_ids(package: &Package) -> Result<Vec<LegacyId>, Refusal> {
    let ids: &[&str] = match package.as_str() {
        "wasi:keyvalue" => &["wasmcloud:keyvalue"],
        "wasi:blobstore" => &["wasmcloud:blobstore"],
        "wasi:http" => &["wasmcloud:httpserver", "wasmcloud:httpclient"],
        "wasi:logging" => &["wasmcloud:builtin:logging", "wasmcloud:logging", "wascc:logging"],
        "wasi:random" => &["wasmcloud:builtin:numbergen", "wasmcloud:extras"],
        _ => &[],
    };
    ids.iter().map(|id| LegacyId::parse(id)).collect()
}

impl ConfigName {
    const fn configuration(self) -> Configuration {
        match self {
            Self::None => Configuration::None,
            Self::Optional => Configuration::Optional,
            Self::Required => Configuration::Required,
        }
    }
}
