//! `link`: which one provider answers an import of a component, with both ends pinned, and every change a revision.
//!
//! How links are written is left to `putting`, how they move to `moving`.

use clap::Subcommand;
use policy::digest::Digest;
use policy::govern::{DeleteLink, Operation};
use policy::name::{ComponentId, LinkName, Package};
use policy::reason::{Reason, Refusal};
use serde_json::Value;

use crate::client::Client;
use crate::command::Globals;
use crate::command::acting::{Acting, Doing, brief, listing, member, paragraph, with_epoch};
use crate::command::running::RunningName;
use crate::output::{self, Report};
use crate::view::{Look, Which, WhichChanges, cell, rows};

mod moving;
mod putting;
mod reach;

/// Link an import of a component to exactly one provider.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put a link, or as many as a file lists: all of them or none
    #[command(after_help = "A FILE holds one link per line, or one list of them, such as\n  \
        {\"component\":\"cart\",\"package\":\"wasi:logging\",\"provider\":\"logger\",\"name\":\"default\",\"config\":{\"level\":\"info\"},\n   \
        \"pin_provider\":\"issuer=A…,rev=3..7\",\"pin_component\":\"sha256=…\"}\n\n\
        Examples:\n  countersign link put cart logger --contract wasi:logging --because 'one log for all'\n  \
        countersign link put cart kv --contract wasi:keyvalue --name sessions --config bucket=eu\n  \
        countersign link put -f links.jsonl --plan")]
    Put(Box<putting::Put>),
    /// Switch a link to another provider: verified first, the old one kept until it is retired
    #[command(after_help = "Running components keep the provider they were bound to until their next start.\n\n\
        Examples:\n  countersign link switch cart wasi:logging --to logger-2\n  \
        countersign link switch cart wasi:logging --to logger-2 --stage prepare\n  \
        countersign link switch cart wasi:logging --stage cut-over")]
    Switch(Box<moving::Switch>),
    /// Let the provider answer again that a switch left
    #[command(
        after_help = "Examples:\n  countersign link rollback cart wasi:logging --because 'errors since the switch'"
    )]
    Rollback(moving::Place),
    /// Let the provider go that a switch left or prepared
    #[command(after_help = "Examples:\n  countersign link retire cart wasi:logging")]
    Retire(moving::Place),
    /// Accept the ends of a suspended link as they are now
    #[command(after_help = "Examples:\n  countersign link accept cart wasi:logging --because 'reviewed revision 8'")]
    Accept(moving::Place),
    /// Show a link, and what changed at its ends
    #[command(visible_alias = "get", after_help = "Examples:\n  countersign link show cart wasi:logging")]
    Show {
        /// The component.
        id: String,
        /// The package.
        package: String,
        /// The link's name.
        #[arg(long, default_value = "default")]
        name: String,
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
        #[arg(long, visible_alias = "package", value_name = "PACKAGE")]
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
    /// List the links, and the tombstones of deleted ones, a thousand at a time
    #[command(visible_aliases = ["ls", "query"], after_help = "Examples:\n  countersign link list\n  countersign link query\n  \
        countersign link list --suspended\n  countersign link list --provider logger --limit 50 --after cart/wasi:logging/default")]
    List {
        /// Those after this one, as the page before named it.
        #[arg(long, value_name = "COMPONENT/PACKAGE/NAME")]
        after: Option<String>,
        /// How many at most.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1000))]
        limit: Option<u64>,
        /// Only this component's.
        #[arg(long, value_name = "ID")]
        component: Option<String>,
        /// Only those of a provider: its id, its subject or its digest.
        #[arg(long)]
        provider: Option<String>,
        /// Only this package's.
        #[arg(long)]
        package: Option<String>,
        /// Only those whose ends changed outside their pins.
        #[arg(long)]
        suspended: bool,
    },
    /// Tell what became of a component's links: each revision, by whom and why
    #[command(
        after_help = "Examples:\n  countersign link history cart\n  countersign link history cart wasi:logging --name default"
    )]
    History {
        /// The component.
        id: String,
        /// Only this package's.
        package: Option<String>,
        /// Only those of this name.
        #[arg(long)]
        name: Option<String>,
    },
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Put(put) => put.run(globals),
            Command::Switch(switch) => switch.run(globals),
            Command::Rollback(place) => place.roll_back(globals),
            Command::Retire(place) => place.retire(globals),
            Command::Accept(place) => place.accept(globals),
            Command::Show { id, package, name } => show(globals, &id, &package, &name),
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
            Command::List { after, limit, component, provider, package, suspended } => {
                let component = component.as_deref().map(ComponentId::parse).transpose()?;
                let package = package.as_deref().map(Package::parse).transpose()?;
                list(globals, Which { after, limit, component, provider, package, suspended })
            }
            Command::History { id, package, name } => {
                let id = ComponentId::parse(&id)?;
                let package = package.as_deref().map(Package::parse).transpose()?;
                let name = name.as_deref().map(LinkName::parse).transpose()?;
                let which = WhichChanges { id, package, name, after: None };
                history(globals, &Look::History(Box::new(which)))
            }
        }
    }
}

fn list(globals: &Globals, which: Which) -> anyhow::Result<Report> {
    listing(
        globals,
        &Look::Links(Box::new(which)),
        "links",
        ["COMPONENT", "PACKAGE", "NAME", "STANDING", "PROVIDER", "SHA256", "REVISION"],
        |row| {
            let [component, package, name, standing, id, revision] =
                ["component", "package", "name", "standing", "id", "revision"].map(|name| member(row, name));
            [component, package, name, standing, id, brief(row, "sha256"), revision]
        },
    )
}

fn history(globals: &Globals, look: &Look) -> anyhow::Result<Report> {
    listing(globals, look, "changes", ["INDEX", "AT", "REVISION", "WHAT", "BY", "BECAUSE"], |row| {
        let [index, at, revision, summary, because] =
            ["index", "at", "revision", "summary", "because"].map(|name| member(row, name));
        let by: String = member(row, "by").chars().take(8).collect();
        [index, at, revision, summary, by, because]
    })
}

fn show(globals: &Globals, id: &str, package: &str, name: &str) -> anyhow::Result<Report> {
    let (component, package, name) = (ComponentId::parse(id)?, Package::parse(package)?, LinkName::parse(name)?);
    let seen = Client::of(globals)?.look(&Look::Link { component, package, name })?;
    Ok(Report::new(paragraph(&seen.view), with_epoch(seen.view, seen.epoch)))
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
