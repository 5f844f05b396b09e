//! `contract`: what an owner says of an interface, drafted, signed, published, withdrawn.
//!
//! A draft is unsigned JSON that proposes; whoever signs it reads it first and speaks for it. Whether the signer may is
//! for the lattice to judge when it is published.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use policy::artifact::{Artifact, Import};
use policy::contract::{self, Configuration, Contract, Providers};
use policy::digest::Digest;
use policy::govern::{Operation, PublishContract, WithdrawContract};
use policy::json::{self, Profile};
use policy::key::{self, Name};
use policy::name::{InterfaceName, Package, Track, Version};
use policy::native::NATIVES;
use policy::provider::Subject;
use policy::reason::{Reason, Refusal};
use policy::verify::{self, Form};
use serde_json::Value;

use self::legacy::legacy_ids;
use crate::client::{Client, told};
use crate::command::acting::{Acting, Doing, brief, listing, member, showing};
use crate::command::running::RunningName;
use crate::command::verify::now;
use crate::command::{Globals, files};
use crate::config::MAX_SCHEMA;
use crate::keys::SigningKey;
use crate::output::{self, Report, Usage};
use crate::view::{Look, cell, rows};

mod legacy;

/// Say who may provide an interface, as its owner.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draft a contract: unsigned JSON on standard output
    #[command(after_help = "Examples:\n  countersign contract draft wasi:logging > contract.json\n  \
        countersign contract draft acme:orders@1.2.0 --file orders.wasm --provider-issuer A... > contract.json")]
    Draft(Box<Draft>),
    /// Sign a draft as its issuer
    #[command(after_help = "Examples:\n  countersign contract sign contract.json --issuer-key acme.nk\n  \
        countersign contract sign contract.json --issuer-key acme.nk --out logging.jwt")]
    Sign {
        /// The draft.
        file: PathBuf,
        /// The issuer's key file.
        #[arg(long, value_name = "FILE")]
        issuer_key: PathBuf,
        /// Where to write the contract [default: the draft's name with `.jwt`].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Publish a signed contract in the lattice
    #[command(after_help = "Examples:\n  countersign contract publish contract.jwt --because 'logging is shared'")]
    Publish {
        /// The signed contract.
        file: PathBuf,
        /// The JSON Schema of its configuration, where the contract names one by digest.
        #[arg(long, value_name = "SCHEMA.json")]
        config_schema: Option<PathBuf>,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the contracts
    #[command(visible_alias = "ls", after_help = "Examples:\n  countersign contract list")]
    List,
    /// Show one contract
    #[command(visible_alias = "get", after_help = "Examples:\n  countersign contract show wasi:logging")]
    Show {
        /// The package.
        package: String,
    },
    /// Withdraw a contract: nothing answers its package any more
    #[command(visible_alias = "rm", after_help = "Examples:\n  countersign contract withdraw wasi:logging")]
    Withdraw {
        /// The package.
        package: String,
        /// What becomes of what runs on this ground already.
        #[arg(long, value_enum, value_name = "WHAT", default_value = "keep")]
        running: RunningName,
        #[command(flatten)]
        acting: Acting,
    },
}

/// What a draft says beyond what can be read.
#[derive(Debug, clap::Args)]
struct Draft {
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
    /// Leave out the native builtin of the package, which may answer otherwise.
    #[arg(long)]
    without_native: bool,
    /// An interface of the package; may be given more than once.
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// Whether a binding needs configuration.
    #[arg(long, value_enum, default_value_t = ConfigName::None)]
    config: ConfigName,
    /// A JSON Schema of that configuration.
    #[arg(long, value_name = "SCHEMA.json")]
    config_schema: Option<PathBuf>,
    /// Never let a lattice's default answer it: only links.
    #[arg(long)]
    links_only: bool,
    /// Its revision [default: one more than is published].
    #[arg(long)]
    revision: Option<u64>,
    /// When it ends.
    #[arg(long, value_name = "SECONDS")]
    expires_in: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ConfigName {
    None,
    Optional,
    Required,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Draft(draft) => draft.run(globals),
            Command::Sign { file, issuer_key, out } => sign(&file, &issuer_key, out),
            Command::Publish { file, config_schema, acting } => {
                publish(globals, &file, config_schema.as_deref(), acting)
            }
            Command::List => listing(
                globals,
                &Look::Contracts,
                "contracts",
                ["PACKAGE", "REVISION", "WITHDRAWN", "DEFAULT", "SHA256"],
                |row| {
                    let bind = Some(member(row, "bind")).filter(|bind| !bind.is_empty());
                    let [package, revision, withdrawn] =
                        ["package", "revision", "withdrawn"].map(|name| member(row, name));
                    [package, revision, withdrawn, bind.unwrap_or_else(|| "never".to_owned()), brief(row, "sha256")]
                },
            ),
            Command::Show { package } => {
                let package = Package::parse(&package)?;
                let meant = |row: &Value| cell(row, "package") == package.as_str();
                showing(globals, &Look::Contracts, "contracts", meant, package.as_str())
            }
            Command::Withdraw { package, running, acting } => {
                let package = Package::parse(&package)?;
                let says = format!("the contract for `{package}` is withdrawn");
                let withdraw = Operation::WithdrawContract(WithdrawContract {
                    package: package.clone(),
                    running: running.running(),
                });
                acting.run(&Client::of(globals)?, None, Doing::one(withdraw, says).with("package", package.as_str()))
            }
        }
    }
}

