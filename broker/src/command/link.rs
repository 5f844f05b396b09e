//! `link`: which one provider answers an import of a component.
//!
//! Configuration travels and is recorded by its digest; its values stay in the folder.

use clap::Subcommand;
use policy::digest::Digest;
use policy::govern::{DeleteLink, Operation, PutLink};
use policy::json;
use policy::name::{ComponentId, LinkName, Package};
use policy::provider::Subject;
use policy::reason::{Reason, Refusal};
use serde_json::Value;

use crate::client::{Client, config_folder, told};
use crate::command::Globals;
use crate::command::acting::{Acting, Doing, brief, listing, member, pairs};
use crate::command::running::RunningName;
use crate::error::Error;
use crate::folder::{make_private_folder, write_private};
use crate::output::{self, Report};
use crate::view::{Look, cell, rows};

/// Link an import of a component to exactly one provider.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put a link
    #[command(after_help = "Examples:\n  countersign link put cart logger --contract wasi:logging\n  \
        countersign link put cart kv --contract wasi:keyvalue --name sessions --config bucket=eu")]
    Put {
        /// The component whose import is answered.
        id: String,
        /// The provider: its id, its subject, or the start of its digest; it must mean exactly one.
        target: String,
        /// The package.
        #[arg(long, value_name = "PACKAGE")]
        contract: String,
        /// The link's name.
        #[arg(long, default_value = "default")]
        name: String,
        /// A value of its configuration; may be given more than once.
        #[arg(long, value_name = "K=V")]
        config: Vec<String>,
        /// The digest that the provider must have.
        #[arg(long, value_name = "SHA256")]
        pin: Option<String>,
        #[command(flatten)]
        acting: Acting,
    },
    /// Delete a link; nothing takes its place unless the default is accepted
    #[command(
        visible_alias = "rm",
        after_help = "Examples:\n  countersign link del cart --contract wasi:logging\n  \
        countersign link del cart --contract wasi:logging --accept-default"
    )]
    Del {
        /// The component whose import it answers.
        id: String,
        /// The package.
        #[arg(long, value_name = "PACKAGE")]
        contract: String,
        /// The link's name.
        #[arg(long, default_value = "default")]
        name: String,
        /// Let the lattice's default answer from now on.
        #[arg(long)]
        accept_default: bool,
        /// What becomes of what runs on this ground already.
        #[arg(long, value_enum, value_name = "WHAT", default_value = "keep")]
        running: RunningName,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the links, and the tombstones of deleted ones
    #[command(visible_aliases = ["ls", "query"], after_help = "Examples:\n  countersign link list\n  countersign link query")]
    List,
    /// Tell what became of a component's links
    #[command(after_help = "Examples:\n  countersign link history cart")]
    History {
        /// The component.
        id: String,
    },
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Put { id, target, contract, name, config, pin, acting } => {
                let link = (ComponentId::parse(&id)?, Package::parse(&contract)?, LinkName::parse(&name)?);
                let pin = pin.as_deref().map(Digest::parse).transpose()?;
                put(globals, link, (&target, pin), &config, acting)
            }
            Command::Del { id, contract, name, accept_default, running, acting } => {
                let (component, package) = (ComponentId::parse(&id)?, Package::parse(&contract)?);
                let name = LinkName::parse(&name)?;
                let says = match accept_default {
                    true => format!("the default may answer `{package}` for `{component}` from now on"),
                    false => format!("nothing answers `{package}` for `{component}` under `{name}` any more"),
                };
                let delete = DeleteLink { component, package, name, accept_default, running: running.running() };
                acting.run(&Client::of(globals)?, None, Doing::one(Operation::DeleteLink(delete), says))
            }
            Command::List => listing(
                globals,
                &Look::Links,
                "links",
                ["COMPONENT", "PACKAGE", "NAME", "STANDING", "PROVIDER", "SHA256", "REVISION"],
                |row| {
                    let [component, package, name, standing, id, revision] =
                        ["component", "package", "name", "standing", "id", "revision"].map(|name| member(row, name));
                    [component, package, name, standing, id, brief(row, "sha256"), revision]
                },
            ),
            Command::History { id } => listing(
                globals,
                &Look::History { id: ComponentId::parse(&id)? },
                "changes",
                ["INDEX", "AT", "WHAT", "BY", "BECAUSE"],
                |row| {
                    [
                        member(row, "index"),
                        member(row, "at"),
                        member(row, "summary"),
                        brief(row, "by"),
                        member(row, "because"),
                    ]
                },
            ),
        }
    }
}

