//! `link put`: one link from options, or many from a file as one command, applied whole or not at all.

use std::collections::BTreeMap;
use std::path::PathBuf;

use policy::command::MAX_OPERATIONS;
use policy::digest::Digest;
use policy::govern::{Operation, Pin, PinnedIssuer, PutLink};
use policy::json;
use policy::key::Name;
use policy::name::{ComponentId, LinkName, Package};
use policy::provider::Subject;
use policy::reason::{Reason, Refusal};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::resolve;
use crate::client::{Client, told};
use crate::command::acting::{Acting, Doing, pairs};
use crate::command::{Globals, files};
use crate::config::Config;
use crate::output::{Report, Usage};
use crate::view::{Look, Page, cell};

#[derive(Debug, clap::Args)]
pub(super) struct Put {
    /// The component whose import is answered.
    #[arg(required_unless_present = "file")]
    id: Option<String>,
    /// The provider: its id, its subject, or the start of its digest (8 digits or more); it must mean exactly one.
    #[arg(required_unless_present = "file")]
    target: Option<String>,
    /// The package.
    #[arg(long, visible_alias = "package", value_name = "PACKAGE", required_unless_present = "file")]
    contract: Option<String>,
    /// The link's name.
    #[arg(long, default_value = "default")]
    name: String,
    #[command(flatten)]
    values: Values,
    /// The digest that the provider must have now.
    #[arg(long, value_name = "SHA256")]
    pin: Option<String>,
    /// What the provider must be from now on, or the link is suspended.
    #[arg(long, value_name = "sha256=…|issuer=A…[,rev=3..7]")]
    pin_provider: Option<String>,
    /// What the component must be from now on, or the link is suspended.
    #[arg(long, value_name = "sha256=…|issuer=A…[,rev=3..7]")]
    pin_component: Option<String>,
    /// A file of links; `-` reads standard input.
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with_all = ["id", "target", "contract", "config", "config_file"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    acting: Acting,
}

/// The values of a link's configuration.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Values {
    /// A value of its configuration; may be given more than once.
    #[arg(long, value_name = "K=V")]
    config: Vec<String>,
    /// Its configuration, as one JSON object.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    config_file: Option<PathBuf>,
}

impl Put {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        if let Some(file) = &self.file {
            return many(globals, &read_lines(file)?, self.acting);
        }
        let config = self.values.read()?;
        let line = Line {
            component: ComponentId::parse(&self.id.unwrap_or_default())?,
            package: Package::parse(&self.contract.unwrap_or_default())?,
            name: LinkName::parse(&self.name)?,
            provider: self.target.unwrap_or_default(),
            pin_provider: self.pin_provider,
            pin_component: self.pin_component,
            config: None,
        };
        let pin = self.pin.as_deref().map(Digest::parse).transpose()?;
        let client = Client::of(globals)?;
        let seen = client.look(&Look::Providers(Page::default()))?;
        let (put, id) = line.put(&seen.view, pin, config.as_ref())?;
        let PutLink { component, package, name, provider, sha256, config_sha256, .. } = put.clone();
        let says = format!("`{package}` of `{component}` is answered by `{id}` ({provider}) under `{name}`");
        let mut doing = Doing::one(Operation::PutLink(put), says).with("sha256", sha256.to_string());
        doing = doing.configured(&config);
        doing = doing.with("component", component.as_str()).with("package", package.as_str()).with("provider", id);
        if let Some(config) = config_sha256 {
            doing = doing.with("config_sha256", config.to_string());
        }
        self.acting.run(&client, Some(seen.epoch), doing)
    }
}

impl Values {
    /// Whether any was given.
    pub(super) const fn any(&self) -> bool {
        !self.config.is_empty() || self.config_file.is_some()
    }

    /// The configuration, checked as the broker will; none where nothing was said.
    pub(super) fn read(&self) -> anyhow::Result<Option<Config>> {
        let values = match &self.config_file {
            Some(path) => {
                let bytes = files::read(path)?;
                policy::key::refuse_secrets_in_json(&bytes)?;
                json::read(&bytes).map_err(|refusal| refusal.within(format!("`{}`", path.display())))?
            }
            None if self.config.is_empty() => return Ok(None),
            None => pairs(&self.config)?.into_iter().map(|(name, value)| (name, Value::String(value))).collect(),
        };
        Ok(Some(Config::new(values).map_err(told)?))
    }
}

/// One link of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    component: ComponentId,
    package: Package,
    #[serde(default = "LinkName::unnamed")]
    name: LinkName,
    provider: String,
    #[serde(default)]
    pin_provider: Option<String>,
    #[serde(default)]
    pin_component: Option<String>,
    #[serde(default)]
    config: Option<Map<String, Value>>,
}

impl Line {
    fn put(
        &self,
        providers: &Value,
        pin: Option<Digest>,
        config: Option<&Config>,
    ) -> anyhow::Result<(PutLink, String)> {
        let pinned = self.pin_provider.as_deref().map(read_pin).transpose()?;
        let bytes = match &pinned {
            Some(Pin::Sha256(sha256)) => Some(*sha256),
            Some(Pin::Issuer(_)) | None => pin,
        };
        let found = resolve(providers, &self.provider, bytes)?;
        let put = PutLink {
            component: self.component.clone(),
            package: self.package.clone(),
            name: self.name.clone(),
            provider: Subject::parse(&cell(found, "subject"))?,
            sha256: Digest::parse(&cell(found, "sha256"))?,
            config_sha256: config.map(|config| Digest::of(&config.to_bytes())),
            pin: pinned,
            component_pin: self.pin_component.as_deref().map(read_pin).transpose()?,
        };
        Ok((put, cell(found, "id")))
    }