impl Draft {
    fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let (package, version) = split(&self.package)?;
        let published = published(globals, &package);
        let served = self.surface(&package, version)?;
        let mut subjects = self.provider.iter().map(|text| Subject::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let mut issuers: Vec<Name<key::Issuer>> =
            self.provider_issuer.iter().map(|text| Name::parse(text)).collect::<Result<_, _>>()?;
        let native = NATIVES.iter().find(|native| native.package == package.as_str());
        if let Some(native) = native.filter(|_| !self.without_native) {
            subjects.push(native.subject()?);
        }
        let iat = now()?;
        subjects.sort();
        subjects.dedup();
        issuers.sort();
        issuers.dedup();
        let contract = Contract {
            iss: self.issuer(globals, &package, published.as_ref())?,
            sub: package.clone(),
            iat,
            exp: self.expires_in.map(|seconds| iat.plus(seconds)),
            revision: self.revision.unwrap_or_else(|| published.as_ref().map_or(1, |contract| contract.revision + 1)),
            interfaces: served.interfaces,
            tracks: served.version.iter().map(Version::track).collect::<Vec<Track>>(),
            providers: Providers { issuers, subjects },
            defaultable: !self.links_only,
            config: self.config.configuration(),
            config_schema_sha256: self.config_schema.as_deref().map(read_schema).transpose()?.map(|it| Digest::of(&it)),
            legacy_ids: legacy_ids(&package)?,
        };
        if contract.providers.issuers.is_empty() && contract.providers.subjects.is_empty() {
            let what =
                "a contract that allows nobody is of no use: name `--provider-issuer KEY` or `--provider SUBJECT`";
            return Err(Usage(what.to_owned()).into());
        }
        let pretty = serde_json::to_string_pretty(&contract)?;
        Ok(Report::new(format!("{pretty}\n"), serde_json::json!({"contract": contract})))
    }

