//! `contract`: what an owner says of an interface, drafted, signed, published, withdrawn.
//!
//! A draft is unsigned JSON that proposes; whoever signs it reads it first and speaks for it. Whether the signer may is
//! for the lattice to judge when it is published.

mod draft;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use policy::contract::{self, Contract};
use policy::digest::Digest;
use policy::govern::{Operation, PublishContract, WithdrawContract};
use policy::json::{self, Profile};
use policy::key;
use policy::name::Package;
use policy::reason::{Reason, Refusal};
use serde_json::Value;

use crate::client::{Client, told};
use crate::command::acting::{Acting, Doing, brief, listing, member, showing};
use crate::command::component::Despite;
use crate::command::paging::Paged;
use crate::command::running::RunningName;
use crate::command::verify::now;
use crate::command::{Globals, files};
use crate::config::MAX_SCHEMA;
use crate::keys::SigningKey;
use crate::output::{self, Report};
use crate::view::{Look, Page, cell, rows};

use draft::Draft;

/// Say who may provide an interface, as its owner.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draft a contract: unsigned JSON on standard output
    #[command(after_help = "Examples:\n  countersign contract draft wasi:logging > contract.json\n  \
        countersign contract draft acme:orders@1.2.0 --file orders.wasm --provider-issuer A... > contract.json")]
    Draft(Box<Draft>),
    /// Sign a draft as its issuer
    #[command(after_help = "Examples:\n  countersign contract sign contract.json --issuer-key acme.nk\n  \
        countersign contract sign contract.json --issuer-key acme.nk --out logging.jwt")]
    Sign {
        /// The draft.
        file: PathBuf,
        /// The issuer's key file.
        #[arg(long, value_name = "FILE")]
        issuer_key: PathBuf,
        /// Where to write the contract [default: the draft's name with `.jwt`].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Publish a signed contract in the lattice
    #[command(
        after_help = "A package has one owner, whose revisions grow. What another issuer signed, or a lower revision, is let pass only\n\
        by `--take-over` and `--allow-downgrade`, each recorded as a weakening.\n\nExamples:\n  \
        countersign contract publish contract.jwt --because 'logging is shared'\n  \
        countersign contract publish theirs.jwt --take-over --because 'acme handed it to initech'"
    )]
    Publish {
        /// The signed contract.
        file: PathBuf,
        /// The JSON Schema of its configuration, where the contract names one that the revision before did not.
        #[arg(long, value_name = "SCHEMA.json")]
        config_schema: Option<PathBuf>,
        #[command(flatten)]
        despite: Despite,
        #[command(flatten)]
        acting: Acting,
    },
    /// List the contracts
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  countersign contract list\n  \
        countersign contract list --limit 100"
    )]
    List {
        #[command(flatten)]
        paged: Paged,
    },
    /// Show one contract
    #[command(visible_alias = "get", after_help = "Examples:\n  countersign contract show wasi:logging")]
    Show {
        /// The package.
        package: String,
    },
    /// Withdraw a contract: nothing answers its package any more
    #[command(visible_alias = "rm", after_help = "Examples:\n  countersign contract withdraw wasi:logging")]
    Withdraw {
        /// The package.
        package: String,
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
            Command::Draft(draft) => draft.run(globals),
            Command::Sign { file, issuer_key, out } => sign(&file, &issuer_key, out),
            Command::Publish { file, config_schema, despite, acting } => {
                publish(globals, &file, config_schema.as_deref(), despite, acting)
            }
            Command::List { paged } => listing(
                globals,
                &Look::Contracts(paged.page()),
                "contracts",
                ["PACKAGE", "REVISION", "ISSUER", "WITHDRAWN", "DEFAULT", "SHA256"],
                |row| {
                    let bind = Some(member(row, "bind")).filter(|bind| !bind.is_empty());
                    let [package, revision, withdrawn] =
                        ["package", "revision", "withdrawn"].map(|name| member(row, name));
                    let issuer = row.get("contract").map(|contract| brief(contract, "iss")).unwrap_or_default();
                    [
                        package,
                        revision,
                        issuer,
                        withdrawn,
                        bind.unwrap_or_else(|| "never".to_owned()),
                        brief(row, "sha256"),
                    ]
                },
            ),
            Command::Show { package } => {
                let package = Package::parse(&package)?;
                let meant = |row: &Value| cell(row, "package") == package.as_str();
                showing(globals, &Look::Contracts(Page::default()), "contracts", meant, package.as_str())
            }
            Command::Withdraw { package, running, acting } => {
                let package = Package::parse(&package)?;
                let says = format!("the contract for `{package}` is withdrawn");
                let withdraw = Operation::WithdrawContract(WithdrawContract {
                    package: package.clone(),
                    running: running.running(),
                });
                acting.run(&Client::of(globals)?, None, Doing::one(withdraw, says).with("package", package.as_str()))
            }
        }
    }
}

