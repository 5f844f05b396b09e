//! `provider`: which bytes, or which native builtins, may answer what they serve.
//!
//! What one serves is read from its signed bytes; only where they are silent may an administrator state it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use policy::artifact::{Artifact, Import};
use policy::digest::Digest;
use policy::examine::Evidence;
use policy::govern::{AdmitProvider, Operation, RetireProvider};
use policy::name::{ComponentId, InterfaceName, NativeName, Package, Version};
use policy::native::{NATIVES, Native};
use policy::provider::{Source, Subject};
use policy::reason::{Reason, Refusal};
use policy::verify::Reading;

use crate::client::Client;
use crate::command::acting::{Acting, Doing, brief, id_from, listing, member, showing};
use crate::command::component::{Despite, keep, sound};
use crate::command::link::resolve;
use crate::command::paging::Paged;
use crate::command::running::RunningName;
use crate::command::{Globals, files};
use crate::output::{Report, Usage};
use crate::view::{Look, Page, cell};

/// Say which providers may answer what they serve.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Admit a signed provider, or a native builtin
    #[command(after_help = "Examples:\n  countersign provider admit logger_s.wasm --id logger\n  \
        countersign provider admit native/logging@0.1.0\n  \
        countersign provider admit kv.par.gz --serves wasi:keyvalue@0.2.0-draft/store,atomics")]
    Admit {
        /// A component, a provider archive, or the name of a native builtin.
        #[arg(value_name = "FILE|native/NAME@VERSION")]
        file: PathBuf,
        /// The id that it runs under [default: the name in its claims, else the file's].
        #[arg(long)]
        id: Option<String>,
        /// State what an archive serves whose bytes do not say it; may be given more than once.
        #[arg(long, value_name = "PKG[@VERSION]/IFACE,...")]
        serves: Vec<String>,
        #[command(flatten)]
        despite: Despite,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the providers
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  countersign provider list\n  \
        countersign provider list --limit 100"
    )]
    List {
        #[command(flatten)]
        paged: Paged,
    },
    /// Show one provider
    #[command(visible_alias = "get", after_help = "Examples:\n  countersign provider show logger")]
    Show {
        /// Its id, its subject, or the start of its digest (8 digits or more).
        target: String,
    },
    /// Retire a provider's bytes: they answer nothing any more
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  countersign provider retire logger\n  \
        countersign provider retire 5f1e2a90"
    )]
    Retire {
        /// Its id, its subject, or the start of its digest (8 digits or more); it must mean exactly one.
        target: String,
        /// What becomes of what runs on this ground already.
        #[arg(long, value_enum, value_name = "WHAT", default_value = "keep")]
        running: RunningName,
        #[command(flatten)]
        acting: Acting,
    },
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Admit { file, id, serves, despite, acting } => {
                admit(globals, &file, id.as_deref(), &serves, despite, acting)
            }
            Command::List { paged } => listing(
                globals,
                &Look::Providers(paged.page()),
                "providers",
                ["ID", "SUBJECT", "SHA256", "SERVES", "KNOWN FROM", "RETIRED"],
                |row| {
                    let (id, serves) = (member(row, "id"), member(row, "serves"));
                    [
                        id,
                        brief(row, "subject"),
                        brief(row, "sha256"),
                        serves,
                        member(row, "source"),
                        member(row, "retired"),
                    ]
                },
            ),
            Command::Show { target } => {
                let meant = |row: &serde_json::Value| super::link::means(row, &target);
                showing(globals, &Look::Providers(Page::default()), "providers", meant, &target)
            }
            Command::Retire { target, running, acting } => {
                let client = Client::of(globals)?;
                let seen = client.look(&Look::Providers(Page::default()))?;
                let found = resolve(&seen.view, &target, None)?;
                let sha256 = Digest::parse(&cell(found, "sha256"))?;
                let id = cell(found, "id");
                let retire = Operation::RetireProvider(RetireProvider { sha256, running: running.running() });
                let doing = Doing::one(retire, format!("provider `{id}` is retired"));
                let doing = doing.with("provider", id).with("sha256", sha256.to_string());
                acting.run(&client, Some(seen.epoch), doing)
            }
        }
    }
}

fn admit(
    globals: &Globals,
    file: &Path,
    id: Option<&str>,
    serves: &[String],
    despite: Despite,
    acting: Acting,
) -> anyhow::Result<Report> {
    let given = id.map(ComponentId::parse).transpose()?;
    let client = Client::of(globals)?;
    if let Some(name) = file.to_str().filter(|name| name.starts_with("native/") && !file.exists()) {
        if !serves.is_empty() {
            return Err(Usage("what a native builtin serves is known; leave out `--serves`".to_owned()).into());
        }
        return acting.run(&client, None, native(name, given)?);
    }
    let bytes = files::read(file)?;
    let reading = sound(file, &bytes, None)?;
    let name = reading.common().and_then(|common| common.name.clone());
    let id = given.map_or_else(|| id_from(name.as_deref(), file), Ok)?;
    let (sha256, extension) = (reading.sha256(), extension(&reading));
    let (mut admit, token) = admission(&reading, id.clone(), serves)?;
    admit.waivers = despite.waivers();
    let doing = Doing::one(Operation::AdmitProvider(admit), format!("provider `{id}` is admitted"));
    let doing = doing.with_statement(token).with("provider", id.as_str()).with("sha256", sha256.to_string());
    let plan = acting.is_plan();
    let report = acting.run(&client, None, doing)?;
    keep(&client, &report, plan, sha256, extension, &bytes)?;
    Ok(report)
}