    // The interfaces and the version: from a component's bytes, from a native builtin, or as told.
    fn surface(&self, package: &Package, version: Option<Version>) -> anyhow::Result<Import> {
        let told = self.interface.iter().map(|name| InterfaceName::parse(name)).collect::<Result<Vec<_>, _>>()?;
        let mut found = match &self.file {
            Some(file) => surface_of(file, package, version.as_ref())?,
            None => NATIVES
                .iter()
                .find(|native| native.package == package.as_str())
                .map(policy::native::Native::serves)
                .transpose()?
                .unwrap_or_else(|| Import { package: package.clone(), version: None, interfaces: Vec::new() }),
        };
        found.version = version.or(found.version);
        found.interfaces.extend(told);
        found.interfaces.sort();
        found.interfaces.dedup();
        if found.interfaces.is_empty() {
            let what =
                "which interfaces has it? take them with `--file COMPONENT.wasm` or name them with `--interface`";
            return Err(Usage(what.to_owned()).into());
        }
        Ok(found)
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

// The package as it is published, where a lattice can be looked at; a draft needs none.
fn published(globals: &Globals, package: &Package) -> Option<Contract> {
    let seen = Client::of(globals).ok()?.look(&Look::Contracts).ok()?;
    let row = rows(&seen.view, "contracts").iter().find(|row| cell(row, "package") == package.as_str())?;
    serde_json::from_value(row.get("contract")?.clone()).ok()
}

// The one trusted issuer that may sign contracts for the package, if it is one.
fn covering(globals: &Globals, package: &Package) -> Option<Name<key::Issuer>> {
    let seen = Client::of(globals).ok()?.look(&Look::Issuers).ok()?;
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

fn sign(file: &Path, issuer_key: &Path, out: Option<PathBuf>) -> anyhow::Result<Report> {
    let bytes = files::read(file)?;
    let draft: Value = json::read(&bytes).map_err(|refusal| refusal.within(format!("`{}`", file.display())))?;
    // What `-o json` wrote holds the draft as a member.
    let draft = draft.get("contract").cloned().unwrap_or(draft);
    let mut contract: Contract = json::read(&json::write(&draft))?;
    let issuer = SigningKey::<key::Issuer>::load(issuer_key).map_err(told)?;
    // Whoever signs speaks for it now, whomever the draft proposed.
    let proposed = std::mem::replace(&mut contract.iss, issuer.name());
    let lifetime = contract.exp.map(|exp| exp.seconds().saturating_sub(contract.iat.seconds()));
    contract.iat = now()?;
    contract.exp = lifetime.map(|seconds| contract.iat.plus(seconds));
    let token = issuer.sign_contract(&contract);
    contract::read(token.as_bytes())?;
    let out = out.unwrap_or_else(|| file.with_extension("jwt"));
    anyhow::ensure!(out != file, "the contract would overwrite its draft; name another file with `--out`");
    files::write(&out, token.as_bytes()).with_context(|| format!("file `{}`", out.display()))?;
    let sha256 = Digest::of(token.as_bytes()).to_string();
    let mut pairs = vec![
        ("package", contract.sub.to_string()),
        ("revision", contract.revision.to_string()),
        ("issuer", contract.iss.to_string()),
        ("sha256", sha256.clone()),
        ("file", out.display().to_string()),
    ];
    if proposed != contract.iss {
        pairs.push(("note", format!("the draft proposed {proposed}, its signer is named instead")));
    }
    let members = serde_json::json!({"contract": contract, "sha256": sha256, "file": out.display().to_string()});
    Ok(Report::new(format!("signed\n{}", output::fields(pairs)), members))
}

fn publish(globals: &Globals, file: &Path, schema: Option<&Path>, acting: Acting) -> anyhow::Result<Report> {
    let bytes = files::read(file)?;
    let token = bytes.trim_ascii();
    let contract = contract::read(token).map_err(|refusal| refusal.within(format!("`{}`", file.display())))?;
    let (package, sha256) = (contract.sub.clone(), contract.sha256());
    let says = format!("revision {} of the contract for `{package}` is published", contract.revision);
    let publish = Operation::PublishContract(PublishContract { package: package.clone(), sha256 });
    let doing = Doing::one(publish, says).with_statement(token.to_vec());
    let mut doing = doing.with("package", package.as_str()).with("sha256", sha256.to_string());
    match (schema.map(read_schema).transpose()?, contract.config_schema_sha256) {
        (None, None) => {}
        (Some(schema), Some(named)) if Digest::of(&schema) == named => doing = doing.with_statement(schema),
        (Some(_), _) => return Err(Refusal::new(Reason::HashMismatch, "the contract names another schema").into()),
        (None, Some(named)) => {
            let detail = format!("the contract names schema {named}; give it with `--config-schema SCHEMA.json`");
            return Err(Refusal::new(Reason::EvidenceMissing, detail).into());
        }
    }
    acting.run(&Client::of(globals)?, None, doing.with("revision", contract.revision))
}

// As it is named by its digest: canonical, so that spaces do not make another of it.
fn read_schema(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = files::read(path)?;
    json::check(&bytes, Profile::Any).map_err(|refusal| refusal.within(format!("`{}`", path.display())))?;
    let canonical = json::write(&serde_json::from_slice::<Value>(&bytes)?);
    if canonical.len() > MAX_SCHEMA {
        return Err(Refusal::new(Reason::TokenOversize, format!("a schema has at most {MAX_SCHEMA} bytes")).into());
    }
    Ok(canonical)
}

fn split(text: &str) -> Result<(Package, Option<Version>), Refusal> {
    match text.split_once('@') {
        Some((package, version)) => Ok((Package::parse(package)?, Some(Version::parse(version)?))),
        None => Ok((Package::parse(text)?, None)),
    }
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