fn put(
    globals: &Globals,
    link: (ComponentId, Package, LinkName),
    (target, pin): (&str, Option<Digest>),
    config: &[String],
    acting: Acting,
) -> anyhow::Result<Report> {
    let (component, package, name) = link;
    let client = Client::of(globals)?;
    let seen = client.look(&Look::Providers)?;
    let found = resolve(&seen.view, target, pin)?;
    let (sha256, id) = (Digest::parse(&cell(found, "sha256"))?, cell(found, "id"));
    let provider = Subject::parse(&cell(found, "subject"))?;
    let config_sha256 = if config.is_empty() { None } else { Some(keep_config(&client, config, acting.is_plan())?) };
    let says = format!("`{package}` of `{component}` is answered by `{id}` ({provider}) under `{name}`");
    let members = [("component", component.to_string()), ("package", package.to_string()), ("provider", id)];
    let put = PutLink { component, package, name, provider, sha256, config_sha256 };
    let mut doing = Doing::one(Operation::PutLink(put), says).with("sha256", sha256.to_string());
    for (name, value) in members {
        doing = doing.with(name, value);
    }
    if let Some(config) = config_sha256 {
        doing = doing.with("config_sha256", config.to_string());
    }
    acting.run(&client, Some(seen.epoch), doing)
}

// The values stay here under their digest; only the digest is signed, sent and recorded (T69).
fn keep_config(client: &Client, config: &[String], plan: bool) -> anyhow::Result<Digest> {
    let bytes = json::write(&pairs(config)?);
    let sha256 = Digest::of(&bytes);
    let Some(folder) = client.folder().filter(|_| !plan) else {
        return Ok(sha256);
    };
    let place = config_folder(folder);
    if !place.exists() {
        make_private_folder(&place).map_err(told)?;
    }
    match write_private(&place.join(format!("{sha256}.json")), &bytes) {
        // The same values were kept before.
        Ok(()) | Err(Error::AlreadyThere(_)) => Ok(sha256),
        Err(error) => Err(told(error)),
    }
}

/// Whether a provider of a view is meant by that id, subject or start of a digest.
pub(super) fn means(row: &Value, target: &str) -> bool {
    let begins = target.len() >= SHORTEST && cell(row, "sha256").starts_with(target);
    cell(row, "id") == target || cell(row, "subject") == target || begins
}

/// The one admitted provider that is meant: order never decides between two.
pub(super) fn resolve<'a>(view: &'a Value, target: &str, pin: Option<Digest>) -> anyhow::Result<&'a Value> {
    let pin = pin.map(|pin| pin.to_string());
    let live = |row: &&Value| row.get("retired") != Some(&Value::Bool(true));
    let pinned = |row: &&Value| pin.as_ref().is_none_or(|pin| cell(row, "sha256") == *pin);
    let found: Vec<&Value> = rows(view, "providers").iter().filter(|row| means(row, target)).collect();
    let fitting: Vec<&Value> = found.iter().copied().filter(live).filter(pinned).collect();
    let name = output::shown(&target.chars().take(80).collect::<String>());
    match (fitting.as_slice(), found.is_empty()) {
        ([only], _) => Ok(only),
        ([], true) => Err(Refusal::new(Reason::ProviderUnknown, format!("no provider `{name}` is admitted")).into()),
        ([], false) => {
            let why = pin.map_or_else(|| "is retired".to_owned(), |pin| format!("has no admitted bytes {pin}"));
            Err(Refusal::new(Reason::ProviderRetired, format!("provider `{name}` {why}")).into())
        }
        (several, _) => {
            let several: Vec<String> =
                several.iter().map(|row| format!("`{}` {}", cell(row, "id"), cell(row, "sha256"))).collect();
            let detail =
                format!("`{name}` could be any of {}; name one by the start of its digest", several.join(", "));
            Err(Refusal::new(Reason::Ambiguous, detail).into())
        }
    }
}

// The fewest digits that stand for a digest.
const SHORTEST: usize = 8;