fn sign(file: &Path, issuer_key: &Path, out: Option<PathBuf>) -> anyhow::Result<Report> {
    let bytes = files::read(file)?;
    let draft: Value = json::read(&bytes).map_err(|refusal| refusal.within(format!("`{}`", file.display())))?;
    // What `-o json` wrote holds the draft as a member.
    let draft = draft.get("contract").cloned().unwrap_or(draft);
    let mut contract: Contract = json::read(&json::write(&draft))?;
    let issuer = SigningKey::<key::Issuer>::load(issuer_key).map_err(told)?;
    // Whoever signs speaks for it now, whomever the draft proposed.
    let proposed = std::mem::replace(&mut contract.iss, issuer.name());
    let lifetime = contract.exp.map(|exp| exp.seconds().saturating_sub(contract.iat.seconds()));
    contract.iat = now()?;
    contract.exp = lifetime.map(|seconds| contract.iat.plus(seconds));
    let token = issuer.sign_contract(&contract);
    contract::read(token.as_bytes())?;
    let out = out.unwrap_or_else(|| file.with_extension("jwt"));
    anyhow::ensure!(out != file, "the contract would overwrite its draft; name another file with `--out`");
    files::write(&out, token.as_bytes()).with_context(|| format!("file `{}`", out.display()))?;
    let sha256 = Digest::of(token.as_bytes()).to_string();
    let mut pairs = vec![
        ("package", contract.sub.to_string()),
        ("revision", contract.revision.to_string()),
        ("issuer", contract.iss.to_string()),
        ("sha256", sha256.clone()),
        ("file", out.display().to_string()),
    ];
    if proposed != contract.iss {
        pairs.push(("note", format!("the draft proposed {proposed}, its signer is named instead")));
    }
    let members = serde_json::json!({"contract": contract, "sha256": sha256, "file": out.display().to_string()});
    Ok(Report::new(format!("signed\n{}", output::fields(pairs)), members))
}

fn publish(
    globals: &Globals,
    file: &Path,
    schema: Option<&Path>,
    despite: Despite,
    acting: Acting,
) -> anyhow::Result<Report> {
    let bytes = files::read(file)?;
    let token = bytes.trim_ascii();
    let contract = contract::read(token).map_err(|refusal| refusal.within(format!("`{}`", file.display())))?;
    let (package, sha256) = (contract.sub.clone(), contract.sha256());
    let says = format!("revision {} of the contract for `{package}` is published", contract.revision);
    let client = Client::of(globals)?;
    let publish =
        Operation::PublishContract(PublishContract { package: package.clone(), sha256, waivers: despite.waivers() });
    let doing = Doing::one(publish, says).with_statement(token.to_vec());
    let mut doing = doing.with("package", package.as_str()).with("sha256", sha256.to_string());
    match (schema.map(read_schema).transpose()?, contract.config_schema_sha256) {
        (None, None) => {}
        (Some(schema), Some(named)) if Digest::of(&schema) == named => doing = doing.with_statement(schema),
        (Some(_), _) => return Err(Refusal::new(Reason::HashMismatch, "the contract names another schema").into()),
        // Its last revision brought it: it is in the log.
        (None, Some(named)) if published_schema(&client, &package)? == Some(named) => {}
        (None, Some(named)) => {
            let detail = format!("the contract names schema {named}; give it with `--config-schema SCHEMA.json`");
            return Err(Refusal::new(Reason::EvidenceMissing, detail).into());
        }
    }
    acting.run(&client, None, doing.with("revision", contract.revision))
}

fn published_schema(client: &Client, package: &Package) -> anyhow::Result<Option<Digest>> {
    let seen = client.look(&Look::Contracts(Page::default()))?;
    let row = rows(&seen.view, "contracts").iter().find(|row| cell(row, "package") == package.as_str());
    let named = row.and_then(|row| row.get("contract")?.get("config_schema_sha256")).and_then(Value::as_str);
    Ok(named.map(Digest::parse).transpose()?)
}

// As it is named by its digest: canonical, so that spaces do not make another of it.
fn read_schema(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = files::read(path)?;
    json::check(&bytes, Profile::Any).map_err(|refusal| refusal.within(format!("`{}`", path.display())))?;
    let canonical = json::write(&serde_json::from_slice::<Value>(&bytes)?);
    if canonical.len() > MAX_SCHEMA {
        return Err(Refusal::new(Reason::TokenOversize, format!("a schema has at most {MAX_SCHEMA} bytes")).into());
    }
    Ok(canonical)
}
