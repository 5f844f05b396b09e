//! What is known of a file, told the same way by `verify`, `inspect` and `sign`.
//!
//! Proved facts only: claims are told once their signature verified. Reading is left to [`policy::verify`].

use policy::artifact::{Artifact, Import};
use policy::examine::Evidence;
use policy::issuer::Kind;
use policy::time::Timestamp;
use policy::verify::Reading;
use serde_json::{Value, json};

/// One thing that is known of a file.
#[derive(Debug)]
pub(super) struct Fact {
    /// What it is called, in JSON and in text.
    pub(super) label: &'static str,
    /// What it is.
    pub(super) value: Value,
}

impl Fact {
    /// The value for people.
    pub(super) fn text(&self) -> String {
        match (&self.value, self.label) {
            (Value::String(text), _) => text.clone(),
            (Value::Array(items), _) if items.is_empty() => "none".to_owned(),
            (Value::Array(items), _) => items.iter().map(item_text).collect::<Vec<_>>().join(", "),
            (Value::Number(seconds), "iat" | "nbf" | "exp") => {
                let time = seconds.as_u64().and_then(|seconds| Timestamp::from_seconds(seconds).ok());
                time.map_or_else(|| seconds.to_string(), |time| time.to_string())
            }
            (other, _) => other.to_string(),
        }
    }
}

/// All that is known of a file.
pub(super) fn of(reading: &Reading) -> Vec<Fact> {
    let mut facts = Facts::default();
    facts.add("kind", reading.kind().map(Kind::word));
    facts.add("issuer", reading.issuer().map(ToString::to_string));
    facts.add("subject", reading.subject().map(|subject| subject.to_string()));
    facts.add("sha256", Some(reading.sha256().to_string()));
    facts.claims(reading);
    facts.add("contracts", Some(reading.contracts()));
    facts.add("caps", Some(reading.caps()).filter(|caps| !caps.is_empty()));
    match reading.artifact() {
        Some(Artifact::Component(_)) => facts.add("imports", serde_json::to_value(reading.imports()).ok()),
        Some(Artifact::Archive(archive)) => {
            let entries = archive.entries().iter().map(|entry| json!({"name": entry.name(), "sha256": entry.sha256()}));
            facts.add("entries", Some(entries.collect::<Vec<_>>()));
        }
        None => {}
    }
    facts.0
}

#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn add(&mut self, label: &'static str, value: Option<impl Into<Value>>) {
        self.0.extend(value.map(|value| Fact { label, value: value.into() }));
    }

    fn claims(&mut self, reading: &Reading) {
        let Some(common) = reading.common() else { return };
        self.add("name", common.name.clone());
        self.add("rev", common.rev);
        self.add("ver", common.ver.clone());
        match reading.evidence() {
            Some(Evidence::Component(claimed)) => {
                self.add("tags", Some(claimed.tags.clone()).filter(|tags| !tags.is_empty()));
                self.add("call_alias", claimed.call_alias.clone());
            }
            Some(Evidence::Provider(claimed)) => {
                self.add("vendor", Some(claimed.vendor.clone()));
                self.add("config_schema", claimed.config_schema.clone());
            }
            Some(Evidence::Contract(_) | Evidence::KeyProof(_) | Evidence::Delegation(_)) | None => {}
        }
        self.add("jti", Some(common.jti.clone()));
        self.add("iat", Some(common.validity.iat.seconds()));
        self.add("nbf", common.validity.nbf.map(Timestamp::seconds));
        self.add("exp", common.validity.exp.map(Timestamp::seconds));
    }
}

fn item_text(item: &Value) -> String {
    if let Ok(import) = serde_json::from_value::<Import>(item.clone()) {
        let interfaces = import.interfaces.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let version = import.version.map(|version| format!("@{version}")).unwrap_or_default();
        return format!("{}/{interfaces}{version}", import.package);
    }
    match (item, item.get("name").and_then(Value::as_str)) {
        (Value::String(text), _) => text.clone(),
        (_, Some(name)) => name.to_owned(),
        (other, None) => other.to_string(),
    }
}
