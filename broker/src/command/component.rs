//! `component`: which subject may run under which id.
//!
//! The bytes are read and their claims proved here first, by the functions that judge them later.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use policy::artifact::Artifact;
use policy::digest::Digest;
use policy::govern::{AdmitComponent, Operation, RetireComponent, Waiver};
use policy::issuer::Kind;
use policy::name::ComponentId;
use policy::verify::{self, Form, Reading};

use crate::client::{Client, told};
use crate::command::acting::{Acting, Doing, brief, id_from, listing, member, showing};
use crate::command::paging::Paged;
use crate::command::running::RunningName;
use crate::command::{Globals, files};
use crate::folder::Folder;
use crate::output::Report;
use crate::view::{Look, Page, cell};

/// Say which component may run under which id.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Admit a signed component under an id
    #[command(after_help = "Examples:\n  countersign component admit cart_s.wasm\n  \
        countersign component admit cart_s.wasm --id cart-eu --because 'release 7'")]
    Admit {
        /// The component.
        file: PathBuf,
        /// The id that it runs under [default: the name in its claims, else the file's].
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        despite: Despite,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the components
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  countersign component list\n  \
        countersign component list --limit 100"
    )]
    List {
        #[command(flatten)]
        paged: Paged,
    },
    /// Show one component
    #[command(visible_alias = "get", after_help = "Examples:\n  countersign component show cart")]
    Show {
        /// Its id.
        id: String,
    },
    /// Retire an id: nothing starts under it any more
    #[command(visible_alias = "rm", after_help = "Examples:\n  countersign component retire cart")]
    Retire {
        /// The id.
        id: String,
        /// What becomes of what runs on this ground already.
        #[arg(long, value_enum, value_name = "WHAT", default_value = "keep")]
        running: RunningName,
        #[command(flatten)]
        acting: Acting,
    },
}

/// What an administrator lets pass at an admission; each is recorded as just that.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Despite {
    /// Take the subject over from the issuer that it belongs to.
    #[arg(long)]
    take_over: bool,
    /// Admit these bytes although a higher revision of the subject was admitted.
    #[arg(long)]
    allow_downgrade: bool,
}

impl Despite {
    pub(super) fn waivers(self) -> BTreeSet<Waiver> {
        let said = [(self.take_over, Waiver::TakeOver), (self.allow_downgrade, Waiver::Downgrade)];
        said.into_iter().filter(|(said, _)| *said).map(|(_, waiver)| waiver).collect()
    }
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        match self.command {
            Command::Admit { file, id, despite, acting } => admit(globals, &file, id.as_deref(), despite, acting),
            Command::List { paged } => listing(
                globals,
                &Look::Components(paged.page()),
                "components",
                ["ID", "SUBJECT", "SHA256", "IMPORTS", "RETIRED"],
                |row| {
                    [
                        member(row, "id"),
                        brief(row, "subject"),
                        brief(row, "sha256"),
                        member(row, "imports"),
                        member(row, "retired"),
                    ]
                },
            ),
            Command::Show { id } => {
                let id = ComponentId::parse(&id)?;
                showing(
                    globals,
                    &Look::Components(Page::default()),
                    "components",
                    |row| cell(row, "id") == id.as_str(),
                    id.as_str(),
                )
            }
            Command::Retire { id, running, acting } => {
                let id = ComponentId::parse(&id)?;
                let retire = Operation::RetireComponent(RetireComponent { id: id.clone(), running: running.running() });
                let doing = Doing::one(retire, format!("`{id}` is retired")).with("component", id.as_str());
                acting.run(&Client::of(globals)?, None, doing)
            }
        }
    }
}

fn admit(globals: &Globals, file: &Path, id: Option<&str>, despite: Despite, acting: Acting) -> anyhow::Result<Report> {
    let waivers = despite.waivers();
    let bytes = files::read(file)?;
    let reading = sound(file, &bytes, Some(Kind::Component))?;
    let name = reading.common().and_then(|common| common.name.clone());
    let id = id.map_or_else(|| id_from(name.as_deref(), file), |id| Ok(ComponentId::parse(id)?))?;
    let (token, exports) = match reading.artifact() {
        Some(Artifact::Component(component)) => {
            (component.token().unwrap_or_default().to_vec(), component.exports().to_vec())
        }
        Some(Artifact::Archive(_)) | None => (Vec::new(), Vec::new()),
    };
    let (sha256, imports) = (reading.sha256(), reading.imports().to_vec());
    let admit = AdmitComponent { id: id.clone(), sha256, claims_sha256: Digest::of(&token), imports, exports, waivers };
    let doing = Doing::one(Operation::AdmitComponent(admit), format!("component `{id}` is admitted"));
    let doing = doing.with_statement(token).with("component", id.as_str()).with("sha256", sha256.to_string());
    let (client, plan) = (Client::of(globals)?, acting.is_plan());
    let report = acting.run(&client, None, doing)?;
    keep(&client, &report, plan, sha256, "wasm", &bytes)?;
    Ok(report)
}

/// Reads a file and proves that it is whole, signed by the issuer it names, and about these bytes.
pub(super) fn sound(file: &Path, bytes: &[u8], kind: Option<Kind>) -> anyhow::Result<Reading> {
    let reading = verify::read(bytes, Form::File, kind);
    let sound = reading.sound().map_err(Clone::clone);
    sound.map_err(|refusal| refusal.within(format!("`{}`", file.display())))?;
    Ok(reading)
}

/// Keeps the bytes of what was admitted where hosts of this folder look for them.
pub(super) fn keep(
    client: &Client,
    report: &Report,
    plan: bool,
    sha256: Digest,
    extension: &str,
    bytes: &[u8],
) -> anyhow::Result<()> {
    let Some(folder) = client.folder().filter(|_| !plan && report.refusal().is_none()) else {
        return Ok(());
    };
    let path = artifact(folder, sha256, extension);
    if !path.exists() {
        crate::folder::write_private(&path, bytes).map_err(told)?;
    }
    Ok(())
}

fn artifact(folder: &Folder, sha256: Digest, extension: &str) -> PathBuf {
    folder.artifacts().join(format!("{sha256}.{extension}"))
}
