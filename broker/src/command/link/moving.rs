//! `link switch`, `rollback`, `retire` and `accept`: moving a link that stands.

use clap::ValueEnum;
use policy::digest::Digest;
use policy::govern::{AcceptLink, Operation, Pin, Stage, SwitchLink, Target};
use policy::name::{ComponentId, LinkName, Package};
use policy::provider::Subject;
use serde_json::Value;

use super::putting::{Values, read_pin};
use super::reach::Reach;
use super::resolve;
use crate::client::{Client, Seen};
use crate::command::Globals;
use crate::command::acting::{Acting, Doing};
use crate::config::Config;
use crate::output::{Report, Usage};
use crate::view::{Look, Page, cell};

/// A link, by its place.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The component whose import it answers.
    id: String,
    /// The package.
    package: String,
    /// The link's name.
    #[arg(long, default_value = "default")]
    name: String,
    #[command(flatten)]
    acting: Acting,
}

#[derive(Debug, clap::Args)]
pub(super) struct Switch {
    #[command(flatten)]
    place: Place,
    /// The provider to switch to: its id, its subject, or the start of its digest (8 digits or more).
    #[arg(long, value_name = "PROVIDER", required_unless_present = "stage")]
    to: Option<String>,
    /// Go no further than this [default: prepare and cut over at once].
    #[arg(long, value_enum)]
    stage: Option<StageName>,
    /// What that provider must be from then on.
    #[arg(long, value_name = "sha256=…|issuer=A…[,rev=3..7]", requires = "to")]
    pin_provider: Option<String>,
    #[command(flatten)]
    values: Values,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StageName {
    /// Verify the new end, and let it wait
    Prepare,
    /// Let the end answer that waits, and keep the other
    CutOver,
}

type Found = (ComponentId, Package, LinkName);

impl Place {
    fn found(&self) -> anyhow::Result<Found> {
        Ok((ComponentId::parse(&self.id)?, Package::parse(&self.package)?, LinkName::parse(&self.name)?))
    }

    pub(super) fn roll_back(self, globals: &Globals) -> anyhow::Result<Report> {
        self.step(globals, Stage::Rollback, "is answered again as before the switch")
    }

    pub(super) fn retire(self, globals: &Globals) -> anyhow::Result<Report> {
        self.step(globals, Stage::Retire, "has let the other provider go")
    }

    fn step(self, globals: &Globals, stage: Stage, says: &str) -> anyhow::Result<Report> {
        let (component, package, name) = self.found()?;
        let says = format!("link `{component}/{package}/{name}` {says}");
        let switch = SwitchLink { component, package, name, stage };
        self.acting.run(&Client::of(globals)?, None, Doing::one(Operation::SwitchLink(switch), says))
    }

    // Accepts just what is shown now: whatever comes meanwhile is refused by the digests or the basis.
    pub(super) fn accept(self, globals: &Globals) -> anyhow::Result<Report> {
        let (component, package, name) = self.found()?;
        let client = Client::of(globals)?;
        let (seen, says) = self.look(&client)?;
        let digest = |member: &str| {
            let text = cell(&seen.view, member);
            (!text.is_empty()).then(|| Digest::parse(&text)).transpose()
        };
        let pinned = !cell(&seen.view, "pin").is_empty();
        let agreed = Digest::parse(&cell(&seen.view, "sha256"))?;
        let provider_sha256 = digest("newest_sha256")?.filter(|_| pinned).unwrap_or(agreed);
        let component_sha256 = digest("component_sha256")?;
        let accept = AcceptLink { component, package, name, provider_sha256, component_sha256 };
        let doing = Doing::one(Operation::AcceptLink(accept), format!("{says} is accepted as its ends are"));
        self.acting.run(&client, Some(seen.epoch), doing.with("sha256", provider_sha256.to_string()))
    }

    fn look(&self, client: &Client) -> anyhow::Result<(Seen, String)> {
        let (component, package, name) = self.found()?;
        let says = format!("link `{component}/{package}/{name}`");
        Ok((client.look(&Look::Link { component, package, name })?, says))
    }
}

impl Switch {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let client = Client::of(globals)?;
        let (component, package, name) = self.place.found()?;
        let step = |stage: Stage| {
            let (component, package, name) = (component.clone(), package.clone(), name.clone());
            Operation::SwitchLink(SwitchLink { component, package, name, stage })
        };
        let Some(to) = &self.to else {
            if self.stage == Some(StageName::Prepare) {
                return Err(Usage("prepare it for whom? name the provider with `--to PROVIDER`".to_owned()).into());
            }
            if self.values.any() {
                let what = "`--stage cut-over` cuts over to what was prepared, with its configuration; give one when it is \
                            prepared, or leave it out";
                return Err(Usage(what.to_owned()).into());
            }
            return self.place.step(globals, Stage::CutOver, "is answered by the provider that was prepared");
        };
        if self.stage == Some(StageName::CutOver) {
            let what = "`--stage cut-over` cuts over to what was prepared; leave out `--to`, or the stage";
            return Err(Usage(what.to_owned()).into());
        }
        let (seen, says) = self.place.look(&client)?;
        let config = self.values.read()?;
        let target =
            self.target(&client.look(&Look::Providers(Page::default()))?.view, to, &seen.view, config.as_ref())?;
        let sha256 = target.sha256.to_string();
        let mut operations = vec![step(Stage::Prepare(target))];
        let says = if self.stage.is_none() {
            operations.push(step(Stage::CutOver));
            format!("{says} is answered by `{to}`; the old provider is kept for `link rollback`")
        } else {
            format!("{says} is prepared for `{to}`")
        };
        let doing = Doing { operations, says, ..Doing::default() }.configured(&config);
        let reach = Reach::of(&client.look(&Look::Inventory(Box::default()))?.view, &component, &sha256);
        let says = format!("{}; {}", doing.says, reach.told());
        let doing =
            Doing { says, ..doing }.with("sha256", sha256).with("reachable", reach.word()).with("hosts", reach.hosts);
        self.place.acting.run(&client, Some(seen.epoch), doing)
    }

    fn target(&self, providers: &Value, to: &str, link: &Value, config: Option<&Config>) -> anyhow::Result<Target> {
        let pin = self.pin_provider.as_deref().map(read_pin).transpose()?;
        let bytes = match &pin {
            Some(Pin::Sha256(sha256)) => Some(*sha256),
            Some(Pin::Issuer(_)) | None => None,
        };
        let found = resolve(providers, to, bytes)?;
        // Without other values the new end gets those of the old one.
        let before = Some(cell(link, "config_sha256")).filter(|text| !text.is_empty());
        let before = before.as_deref().map(Digest::parse).transpose()?;
        Ok(Target {
            provider: Subject::parse(&cell(found, "subject"))?,
            sha256: Digest::parse(&cell(found, "sha256"))?,
            config_sha256: config.map(|config| Digest::of(&config.to_bytes())).or(before),
            pin,
        })
    }
}
