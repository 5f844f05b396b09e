//! `archive create` and `archive inspect`: provider archives as the published crates write and read them.
//!
//! The bytes are [`policy::artifact::archive`]'s; signing is shared with [`super::claims`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use policy::artifact::archive;
use policy::artifact::{self, Artifact};
use policy::claims::ProviderClaims;
use policy::digest::Digest;
use policy::json::{self, Profile};
use policy::key::Issuer;
use policy::reason::{Reason, Refusal};
use policy::verify::{self, Form};
use serde_json::{Value, json};

use crate::command::claims::{self, Signed, Words};
use crate::command::files;
use crate::command::keyfile::Signer;
use crate::output::{self, Report};

/// Make provider archives, or look into them.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a signed archive of a provider's executables
    #[command(
        after_help = "A world makes what the provider serves part of what is signed; without one an administrator must state it.\n\n\
        Examples:\n  countersign archive create --binary x86_64-linux=target/release/kv --vendor acme --name kv \\\n    \
        --issuer-key acme.nk --subject-key kv.nk --world kv-world.wasm --out kv.par.gz --gzip"
    )]
    Create(Box<Create>),
    /// List what an archive holds, each with its digest and whether that is signed
    #[command(after_help = "Examples:\n  countersign archive inspect kv.par.gz")]
    Inspect {
        /// The archive.
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// An executable, by its target; once for each.
    #[arg(long = "binary", required = true, value_name = "TARGET=PATH", value_parser = parse_binary)]
    binaries: Vec<Binary>,
    /// The WIT world that the provider implements, in binary form.
    #[arg(long, value_name = "W.wasm")]
    world: Option<PathBuf>,
    /// The provider's seed, made where there is none.
    #[arg(long, value_name = "FILE")]
    subject_key: PathBuf,
    /// Who made it.
    #[arg(long)]
    vendor: String,
    /// A JSON Schema of the configuration that its links take.
    #[arg(long, value_name = "SCHEMA.json")]
    config_schema: Option<PathBuf>,
    /// Pack it: `.par.gz`.
    #[arg(long, alias = "compress")]
    gzip: bool,
    /// The archive to write.
    #[arg(long, alias = "destination", value_name = "OUT")]
    out: PathBuf,
    #[command(flatten)]
    words: Words,
}

#[derive(Debug, Clone)]
struct Binary {
    target: String,
    path: PathBuf,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<Report> {
        match self.command {
            Command::Create(create) => create.run(),
            Command::Inspect { file } => inspect(&file),
        }
    }
}

impl Create {
    fn run(self) -> anyhow::Result<Report> {
        let issuer = Signer::<Issuer>::load(&self.words.issuer_key)?;
        let mut entries = BTreeMap::new();
        for Binary { target, path } in &self.binaries {
            if entries.insert(target.clone(), files::read(path)?).is_some() {
                return Err(Refusal::new(Reason::ArchiveEntry, format!("target `{target}` is given twice")).into());
            }
        }
        if let Some(path) = &self.world {
            entries.insert(WORLD.to_owned(), files::read(path)?);
        }
        let config_schema = self.config_schema.as_deref().map(read_schema).transpose()?;
        let common = self.words.common(&self.out, None)?;
        let (subject, made_key) = claims::subject(&self.subject_key)?;
        let claims = ProviderClaims {
            common,
            subject: *subject.name(),
            vendor: self.vendor.clone(),
            target_hashes: entries.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes))).collect(),
            config_schema,
            capid: None,
        };
        let listed: Vec<_> = entries.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let plain = claims::sign_provider(&issuer, &claims, &listed)?;
        let bytes = if self.gzip { archive::gzip(&plain) } else { plain };
        let reading = claims::write_checked(&self.out, &bytes)?;
        Ok(claims::told(vec![Signed { file: self.out, reading, subject_key: self.subject_key, made_key }]))
    }
}

fn inspect(path: &Path) -> anyhow::Result<Report> {
    let bytes = files::read(path)?;
    let Artifact::Archive(archive) = artifact::read(&bytes)? else {
        return Err(
            Refusal::new(Reason::ClaimsKind, "the file is a component: see `countersign claims inspect`").into()
        );
    };
    let reading = verify::read(&bytes, Form::File, None);
    let signed = |digest: Digest, name: &str| match reading.evidence() {
        Some(policy::examine::Evidence::Provider(claimed)) => claimed.target_hashes.get(name) == Some(&digest),
        _ => false,
    };
    let rows = archive.entries().iter().map(|entry| {
        let state = if signed(entry.sha256(), entry.name()) { "signed" } else { "NOT SIGNED" };
        [entry.name().to_owned(), entry.bytes().len().to_string(), entry.sha256().to_string(), state.to_owned()]
    });
    let text = output::table(["ENTRY", "BYTES", "SHA256", "HASH"], rows);
    let mut members = claims::members_of(path, &reading);
    let entries = archive.entries().iter().map(|entry| {
        json!({"name": entry.name(), "bytes": entry.bytes().len(), "sha256": entry.sha256(),
            "signed": signed(entry.sha256(), entry.name())})
    });
    members.insert("entries".to_owned(), entries.collect());
    members.insert("verifies".to_owned(), reading.sound().is_ok().into());
    let signed_by = reading.issuer().map_or_else(|| "nobody, as far as can be proved".to_owned(), ToString::to_string);
    let serves = reading.contracts().join(", ");
    let serves = if serves.is_empty() { "nothing that is signed".to_owned() } else { serves };
    let text = text + "\n" + &output::fields([("signed by", signed_by), ("serves", serves)]);
    let report = Report::new(text, Value::Object(members));
    Ok(match reading.sound() {
        Ok(()) => report,
        Err(refusal) => report.refused(refusal.clone()),
    })
}

fn read_schema(path: &Path) -> anyhow::Result<Value> {
    let bytes = files::read(path)?;
    json::check(&bytes, Profile::Any).map_err(|refusal| refusal.within(format!("`{}`", path.display())))?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn parse_binary(text: &str) -> Result<Binary, String> {
    let (target, path) =
        text.split_once('=').ok_or("expected TARGET=PATH, for example x86_64-linux=target/release/kv")?;
    Ok(Binary { target: target.to_owned(), path: PathBuf::from(path) })
}

const WORLD: &str = "world.wasm";