fn native(name: &str, id: Option<ComponentId>) -> anyhow::Result<Doing> {
    let parsed = NativeName::parse(name)?;
    let Some(native) = Native::find(name) else {
        let known: Vec<&str> = NATIVES.iter().map(|native| native.name).collect();
        let detail = format!("no host carries `{parsed}`; there are `{}`", known.join("`, `"));
        return Err(Refusal::new(Reason::ProviderUnknown, detail).into());
    };
    // `native/io@0.1.0` runs under the id `io`.
    let short = name.trim_start_matches("native/").split('@').next().unwrap_or_default();
    let id = id.map_or_else(|| ComponentId::parse(short), Ok)?;
    let admit = AdmitProvider {
        id: id.clone(),
        subject: native.subject()?,
        sha256: native.sha256(),
        claims_sha256: None,
        serves: vec![native.serves()?],
        source: Source::Native,
        waivers: BTreeSet::new(),
    };
    let doing = Doing::one(Operation::AdmitProvider(admit), format!("native builtin `{name}` is admitted as `{id}`"));
    Ok(doing.with("provider", id.as_str()).with("sha256", native.sha256().to_string()))
}

fn admission(reading: &Reading, id: ComponentId, stated: &[String]) -> anyhow::Result<(AdmitProvider, Vec<u8>)> {
    let stated = stated.iter().map(|text| read_serves(text)).collect::<Result<Vec<_>, _>>()?;
    let has_capid = matches!(reading.evidence(), Some(Evidence::Provider(claimed)) if claimed.capid.is_some());
    let (token, serves, source) = match reading.artifact() {
        Some(Artifact::Component(file)) => (file.token(), file.exports().to_vec(), Source::Exports),
        Some(Artifact::Archive(archive)) => match archive.world() {
            Some(world) => (archive.token(), world.to_vec(), Source::World),
            None if has_capid && stated.is_empty() => (archive.token(), Vec::new(), Source::Capid),
            None => (archive.token(), stated.clone(), Source::Stated),
        },
        None => (None, Vec::new(), Source::Stated),
    };
    if !stated.is_empty() && source != Source::Stated {
        let detail = "what it serves is read from its signed bytes, and never merely stated; leave out `--serves`";
        return Err(Refusal::new(Reason::SchemaMismatch, detail).into());
    }
    let token = token.unwrap_or_default().to_vec();
    let subject: Option<Subject> = reading.subject();
    let subject = subject.ok_or_else(|| Refusal::new(Reason::ClaimsMissing, "no signed claims"))?;
    let claims_sha256 = Some(Digest::of(&token));
    let waivers = BTreeSet::new();
    Ok((AdmitProvider { id, subject, sha256: reading.sha256(), claims_sha256, serves, source, waivers }, token))
}

// `wasi:keyvalue@0.2.0-draft/store,atomics`, or with the version at the end as WIT writes it.
fn read_serves(text: &str) -> anyhow::Result<Import> {
    let usage = || Usage("what is served is written `namespace:package@version/interface,interface`".to_owned());
    let (package, interfaces) = text.split_once('/').ok_or_else(usage)?;
    let split = |text: &str| match text.split_once('@') {
        Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
        None => (text.to_owned(), None),
    };
    let ((package, before), (interfaces, after)) = (split(package), split(interfaces));
    if before.is_some() && after.is_some() {
        return Err(usage().into());
    }
    let mut interfaces = interfaces.split(',').map(InterfaceName::parse).collect::<Result<Vec<_>, _>>()?;
    interfaces.sort();
    interfaces.dedup();
    let version = before.or(after).as_deref().map(Version::parse).transpose()?;
    Ok(Import { package: Package::parse(&package)?, version, interfaces })
}

fn extension(reading: &Reading) -> &'static str {
    match reading.artifact() {
        Some(Artifact::Archive(_)) => "par",
        Some(Artifact::Component(_)) | None => "wasm",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_has_two_spellings_and_one_meaning() {
        let one = read_serves("wasi:keyvalue@0.2.0-draft/store,atomics").unwrap();
        assert_eq!(one, read_serves("wasi:keyvalue/store,atomics@0.2.0-draft").unwrap());
        assert_eq!(crate::view::spelled(&one), "wasi:keyvalue/{atomics,store}@0.2.0-draft");
        for bad in ["wasi:keyvalue", "a:b@1.0.0/c@1.0.0", "a:b/C", "ab/c", "a:b/"] {
            assert!(read_serves(bad).is_err(), "{bad}");
        }
    }
}
