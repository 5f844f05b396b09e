//! `explain`: a dry run of a start, with a fix. The decision is that of a live answer; no door accepts it.

use std::path::PathBuf;

use policy::key::{Host, Name};
use policy::name::ComponentId;
use policy::reason::{Reason, Refusal};

use crate::client::Client;
use crate::command::acting::{id_from, member};
use crate::command::component::sound;
use crate::command::{Globals, files, telling};
use crate::output::{self, Report};
use crate::view::{Look, Supposition};

/// Tell what would answer each import of a component, or why not and what would lift it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code 3 when it would be refused.\n\n\
    Examples:\n  countersign explain cart_s.wasm\n  countersign explain cart_s.wasm --id cart-eu --host N...\n  \
    countersign explain cart_s.wasm --brief")]
pub struct Args {
    /// The component, or a provider.
    file: PathBuf,
    /// The id that it would run under [default: the one it is admitted under, else the name in its claims].
    #[arg(long)]
    id: Option<String>,
    /// The host [default: any enrolled one, with every native builtin].
    #[arg(long, value_name = "KEY")]
    host: Option<String>,
    /// Print keys and digests whole.
    #[arg(short, long)]
    verbose: bool,
    /// Leave out the rules: only what answers, and the fix.
    #[arg(short, long, conflicts_with = "verbose")]
    brief: bool,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        let bytes = files::read(&self.file)?;
        let reading = sound(&self.file, &bytes, None)?;
        let (Some(subject), Some(evidence)) = (reading.subject(), reading.evidence()) else {
            return Err(Refusal::new(Reason::ClaimsMissing, "no signed claims").into());
        };
        let token = evidence.token();
        let name = reading.common().and_then(|common| common.name.as_deref());
        let supposition = Supposition {
            id: self.id.as_deref().map(ComponentId::parse).transpose()?,
            otherwise: id_from(name, &self.file)?,
            host: self.host.as_deref().map(Name::<Host>::parse).transpose()?,
            subject,
            sha256: reading.sha256(),
            claims: token.to_vec(),
            imports: reading.imports().to_vec(),
        };
        let told = Client::of(globals)?.look(&Look::Explain(Box::new(supposition)))?.view;
        let heading = format!("`{}` would be {}", member(&told, "id"), member(&told, "verdict"));
        let mut text = format!("{}\n{}", output::shown(&heading), telling::outcomes(&told) + &telling::relaxed(&told));
        if !self.brief {
            text += &telling::rules(&told, self.verbose);
        }
        text += &telling::fix(&told);
        let refusal =
            Reason::from_code(&member(&told, "reason")).map(|reason| Refusal::new(reason, member(&told, "detail")));
        let report = Report::new(text, told);
        Ok(match refusal {
            None => report,
            Some(refusal) => report.refused(refusal),
        })
    }
}