    fn place(&self, number: usize) -> String {
        format!("line {number}, link `{}/{}/{}`", self.component, self.package, self.name)
    }
}

fn many(globals: &Globals, lines: &[(usize, Line)], acting: Acting) -> anyhow::Result<Report> {
    let client = Client::of(globals)?;
    let seen = client.look(&Look::Providers(Page::default()))?;
    let mut doing = Doing { says: format!("{} links stand", lines.len()), ..Doing::default() };
    for (number, line) in lines {
        let here = |error: anyhow::Error| placed(error, &line.place(*number));
        let config = line.config.clone().map(Config::new).transpose().map_err(told).map_err(here)?;
        let (put, _) = line.put(&seen.view, None, config.as_ref()).map_err(here)?;
        doing.operations.push(Operation::PutLink(put));
        doing = doing.configured(&config);
    }
    let report = acting.run(&client, Some(seen.epoch), doing.with("links", lines.len() as u64));
    report.map(|report| report.refused_within(|detail| named(detail, lines))).map_err(|error| {
        let refusal = error.downcast_ref::<Refusal>().cloned();
        refusal.map_or(error, |refusal| {
            let split = if refusal.reason == Reason::TokenOversize { "; split the file" } else { "" };
            Refusal { detail: named(&refusal.detail, lines) + split, ..refusal }.into()
        })
    })
}

// The law counts operations; whoever wrote the file counts lines.
fn named(detail: &str, lines: &[(usize, Line)]) -> String {
    let rest = detail.strip_prefix("operation ").and_then(|rest| rest.split_once(": "));
    let found = rest.and_then(|(number, rest)| {
        let (number, line) = lines.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
        Some(format!("{}: {rest}", line.place(*number)))
    });
    found.unwrap_or_else(|| detail.to_owned())
}

fn placed(error: anyhow::Error, place: &str) -> anyhow::Error {
    match error.downcast::<Refusal>() {
        Ok(refusal) => refusal.within(place).into(),
        Err(other) => other.context(place.to_owned()),
    }
}

// One JSON list, or one JSON object per line; empty lines count and say nothing.
fn read_lines(path: &std::path::Path) -> anyhow::Result<Vec<(usize, Line)>> {
    let bytes = files::read_or_input(path)?;
    let bytes = bytes.trim_ascii_end();
    let at = |number: usize| move |refusal: Refusal| refusal.within(format!("line {number}"));
    let mut lines = Vec::new();
    if bytes.trim_ascii_start().starts_with(b"[") {
        let list: Vec<Value> = json::read(bytes)?;
        for (value, number) in list.into_iter().zip(1..) {
            lines.push((number, json::from_value(value).map_err(at(number))?));
        }
    } else {
        for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
            if !line.trim_ascii().is_empty() {
                lines.push((number, json::read(line.trim_ascii()).map_err(at(number))?));
            }
        }
    }
    refuse_twice(&lines)?;
    if lines.is_empty() || lines.len() > MAX_OPERATIONS {
        return Err(Usage(format!("{} links; one command puts 1 to {MAX_OPERATIONS}", lines.len())).into());
    }
    Ok(lines)
}

// Of two lines about one link the last would stand, and nobody could tell which was meant.
fn refuse_twice(lines: &[(usize, Line)]) -> Result<(), Usage> {
    let mut places = BTreeMap::new();
    for (number, line) in lines {
        if let Some(first) = places.insert((&line.component, &line.package, &line.name), *number) {
            return Err(Usage(format!("{} stands on line {first} already", line.place(*number))));
        }
    }
    Ok(())
}

/// Reads `sha256=…`, or `issuer=A…` with `rev=3..7`, `rev=3..`, `rev=..7` or `rev=3`.
pub(super) fn read_pin(text: &str) -> anyhow::Result<Pin> {
    let how = || Usage("a pin is written `sha256=DIGEST`, or `issuer=KEY` with `,rev=3..7` if need be".to_owned());
    if let Some(sha256) = text.strip_prefix("sha256=") {
        return Ok(Pin::Sha256(Digest::parse(sha256)?));
    }
    let rest = text.strip_prefix("issuer=").ok_or_else(how)?;
    let (key, range) = rest.split_once(",rev=").map_or((rest, None), |(key, range)| (key, Some(range)));
    let number = |text: &str| text.parse::<i32>().map_err(|_| how());
    let end = |text: &str| if text.is_empty() { Ok(None) } else { number(text).map(Some) };
    let (from, to) = match range.map(|range| (range, range.split_once(".."))) {
        None => (None, None),
        Some((_, Some((from, to)))) => (end(from)?, end(to)?),
        Some((only, None)) => (Some(number(only)?), Some(number(only)?)),
    };
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Refusal::new(Reason::SchemaMismatch, "a range of revisions begins above its end").into());
    }
    Ok(Pin::Issuer(PinnedIssuer { key: Name::parse(key)?, from, to }))
}
