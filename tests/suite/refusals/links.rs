//! Links, builtins and providers: exactly one answers, the one that was meant, or nothing does.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use harness::lattice::path;
use policy::digest::Digest;
use serde_json::json;

use super::seen::Seen;
use super::stage::{Live, Stage, export, exporting, importing};

// A component under the name of its package that imports `a` at 0.1.0, and the contract for it.
fn needing(live: &Live, name: &str) -> std::path::PathBuf {
    live.published(&format!("demo:{name}"), |_| ());
    live.component(name, &importing(&[&format!("demo:{name}/a@0.1.0")]))
}

// A provider that exports `what` of the package, linked to the component of that name.
fn linked(live: &Live, name: &str, what: &str) -> String {
    let id = format!("{name}-provider");
    live.provider(&id, &exporting(&format!("demo:{name}/{what}")));
    live.done(&["link", "put", name, &id, "--contract", &format!("demo:{name}")]);
    id
}

pub(super) fn nothing_answers(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = needing(live, "unlinked");
    live.run(&file, "unlinked", &[])
}

// The builtin that stands ready is not taken in place of the link.
pub(super) fn deleted(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = needing(live, "deleted");
    live.done(&["default", "put", "demo:deleted", "--bind", "builtin"]);
    linked(live, "deleted", "a@0.1.0");
    live.done(&["link", "del", "deleted", "--contract", "demo:deleted"]);
    live.run(&file, "deleted", &[])
}

// The provider was agreed on by its bytes, and others of it are admitted since; the default is not taken in its place.
pub(super) fn to_one_that_changed(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = needing(live, "changed");
    live.done(&["default", "put", "demo:changed", "--bind", "builtin"]);
    let provider = live.provider("changed-provider", &exporting("demo:changed/a@0.1.0"));
    let pin = format!("sha256={}", Digest::of(&std::fs::read(provider).unwrap()));
    let put = ["link", "put", "changed", "changed-provider", "--contract", "demo:changed", "--pin-provider", &pin];
    live.done(&put);
    live.provider("changed-provider", &exporting("demo:changed/a@0.1.1"));
    live.run(&file, "changed", &[])
}

// Two builtins that could answer, both admitted: a name that sorts first wins nothing.
pub(super) fn twins(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = needing(live, "twins");
    live.done(&["default", "put", "demo:twins", "--bind", "builtin"]);
    let builtins = stage.folder("twins");
    std::fs::set_permissions(&builtins, Permissions::from_mode(0o755)).unwrap();
    for id in ["a-twin", "b-twin"] {
        let twin = live.provider(id, &exporting("demo:twins/a@0.1.0"));
        std::fs::copy(&twin, builtins.join(format!("{id}.wasm"))).unwrap();
    }
    live.run(&file, "twins", &["--builtins", path(&builtins)])
}

pub(super) fn host_without_it(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = needing(live, "absent");
    live.done(&["default", "put", "demo:absent", "--bind", "builtin"]);
    live.run(&file, "absent", &[])
}

// It would wait for itself for ever.
pub(super) fn to_itself(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:itself", |_| ());
    let name = "demo:itself/a@0.1.0";
    let both = format!("(component (import \"{name}\" (instance (export \"f\" (func)))) {})", export(name));
    let file = live.component("itself", &both);
    live.done(&["provider", "admit", path(&file), "--id", "itself"]);
    live.done(&["link", "put", "itself", "itself", "--contract", "demo:itself"]);
    live.run(&file, "itself", &[])
}

pub(super) fn to_nobody(stage: &Stage) -> Seen {
    let live = stage.live();
    needing(live, "nobody");
    live.told(&["link", "put", "nobody", "never-admitted", "--contract", "demo:nobody"])
}

pub(super) fn to_a_retired_one(stage: &Stage) -> Seen {
    let live = stage.live();
    let file = needing(live, "old");
    let provider = linked(live, "old", "a@0.1.0");
    live.done(&["provider", "retire", &provider]);
    live.run(&file, "old", &[])
}

pub(super) fn to_one_the_owner_did_not_list(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:unlisted-provider", |contract| {
        contract["providers"] = json!({"issuers": [], "subjects": ["native/logging@0.1.0"]});
    });
    let file = live.component("unlisted-provider", &importing(&["demo:unlisted-provider/a@0.1.0"]));
    linked(live, "unlisted-provider", "a@0.1.0");
    live.run(&file, "unlisted-provider", &[])
}

pub(super) fn to_an_older_one(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:older", |_| ());
    let file = live.component("older", &importing(&["demo:older/a@0.1.9"]));
    linked(live, "older", "a@0.1.0");
    live.run(&file, "older", &[])
}

pub(super) fn to_half_of_it(stage: &Stage) -> Seen {
    let live = stage.live();
    live.published("demo:half", |_| ());
    let file = live.component("half", &importing(&["demo:half/a@0.1.0", "demo:half/b@0.1.0"]));
    linked(live, "half", "a@0.1.0");
    live.run(&file, "half", &[])
}

// A package whose contract says this of configuration, with a component and a provider for it.
fn configured(live: &Live, name: &str, config: &str) -> Vec<String> {
    let package = format!("demo:{name}");
    live.published(&package, |contract| contract["config"] = json!(config));
    live.component(name, &importing(&[&format!("{package}/a@0.1.0")]));
    let provider = format!("{name}-provider");
    live.provider(&provider, &exporting(&format!("{package}/a@0.1.0")));
    ["link", "put", name, &provider, "--contract", &package].map(str::to_owned).to_vec()
}

pub(super) fn without_configuration(stage: &Stage) -> Seen {
    let put = configured(stage.live(), "demands", "required");
    stage.live().told(&put.iter().map(String::as_str).collect::<Vec<_>>())
}

pub(super) fn with_configuration(stage: &Stage) -> Seen {
    let put = configured(stage.live(), "takes-none", "none");
    let words: Vec<_> = put.iter().map(String::as_str).chain(["--config", "key=value"]).collect();
    stage.live().told(&words)
}

// The contract's own schema says that it is a number.
pub(super) fn with_a_value_of_another_type(stage: &Stage) -> Seen {
    let live = stage.live();
    let schema = br#"{"properties":{"key":{"type":"integer"}},"type":"object"}"#;
    let contract = live.contract("demo:mistyped", |contract| {
        contract["config"] = json!("optional");
        contract["config_schema_sha256"] = json!(Digest::of(schema));
    });
    let schema = stage.file("mistyped.schema.json", schema);
    live.done(&["contract", "publish", path(&contract), "--config-schema", path(&schema)]);
    live.component("mistyped", &importing(&["demo:mistyped/a@0.1.0"]));
    live.provider("mistyped-provider", &exporting("demo:mistyped/a@0.1.0"));
    let put = ["link", "put", "mistyped", "mistyped-provider", "--contract", "demo:mistyped", "--config", "key=three"];
    live.told(&put)
}
