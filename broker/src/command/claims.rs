//! `claims sign` and `claims inspect`: wascap claims in components and archives, as the published crates read them.
//!
//! What claims say is written by [`policy::claims`]; keys come from [`super::keyfile`].

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use data_encoding::HEXLOWER;
use policy::artifact::archive::{self, ArchiveFile};
use policy::artifact::component::{self, ComponentFile};
use policy::artifact::{self, Artifact};
use policy::claims::{self, Common, ComponentClaims, ProviderClaims};
use policy::key::{Component, Issuer, Provider, Role};
use policy::reason::{Reason, Refusal};
use policy::time::{Timestamp, Validity};
use policy::verify;
use serde_json::{Map, Value, json};

use crate::command::facts::{self, Fact};
use crate::command::files;
use crate::command::keyfile::Signer;
use crate::command::verify::{form, now};
use crate::output::{self, Report, Usage};

/// Sign claims, or look at them.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign claims into components, or anew into provider archives
    #[command(
        after_help = "Claims that a file already carries are replaced; of an archive's, what is not said anew is kept.\n\
        The subject's key is made beside the file where there is none, and is the file's identity from then on.\n\n\
        Examples:\n  countersign claims sign cart.wasm --issuer-key acme.nk --name cart --rev 3 --ver 0.3.0\n  \
        countersign claims sign kv.par --issuer-key acme.nk --subject-key kv.nk --out signed/kv.par"
    )]
    Sign(Box<Sign>),
    /// Show who signed a file, what the claims say, and whether they verify
    #[command(after_help = "Trust is not judged here: see `countersign verify`.\n\n\
        Examples:\n  countersign claims inspect cart_s.wasm\n  countersign claims inspect kv.par.gz --token > kv.jwt")]
    Inspect {
        /// A component, a provider archive or a token.
        file: PathBuf,
        /// Print the token alone.
        #[arg(long, alias = "jwt-only")]
        token: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Sign {
    /// Components and provider archives.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The subject's seed [default: beside FILE, with the ending `.nk`].
    #[arg(long, value_name = "FILE")]
    subject_key: Option<PathBuf>,
    /// Words for people; for components only.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Another name to call a component by.
    #[arg(long, value_name = "NAME")]
    call_alias: Option<String>,
    /// Where to write, for one file [default: beside FILE, as NAME_s].
    #[arg(long, alias = "destination", value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    words: Words,
}

/// What claims of both kinds say, and who signs them.
#[derive(Debug, clap::Args)]
pub(super) struct Words {
    /// The issuer's seed.
    #[arg(long, value_name = "FILE")]
    pub(super) issuer_key: PathBuf,
    /// A name for people [default: the file's].
    #[arg(long)]
    pub(super) name: Option<String>,
    /// A number that grows with each release.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    rev: Option<i32>,
    /// A version for people.
    #[arg(long, value_name = "TEXT")]
    ver: Option<String>,
    /// The claims end so many days from now.
    #[arg(long, alias = "expires", value_name = "DAYS", conflicts_with = "expires_at")]
    expires_in_days: Option<u32>,
    /// The claims end at that time.
    #[arg(long, value_name = "UNIX_SECONDS")]
    expires_at: Option<u64>,
    /// The claims begin at that time.
    #[arg(long, value_name = "UNIX_SECONDS")]
    not_before: Option<u64>,
    /// The time of signing [default: now].
    #[arg(long, value_name = "UNIX_SECONDS")]
    at: Option<u64>,
}

impl Words {
    /// The common part of new claims: what is said, else what stood before, else the file's name.
    pub(super) fn common(&self, path: &Path, before: Option<&Common>) -> anyhow::Result<Common> {
        let iat = self.at.map_or_else(now, |seconds| Ok(Timestamp::from_seconds(seconds)?))?;
        let exp = match (self.expires_in_days, self.expires_at) {
            (Some(days), _) => Some(Timestamp::from_seconds(iat.plus(u64::from(days) * 86_400).seconds())?),
            (None, Some(at)) => Some(Timestamp::from_seconds(at)?),
            (None, None) => None,
        };
        let nbf = self.not_before.map(Timestamp::from_seconds).transpose()?;
        let name = self.name.clone().or_else(|| before?.name.clone()).unwrap_or_else(|| stem(path));
        Ok(Common {
            jti: jti()?,
            validity: Validity { iat, nbf, exp }.sound()?,
            name: Some(name),
            rev: self.rev.or(before.and_then(|before| before.rev)),
            ver: self.ver.clone().or_else(|| before?.ver.clone()),
        })
    }
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<Report> {
        match self.command {
            Command::Sign(sign) => sign.run(),
            Command::Inspect { file, token } => inspect(&file, token),
        }
    }
}

impl Sign {
    fn run(self) -> anyhow::Result<Report> {
        if self.files.len() > 1 && (self.out.is_some() || self.subject_key.is_some()) {
            let wrong = "--out and --subject-key go with one file only: each file has its own";
            return Err(Usage(wrong.to_owned()).into());
        }
        let issuer = Signer::<Issuer>::load(&self.words.issuer_key)?;
        let signed =
            self.files.iter().map(|path| self.sign(path, &issuer).with_context(|| format!("`{}`", path.display())));
        signed.collect::<anyhow::Result<Vec<_>>>().map(told)
    }

    fn sign(&self, path: &Path, issuer: &Signer<Issuer>) -> anyhow::Result<Signed> {
        let bytes = files::read(path)?;
        let subject_key = self.subject_key.clone().unwrap_or_else(|| path.with_file_name(stem(path) + ".nk"));
        let output = self.out.clone().unwrap_or_else(|| signed_name(path));
        let (signed, made_key) = match artifact::read(&bytes)? {
            Artifact::Component(file) => self.sign_component(path, &bytes, &file, issuer, &subject_key)?,
            Artifact::Archive(archive) => self.sign_archive(path, &bytes, &archive, issuer, &subject_key)?,
        };
        write_checked(&output, &signed).map(|reading| Signed { file: output, reading, subject_key, made_key })
    }

    fn sign_component(
        &self,
        path: &Path,
        bytes: &[u8],
        file: &ComponentFile,
        issuer: &Signer<Issuer>,
        subject_key: &Path,
    ) -> anyhow::Result<(Vec<u8>, bool)> {
        let (subject, made_key) = subject::<Component>(subject_key)?;
        let claims = ComponentClaims {
            common: self.words.common(path, None)?,
            subject: *subject.name(),
            hash: file.claims_hash(),
            tags: self.tags.clone(),
            call_alias: self.call_alias.clone(),
            caps: None,
        };
        let draft = claims::draft_component(issuer.name(), &claims);
        let signature = issuer.sign(draft.signing_input())?;
        Ok((component::attach(bytes, &draft.seal(&signature))?, made_key))
    }

    fn sign_archive(
        &self,
        path: &Path,
        bytes: &[u8],
        archive: &ArchiveFile,
        issuer: &Signer<Issuer>,
        subject_key: &Path,
    ) -> anyhow::Result<(Vec<u8>, bool)> {
        if !self.tags.is_empty() || self.call_alias.is_some() {
            return Err(Usage("claims of a provider have neither --tag nor --call-alias".to_owned()).into());
        }
        let token = archive.token().ok_or_else(|| {
            Refusal::new(
                Reason::ClaimsMissing,
                "nothing says whose provider it is: make it with `countersign archive create`",
            )
        })?;
        let before = claims::read_provider(token)?;
        let (subject, made_key) = subject::<Provider>(subject_key)?;
        let claims = ProviderClaims {
            common: self.words.common(path, Some(&before.common))?,
            subject: *subject.name(),
            vendor: before.vendor.clone(),
            target_hashes: archive.entries().iter().map(|entry| (entry.name().to_owned(), entry.sha256())).collect(),
            config_schema: before.config_schema.clone(),
            capid: before.capid.clone(),
        };
        let entries: Vec<_> = archive.entries().iter().map(|entry| (entry.name(), entry.bytes())).collect();
        let signed = sign_provider(issuer, &claims, &entries)?;
        Ok((if bytes.starts_with(GZIP) { archive::gzip(&signed) } else { signed }, made_key))
    }
}

/// An archive of these entries with claims about them.
pub(super) fn sign_provider(
    issuer: &Signer<Issuer>,
    claims: &ProviderClaims,
    entries: &[(&str, &[u8])],
) -> anyhow::Result<Vec<u8>> {
    let draft = claims::draft_provider(issuer.name(), claims);
    let signature = issuer.sign(draft.signing_input())?;
    Ok(archive::write(&draft.seal(&signature), entries)?)
}

/// The key of a subject, made where there is none; true when it was made.
pub(super) fn subject<R: Role>(path: &Path) -> anyhow::Result<(Signer<R>, bool)> {
    Signer::load_or_create(path)
}

/// Writes what was signed, once our own reader agrees that it is sound.
pub(super) fn write_checked(path: &Path, bytes: &[u8]) -> anyhow::Result<verify::Reading> {
    let reading = verify::read(bytes, verify::Form::File, None);
    reading.sound().map_err(Clone::clone)?;
    files::write(path, bytes)?;
    Ok(reading)
}

/// What was signed and where it is.
#[derive(Debug)]
pub(super) struct Signed {
    /// The new file.
    pub(super) file: PathBuf,
    /// What it holds.
    pub(super) reading: verify::Reading,
    /// The subject's key file.
    pub(super) subject_key: PathBuf,
    /// Whether the key was made for it.
    pub(super) made_key: bool,
}

/// The report of what was signed; members of one file stand at the top as well.
pub(super) fn told(signed: Vec<Signed>) -> Report {
    let text = signed.iter().map(|signed| {
        let key = if signed.made_key { "new subject key in" } else { "subject key in" };
        let pairs = facts::of(&signed.reading).into_iter().map(|fact| (fact.label, fact.text()));
        let pairs = pairs.chain([(key, signed.subject_key.display().to_string())]);
        format!("signed    {}\n{}", output::shown(&signed.file.display().to_string()), output::fields(pairs))
    });
    let text = text.collect::<String>();
    let mut objects: Vec<Map<String, Value>> = signed.iter().map(Signed::members).collect();
    let results = json!(objects);
    let mut members = if objects.len() == 1 { objects.remove(0) } else { Map::new() };
    members.insert("results".to_owned(), results);
    Report::new(text, Value::Object(members))
}

impl Signed {
    fn members(&self) -> Map<String, Value> {
        let mut members = members_of(&self.file, &self.reading);
        members.insert("subject_key".to_owned(), self.subject_key.display().to_string().into());
        members
    }
}

/// The facts of a file as members of an object.
pub(super) fn members_of(file: &Path, reading: &verify::Reading) -> Map<String, Value> {
    let mut members = Map::from_iter([("file".to_owned(), file.display().to_string().into())]);
    members.extend(facts::of(reading).into_iter().map(|fact| (fact.label.to_owned(), fact.value)));
    members
}

fn inspect(path: &Path, token_only: bool) -> anyhow::Result<Report> {
    let bytes = files::read(path)?;
    let reading = verify::read(&bytes, form(path, &bytes), None);
    if token_only {
        let token = match reading.artifact() {
            Some(Artifact::Component(file)) => file.token(),
            Some(Artifact::Archive(archive)) => archive.token(),
            None => Some(bytes.as_slice()).filter(|_| reading.sound().is_ok()),
        };
        let missing =
            || reading.sound().err().cloned().unwrap_or_else(|| Refusal::new(Reason::ClaimsMissing, "no token"));
        let token = String::from_utf8_lossy(token.ok_or_else(missing)?).into_owned();
        return Ok(Report::new(output::shown(&token) + "\n", json!({"token": token})));
    }
    let mut members = members_of(path, &reading);
    members.insert("verifies".to_owned(), reading.sound().is_ok().into());
    let verifies = reading
        .sound()
        .map_or_else(|refusal| format!("no: {refusal}"), |()| "yes; trust is not judged here".to_owned());
    let pairs = facts::of(&reading).into_iter().map(|fact| (fact.label, Fact::text(&fact)));
    let signed_by = reading.issuer().map_or_else(|| "nobody, as far as can be proved".to_owned(), ToString::to_string);
    let pairs = [("signed by", signed_by), ("verifies", verifies)].into_iter().chain(pairs);
    let report = Report::new(output::fields(pairs), Value::Object(members));
    Ok(match reading.sound() {
        Ok(()) => report,
        Err(refusal) => report.refused(refusal.clone()),
    })
}

// The name up to its first dot, so that `kv.par.gz` is `kv`.
fn stem(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.split('.').next().unwrap_or_default().to_owned()
}

fn signed_name(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (stem, ending) =
        name.split_once('.').map_or((name.as_str(), String::new()), |(stem, ending)| (stem, format!(".{ending}")));
    path.with_file_name(format!("{stem}_s{ending}"))
}

// 128 bits from the operating system: two claims never share an id.
fn jti() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(HEXLOWER.encode(&bytes))
}

const GZIP: &[u8] = b"\x1f\x8b";
